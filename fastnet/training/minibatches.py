"""Minibatches as ``RandomState.choice`` draws them, in less time: for a small network that is a good part of a step.

``RandomState.choice(samples, count)`` draws 32-bit words, keeps as many bits as the largest index has, and draws again
where that is too large. A processor cannot foresee which are, and waits. Here the words are drawn first, by NumPy, and
those that are kept are put in a row without a branch. The indices are the same, and so is the state of the generator.
(It is drawn from several times: threads that share a generator share it word by word.)

A network that one core trains leaves the others to draw on: there the indices come a part ahead of the training.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit.decorators import task
from ..parallel.interpreter_end import without_gil
from ..parallel.team import Ahead
from ..tuning import AHEAD_INDICES, AHEAD_PARTS, FEW_INDICES, MANY_WORDS

__all__ = ["Minibatches", "draw", "keep", "minibatches"]

Minibatches = Generator[NDArray[np.intp], None, None]
"""Indices of minibatches, in arrays (., batch_size)."""


def minibatches(rng: Any, samples: int, batch_size: int, steps: int, ahead: bool) -> Minibatches:
    """Yield the indices of so many minibatches, in arrays (., batch_size), as ``rng.choice`` draws them one by one.

    Parameters
    ----------
    rng : numpy.random.RandomState, numpy.random.Generator, or the module numpy.random
    samples, batch_size, steps : int
    ahead : bool
        Whether a core is free, which draws while the caller works on what has been drawn before. Changes no result;
        who wants no more has to close this, which waits for what has been begun.
    """
    ends = [steps]
    # A helper calls nothing but NumPy; and each part has a step.
    if ahead and steps * batch_size >= AHEAD_INDICES and steps >= AHEAD_PARTS[-1] and _draws_words(rng):
        ends = [steps * part // AHEAD_PARTS[-1] for part in AHEAD_PARTS]
    part = draw(rng, samples, ends[0] * batch_size)
    for end, following in pairwise(ends):
        coming = Ahead(functools.partial(draw, rng, samples, (following - end) * batch_size))
        try:
            yield part.reshape(-1, batch_size)
        finally:
            part = coming.value()
    yield part.reshape(-1, batch_size)


@without_gil
def draw(rng: Any, samples: int, count: int) -> NDArray[np.intp]:
    """Return the array that ``rng.choice(samples, count)`` returns.

    Parameters
    ----------
    rng : numpy.random.RandomState, numpy.random.Generator, or the module numpy.random
    samples, count : int
        Indices are below `samples`, at least 1; `count` of them are drawn, with replacement.
    """
    # One sample takes no words, and a Generator draws otherwise, which is fast.
    if not _draws_words(rng) or not 1 < samples <= 2**32 - 1:
        # A generator of somebody's own may keep what it returns, and change it: that is copied.
        own = type(rng) not in (np.random.Generator, np.random.RandomState)
        indices = (np.array if own else np.asarray)(rng.choice(samples, count))
        if indices.shape != (count,) or indices.dtype.kind not in "iu":
            raise TypeError(f"rng.choice must return {count} integers, got an array of {indices.dtype} of shape "
                            f"{indices.shape}")
        return indices.astype(np.intp, copy=False)
    rng = np.random.mtrand._rand if rng is np.random else rng  # nobody can put another function in the place of its own
    indices, have = np.empty(count, np.intp), 0
    mask = (1 << (samples - 1).bit_length()) - 1
    while count - have > FEW_INDICES:  # an index takes at least one word, so these are not too many
        words = rng.randint(0, 2**32, min(count - have, MANY_WORDS), np.uint32)
        have += keep(words, mask, samples, indices[have:])
    indices[have:] = rng.choice(samples, count - have)
    return indices


def _draws_words(rng: Any) -> bool:
    """Whether `rng` is a RandomState, or the module, and nobody has put another function in the place of `choice`."""
    if rng is np.random:
        return bool(rng.choice == np.random.mtrand._rand.choice)
    return type(rng) is np.random.RandomState


@task
def keep(words: NDArray[np.uint32], mask: int, samples: int, indices: NDArray[np.intp]) -> int:
    """Put those of the masked words that are below `samples` into `indices`, in their order; return how many.

    `indices` has at least as many elements as `words`.
    """
    kept = 0
    for word in words:
        index = np.int64(word) & mask
        indices[kept] = index
        if index < samples:
            kept += 1
    return kept
