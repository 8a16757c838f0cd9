"""Everything that hypothesis draws: sizes, dtypes, layouts, matrices."""

import numba
import numpy as np
from hypothesis import strategies as st

from .conftest import COMPILED

LAYOUTS = ("C", "F", "strided", "read-only")
# What a layout changes depends neither on the dtype nor on the processor, and each pair takes time to compile: where
# code is made for another processor than this one, C is enough.
KINDS = ((np.float32, "C"), (np.float64, "C"))
if not numba.config.CPU_NAME:
    KINDS += ((np.float32, "F"), (np.float64, "strided"), (np.float32, "read-only"))

dtypes = st.sampled_from([np.float32, np.float64])
kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([1e-3, 1.0, 1e3])

# Small sizes meet every tile shape and mask; some long ones cross the blocks of the sum and the serial limit.
sizes = st.one_of(st.integers(1, 40), st.sampled_from([1, 8, 16, 48, 64, 257, 600])) if COMPILED else st.integers(1, 9)
class_counts = st.one_of(st.integers(1, 20), st.sampled_from([1, 3000])) if COMPILED else st.integers(1, 9)


def lay_out(array, layout):
    """The same numbers in another memory layout."""
    if layout == "C":
        return np.ascontiguousarray(array)
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        wide = np.full([3 * side for side in array.shape], np.nan if array.dtype.kind == "f" else -1, array.dtype)
        view = wide[tuple(slice(1, None, 3) for _ in array.shape)]
        view[...] = array
        return view
    frozen = np.array(array, order="C")
    frozen.setflags(write=False)
    return frozen
