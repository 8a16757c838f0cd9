"""Samples of which nothing is known but shape, dtype and slices: what Zarr, h5py and others have in common."""

import numpy as np


class Slices:
    """An array that has only these, and a note of what was asked for; `change` alters what a slice gives."""

    def __init__(self, array, change=None):
        self._array, self._change = array, change or (lambda part: part)
        self.shape, self.dtype, self.asked = array.shape, array.dtype, []

    def __getitem__(self, which):
        assert isinstance(which, slice)
        assert 0 <= which.start < which.stop <= len(self._array)
        assert which.step is None
        self.asked.append(which)
        return self._change(self._array[which])


def bytes_of(random, samples, features, classes):
    """Samples and labels that can be told apart a little."""
    y = random.randint(classes, size=samples)
    X = random.randint(0, 200, (samples, features)).astype(np.uint8)
    X[np.arange(samples), y] += 50
    return X, y
