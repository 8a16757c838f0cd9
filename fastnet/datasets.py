"""Data that comes with the package."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

__all__ = ["load_digits"]

Array = np.ndarray[Any, Any]


def load_digits() -> tuple[Array, Array]:
    """Return 1797 images of handwritten digits and their labels.

    They are the test set of *Optical Recognition of Handwritten Digits* by E. Alpaydin and C. Kaynak (UCI Machine
    Learning Repository, 1998, doi:10.24432/C50P49, CC BY 4.0).

    Returns
    -------
    X : float64, (1797, 64)
        An image of 8 x 8 pixels per row, from 0 (paper) to 1 (ink).
    y : int64, (1797,)
        The digit, 0 to 9.
    """
    packaged = resources.files("fastnet").joinpath("data/digits.npz")
    with packaged.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["X"] / 16.0, arrays["y"].astype(np.int64)
