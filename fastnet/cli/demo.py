"""``fastnet demo``: the NumPy reference and fastnet do the same work, side by side."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, NamedTuple

import numpy as np

from ..parallel.threads import using_threads
from ..progress import tell

__all__ = ["run_demo"]

Array = np.ndarray[Any, Any]

HIDDEN = 100
STD = 0.02
BATCH = 200
TRAINING: dict[str, Any] = {"learning_rate": 0.8, "learning_rate_decay": 0.99, "reg": 5e-4, "batch_size": BATCH}
N_TRAIN = 1400
"""A multiple of the batch size: then an epoch has a whole number of iterations, and each is checked."""
TRIALS = 3
"""Short trainings with each number of threads. A busy core slows some of them, and seldom all."""


class _Run(NamedTuple):
    """A network and what its training gave."""

    net: Any
    history: dict[str, list[float]]
    accuracy: float
    seconds: float
    threads: int | None


def run_demo(iterations: int = 1000, seed: int = 0, dtype: str = "float64", out: str = "fastnet-demo",
             progress: bool = True, threads: int | None = None) -> None:
    """Train both networks on the digits, print how they compare, and draw pictures where matplotlib is installed.

    Each side has its own best number of threads, which short trainings tell: with cores that others use, the threads
    of OpenBLAS may take ten times as long as one.

    Parameters
    ----------
    iterations : int
        Number of minibatches.
    seed : int
        Seeds the split, the initial weights and the minibatches.
    dtype : {"float64", "float32"}
        Type of the parameters.
    out : str
        Folder for the pictures.
    progress : bool
        Whether to show progress on standard error.
    threads : int, optional
        The number of threads of both sides, instead of their best ones.
    """
    from .. import TwoLayerNet, get_num_threads, reference, warmup
    from ..datasets import load_digits

    pictures = _has_matplotlib()
    if pictures:
        os.makedirs(out, exist_ok=True)  # better to fail before the work than after it
    X, y = load_digits()
    order = np.random.RandomState(seed).permutation(len(X))
    data = (X[order[:N_TRAIN]], y[order[:N_TRAIN]], X[order[N_TRAIN:]], y[order[N_TRAIN:]])
    print(f"digits: {N_TRAIN} images for training, {len(X) - N_TRAIN} for validation, 8 x 8 pixels, 10 classes")
    print(f"network: 64 - {HIDDEN} - 10 in {dtype}, {iterations} minibatches of {BATCH}, seed {seed}",
          flush=True)

    counts = [threads] if threads else sorted({1, get_num_threads()})
    numpy_run = _train(reference.TwoLayerNet, _limited_blas(), counts, data, iterations, seed, dtype,
                       progress and "  NumPy")
    if progress:
        tell(f"compiling for {dtype}, or loading what was compiled before")
    compile_seconds = warmup(dtype)
    our_run = _train(TwoLayerNet, using_threads, counts, data, iterations, seed, dtype, progress and "fastnet")
    _print_comparison(numpy_run, our_run, compile_seconds, iterations)
    if pictures:
        _draw(out, numpy_run, our_run)
    else:
        print('no pictures: matplotlib is not installed (pip install matplotlib)')


def _has_matplotlib() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def _limited_blas() -> Any:
    """Return a context in which NumPy's products have so many threads; None where nothing here can say so."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None
    return lambda threads: threadpool_limits(threads, "blas")


def _train(network: Any, limited: Any, counts: list[int], data: tuple[Array, Array, Array, Array], iterations: int,
           seed: int, dtype: str, progress: bool | str) -> _Run:
    """Train with the best of some numbers of threads; `limited` is a context in which a side has so many, or None."""

    def trained(count: int | None, iterations: int, progress: bool | str = False) -> _Run:
        net = network(64, HIDDEN, 10, STD, dtype=dtype, rng=seed)
        with limited(count) if limited else contextlib.nullcontext():
            start = time.perf_counter()
            history = net.train(*data, num_iters=iterations, progress=progress, **TRAINING)
            seconds = time.perf_counter() - start
        return _Run(net, history, float((net.predict(data[2]) == data[3]).mean()), seconds, count)

    if limited is None:
        return trained(None, iterations, progress)
    # A training for trial is a fifth of the work: long enough for threads that have just been made to settle on a core.
    trials = [trained(count, max(1, iterations // 5)) for _ in range(TRIALS) for count in counts if len(counts) > 1]
    best = min(trials, key=lambda trial: trial.seconds).threads if trials else counts[0]
    return trained(best, iterations, progress)


def _print_comparison(numpy_run: _Run, our_run: _Run, compile_seconds: float, iterations: int) -> None:
    losses, our_losses = (np.array(run.history["loss_history"]) for run in (numpy_run, our_run))
    rows = [("", "NumPy", "fastnet")]
    rows += [(label, form.format(theirs), form.format(ours)) for label, form, theirs, ours in (
        ("final loss", "{:.6f}", losses[-1], our_losses[-1]),
        ("validation accuracy", "{:.4f}", numpy_run.accuracy, our_run.accuracy),
        ("time per iteration", "{:.1f} µs", 1e6 * numpy_run.seconds / iterations, 1e6 * our_run.seconds / iterations),
        ("training", "{:.3f} s", numpy_run.seconds, our_run.seconds),
    )]
    rows.append(("threads", str(numpy_run.threads or "-"), str(our_run.threads)))
    rows.append(("compiling or loading", "-", f"{compile_seconds:.3f} s"))
    print()
    for label, theirs, ours in rows:
        print(f"{label:22}{theirs:>12}{ours:>12}".rstrip())
    print()
    difference = np.max(np.abs(our_losses - losses) / np.abs(losses))
    print(f"largest relative difference of the two loss histories: {difference:.1e}")
    speed_up = numpy_run.seconds / our_run.seconds
    print(f"speed-up: {speed_up:.1f} times")
    if speed_up < 1:
        print("Is another program using the cores? Threads then wait for each other: try --threads 1.")


def _draw(out: str, numpy_run: _Run, our_run: _Run) -> None:
    from .results.plots import plot_histories, plot_weights

    histories, weights = os.path.join(out, "histories.png"), os.path.join(out, "weights.png")
    checks = range(0, len(our_run.history["loss_history"]), N_TRAIN // BATCH)
    plot_histories(histories, numpy_run.history, our_run.history, checks)
    plot_weights(weights, our_run.net.params["W1"], our_run.net.params["W2"], side=8)
    print(f"pictures: {histories}, {weights}")
