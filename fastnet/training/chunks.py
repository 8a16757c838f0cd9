"""Training from chunks: data that come in pieces, from files or a generator, and are never there as a whole.

A thread (:mod:`fastnet.training.reading`) takes the chunks, checks them, and copies their samples, as numbers of what
is computed in, into a window; steps are taken with one window while the next one is filled. There are two, which are
used in turn, so that memory stays what it is; and what is looked at is the copy. A window has so many samples wherever
chunks begin and end: what is learned depends on the samples and their order alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..progress import Bar
from ..stored import convert
from .interrupts import DeferredInterrupt
from .loop import History, Trainee, prepare, step_by_copies, warn_of_divergence
from .reading import read_ahead
from .session import Session

__all__ = ["WINDOW", "Chunks", "Window", "train_windows"]

WINDOW = 10_000
"""Samples of a window, where nobody says how many."""


class Window(NamedTuple):
    """Consecutive samples, which stay until the next window is taken."""

    epoch: int
    """Counted from 0."""
    X: NDArray[Any]
    """Finite, (n, D), C-contiguous."""
    y: NDArray[Any]
    """(n, ...), a copy."""
    weights: NDArray[Any] | None
    """(n,), a copy; None where all count 1."""


Truth = Callable[[Any, str, int], NDArray[Any]]
"""``truth(y, name, samples)`` returns a checked copy of what samples are, for error messages called `name`."""


class Chunks:
    """What a user hands in as chunks, as windows.

    Parameters
    ----------
    chunks : iterable, or callable that returns one
        Of (X, y), (X, y, sample_weight), or of tables.
    target : hashable or None
        The column of tables that has the truth; None where chunks are tuples.
    truth : callable
        Checks and copies the truth.
    columns : int or None
        How many features there should be; None for as many as the first chunk has.
    dtype : numpy.dtype or None
        What is computed in; None for float32 if the first chunk is of that, else float64.
    window, batch_size, epochs : int
        The window becomes a multiple of the batch size.
    weighted : bool
        Whether there may be weights.

    Attributes
    ----------
    names : list or None
        The names of the features, where chunks are tables and one has been read.

    Raises
    ------
    TypeError, ValueError
        If it cannot be gone through as often; and what is wrong with a chunk when it is read.
    """

    def __init__(self, chunks: Any, *, target: Any, truth: Truth, columns: int | None, dtype: np.dtype[Any] | None,
                 window: Any, batch_size: int, epochs: Any, weighted: bool, names: list[Any] | None = None) -> None:
        self._epochs = checks.integer(epochs, "epochs", minimum=1)
        samples = checks.integer(window, "window", minimum=0, maximum=2**48) or WINDOW
        self._size = -(-samples // batch_size) * batch_size
        if not isinstance(chunks, Iterable) and not callable(chunks):
            raise TypeError("chunks must be an iterable of chunks, or a function that returns one, got "
                            f"{checks.shortened(chunks)}")
        if isinstance(chunks, Mapping | str | np.ndarray):
            raise TypeError("chunks must be an iterable of chunks, a list of one for a single one, got "
                            f"{checks.shortened(chunks)}")
        if self._epochs > 1 and isinstance(chunks, Iterator):
            raise ValueError(f"chunks must be a list, or a function that returns a new iterator, for {self._epochs} "
                             f"epochs: this {type(chunks).__name__} can be gone through once")
        self._chunks, self._target, self._truth, self._weighted = chunks, target, truth, weighted
        self._columns, self._dtype = columns, dtype
        self.names = names

    def windows(self) -> Generator[Window, None, None]:
        """Yield all samples of all epochs."""
        buffers: list[NDArray[Any]] = []
        for epoch in range(self._epochs):
            empty, have, truths, weights = True, 0, [], []
            with contextlib.closing(self._checked()) as chunks:
                for number, X, y, weight in chunks:
                    empty, start = False, 0
                    while start < len(X):
                        if len(buffers) < 2 and not have:
                            buffers.append(np.empty((self._size, X.shape[1]), self._dtype))
                        stop = min(start + self._size - have, len(X))
                        rows = buffers[-1][have:have + stop - start]
                        convert(X[start:stop], rows)
                        checks.checked_finite(rows, f"X of chunk {number}", numbers=np.arange(start, stop))
                        truths.append(y[start:stop])
                        weights.append(weight if weight is None else weight[start:stop])
                        have, start = have + stop - start, stop
                        if have == self._size:
                            yield _window(epoch, buffers[-1], truths, weights)
                            buffers.reverse()
                            have, truths, weights = 0, [], []
            if have:
                yield _window(epoch, buffers[-1][:have], truths, weights)
                buffers.reverse()
            if empty:
                raise ValueError(f"chunks must have at least one sample, got none in epoch {epoch}")

    def _checked(self) -> Generator[tuple[int, NDArray[Any], NDArray[Any], NDArray[Any] | None], None, None]:
        """The number of each chunk, its samples, not yet copied, and copies of what belongs to them."""
        chunks = self._chunks() if callable(self._chunks) and not isinstance(self._chunks, Iterable) else self._chunks
        try:
            iterator = iter(chunks)
        except TypeError:
            raise TypeError(f"chunks must return an iterable of chunks, got {checks.shortened(chunks)}") from None
        # What is not a generator (a reader of a file, say) is not ours to close.
        with contextlib.closing(iterator) if isinstance(iterator, Generator) else contextlib.nullcontext():
            for number, chunk in enumerate(iterator):
                X, y, weight = self._parts(chunk, f"chunk {number}")
                if X.shape[:1] == (0,):
                    continue
                X = checks.matrix(X, f"X of chunk {number}", None)
                if self._columns not in (None, X.shape[1]):
                    raise ValueError(f"X of chunk {number} must have {self._columns} features for each sample, got "
                                     f"{X.shape[1]}")
                self._columns = X.shape[1]
                if self._dtype is None:
                    self._dtype = np.dtype(np.float32 if X.dtype.newbyteorder("=") == np.float32 else np.float64)
                truth = self._truth(y, f"y of chunk {number}", len(X))
                if weight is not None:
                    weight = np.array(weight, np.float64)
                    if weight.shape != (len(X),):
                        raise ValueError(f"sample_weight of chunk {number} must have one weight for each of {len(X)} "
                                         f"samples, got shape {weight.shape}")
                yield number, X, truth, weight

    def _parts(self, chunk: Any, name: str) -> tuple[Any, Any, Any]:
        """X, y and weights of a chunk."""
        if self._target is not None:
            X, y = self._columns_of(chunk, name)
            return X, y, None
        if not isinstance(chunk, tuple | list) or len(chunk) not in ((2, 3) if self._weighted else (2,)):
            raise TypeError(f"{name} must be (X, y){' or (X, y, sample_weight)' if self._weighted else ''}, or a table "
                            f"where target names the column of labels, got {checks.shortened(chunk)}")
        X, y = chunk[:2]
        if hasattr(X, "nnz"):
            raise TypeError(f"X of {name} must be dense: sparse samples are for partial_fit, got {type(X).__name__}")
        return X if hasattr(X, "shape") else np.asarray(X), y, chunk[2] if len(chunk) == 3 else None

    def _columns_of(self, table: Any, name: str) -> tuple[NDArray[Any], Any]:
        """Features and truth of a table: a batch or table of Arrow, or a data frame."""
        names = getattr(getattr(table, "schema", None), "names", None)
        names = list(getattr(table, "columns", ()) if names is None else names)
        if names.count(self._target) != 1:
            raise ValueError(f"{name} must be a table with one column {self._target!r}, as target says, got "
                             f"{type(table).__name__} with the columns {checks.shortened(names)}")
        features = [column for column in names if column != self._target]
        if self.names is None:
            self.names = features
        if features != self.names:
            raise ValueError(f"{name} must have the columns {checks.shortened(self.names)} beside {self._target!r}, "
                             f"got {checks.shortened(features)}")
        columns = [np.asarray(table[column]) for column in features]
        for column, values in zip(features, columns, strict=True):
            if values.dtype.kind not in "buif" or values.ndim != 1:
                raise TypeError(f"column {column!r} of {name} must be of numbers, got {values.dtype}")
        if not columns:
            raise ValueError(f"{name} must have columns beside {self._target!r}, got none")
        X = np.empty((len(columns[0]), len(columns)), np.result_type(*columns))
        for place, values in enumerate(columns):
            X[:, place] = values
        return X, np.asarray(table[self._target])


def _window(epoch: int, X: NDArray[Any], truths: list[NDArray[Any]], weights: list[NDArray[Any] | None]) -> Window:
    given = [weight for weight in weights if weight is not None]
    if given and len(given) < len(weights):
        raise ValueError("all chunks must have a sample_weight, or none: some have")
    return Window(epoch, X, np.concatenate(truths), np.concatenate(given) if given else None)


def train_windows(trainee: Trainee, chunks: Chunks, permutation: Callable[[int], Any] | None, *, learning_rate: float,
                  learning_rate_decay: float, penalty: float, batch_size: int, progress: bool | str,
                  threads: int | None) -> History:
    """Take the steps of plain SGD with the minibatches of each window; return the losses.

    Parameters
    ----------
    trainee
        Whose parameters are trained.
    chunks : Chunks
    permutation : callable or None
        ``permutation(n)`` shuffles the indices from 0 to n - 1; None for the order in which samples come.
    learning_rate, learning_rate_decay
        Of the first epoch, and its factor from one to the next.
    penalty, batch_size, progress, threads
        As for :func:`fastnet.training.loop.train`.
    """
    losses: list[float] = []
    layers, in_place = trainee.layers()
    prepare(layers[0][0].dtype, scores=False)
    with (Bar(None, description=progress if isinstance(progress, str) else "",
              figures=lambda: {"loss": losses[-1]} if losses else {}, shown=bool(progress)) as bar,
          DeferredInterrupt() as interrupt, Session(batch_size, threads=threads) as session,
          contextlib.closing(read_ahead(chunks.windows(), interrupt.check)) as windows):
        epoch, diverged = 0, False
        for window in windows:
            if window.epoch != epoch:
                epoch, learning_rate = window.epoch, learning_rate * learning_rate_decay
            batches, counts = _minibatches(len(window.X), batch_size, permutation)
            done = 0
            while done < len(batches):
                if in_place and not session.is_packed:
                    session.pack(layers)
                part = slice(done, done + (session.steps if in_place else 1))
                if in_place:
                    found = session.run(window.X, window.y, batches[part], learning_rate, penalty,
                                        counts=counts[part]).losses
                else:
                    batch = batches[done, :counts[done]]
                    found = step_by_copies(trainee, layers, window.X[batch], window.y[batch], penalty, learning_rate,
                                           threads)
                    layers, in_place = trainee.layers()
                if not diverged and not np.isfinite(found).all():
                    diverged = warn_of_divergence(found, len(losses))
                losses.extend(found)
                done += len(found)
                bar.update(len(losses))
                interrupt.check()
    return {"loss_history": losses}


def _minibatches(samples: int, batch_size: int,
                 permutation: Callable[[int], Any] | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices of the minibatches of a window, and how many samples each has: the last may have fewer."""
    order = np.arange(samples) if permutation is None else np.array(permutation(samples), np.intp)
    if order.shape != (samples,):
        raise TypeError(f"rng.permutation must return {samples} integers, got an array of shape {order.shape}")
    steps = -(-samples // batch_size)
    batches, counts = np.zeros(steps * batch_size, np.intp), np.full(steps, batch_size, np.intp)
    batches[:samples] = order
    counts[-1] = samples - (steps - 1) * batch_size
    return batches.reshape(steps, batch_size), counts
