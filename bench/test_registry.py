"""The registry that the benchmarks rest on: fastnet passes its checks, and the checks can fail."""

import copy

import numpy as np
import pytest

from bench.registry import COMPARISONS, DTYPES, Case

SMALL = {"tiny": Case(4, 10, 3, 32), "odd": Case(37, 29, 5, 23), "one sample": Case(5, 7, 3, 1)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SMALL)
@pytest.mark.parametrize("name", COMPARISONS)
def test_fastnet_agrees_with_numpy(name, case, dtype):
    COMPARISONS[name].verify(SMALL[case], dtype)


def test_arguments_are_the_same_each_time_and_not_degenerate():
    for comparison in COMPARISONS.values():
        first, second = (comparison.make("numpy", SMALL["odd"], "float64") for _ in range(2))
        for one, other in zip(first, second, strict=True):
            if isinstance(one, np.ndarray):
                np.testing.assert_array_equal(one, other)
                assert not np.may_share_memory(one, other)
                assert len(np.unique(one)) > 2


def slots(result, path=()):
    """Paths to every array and number in a result of tuples and dicts."""
    if isinstance(result, tuple | dict):
        keys = result if isinstance(result, dict) else range(len(result))
        for key in keys:
            yield from slots(result[key], (*path, key))
    else:
        yield path


def replaced(result, path, change):
    """A copy of the result, with what lies at the path changed."""
    if not path:
        return change(np.array(result))
    if isinstance(result, tuple):
        return tuple(replaced(part, path[1:], change) if n == path[0] else part for n, part in enumerate(result))
    return {**result, path[0]: replaced(result[path[0]], path[1:], change)}


def one_element_off(array):
    """The largest element off by one percent, or a label by one."""
    flat = array.reshape(-1)
    at = np.abs(flat).argmax()
    flat[at] += 1 if array.dtype.kind == "i" else flat[at] / 100
    return array


def one_nan(array):
    array = array.astype(np.promote_types(array.dtype, np.float32))  # labels, which are integers, fail by their dtype
    array.reshape(-1)[-1] = np.nan
    return array


CHANGES = {
    "one element off": one_element_off,
    "one NaN": one_nan,
    "shape": lambda array: array[None],
    "dtype": lambda array: array.astype(np.float16),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", COMPARISONS)
def test_every_check_can_fail(name, dtype, change):
    comparison, case = COMPARISONS[name], SMALL["odd"]
    arguments = comparison.make("numpy", case, dtype)
    expected = comparison.functions["numpy"](*copy.deepcopy(arguments))
    comparison.check(expected, expected, *arguments)
    for path in slots(expected):
        with pytest.raises(AssertionError):
            comparison.check(replaced(expected, path, CHANGES[change]), expected, *arguments)
