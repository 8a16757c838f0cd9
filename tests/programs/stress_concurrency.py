"""Threads and processes that use fastnet at once: each result has to be that of a single thread, to the bit.

    python tests/programs/stress_concurrency.py --predictions 1000 --forks 100

runs every scenario on every threading layer of numba's that loads, each in a process of its own, and says how it went.
The ordinary tests run the same with small counts (test_concurrency.py).
"""

import argparse
import contextlib
import faulthandler
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numba
import numpy as np

import fastnet
from fastnet import kernels

LAYERS = ("omp", "workqueue", "tbb")
SIZES = (1, 10, 100, 3000)  # one sample; serial; a region; a team
DTYPES = (np.float32, np.float64)
TIMEOUT = 1800  # seconds for a scenario; a process that hangs would take for ever
CHILD_TIMEOUT = 120

# Newer Pythons warn of forks where there are threads, which is what is tried here.
warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork.*", category=DeprecationWarning)


# ---- what is done ----------------------------------------------------------------------------------------------------


def as_bytes(result):
    """The bits of arrays and numbers, however they are packed."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return b"".join(map(as_bytes, result))
    return np.ascontiguousarray(result).tobytes()


def loss_of(net, X, y):
    loss, grads = net.loss(X, y, reg=0.1)
    return loss, grads


def axpy(X, Y):
    Y = Y.copy()
    kernels.axpy(0.5, X.reshape(-1), Y.reshape(-1))
    return Y


def make_calls():
    """A list of functions without arguments, each of which always returns the same."""
    calls = []
    for dtype in DTYPES:
        random = np.random.RandomState(0)
        X, y = random.standard_normal((max(SIZES), 784)).astype(dtype), random.randint(10, size=max(SIZES))
        net = fastnet.TwoLayerNet(784, 128, 10, std=0.05, dtype=dtype, rng=0)
        for size in SIZES:
            calls += [
                lambda net=net, X=X[:size]: net.predict(X),
                lambda net=net, X=X[:size]: net.predict_proba(X),
                lambda net=net, X=X[:size], y=y[:size]: loss_of(net, X, y),
            ]
        # Large enough for a region each.
        A, W, b = (random.standard_normal(shape).astype(dtype) for shape in [(1000, 256), (256, 192), (192,)])
        delta = random.standard_normal((1000, 192)).astype(dtype)
        labels = random.randint(192, size=1000)
        for function, *args in [
            (kernels.affine_forward, A, W, b), (kernels.relu, A), (kernels.relu_mask, A, A), (kernels.softmax, delta),
            (kernels.softmax_cross_entropy, delta, labels), (kernels.propagate_delta, delta, W, A),
            (kernels.weight_gradient, A, delta), (kernels.bias_gradient, A), (kernels.sum_of_squares, A),
            (kernels.all_finite, A.reshape(-1)), (axpy, A, A),
        ]:
            calls.append(lambda function=function, args=args: function(*args))
    return calls


def results():
    """The bits of everything, once."""
    return [as_bytes(call()) for call in make_calls()]


def trained(seed):
    """The bits of a model that is trained from `seed`, and of its history."""
    random = np.random.RandomState(seed)
    X, y = random.standard_normal((400, 600)), random.randint(10, size=400)
    net = fastnet.TwoLayerNet(600, 64, 10, std=0.05, dtype=DTYPES[seed % 2], rng=seed)
    history = net.train(X, y, X[:50], y[:50], num_iters=30, batch_size=150, learning_rate=0.1)
    return as_bytes((net.params, history))


class Workers:
    """Threads that do something over and over, from ``with`` to its end, where their errors are raised."""

    def __init__(self, *functions):
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(len(functions))
        self._futures = [self._pool.submit(self._repeat, function) for function in functions]

    def _repeat(self, function):
        while not self._stop.is_set():
            function()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._pool.shutdown()
        for future in self._futures:
            future.result()


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: not the bits of a single thread")


# ---- scenarios -------------------------------------------------------------------------------------------------------


def in_threads(predictions, **_):
    """Predict in 8 threads and train in 4, from the very first call on, for which kernels are loaded or compiled."""
    calls, seen, models = make_calls(), defaultdict(set), defaultdict(set)
    barrier = threading.Barrier(12)

    def predict(thread):
        random = np.random.RandomState(thread)
        barrier.wait()
        for _ in range(predictions):
            index = random.randint(len(calls))
            seen[index].add(as_bytes(calls[index]()))

    def train(seed):
        barrier.wait()
        while True:
            models[seed].add(trained(seed))
            if ended.is_set():
                return

    ended = threading.Event()
    with ThreadPoolExecutor(12) as pool:
        trainers = [pool.submit(train, seed) for seed in range(4)]
        predictors = [pool.submit(predict, thread) for thread in range(8)]
        try:
            for future in predictors:
                future.result()
        finally:
            ended.set()
        for future in trainers:
            future.result()
    for index, found in seen.items():
        expect(found, {as_bytes(calls[index]())}, f"call {index}")
    for seed, found in models.items():
        expect(found, {trained(seed)}, f"model {seed}")


def compile_something(number=[0]):  # noqa: B006
    number[0] += 1
    assert numba.njit(lambda x, number=number[0]: x + number)(1) == 1 + number[0]


def fork(work):
    """Fork a child that calls `work` and ends; if it hangs, it says where and is ended."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(CHILD_TIMEOUT)
        work()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(child):
    """Wait for a forked child, which has to end well."""
    _, status = os.waitpid(child, 0)
    if status:
        raise AssertionError(f"a child ended with status {status:#x}")


def in_forks(forks, **_):
    """Fork after use, while other threads predict, train, compile and ask numba how many threads there are."""
    calls = make_calls()
    wanted, models = [as_bytes(call()) for call in calls], [trained(seed) for seed in range(2)]

    def check(indices):
        for index in indices:
            expect(as_bytes(calls[index]()), wanted[index], f"call {index}")

    def everything(depth):
        check(range(len(calls)))
        for seed in range(2):
            expect(trained(seed), models[seed], f"model {seed}")
        compile_something()
        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(check, range(first, len(calls), 3)) for first in range(3)]:
                future.result()
        if depth:
            wait_for(fork(lambda: everything(depth - 1)))

    def ask():
        for _ in range(1000):
            threads = fastnet.get_num_threads()
            fastnet.set_num_threads(threads)

    random = np.random.RandomState(0)
    with Workers(lambda: check([random.randint(len(calls))]), lambda: check(range(len(calls))),
                 lambda: expect(trained(0), models[0], "model 0"), ask, compile_something):
        for number in range(forks):
            work = lambda number=number: everything(number % 10 == 0)  # noqa: E731
            if number % 3 == 2:
                with ThreadPoolExecutor(1) as pool:
                    wait_for(pool.submit(fork, work).result())
            else:
                wait_for(fork(work))


def job(number):
    """What a process of a pool does."""
    return results() if number % 2 else [trained(0), trained(1)]


def in_processes(**_):
    """Pools of processes, by every way of starting one; forks before use in the parent too."""
    def pooled(method):
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool, ProcessPoolExecutor(1, mp_context=context) as executor:
            found = [pool.apply(job, [0]), *executor.map(job, [1])]
            pool.close()  # on leaving, the pool kills who is at work, or on the way to its end
            pool.join()
        return found

    methods = multiprocessing.get_all_start_methods()
    unused = [pooled("fork")] if "fork" in methods else []
    wanted = [job(0), job(1)]
    for found in unused:
        expect(found, wanted, "fork before use")
    for method in methods:
        expect(pooled(method), wanted, method)


def in_joblib(**_):
    """joblib's backends, and its threads inside threads; the estimators too, which are what it is mostly used for."""
    import joblib
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import cross_val_predict

    from fastnet.sklearn import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)  # three epochs are too few
    X, y = load_digits(return_X_y=True)

    def run(backend, jobs):
        with joblib.parallel_config(backend=backend, n_jobs=jobs):
            found = joblib.Parallel()(joblib.delayed(job)(number) for number in range(4))
            model = MLPClassifier((100,), max_iter=3, random_state=0, early_stopping=True)
            found.append(cross_val_predict(model, X, y, cv=3, method="predict_proba").tobytes())
        return found

    wanted = run("sequential", 1)
    for backend in ("loky", "threading", "multiprocessing"):
        expect(run(backend, 3), wanted, backend)
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(run, "threading", 2) for _ in range(3)]:
            expect(future.result(), wanted, "threading in threads")


def in_web_workers(predictions, **_):
    """A server that loads and tries a model, then forks workers, which predict in threads, and starts some anew."""
    wanted, calls = results(), make_calls()
    model = fastnet.TwoLayerNet(784, 128, 10, std=0.05, rng=0)
    X = np.random.RandomState(1).standard_normal((100, 784))
    stored, labels = pickle.dumps(model), model.predict(X).tobytes()

    def serve():
        loaded = pickle.loads(stored)

        def answer(thread):
            random = np.random.RandomState(thread)
            for _ in range(-(-predictions // 10)):
                index = random.randint(len(calls))
                expect(as_bytes(calls[index]()), wanted[index], f"call {index}")
                expect(model.predict(X).tobytes(), labels, "the model from before the fork")
                expect(loaded.predict(X).tobytes(), labels, "the model loaded after the fork")

        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(answer, thread) for thread in range(4)]:
                future.result()

    workers = [fork(serve) for _ in range(3)]
    expect(model.predict(X).tobytes(), labels, "the parent's model")
    for worker in workers:
        wait_for(worker)
        wait_for(fork(serve))


def while_training(predictions, **_):
    """Predict with a model that another thread trains: parameters from in between, but finite, and nothing crashes."""
    random = np.random.RandomState(0)
    X, y = random.standard_normal((1000, 300)), random.randint(10, size=1000)

    def new():
        return fastnet.TwoLayerNet(300, 64, 10, std=0.05, rng=0)

    def train(net):
        net.train(X, y, X[:50], y[:50], num_iters=10 * predictions, batch_size=100, learning_rate=0.05)
        return as_bytes(net.params)

    net = new()
    shapes = {name: array.shape for name, array in net.params.items()}

    def use():
        for size in (1, 10, 100, 1000):
            labels, P = net.predict(X[:size]), net.predict_proba(X[:size])
            loss, grads = net.loss(X[:size], y[:size], reg=0.1)
            assert labels.shape == (size,)
            assert 0 <= labels.min() <= labels.max() < 10
            assert P.shape == (size, 10)
            assert {name: grad.shape for name, grad in grads.items()} == shapes
            assert all(np.isfinite(array).all() for array in [P, loss, *grads.values()])

    with Workers(*[use] * 4):
        found = train(net)
    expect(found, train(new()), "the model that was used while it was trained")

    from fastnet.sklearn import MLPClassifier

    def fitted(*others):
        model = MLPClassifier((64,), random_state=0).partial_fit(X, y, classes=range(10))
        with Workers(*[lambda: others[0](model)] * 4) if others else contextlib.nullcontext():
            for _ in range(predictions):
                model.partial_fit(X[:200], y[:200])
        return as_bytes((model.coefs_, model.intercepts_))

    def ask(model):
        for size in (1, 10, 100, 1000):
            P = model.predict_proba(X[:size])
            assert P.shape == (size, 10)
            assert np.isfinite(P).all()

    expect(fitted(ask), fitted(), "the estimator that was used while it was fitted")


SCENARIOS = {function.__name__: function for function in
             [in_threads, in_forks, in_processes, in_joblib, in_web_workers, while_training]}
if not hasattr(os, "fork"):
    del SCENARIOS["in_forks"], SCENARIOS["in_web_workers"]


# ---- from the command line -------------------------------------------------------------------------------------------


def loads(layer):
    """Whether numba has this threading layer here."""
    command = [sys.executable, "-c", "import numba; numba.get_num_threads()"]
    return subprocess.run(command, env={**os.environ, "NUMBA_THREADING_LAYER": layer}, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def run(scenario, layer, predictions, forks):
    """Run a scenario in a process of its own; return its exit status, or None if it does not come to an end."""
    command = [sys.executable, "-W", "error", __file__, "--inside", scenario, "--predictions", str(predictions),
               "--forks", str(forks)]
    environment = {"NUMBA_NUM_THREADS": "4", **os.environ, "NUMBA_THREADING_LAYER": layer}
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, env=environment, timeout=TIMEOUT, check=False).returncode
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="default: all")
    parser.add_argument("--predictions", type=int, default=1000, help="in each of 8 threads (default %(default)s)")
    parser.add_argument("--forks", type=int, default=100, help="default %(default)s")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS, help="default: all that load")
    parser.add_argument("--inside", choices=SCENARIOS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        SCENARIOS[options.inside](predictions=options.predictions, forks=options.forks)
        return 0
    failed = 0
    for layer in options.layers:
        if not loads(layer):
            print(f"{layer}: not to be had here", flush=True)
            continue
        for scenario in options.scenarios:
            start = time.perf_counter()
            status = run(scenario, layer, options.predictions, options.forks)
            failed += status != 0
            outcome = "passed" if status == 0 else "HANGS" if status is None else f"FAILED with status {status}"
            print(f"{layer} {scenario}: {outcome}, {time.perf_counter() - start:.1f} s", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
