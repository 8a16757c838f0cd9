"""What pulls the ground away from compiled code: exceptions from outside, and threads that change what was checked.

    python tests/programs/attacks.py --exceptions 100000          # every attack on every threading layer that loads
    python tests/programs/attacks.py --inside alarm --seconds 5   # one of them, or some, in this process

Each attack is a process of its own, which is watched: a crash or a hang counts. Memory that fastnet makes for itself
ends at a page that nobody may touch, and becomes such pages when it is freed: whoever still uses it ends the process.
glibc checks the rest (MALLOC_CHECK_). After each exception parameters have to be those after a whole step, to the bit;
results have to be right; and at the end no thread, file or lock may be left over. The ordinary tests let each run for
some seconds (test_attacks.py).
"""

import argparse
import collections
import contextlib
import ctypes
import faulthandler
import functools
import hashlib
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import numba
import numpy as np

import fastnet
from fastnet import kernels, model
from fastnet.engine import packed, workspace
from fastnet.llvm import memory
from fastnet.network import passes
from fastnet.parallel import regions
from fastnet.tuning import CACHE_LINE

try:
    from scipy import sparse

    from fastnet.sklearn import MLPClassifier
except ImportError:
    MLPClassifier = None

LAYERS = ("omp", "workqueue", "tbb")
HANG_SECONDS = 60
"""Without any sign of life: some thousand times as long as a step."""

NAMES = ("W1", "b1", "W2", "b2")
warnings.simplefilter("ignore")  # of iterations that were not enough, and of NumPy that deprecates setting shapes


# ---- memory that is watched ------------------------------------------------------------------------------------------


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

FREED = collections.deque()
FREED_KEPT = 2000


class Pages:
    """Memory that ends at a page without access; once freed, all of it is such pages, until many more are freed."""

    def __init__(self, shape, dtype):
        size = int(np.prod(shape)) * dtype.itemsize
        self._length = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = self._length + mmap.PAGESIZE
        self._start = LIBC.mmap(None, whole, mmap.PROT_READ | mmap.PROT_WRITE,
                                      mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        assert self._start not in (None, ctypes.c_void_p(-1).value), "there are no more pages"
        assert LIBC.mprotect(self._start + self._length, mmap.PAGESIZE, 0) == 0
        begin = self._length - -(-size // CACHE_LINE) * CACHE_LINE
        self.__array_interface__ = {"version": 3, "shape": tuple(map(int, shape)), "typestr": dtype.str,
                                    "data": (self._start + begin, False)}

    def __del__(self):
        LIBC.mprotect(self._start, self._length, 0)
        FREED.append((self._start, self._length + mmap.PAGESIZE))
        if len(FREED) > FREED_KEPT:
            LIBC.munmap(*FREED.popleft())


def watched(shape, dtype, *, clear=False):
    """Like :func:`fastnet.llvm.memory.aligned`."""
    array = np.asarray(Pages(shape, np.dtype(dtype)))
    if not clear:
        array.reshape(-1).view(np.uint8)[:] = 0xFF
    return array


def at_a_fence(values):
    """A copy of an array that ends at a page without access."""
    array = watched(values.shape, values.dtype)
    array[...] = values
    return array


def watch_memory():
    if not numba.config.DISABLE_JIT:
        for module in (memory, model, packed, passes, workspace):
            module.aligned = watched


# ---- what is attacked ------------------------------------------------------------------------------------------------


def digest(arrays):
    hashed = hashlib.blake2b(digest_size=16)
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.digest()


class Training:
    """`train` of the course's class."""

    def __init__(self, sizes, samples, batch_size, steps, dtype=np.float64, **options):
        draw = np.random.RandomState(0)
        D, _, C = sizes
        self._net = fastnet.TwoLayerNet(*sizes, std=0.1, dtype=dtype, rng=np.random.RandomState(1))
        self._X, self._y = draw.standard_normal((samples, D)).astype(dtype), draw.randint(C, size=samples)
        self._begin = {name: array.copy() for name, array in self._net.params.items()}
        self._options = {"batch_size": batch_size, "learning_rate": 0.05, **options}
        self._steps = steps
        self._whole = {digest(self._begin.values())}
        for count in range(1, steps + 1):
            self._train(count)
            self._whole.add(digest(self._net.params.values()))
        self._last = digest(self._net.params.values())

    def _train(self, steps):
        for name, array in self._begin.items():
            self._net.params[name][...] = array
        self._net._rng.seed(1)
        self._net.train(self._X, self._y, self._X[:20], self._y[:20], num_iters=steps, **self._options)

    def begin(self):
        for name, array in self._begin.items():
            self._net.params[name][...] = array
        self._net._rng.seed(1)

    def call(self):
        self._net.train(self._X, self._y, self._X[:20], self._y[:20], num_iters=self._steps, **self._options)

    def check(self, finished):
        now = digest(self._net.params.values())
        assert now in self._whole, "parameters are not those after a whole step"
        if finished:
            assert now == self._last, "parameters are not those of a run that nobody has disturbed"

    def check_thoroughly(self):
        self.begin()
        self.call()
        self.check(finished=True)


class Checkpointed(Training):
    """The same with a checkpoint every second step, which always is a whole one."""

    def __init__(self, *args):
        self._folder = tempfile.TemporaryDirectory()
        self._path = os.path.join(self._folder.name, "run.npz")
        super().__init__(*args, checkpoint=self._path, checkpoint_every=2)

    def check_thoroughly(self):
        self.begin()
        self._net.train(self._X, self._y, self._X[:20], self._y[:20], num_iters=self._steps, resume=self._path,
                        **self._options)
        self.check(finished=True)

    def leftovers(self):
        return len(os.listdir(self._folder.name)) - 1


class Fitting:
    """`fit` of an estimator."""

    def __init__(self, **options):
        draw = np.random.RandomState(0)
        self._X, self._y = draw.standard_normal((300, 20)), draw.randint(4, size=300)
        self._options = {"hidden_layer_sizes": (30,), "max_iter": 4, "batch_size": 64, "random_state": 0, **options}
        self._whole, self._last = self._recorded()

    def _recorded(self):
        seen, run, Workspace = set(), workspace.Workspace.run, workspace.Workspace

        def one_by_one(self, X, y, batches, rates, l2, weights=None, weight_sums=None, counts=None,
                       accuracies=None, epsilons=None):
            layers = [(np.empty(shape), np.empty(shape[1])) for shape in zip(
                self._parameters.sizes, self._parameters.sizes[1:], strict=False)]
            losses = []
            for at in range(len(batches) + 1):
                self._parameters.store(layers)
                seen.add(digest([W for W, _ in layers] + [b for _, b in layers]))
                part = slice(at, at + 1)
                results = run(self, X, y, batches[part], rates[part], l2[part], weights, weight_sums, counts[part])
                losses.append(results.losses)
            return results._replace(losses=np.concatenate(losses))

        Workspace.run = one_by_one
        try:
            self.begin()
            self.call()
        finally:
            Workspace.run = run
        last = digest(self._net.coefs_ + self._net.intercepts_)
        assert last in seen
        self.begin()
        self.call()
        assert digest(self._net.coefs_ + self._net.intercepts_) == last
        return seen, last

    def begin(self):
        self._net = MLPClassifier(**self._options)

    def call(self):
        self._net.fit(self._X, self._y)

    def check(self, finished):
        known = vars(self._net)
        if finished and known.get("n_iter_") == self._options["max_iter"]:
            assert digest(self._net.coefs_ + self._net.intercepts_) == self._last
        elif "best_loss_" in known and None not in (known.get("coefs_"), known.get("intercepts_")):  # initialized
            assert digest(self._net.coefs_ + self._net.intercepts_) in self._whole, "parameters are of no whole step"
            self._net.predict(self._X[:3])
            if not self._options.get("early_stopping") and "_optimizer" in known:
                self._net.partial_fit(self._X, self._y)

    def check_thoroughly(self):
        self.begin()
        self.call()
        self.check(finished=True)


class Calling:
    """Calls that change nothing: each gives what it always gives."""

    def __init__(self):
        draw = np.random.RandomState(0)
        X, y = draw.standard_normal((3000, 64)), draw.randint(10, size=3000)
        net = fastnet.TwoLayerNet(64, 100, 10, std=0.1, rng=0)
        W = draw.standard_normal((64, 100))
        self._calls = [lambda: net.predict(X[:1]), lambda: net.predict(X[:150]), lambda: net.predict_proba(X),
                       lambda: net.loss(X[:200], y[:200], 0.1)[0], lambda: net.loss(X[:200], y[:200], 0.1)[1]["W1"],
                       lambda: kernels.affine_forward(X, W, W[0]), lambda: kernels.weight_gradient(X, X),
                       lambda: kernels.softmax_cross_entropy(X[:, :10], y)[1]]
        if MLPClassifier is not None:
            estimator = MLPClassifier((30,), max_iter=2, random_state=0).fit(X[:300], y[:300])
            self._calls += [lambda: estimator.predict(X[:100]), lambda: estimator.predict_proba(X)]
        self._expected = [digest([call()]) for call in self._calls]

    def begin(self):
        pass

    def call(self):
        for call, expected in zip(self._calls, self._expected, strict=True):
            assert digest([call()]) == expected, "a wrong result"

    def check(self, finished):
        pass

    check_thoroughly = call


@functools.cache
def victims():
    """The objects that are attacked in turn; each has been run before, so that everything is compiled."""
    found = [Training((64, 100, 10), 400, 200, 12), Training((4, 10, 3), 100, 32, 200, np.float32),
             Checkpointed((20, 30, 5), 200, 100, 12), Calling()]
    by_numpy = Training((64, 20, 10), 400, 100, 6)
    by_numpy._net.params["W1"] = np.asfortranarray(by_numpy._net.params["W1"])
    by_numpy.check_thoroughly = by_numpy.begin
    by_numpy._whole |= whole_by_numpy(by_numpy)
    by_numpy._last = digest(by_numpy._net.params.values())
    found.append(by_numpy)
    if MLPClassifier is not None:
        found += [Fitting(), Fitting(solver="sgd"), Fitting(early_stopping=True, n_iter_no_change=10)]
    return found


def whole_by_numpy(training):
    """Parameters after each step of a network whose arrays lie otherwise, which NumPy updates."""
    whole = set()
    for steps in range(1, training._steps + 1):
        training._train(steps)
        whole.add(digest(training._net.params.values()))
    return whole


# ---- exceptions from outside -----------------------------------------------------------------------------------------


class TimeLimit(Exception):  # noqa: N818
    """What a time limit raises."""


def inside(call):
    """What is attacked; a function of its own, so that it is known by its code."""
    call()


class Attack:
    """Raises exceptions in a call, from outside; counts them."""

    def __init__(self):
        self.count = 0
        self.armed = False

    def attacked(self, call):
        """Make the call; return whether it has finished."""
        self._finished = False
        # One exception may come late, outside the inner block, and one more while that is dealt with.
        try:
            try:
                try:
                    self.arm()
                    inside(call)
                    self._finished = True
                except (TimeLimit, KeyboardInterrupt):
                    pass
                self._settle()
            except (TimeLimit, KeyboardInterrupt):
                self._settle()
        except (TimeLimit, KeyboardInterrupt):
            self._settle()
        return self._finished

    def _settle(self):
        self.armed = False
        self.disarm()

    def arm(self):
        self.armed = True

    def disarm(self):
        pass

    def end(self):
        pass


class Alarm(Attack):
    """A time limit by SIGALRM, and then, while that is dealt with, up to ten more."""

    def __init__(self):
        super().__init__()
        signal.signal(signal.SIGALRM, self._handle)
        self._left = 0

    def _handle(self, signum, frame):
        while frame is not None and frame.f_code is not inside.__code__:  # what is attacked, and not this program
            frame = frame.f_back
        if frame is not None and self._left > 0:
            self._left -= 1
            self.count += 1
            raise TimeLimit
        signal.setitimer(signal.ITIMER_REAL, 0)

    def arm(self):
        self._left = random.choice([1, 1, 2, 3, 10])
        signal.setitimer(signal.ITIMER_REAL, random.choice([1, 4]) * random.uniform(2e-5, 1e-3),
                         random.uniform(1e-4, 4e-4))

    def disarm(self):
        signal.setitimer(signal.ITIMER_REAL, 0)

    def end(self):
        self._settle()


PRESS = """
import os, random, signal, sys, time
process = int(sys.argv[1])
try:
    while os.getppid() == process:
        for _ in range(2):
            os.kill(process, signal.SIGINT)
            time.sleep(random.uniform(0, 2e-3))
        time.sleep(random.uniform(0, 2e-3))
except ProcessLookupError:
    pass
"""


class Keyboard(Attack):
    """Ctrl-C, mostly twice within two milliseconds, from a process of its own."""

    def __init__(self):
        super().__init__()
        signal.signal(signal.SIGINT, self._late)
        self.stale = self.noticed = 0
        self._presser = subprocess.Popen([sys.executable, "-c", PRESS, str(os.getpid())])

    def _late(self, signum, frame):
        pass

    def arm(self):
        self.armed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def attacked(self, call):
        finished = super().attacked(call)
        self.count += not finished
        return finished

    def disarm(self):
        left = signal.getsignal(signal.SIGINT)
        if left not in (signal.default_int_handler, self._late):  # it is fastnet's, and knows that it is of no use
            self.stale += 1
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                pass
            else:
                raise AssertionError("Ctrl-C does nothing any more")
        signal.signal(signal.SIGINT, self._late)

    def end(self):
        self._presser.kill()
        self._presser.wait()


class Asynchronous(Attack):
    """PyThreadState_SetAsyncExc from another thread."""

    def __init__(self):
        super().__init__()
        self._thread, self._over = threading.get_ident(), threading.Event()
        self._attacker = threading.Thread(target=self._attack)
        self._attacker.start()

    def _attack(self):
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        while not self._over.is_set():
            time.sleep(random.choice([0, 1e-5, 3e-4, 2e-3]) * random.random())
            if self.armed:
                self.count += raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(TimeLimit))

    def disarm(self):
        for _ in range(3):  # one may be on its way
            time.sleep(0)

    def end(self):
        self._over.set()
        self._attacker.join()


def in_a_thread(work):
    """Call `work` in a thread; return here what it returns, or raise what it raises."""
    results, errors = [], []

    def guarded():
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def by_exceptions(attack_class, enough):
    """Attack one victim after the other."""
    found = victims()
    attack = attack_class()
    try:
        calls = attacked_calls(attack, found, enough)
    finally:
        attack.end()
    for victim in found:
        victim.check_thoroughly()
    assert regions._owner.value > 0, "a region has not been left"
    leftovers = sum(victim.leftovers() for victim in found if isinstance(victim, Checkpointed))
    return f"{attack.count} exceptions in {calls} calls, {getattr(attack, 'stale', 0)} handlers and {leftovers} " \
           f"temporary files left behind"


def attacked_calls(attack, found, enough):
    """Attack until it is enough; return how many calls that were."""
    # Exceptions that come while something is freed are nobody's; and a function of Python would get more of them.
    sys.unraisablehook = collections.deque(maxlen=0).append
    threads, files, last = None, None, 0
    while not enough(attack.count):
        victim = found[last % len(found)]
        victim.begin()
        finished = attack.attacked(victim.call)
        # An estimator turns Ctrl-C into a warning.
        victim.check(finished and not (isinstance(attack, Keyboard) and isinstance(victim, Fitting)))
        last += 1
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        if last % (len(found) * 50 - 1) == 0:
            for victim in found:
                victim.check_thoroughly()
            in_a_thread(found[0].check_thoroughly)  # whatever is locked, another thread waits for
            now = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
            threads, files = threads or now[0], files or now[1]
            # Threads of OpenMP outlive the thread that they were for by a moment.
            assert now[0] <= threads + 8, f"threads: {now[0]}, before {threads}"
            assert now[1] <= files + 8, f"files: {now[1]}, before {files}"
    return last


# ---- threads that change what was checked ----------------------------------------------------------------------------


@contextlib.contextmanager
def meanwhile(change):
    """Have another thread call a function again and again."""
    over = threading.Event()

    def work():
        while not over.is_set():
            change()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)


def toggled(arrays):
    """A function that sets another shape of arrays, and the right one again."""
    shapes = [array.shape for array in arrays]

    def change():
        for array in arrays:
            array.shape = array.shape[::-1] if array.ndim == 2 and array.shape[0] != array.shape[1] else -1
        for array, shape in zip(arrays, shapes, strict=True):
            array.shape = shape

    return change


def repeated(calls, changes, enough):
    """Each call gives its result, or an error of NumPy's kind, while each of the changes goes on.

    To rounding: where an array looks odd for a moment, scikit-learn's own code may do the work.
    """
    expected, count, refused = [np.asarray(call()) for call in calls], 0, 0
    while not enough(count):
        for change in changes:
            with meanwhile(change):
                for _ in range(20):
                    for call, right in zip(calls, expected, strict=True):
                        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
                        try:
                            np.testing.assert_allclose(np.ravel(call()), right.ravel(), 1e-6, 1e-9)
                        except (ValueError, TypeError, IndexError):
                            refused += 1
                        count += 1
    return f"{count} calls, of which {refused} were refused"


def shapes(enough):
    """Another thread sets the shape of X, of parameters, of `coefs_`."""
    draw = np.random.RandomState(0)
    X, y = at_a_fence(draw.standard_normal((60, 30))), draw.randint(5, size=60)
    net = fastnet.TwoLayerNet(30, 20, 5, std=0.1, rng=0)
    begin = {name: array.copy() for name, array in net.params.items()}
    X_val = at_a_fence(X[:20])

    def trained(X=X):
        for name, array in begin.items():
            net.params[name].reshape(-1)[:] = array.reshape(-1)
        net._rng = np.random.RandomState(0)
        net.train(X, y, X_val, y[:20], num_iters=9, batch_size=20)
        result = [array.reshape(-1).copy() for array in net.params.values()]
        return np.concatenate(result)

    def untouched(result):
        for name, array in begin.items():
            net.params[name].reshape(-1)[:] = array.reshape(-1)
        return result()

    X32 = at_a_fence(X.astype(np.float32))  # is converted where it lies
    calls = [trained, lambda: trained(X32), lambda: untouched(lambda: net.predict(X)),
             lambda: untouched(lambda: net.loss(X)), lambda: untouched(lambda: net.loss(X, y)[1]["W2"])]
    changes = [toggled([X]), toggled([X_val]), toggled([X32]), toggled([net.params["W1"], net.params["W2"]]),
               toggled(list(net.params.values()))]
    if MLPClassifier is not None:
        fitted = MLPClassifier((20,), max_iter=3, random_state=0).fit(X, y)
        calls += [lambda: fitted.predict(X), lambda: fitted.predict_proba(X),
                  lambda: MLPClassifier((20,), max_iter=3, random_state=0).fit(X, y).coefs_[0]]
        changes += [toggled(fitted.coefs_), toggled(fitted.intercepts_)]
    return repeated(calls, changes, enough)


def callback(enough):
    """A callback sets the shape of what was handed to `train`."""
    draw, count = np.random.RandomState(0), 0
    while not enough(count):
        D = random.randint(10, 40)
        X_val = at_a_fence(draw.standard_normal((4, D)))
        net = fastnet.TwoLayerNet(D, 20, 5, std=0.1, rng=0)
        X, y = draw.standard_normal((40, D)), draw.randint(5, size=40)

        def change(iteration, history, X_val=X_val, X=X):
            X_val.shape = X_val.size, 1
            X.shape = -1

        net.train(X, y, X_val, y[:4], num_iters=9, batch_size=20, callback=change)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        count += 1
    return f"{count} runs"


def indices(enough):
    """Another thread changes the indices of a sparse matrix."""
    draw = np.random.RandomState(0)
    y = draw.randint(3, size=200)
    calls, changes = [], []
    for make in (sparse.csr_matrix, sparse.csc_matrix):
        X = make(sparse.random(200, 400, 0.05, "csr", random_state=draw))
        for part in (X.indices, X.indptr):
            right = part.copy()

            def change(part=part, right=right):
                part[random.randrange(len(part))] = random.choice([2**31 - 1, -1, 10**6, 5])
                part[...] = right

            changes.append(change)
        calls += [lambda X=X: bool(MLPClassifier((20,), max_iter=3, random_state=0).fit(X, y).coefs_)]
    return repeated(calls, changes, enough)


def resized(enough):
    """The memory of a parameter is freed between two calls, and the array has other memory of the same shape."""
    draw, count = np.random.RandomState(0), 0
    net = fastnet.TwoLayerNet(30, 20, 5, rng=0)
    X, y = draw.standard_normal((50, 30)), draw.randint(5, size=50)
    for name, array in net.params.items():
        net.params[name] = np.array(array)  # with memory of its own, or NumPy refuses
    other = []
    while not enough(count):
        for name, array in net.params.items():
            shape = array.shape
            array.resize((array.size * 1000,), refcheck=False)
            array.resize(shape, refcheck=False)
            other.append(np.full(shape, np.nan))  # where it was before
            array[...] = draw.standard_normal(shape)
            expected = np.maximum(X @ net.params["W1"] + net.params["b1"], 0) @ net.params["W2"] + net.params["b2"]
            np.testing.assert_allclose(net.loss(X), expected, rtol=1e-9, atol=1e-9, err_msg=name)
        net.train(X, y, X, y, num_iters=2, batch_size=10)
        del other[:-50]
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        count += 1
    return f"{count} times"


class Buffered(np.random.RandomState):
    """A generator that returns what it keeps."""

    def choice(self, samples, count):
        self.buffer = super().choice(samples, count)
        return self.buffer


def draws(enough):
    """Another thread changes the indices that a generator has drawn."""
    draw = np.random.RandomState(0)
    X, y = at_a_fence(draw.standard_normal((300, 20))), draw.randint(5, size=300)
    rng = Buffered(0)
    rng.buffer = np.zeros(1, np.intp)
    net = fastnet.TwoLayerNet(20, 10, 5, std=0.1, rng=rng)

    def change():
        buffer = rng.buffer
        buffer[:] = 2**40
        buffer[:] = -1

    def trained():
        net.train(X, y, X[:5], y[:5], num_iters=20, batch_size=50)
        return True

    return repeated([trained], [change], enough)


ATTACKS = {
    "alarm": lambda enough: by_exceptions(Alarm, enough),
    "keyboard": lambda enough: by_exceptions(Keyboard, enough),
    "asynchronous": lambda enough: in_a_thread(lambda: by_exceptions(Asynchronous, enough)),
    "shapes": shapes, "callback": callback, "resized": resized, "draws": draws}
if MLPClassifier is not None:
    ATTACKS["indices"] = indices


# ---- processes -------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inside", nargs="+", choices=ATTACKS, help="these attacks, in this process")
    parser.add_argument("--attacks", nargs="*", default=list(ATTACKS), choices=ATTACKS)
    parser.add_argument("--layers", nargs="*", default=LAYERS)
    parser.add_argument("--seconds", type=float, default=3600, help="at most so long for each")
    parser.add_argument("--exceptions", type=int, default=10**9, help="or so many exceptions or calls")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    if args.inside:
        seed = random.SystemRandom().randrange(2**32) if args.seed is None else args.seed
        random.seed(seed)
        print(f"seed {seed}", flush=True)
        faulthandler.enable()
        faulthandler.dump_traceback_later(15 * HANG_SECONDS, exit=True)  # the first calls compile
        watch_memory()
        for name in args.inside:
            start = []

            def enough(count, start=start):
                start[:] = start or [time.monotonic()]
                return count >= args.exceptions or time.monotonic() - start[0] > args.seconds

            print(f"{name}: {ATTACKS[name](enough)}", flush=True)
        return 0
    failed = 0
    for layer in args.layers:
        environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
        script = "from fastnet.parallel.threads import threading_layer; threading_layer()"
        probe = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
        if probe.returncode:
            print(f"{layer}: not to be had here")
            continue
        for name in args.attacks:
            command = [sys.executable, __file__, "--inside", name, "--seconds", str(args.seconds), "--exceptions",
                       str(args.exceptions)]
            began = time.monotonic()
            result = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
            print(f"{layer} {name}: status {result.returncode}, {time.monotonic() - began:.0f} s, "
                  f"{' '.join(result.stdout.split())}", flush=True)
            if result.returncode:
                failed += 1
                print(result.stderr[-5000:], flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
