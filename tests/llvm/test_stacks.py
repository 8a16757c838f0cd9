"""The arrays of all layers as one argument of compiled code."""

import numba
import numpy as np
import pytest

from fastnet.llvm.stacks import layer_of, stack


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_compiled_code_reads_and_writes_the_arrays(rng, dtype, count):
    arrays = [rng.standard_normal(rng.randint(1, 5, size=3)).astype(dtype) for _ in range(count)]
    expected = [array.sum() for array in arrays]

    @numba.njit
    def read_and_write(stacked, index):
        array = layer_of(stacked, index)
        total = array.dtype.type(0)
        for i in range(array.shape[0]):
            for j in range(array.shape[1]):
                for k in range(array.shape[2]):
                    total += array[i, j, k]
        array[-1, -1, -1] = index
        return total, array.shape, array.strides

    stacked = stack(arrays)
    for index, array in enumerate(arrays):
        total, shape, strides = read_and_write(stacked, index)
        np.testing.assert_allclose(total, expected[index], rtol=0, atol=500 * np.finfo(dtype).eps)
        assert shape == array.shape
        assert strides == array.strides  # compiled code multiplies shapes, but a tile asks for them
        assert array[-1, -1, -1] == index
    if not numba.config.DISABLE_JIT:
        assert len(read_and_write.signatures) == 1


@pytest.mark.parametrize("wrong", [
    np.zeros((2, 2)), np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 4))[:, :, ::2], np.zeros((2, 3, 4)).T])
def test_what_does_not_fit_a_stack_is_refused(wrong):
    with pytest.raises(ValueError, match="C-contiguous, with 3 dimensions, of one dtype"):
        stack([np.zeros((1, 1, 1)), wrong])
