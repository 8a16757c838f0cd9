"""The parameters that a network begins with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..llvm.memory import aligned

__all__ = ["initial_parameters"]


def initial_parameters(sizes: Sequence[int], std: Any, name: str, dtype: np.dtype[Any],
                       random: Any = np.random) -> dict[str, NDArray[Any]]:
    """Return W1, b1, W2 and so on: weights are drawn, in their order, and biases are 0.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, inputs first.
    std : float
        Standard deviation of the weights; messages call it `name`.
    dtype : numpy.dtype
    random : RandomState, Generator, or the module numpy.random
        Where weights are drawn from; the module's functions draw from NumPy's global generator.

    Raises
    ------
    TypeError, ValueError
        If `std` is no number that the dtype has; nothing has been drawn then.
    """
    scale = checks.number(std, name, minimum=0)
    if scale * 40 > checks.LARGEST[dtype]:  # no normal number that is drawn is larger
        raise ValueError(f"{name} is too large for {dtype}, got {scale:g}")
    params: dict[str, NDArray[Any]] = {}
    for index, shape in enumerate(pairwise(sizes), start=1):
        params[f"W{index}"] = aligned(shape, dtype)
        params[f"b{index}"] = aligned(shape[1:], dtype, clear=True)
    for key, array in params.items():  # last: where memory has run out nothing has been drawn
        if key.startswith("W"):
            array[...] = scale * random.standard_normal(array.shape)
    return params
