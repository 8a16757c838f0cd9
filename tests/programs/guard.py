"""Memory is read and written inside its arrays only, whatever the sizes.

    python tests/programs/guard.py                               # every shape of every kernel, sides up to --most (40)
    python tests/programs/guard.py --shapes 1000                 # so many for each, drawn by --seed
    NUMBA_BOUNDSCHECK=1 NUMBA_NUM_THREADS=1 python tests/programs/guard.py --shapes 300
    NUMBA_DISABLE_JIT=1 python tests/programs/guard.py --shapes 30 --most 20
    python tests/programs/guard.py --virtual file                # data of more than 2**31 elements

Every array that a kernel or a network is given lies between two canaries, and so does every buffer that fastnet makes
for itself by `aligned`. They are NaN (-1 as labels): what is read there spoils the result, which is compared with the
reference; what is written there is noticed, and so is a change of what should only be read.

With NUMBA_BOUNDSCHECK=1 compiled code looks at each index itself (but not in tiles, which are LLVM IR).
With NUMBA_DISABLE_JIT=1 the same code runs in NumPy, on arrays that refuse what NumPy and Numba take from the other end
or cut short: indices below 0, and slices that begin or end outside.
"""

import argparse
import itertools
import mmap
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numba
import numpy as np
from hostile_values import KERNELS

import fastnet
from fastnet import kernels, reference
from fastnet.engine import packed, workspace
from fastnet.network import inference, initial, passes
from fastnet.parallel import threads
from fastnet.tuning import CACHE_LINE

COMPILED = not numba.config.DISABLE_JIT
PAD = 256
"""Bytes of a canary."""


class Strict(np.ndarray):
    """An array whose integer indices are from 0 to the end, and whose slices begin and end within it."""

    def _look(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        for at, (side, part) in enumerate(zip(self.shape, parts, strict=False)):
            if isinstance(part, slice):
                ends = [end for end in (part.start, part.stop) if end is not None]
                inside = all(0 <= end <= side for end in ends) and ends == sorted(ends)
            else:
                inside = not isinstance(part, int | np.integer) or 0 <= part < side
            if not inside:
                raise IndexError(f"{part} in dimension {at} of {self.shape}")

    def __getitem__(self, index):
        self._look(index)
        return super().__getitem__(index)

    def __setitem__(self, index, value):
        self._look(index)
        super().__setitem__(index, value)


class Fences:
    """Arrays between canaries."""

    def __init__(self):
        self._buffers, self._kept = [], []

    def empty(self, shape, dtype, alignment=1):
        """An array of NaN (or -1) between canaries."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        buffer = np.full(size + 2 * PAD + alignment, 0xFF, np.uint8)
        start = PAD + -(buffer.ctypes.data + PAD) % alignment
        self._buffers.append((buffer, start, start + size))
        array = buffer[start:start + size].view(dtype).reshape(shape)
        return array if COMPILED else array.view(Strict)

    def array(self, values, changes=False):
        """A copy of an array between canaries; unless it `changes`, that it stays as it is will be looked at."""
        array = self.empty(values.shape, values.dtype, values.itemsize)
        array[...] = values
        if not changes:
            self._kept.append((array, values.copy()))
        return array

    def look(self, where):
        for buffer, start, stop in self._buffers:
            assert (buffer[:start] == 0xFF).all(), f"{where}: written before an array of {stop - start} bytes"
            assert (buffer[stop:] == 0xFF).all(), f"{where}: written after an array of {stop - start} bytes"
        for array, values in self._kept:
            assert array.tobytes() == values.tobytes(), f"{where}: an argument has changed, {values.shape}"


def close(actual, expected, where, dtype):
    slack = 1e-4 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(actual, expected, rtol=slack, atol=slack * (1 + np.abs(expected).max()), err_msg=where)


# ---- kernels ---------------------------------------------------------------------------------------------------------


def check_kernel(name, sides, dtype, random):
    """One call of a kernel; `sides` has a number for each letter."""
    where, fences, arguments, plain = f"{name} {sides} {np.dtype(dtype)}", Fences(), [], []
    for at, letters in enumerate(KERNELS[name]):
        if letters == "a":
            arguments.append(0.3)
            plain.append(0.3)
            continue
        if letters == "y":
            values = random.randint(sides["C"], size=sides["N"])
        else:
            values = random.standard_normal([sides[letter] for letter in letters]).astype(dtype)
        plain.append(values)
        arguments.append(fences.array(values, changes=name == "axpy" and at == 2))
    result = getattr(kernels, name)(*arguments)
    fences.look(where)
    if name == "all_finite":
        assert result, where
        return
    expected = getattr(reference, name)(*plain)
    if name == "axpy":
        result, expected = arguments[2], plain[2]
    if not isinstance(result, tuple):
        result, expected = (result,), (expected,)
    for part, other in zip(result, expected, strict=True):
        close(part, other, where, dtype)


def letters_of(name):
    return sorted({letter for letters in KERNELS[name] for letter in letters if letter in "NDHC"})


def shapes_of(letters, options, random):
    """All combinations of sides, or some that are drawn."""
    if options.shapes is None:
        yield from (dict(zip(letters, sides, strict=True))
                    for sides in itertools.product(range(1, options.most + 1), repeat=len(letters)))
        return
    for _ in range(options.shapes):
        yield {letter: int(random.randint(1, options.most + 1)) for letter in letters}


# ---- networks --------------------------------------------------------------------------------------------------------


def check_network(sides, dtype, random):
    """Scores, labels, a loss and a training, with every array between canaries."""
    N, D, H, C = (sides[letter] for letter in "NDHC")
    where, fences = f"network {sides} {np.dtype(dtype)}", Fences()

    def fenced(shape, kind, *, clear=False):
        array = fences.empty(shape, kind, CACHE_LINE)
        if clear:
            array[...] = 0
        return array

    before = {module: module.aligned for module in (initial, packed, passes, workspace)}
    for module in before:
        module.aligned = fenced
    try:
        net = fastnet.TwoLayerNet(D, H, C, std=0.5, dtype=dtype, rng=0)
        net.params = {name: fences.array(random.standard_normal(array.shape).astype(dtype), changes=True)
                      for name, array in net.params.items()}
        twin = reference.TwoLayerNet(D, H, C, dtype=dtype, rng=0)
        twin.params = {name: np.array(array) for name, array in net.params.items()}
        batch_size = int(random.randint(1, 41))
        X, y = random.standard_normal((N, D)).astype(dtype), random.randint(C, size=N)
        net._rng, twin._rng = np.random.RandomState(1), np.random.RandomState(1)
        given, labels = fences.array(X), fences.array(y)
        loss, grads = net.loss(given, labels, 0.1)
        expected, expected_grads = twin.loss(X, y, 0.1)
        close(loss, expected, where, dtype)
        for name, grad in expected_grads.items():
            close(grads[name], grad, f"{where} {name}", dtype)
        close(net.loss(given), twin.loss(X), where, dtype)
        assert (twin.loss(X)[np.arange(N), net.predict(given)] >= twin.loss(X).max(axis=1) - 1e-4).all(), where
        options = {"num_iters": 3, "batch_size": batch_size, "learning_rate": 1e-2, "reg": 0.1}
        history = net.train(given, labels, given, labels, **options)
        close(history["loss_history"], twin.train(X, y, X, y, **options)["loss_history"], where, dtype)
        # Data that are converted where they lie: of the other dtype, and in columns.
        other = np.float32 if dtype == np.float64 else np.float64
        rounded, columns = X.astype(other), fences.array(np.ascontiguousarray(X.T)).T
        net.train(fences.array(rounded), labels, columns, labels, **options)
        twin.train(rounded.astype(dtype), y, X, y, **options)
        net.train(columns, labels, fences.array(rounded), labels, **options)
        twin.train(X, y, rounded.astype(dtype), y, **options)
        for name, array in twin.params.items():
            close(net.params[name], array, f"{where} {name} after training", dtype)
        fences.look(where)
    finally:
        for module, function in before.items():
            module.aligned = function


class StrictNumPy:
    """NumPy as the kernels see it, with arrays that are `Strict`."""

    def __getattr__(self, name):
        return getattr(np, name)

    @staticmethod
    def empty(*args):
        return np.empty(*args).view(Strict)

    @staticmethod
    def ascontiguousarray(array):
        return np.ascontiguousarray(array).view(Strict)


def check_shapes(options):
    threads.TEAM_WORK_PER_THREAD = 1  # so that small networks are cut into shares, too
    if not COMPILED:
        kernels.np = inference.np = StrictNumPy()
    random, count = np.random.RandomState(options.seed), 0
    for dtype in (np.float32, np.float64):
        for name in KERNELS:
            for sides in shapes_of(letters_of(name), options, random):
                check_kernel(name, sides, dtype, random)
                count += 1
        # Networks have more shapes than can all be tried: some of them, and some beyond what a tile or a block holds.
        networks = argparse.Namespace(shapes=options.shapes or 5000, most=options.most)
        for sides in shapes_of("NDHC", networks, random):
            check_network(sides, dtype, random)
            count += 1
        if COMPILED:
            for sides in [(300, 530, 50, 10), (150, 37, 200, 3), (3, 1025, 129, 65), (515, 530, 410, 3)]:
                sides = dict(zip("NDHC", sides, strict=True))
                check_network(sides, dtype, random)
                for name in KERNELS:
                    check_kernel(name, {letter: side + 3 for letter, side in sides.items()}, dtype, random)
                    count += 1
    return count


# ---- more than 2**31 elements ----------------------------------------------------------------------------------------

SAMPLES, FEATURES, LAST = 2**15 + 64, 2**16, 64  # the last 64 samples lie beyond 2**31 elements


def virtual_data(kind):
    """An array that is zero, without the memory for it: in a sparse file, or in memory that nobody has written to."""
    if kind == "file":
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(4 * SAMPLES * FEATURES)
            return np.memmap(file.name, np.float32, "r+", shape=(SAMPLES, FEATURES))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    return np.frombuffer(mmap.mmap(-1, 4 * SAMPLES * FEATURES, flags=flags), np.float32).reshape(SAMPLES, FEATURES)


def use_virtual_data(kind):
    """In a process of its own: predict, loss and train on them."""
    X = virtual_data(kind)
    assert X.size > 2**31
    random = np.random.RandomState(0)
    end = random.standard_normal((LAST, 100)).astype(np.float32)
    X[-LAST:, -100:] = end
    y = np.zeros(SAMPLES, np.int64)
    y[-LAST:] = random.randint(3, size=LAST)
    fastnet.warmup(np.float32)
    net, twin = (net_class(FEATURES, 2, 3, std=0.5, dtype=np.float32, rng=0)
                 for net_class in (fastnet.TwoLayerNet, reference.TwoLayerNet))
    for params in (net.params, twin.params):
        params["b1"][:] = 0.5
    print("ready", flush=True)

    def told(what, since):
        print(f"{what} {time.monotonic() - since:.2f} s", flush=True)

    since = time.monotonic()
    labels = net.predict(X)
    told("predict", since)
    np.testing.assert_array_equal(labels[:-LAST], twin.predict(X[:1])[0])
    np.testing.assert_array_equal(labels[-LAST:], twin.predict(X[-LAST:]))
    assert len(set(labels[-LAST:])) > 1

    since = time.monotonic()
    loss, grads = net.loss(X, y, 0.1)
    told("loss", since)
    expected, gradient = expected_loss(twin, end, y[-LAST:], 0.1)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(grads["W1"], gradient, rtol=1e-3, atol=1e-5)

    seed = next(seed for seed in range(1000)  # one that draws one of the last samples at once
                if np.random.RandomState(seed).choice(SAMPLES, 20).max() >= SAMPLES - LAST)
    net._rng, twin._rng = np.random.RandomState(seed), np.random.RandomState(seed)
    options = {"num_iters": 2, "batch_size": 20, "learning_rate": 0.5}
    since = time.monotonic()
    history = net.train(X, y, X[-LAST:], y[-LAST:], **options)
    told("train", since)
    expected = twin.train(X, y, X[-LAST:], y[-LAST:], **options)
    np.testing.assert_allclose(history["loss_history"], expected["loss_history"], rtol=1e-4)
    np.testing.assert_allclose(net.params["W1"][-100:], twin.params["W1"][-100:], rtol=1e-3, atol=1e-5)
    X[-1, -1] = np.nan  # the very last
    for arguments in ((X,), (X, y)):
        message = ""
        try:
            net.loss(*arguments)
        except ValueError as error:
            message = str(error)
        assert f"at sample {SAMPLES - 1}, feature {FEATURES - 1}" in message, message


def expected_loss(net, end, y, reg):
    """The loss, and the gradient of W1, of samples that are 0 but for the last features of the last of them."""
    W1, b1, W2, b2 = (net.params[name].astype(np.float64) for name in ("W1", "b1", "W2", "b2"))
    X = np.vstack([np.zeros((1, end.shape[1])), end])  # one for all that are 0, and have the label 0
    y, weights = np.append(0, y), np.append(SAMPLES - LAST, np.ones(LAST)) / SAMPLES
    A = reference.relu(X @ W1[-end.shape[1]:] + b1)
    P = reference.softmax(A @ W2 + b2)
    delta = (P - np.eye(P.shape[1])[y]) * weights[:, None]
    loss = -(weights * np.log(P[np.arange(len(y)), y])).sum() + reg * ((W1**2).sum() + (W2**2).sum())
    gradient = 2 * reg * W1
    gradient[-end.shape[1]:] += X.T @ ((delta @ W2.T) * (A > 0))
    return loss, gradient


def watch_virtual_data(kind):
    """Have a process use them, and see that it takes no memory of its own for it."""
    child = subprocess.Popen([sys.executable, __file__, "--inner", kind], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n", f"the process ended, status {child.wait()}"
    status, before, peak = Path(f"/proc/{child.pid}/status"), None, 0
    while child.poll() is None:
        try:
            peak = max(peak, anonymous_kibibytes(status))
        except (StopIteration, OSError):
            break  # it has ended
        before = peak if before is None else before
        time.sleep(0.01)
    print(child.communicate()[0], end="")
    assert child.returncode == 0, f"the process ended, status {child.returncode}"
    print(f"{SAMPLES} x {FEATURES} float32 in {kind}: anonymous memory grew by {(peak - before) / 1024:.1f} MiB")
    assert peak - before < 64 * 1024


def anonymous_kibibytes(status):
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssAnon:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=int, help="how many for each kernel and for networks (default: all)")
    parser.add_argument("--most", type=int, default=40, help="the largest side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--virtual", choices=["file", "memory"], help="use data of more than 2**31 elements instead")
    parser.add_argument("--inner", help=argparse.SUPPRESS)
    options = parser.parse_args()
    begin = time.monotonic()
    if options.inner:
        use_virtual_data(options.inner)
    elif options.virtual:
        watch_virtual_data(options.virtual)
    else:
        print(f"{check_shapes(options)} shapes, seed {options.seed}, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
