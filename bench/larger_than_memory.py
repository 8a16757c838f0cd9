"""Train on files that are larger than the memory that a process is allowed, beside the same data in memory.

    python bench/larger_than_memory.py [--samples N] [--memory MIB] [--ways NAME ...] [--repeats N] [--json FILE]

A file of N samples of 784 bytes is written, page by page, of each kind that is needed: the bytes as they are (for
`numpy.memmap`), HDF5, Zarr (compressed chunks of 1000 samples) and Parquet (row groups of 10 000 rows, a sample in
one column). Each way of training is a process of its own, in turn, with a network 784-128-10 in float32, minibatches of
128 and two threads at most: `train` draws minibatches from all samples, `fit` and `fit_batches` go through them once.
What is slow takes fewer steps, and a `fit` in memory, where scikit-learn makes float64 of all, has a tenth of the
samples. Before each, the system is told to forget what it has kept of the files, so that they are read again.

All but what is in memory have at most MIB of it: in a control group, where this process may make one, which counts what
the system keeps of the files, too; else by RLIMIT_DATA, which counts private memory only. Peaks are those of anonymous
memory, looked at every few milliseconds, above what the process had before, with everything compiled and loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import mmap
import os
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.estimators import resident as status
from bench.machine import description, warn_if_busy
from bench.timing import answer, publish

FEATURES, HIDDEN, CLASSES, BATCH = 784, 128, 10, 128
CHUNK, ROW_GROUP, WRITTEN = 1000, 10_000, 10_000
"""Samples of a chunk of HDF5 and Zarr, of a row group, and that are written at a time."""

CGROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
LIMITS = ("memory.limit_in_bytes", "memory.max")
"""Where Linux has the control groups of memory, in its first version and in its second, and their limits."""


def parts(samples: int) -> Iterator[tuple[slice, Any]]:
    """The samples of every file, some at a time: bright where their label says, and noise."""
    y = labels(samples)
    for start in range(0, samples, WRITTEN):
        random = np.random.default_rng(start)
        where = slice(start, min(start + WRITTEN, samples))
        X = random.integers(0, 128, (where.stop - start, FEATURES), np.uint8)
        X[np.arange(len(X)), y[where]] = 255
        yield where, X


def labels(samples: int) -> Any:
    """The label of each sample."""
    return np.random.default_rng(1).integers(CLASSES, size=samples)


def write(kind: str, path: Path, samples: int) -> None:
    """Write the file of a kind."""
    shape = (samples, FEATURES)
    if kind == "bytes":
        with path.open("wb") as file:
            for _, X in parts(samples):
                file.write(X.tobytes())
            os.fsync(file.fileno())
    elif kind == "hdf5":
        import h5py

        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("X", shape, np.uint8)
            for where, X in parts(samples):
                dataset[where] = X
    elif kind == "zarr":
        import zarr

        array = zarr.create_array(path, shape=shape, chunks=(CHUNK, FEATURES), dtype="uint8")
        for where, X in parts(samples):
            array[where] = X
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        y, kinds = labels(samples), pa.schema([("X", pa.binary(FEATURES)), ("label", pa.int64())])
        with pq.ParquetWriter(path, kinds) as writer:
            for where, X in parts(samples):
                bytes_of_samples = pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(FEATURES), len(X), [None, pa.py_buffer(X)])
                writer.write_table(pa.table([bytes_of_samples, pa.array(y[where])], schema=kinds),
                                   row_group_size=ROW_GROUP)


def forget(path: Path) -> None:
    """Have the system forget what it has kept of a file, or of the files of a folder."""
    for file in [path] if path.is_file() else filter(Path.is_file, path.rglob("*")):
        with file.open("rb") as opened:
            os.fdatasync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def opened(kind: str, path: Path, samples: int) -> Any:
    """The samples of a file, as users have them."""
    if kind == "hdf5":
        import h5py

        return h5py.File(path)["X"]
    if kind == "zarr":
        import zarr

        return zarr.open_array(path, mode="r")
    X = np.memmap(path, np.uint8, "r", shape=(samples, FEATURES))
    if kind == "random bytes":
        X.base.madvise(mmap.MADV_RANDOM)
    return X


def chunks(X: Any, y: Any) -> Iterator[Any]:
    """X and y, some at a time."""
    for start in range(0, len(y), ROW_GROUP):
        yield X[start:start + ROW_GROUP], y[start:start + ROW_GROUP]


def network() -> Any:
    """A new network."""
    from fastnet import TwoLayerNet

    return TwoLayerNet(FEATURES, HIDDEN, CLASSES, std=0.05, dtype=np.float32, rng=0, threads=2)


def train(X: Any, y: Any, share: int) -> int:
    """`train` as many steps as are one share of an epoch; return how many samples these have."""
    steps = len(y) // BATCH // share
    losses = network().train(X, y, np.ones((1, FEATURES)), [0], num_iters=steps, batch_size=BATCH,
                             learning_rate=1e-4)["loss_history"]
    assert steps < 1000 or np.mean(losses[-20:]) < 0.9 * losses[0], losses[::100]
    return steps * BATCH


def fit(X: Any, y: Any) -> int:
    """An epoch of the estimator's `fit`."""
    from fastnet.sklearn import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch is not convergence
        MLPClassifier((HIDDEN,), batch_size=BATCH, max_iter=1, random_state=0).fit(X, y)
    return len(y)


def fit_batches(pieces: Any, samples: int) -> int:
    """An epoch of `fit_batches`."""
    losses = network().fit_batches(pieces, batch_size=BATCH, learning_rate=1e-4)["loss_history"]
    assert np.mean(losses[-20:]) < 0.9 * losses[0], losses[::100]
    return samples


def row_groups(path: Path) -> Iterator[Any]:
    """X and y of the row groups of a Parquet file."""
    import pyarrow.parquet as pq

    # Arrow would keep all that it has read of the file until its end.
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(ROW_GROUP):
        samples = batch["X"]
        X = np.frombuffer(samples.buffers()[1], np.uint8).reshape(-1, FEATURES)
        yield X[samples.offset:samples.offset + len(samples)], batch["label"].to_numpy()


WAYS: dict[str, tuple[str, str, Callable[[Path, int], int]]] = {
    "train, in memory": ("bytes", "in memory", lambda path, n: train(in_memory(path, n), labels(n), 1)),
    "train, memmap": ("bytes", "", lambda path, n: train(opened("bytes", path, n), labels(n), 200)),
    "train, memmap, MADV_RANDOM": (
        "bytes", "", lambda path, n: train(opened("random bytes", path, n), labels(n), 10)),
    "train, HDF5": ("hdf5", "", lambda path, n: train(opened("hdf5", path, n), labels(n), 50)),
    "train, Zarr": ("zarr", "", lambda path, n: train(opened("zarr", path, n), labels(n), 100)),
    "fit, in memory": ("bytes", "in memory", lambda path, n: fit(in_memory(path, n)[:n // 10], labels(n)[:n // 10])),
    "fit, memmap, MADV_RANDOM": ("bytes", "", lambda path, n: fit(opened("random bytes", path, n), labels(n))),
    "fit_batches, in memory": (
        "bytes", "in memory", lambda path, n: fit_batches(chunks(in_memory(path, n), labels(n)), n)),
    "fit_batches, memmap": ("bytes", "", lambda path, n: fit_batches(chunks(opened("bytes", path, n), labels(n)), n)),
    "fit_batches, HDF5": ("hdf5", "", lambda path, n: fit_batches(chunks(opened("hdf5", path, n), labels(n)), n)),
    "fit_batches, Zarr": ("zarr", "", lambda path, n: fit_batches(chunks(opened("zarr", path, n), labels(n)), n)),
    "fit_batches, Parquet": ("parquet", "", lambda path, n: fit_batches(row_groups(path), n)),
}
"""The file that each needs, whether it is allowed all memory, and what it does, which returns how many samples."""


_kept: list[Any] = []


def in_memory(path: Path, samples: int) -> Any:
    """All samples as an array, read before the clock starts."""
    if not _kept:
        _kept.append(np.fromfile(path, np.uint8).reshape(samples, FEATURES))
    return _kept[0]


class Peak:
    """The peak of anonymous memory above what there is at the beginning, in MiB."""

    def __enter__(self) -> Peak:
        self._first, self._most, self._done = status("RssAnon"), 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self._most = max(self._most, status("RssAnon"))

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()
        self.mebibytes = max(self._most, status("RssAnon")) - self._first


def measure(way: str, path: Path, samples: int, memory: int) -> dict[str, Any]:
    """Train in one way, in this process."""
    kind, free, call = WAYS[way]
    if free:
        in_memory(path, samples)
    import fastnet.sklearn

    fastnet.warmup(np.float32)
    if way.startswith("fit,"):
        fastnet.sklearn.warmup(np.float64)  # what scikit-learn computes in where samples are bytes
    importlib.import_module({"hdf5": "h5py", "zarr": "zarr", "parquet": "pyarrow.parquet"}.get(kind, "numpy"))
    if not free and not os.environ.get("FASTNET_CGROUP"):
        most = (int(status("VmData")) + memory) << 20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with Peak() as peak:
        start = time.perf_counter()
        done = call(path, samples)
        took = time.perf_counter() - start
    return {"samples": done, "seconds": took, "peak": peak.mebibytes}


@contextlib.contextmanager
def control_group(mebibytes: int) -> Iterator[Path | None]:
    """A control group of so much memory; None where there can be none."""
    group = None
    for folder, limit in zip(CGROUPS, LIMITS, strict=True):
        candidate = folder / f"fastnet-{os.getpid()}"
        with contextlib.suppress(OSError):
            candidate.mkdir()
            try:
                (candidate / limit).write_text(str(mebibytes << 20))
                group = candidate
                break
            except OSError:
                candidate.rmdir()
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def collect(options: argparse.Namespace, folder: Path, group: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Measure all ways in turn, in processes of their own."""
    paths = {}
    for way in options.ways:
        kind = WAYS[way][0]
        if kind not in paths:
            paths[kind] = folder / kind
            print(f"writing {kind}", file=sys.stderr)
            write(kind, paths[kind], options.samples)
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in options.ways}
    for repeat in range(options.repeats):
        for way in options.ways:
            kind, free, _ = WAYS[way]
            forget(paths[kind])
            limit = {"FASTNET_CGROUP": str(group)} if group is not None and not free else {}
            print(f"{repeat + 1}/{options.repeats}: {way}", file=sys.stderr)
            runs[way].append(answer(
                [__file__, "--way", way, "--path", paths[kind], "--samples", options.samples, "--memory",
                 options.memory], way, **limit))
    return runs


def report(runs: dict[str, list[dict[str, Any]]]) -> str:
    """The table in Markdown."""
    lines = ["| how | samples/s | of those in memory | peak of anonymous memory, MiB |", "|---|--:|--:|--:|"]
    rates = {way: median(run["samples"] / run["seconds"] for run in found) for way, found in runs.items()}
    for way, found in runs.items():
        beside = rates.get(f"{way.split(',')[0]}, in memory")
        lines.append(f"| {way} | {rates[way]:,.0f} | {'' if beside is None else f'{rates[way] / beside:.2f}'} | "
                     f"{median(run['peak'] for run in found):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Training on files that are larger than memory.")
    parser.add_argument("--samples", type=int, default=700_000, help="samples of 784 bytes (default: 700000)")
    parser.add_argument("--memory", type=int, default=384, help="MiB that a process is allowed (default: 384)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="which ways (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each way (default: 3)")
    parser.add_argument("--folder", type=Path, help="where files are written for a while (default: the system's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE as well")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        group = os.environ.get("FASTNET_CGROUP")
        if group:
            (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
        print(json.dumps(measure(options.way, options.path, options.samples, options.memory)))
        return
    warn_if_busy()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, control_group(options.memory) as group:
        runs = collect(options, Path(folder), group)
    limit = "a control group" if group is not None else "RLIMIT_DATA, beside what a process begins with,"
    text = (f"{report(runs)}\n\n{options.samples:,} samples, {options.samples * FEATURES / 2**20:,.0f} MiB of bytes; "
            f"{limit} of {options.memory} MiB; {description()}; medians of {options.repeats} processes each.")
    publish(text, runs, options)


if __name__ == "__main__":
    main()
