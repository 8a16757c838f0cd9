"""Tolerances from the arithmetic, not from what happens to pass."""

import numpy as np


def product_bound(A, B, extra=0.0):
    """How far two float evaluations of A B + extra may lie apart.

    A sum of K products, in any order, is within K u (|A| |B|) of the exact one (u = eps / 2; Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.1), to first order. So two of them are within K eps (|A| |B|); one more
    term and one more rounding for what is added.
    """
    size = np.abs(A.astype(np.float64)) @ np.abs(B.astype(np.float64)) + np.abs(extra)
    return (A.shape[1] + 2) * np.finfo(A.dtype).eps * size


def assert_within(actual, expected, bound):
    """Elementwise |actual - expected| <= bound; a NaN never is."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    excess = np.abs(actual.astype(np.float64) - expected) - bound
    assert (excess <= 0).all(), f"off by up to {excess.max()} more than allowed, bound {np.max(bound)}"
