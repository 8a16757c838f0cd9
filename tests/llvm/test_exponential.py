import re

import numpy as np
import pytest
from numba import njit

from fastnet.llvm.exponential import exp_nonpositive, log_from_one
from fastnet.llvm.target import ISA

from ..conftest import COMPILED


def of_each(function):
    """`function` of each element of a vector, compiled as all kernels are."""
    @njit(error_model="numpy")
    def each(x):
        result = np.empty_like(x)
        for n in range(x.size):
            result[n] = function(x[n])
        return result

    return each


exp_each, log_each = of_each(exp_nonpositive), of_each(log_from_one)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logarithm_agrees_with_numpy(rng, dtype):
    largest = np.finfo(dtype).max
    x = np.concatenate([1 + rng.uniform(0, 1e-3, 1000), rng.uniform(1, 2, 20_000), rng.uniform(1, 1000, 20_000),
                        np.exp(rng.uniform(0, np.log(largest), 20_000)), np.sqrt(2) * 2.0**np.arange(100)])
    x = np.append(np.append(x.astype(dtype), np.nextafter(dtype(1), dtype(2))), largest)
    expected = np.log(x.astype(np.longdouble))
    np.testing.assert_allclose(log_each(x), expected, rtol=2.5 * np.finfo(dtype).eps, atol=0)
    np.testing.assert_array_equal(log_each(np.array([1, np.nan], dtype)), np.array([0, np.nan], dtype))


@pytest.mark.skipif(not COMPILED, reason="there is no machine code without compilation")
@pytest.mark.parametrize(("each", "name"), [(exp_each, "exp"), (log_each, "log")])
def test_it_is_vector_code(each, name):
    each(np.ones(4, np.float32))
    (assembly,) = (text for signature, text in each.inspect_asm().items() if "float32" in str(signature))
    if ISA.register_name.endswith("mm"):
        assert re.search(r"\bv?mulps\s", assembly)  # packed: several elements at once
    assert f"{name}f" not in assembly  # and no library call for each element
