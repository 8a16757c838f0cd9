import re

import numpy as np
import pytest
from numba import njit

from fastnet.exponential import exp_nonpositive
from fastnet.simd import ISA

from .conftest import COMPILED


@njit
def exp_each(x):
    result = np.empty_like(x)
    for n in range(x.size):
        result[n] = exp_nonpositive(x[n])
    return result


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_numpy(rng, dtype):
    x = -np.concatenate([rng.uniform(0, 1e-3, 1000), rng.uniform(0, 1, 20_000), rng.uniform(0, 87, 20_000)])
    x = np.append(x, [0.0, -0.0, -87.3]).astype(dtype)
    expected = np.exp(x.astype(np.longdouble))
    error = np.abs(exp_each(x) - expected) / expected
    assert error.max() <= 2 * np.finfo(dtype).eps
    assert exp_each(np.zeros(1, dtype))[0] == 1


def test_whole_range_of_float64(rng):
    x = -rng.uniform(0, 708.3, 20_000)
    assert (np.abs(exp_each(x) / np.exp(x) - 1) <= 4e-16).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_below_is_zero_and_nan_stays(dtype):
    x = np.array([-1e4, -np.inf, np.nan, np.finfo(dtype).min], dtype)
    np.testing.assert_array_equal(exp_each(x), np.array([0, 0, np.nan, 0], dtype))


@pytest.mark.skipif(not COMPILED, reason="there is no machine code without compilation")
def test_it_is_vector_code():
    exp_each(np.zeros(4, np.float32))
    (assembly,) = (text for signature, text in exp_each.inspect_asm().items() if "float32" in str(signature))
    if ISA.register_name.endswith("mm"):
        assert re.search(r"\bv?mulps\s", assembly)  # packed: several elements at once
    assert "expf" not in assembly  # and no library call for each element
