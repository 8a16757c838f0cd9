"""Calls with whatever Python can hold: each gives the right result, or a clear error with nothing changed.

    python tests/programs/hostile.py --calls 100000 --seed 0

makes so many calls of public functions with arguments from the pool of hostile_values.py, each determined by the seed
and its number, and prints how they ended; its status is 1 if one ended otherwise than it may:

- a result, equal to that of fastnet.reference on what NumPy makes of the arguments (for estimators: to scikit-learn's);
- a TypeError or a ValueError whose text names an argument that was hostile, or what a hostile object raised itself; a
  MemoryError for arrays that no machine has room for. The model, its generator, NumPy's generator and the arguments are
  as they were before.

The calls are made in a process of its own, which is watched: a crash or a hang counts, and the next call goes on.
`--call NUMBER` repeats a single one in this process. The ordinary tests make 2000, without those of kernels and
estimators, which compile much (test_hostile.py).
"""

import argparse
import contextlib
import copy
import faulthandler
import io
import itertools
import json
import mmap
import operator
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter

import hostile_values as pool
import numpy as np
from hostile_values import BAD, GOOD, HUGE, KERNELS, ODD, Liar, OwnError

import fastnet
from fastnet import kernels, reference
from fastnet.jit import decorators
from fastnet.training.loop import DivergenceWarning

try:
    from sklearn import neural_network
except ImportError:
    neural_network = None

NAMES = ("W1", "b1", "W2", "b2")

HANG_SECONDS = 300
"""Longer than any compilation takes."""


class FindingError(Exception):
    """A call ended as it may not."""


# ---- what may come of a call -----------------------------------------------------------------------------------------


def outcome(call, hostile, check, before=lambda: None):
    """Make a call and judge how it ends; return that in a word or two.

    `hostile` has the verdict for each argument that may be at fault, `check` looks at a result; `before` returns what
    must not have changed when there is an error.
    """
    kept = before()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DivergenceWarning)  # from odd numbers; it is tested elsewhere
            result = call()
    except OwnError:
        kind = "the object's own error"
    except Exception as error:
        judge(error, hostile)
        kind = type(error).__name__
    else:
        wrong = [name for name, value in hostile.items() if value.verdict in (BAD, HUGE)]
        if wrong:
            raise FindingError(f"accepted {described(hostile, wrong)}")
        try:
            check(result)
        except FindingError as finding:
            raise FindingError(f"{finding} [{described(hostile)}]") from None
        return "right"
    if kept != before():
        raise FindingError(f"an error ({kind}), and something has changed: {described(hostile)}")
    return kind


def judge(error, hostile):
    """Raise unless the error is one of those that may be, for a reason, and names it."""
    suspects = [name for name, value in hostile.items() if value.verdict != GOOD]
    suspects += [name.replace("X", "y") for name in suspects if name in ("X", "X_val")]  # may be what does not fit
    text = str(error)
    said = f"{type(error).__name__}: {text[:300]}"
    if isinstance(error, MemoryError) and any(value.verdict == HUGE for value in hostile.values()):
        return
    if not isinstance(error, TypeError | ValueError) or isinstance(error, UnicodeError):
        raise FindingError(f"{said} [{described(hostile, suspects)}]") from error
    if not suspects:
        raise FindingError(f"{said} [though all was good: {described(hostile)}]") from error
    if not any(re.search(rf"\b{name}\b", text) for name in suspects):
        raise FindingError(f"{said} [does not name {described(hostile, suspects)}]") from error
    if len(text) > 500:
        raise FindingError(f"a text of {len(text)} characters [{described(hostile, suspects)}]") from error


def described(hostile, names=None):
    return ", ".join(f"{name}={hostile[name].name!r}" for name in (names or hostile) if name in hostile)


def held(array):
    """What can be compared of an array, or of anything else."""
    if isinstance(array, np.ndarray):
        bits = np.asarray(array).tobytes() if array.size < 10_000 and array.dtype.kind != "O" else None
        return id(array), array.shape, str(array.dtype), array.strides, array.flags.writeable, bits
    return id(array)


def state_of(net):
    """Everything of a model that a call must leave alone."""
    params = net.params
    items = [(name, held(params[name])) for name in params] if type(params) is dict else []
    own = net._rng
    generator = own.get_state() if isinstance(own, np.random.RandomState) else getattr(own, "bit_generator", None)
    if isinstance(generator, np.random.BitGenerator):
        generator = generator.state
    return repr((id(params), items, generator, numpy_state(), sorted(set(vars(net)) - {"_known"})))


def numpy_state():
    state = np.random.get_state()
    return state[1].tobytes(), state[2:]


# ---- the reference ---------------------------------------------------------------------------------------------------


def candidates(value):
    """The arrays that a call may have seen."""
    if isinstance(value, Liar):
        return [np.asarray(array) for array in value.given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(value)]


def reference_of(net, params):
    twin = reference.TwoLayerNet(1, 1, 1, dtype=net.dtype, l2=net.l2, rng=0)
    twin.params = params
    return twin


def tame(*arrays):
    """Whether rounding errors stay small, and all is finite."""
    return all(np.size(array) < 10_000 and (np.abs(np.asarray(array, float)) < 1e4).all() for array in arrays)


def agree(result, expected, dtype, what, slack=1e-9):
    """What is wrong if two results differ by more than rounding; `slack` is for float64."""
    slack = slack if dtype == np.float64 else 2e-3
    result, expected = np.asarray(result, float), np.asarray(expected, float)
    if result.shape != expected.shape:
        return f"{what} has shape {result.shape}, expected {expected.shape}"
    size = 1 + np.abs(expected[np.isfinite(expected)]).max(initial=0)
    with np.errstate(invalid="ignore"):
        apart = np.where((result == expected) | (np.isnan(result) & np.isnan(expected)), 0, np.abs(result - expected))
    return None if (apart <= slack * size).all() else f"{what} is off by {np.max(apart):.3g}"


def expect(result, expectations, dtype):
    """Raise unless the result, a list of arrays, is one of several that are right."""
    faults = []
    for expected in expectations:
        faults = [fault for number, (one, other) in enumerate(zip(result, expected, strict=True))
                  if (fault := agree(one, other, dtype, f"part {number}"))]
        if not faults:
            return
    raise FindingError(f"wrong: {'; '.join(faults)}")


# ---- calls -----------------------------------------------------------------------------------------------------------


def make_net(random):
    sizes = pool.pick(random, [(4, 5, 3), (1, 1, 1), (4, 4, 4), (6, 2, 9), (2, 40, 2), (30, 3, 5), (300, 60, 10)])
    dtype = pool.pick(random, [np.float64, np.float64, np.float32])
    np.random.seed(random.randint(2**31))
    rng = pool.pick(random, [lambda seed: None, lambda seed: seed, np.random.RandomState, np.random.default_rng])
    net = fastnet.TwoLayerNet(*sizes, std=0.5, dtype=dtype, l2=pool.pick(random, ["full", "half"]),
                              rng=rng(random.randint(1000)))
    return net, sizes


def model_call(random):
    """Scores, labels, probabilities, or a loss."""
    net, (D, _, C) = make_net(random)
    if random.randint(2):  # parameters that have been seen before are not looked at as closely
        net.predict(np.zeros((1, D)))
    method = pool.pick(random, ["loss", "loss", "loss with labels", "loss with labels", "predict", "predict_proba"])
    with_labels = method == "loss with labels"
    target = pool.pick(random, ["X", "params", *(["y", "y", "reg"] if with_labels else []), "none"])
    samples = pool.pick(random, [1, 2, 6, 70])
    X = pool.features(random, samples, D, net, target == "X")
    y = pool.labels(random, samples, C, target == "y")
    reg = pool.number(random, target == "reg")
    hostile = {"X": X, "y": y, "reg": reg} if with_labels else {"X": X}
    if target == "params":
        name, verdict, _ = pool.spoil(random, net)
        hostile["params"] = pool.Value(name, verdict, None)
    if with_labels and y.value is None:
        del hostile["y"], hostile["reg"]
    params, before = net.params, state_of(net)
    arguments = [X.value, y.value, reg.value] if with_labels else [X.value]
    given = [held(value) for value in arguments]

    def check(result):
        if state_of(net) != before:
            raise FindingError("something has changed")
        seen = candidates(X.value), candidates(y.value) if with_labels else [None]
        if not tame(*seen[0], *(np.asarray(params[name]) for name in NAMES)):
            return
        expectations = []
        for inputs, targets in itertools.product(*seen):
            twin = reference_of(net, {name: np.asarray(params[name], net.dtype) for name in NAMES})
            if with_labels and y.value is not None:
                if not tame(float(reg.value)):
                    return
                loss, grads = twin.loss(inputs, targets.astype(int), float(reg.value))
                expectations.append([loss, *grads.values()])
            else:
                scores = twin.loss(inputs)
                expectations.append([reference.softmax(scores) if method == "predict_proba" else scores])
        if method == "predict":
            given_scores = [scores[np.arange(len(scores)), result] for scores, in expectations]
            if all(agree(given_scores[number], scores.max(axis=1), net.dtype, "label")
                   for number, (scores,) in enumerate(expectations)):
                raise FindingError("wrong labels")
            return
        grads = [result[1][name] for name in NAMES] if isinstance(result, tuple) else []
        expect([result[0], *grads] if grads else [result], expectations, net.dtype)

    method = method.split()[0]
    kind = outcome(lambda: getattr(net, method)(*arguments), hostile, check, lambda: state_of(net))
    if [held(value) for value in arguments] != given:
        raise FindingError(f"an argument has changed: {described(hostile)}")
    return f"{target}: {kind}"


def train_call(random):
    """A short training."""
    seed = random.randint(2**31)
    (net, target, hostile), (twin, _, same) = (training_case(np.random.RandomState(seed)) for _ in range(2))
    arguments = {name: value.value for name, value in hostile.items() if name != "params"}

    def check(history):
        state = numpy_state()
        other = comparable(twin, {name: value.value for name, value in same.items()})
        if other is None:
            return
        X, y, X_val, y_val = (candidates(same[name].value)[0] for name in ("X", "y", "X_val", "y_val"))
        rates = {name: float(same[name].value) for name in ("learning_rate", "learning_rate_decay", "reg")}
        np.random.seed(5)
        with np.errstate(all="ignore"):
            expected = other.train(X, y.astype(int), X_val, y_val.astype(int), **rates,
                                   num_iters=len(history["loss_history"]),
                                   batch_size=operator.index(arguments["batch_size"]))
        if state != numpy_state():
            raise FindingError("NumPy's generator is not in the state in which the reference leaves it")
        if not tame(expected["loss_history"]):
            return
        precise = net.dtype == np.float64 and all(array.itemsize >= 8 for array in other.params.values())
        expect([history["loss_history"], *(net.params[name] for name in NAMES)],
               [[expected["loss_history"], *(other.params[name] for name in NAMES)]],
               np.float64 if precise else np.float32)

    def call():
        np.random.seed(5)
        return net.train(**arguments)

    np.random.seed(5)
    with contextlib.redirect_stdout(io.StringIO()):
        return f"{target}: {outcome(call, hostile, check, lambda: state_of(net))}"


def comparable(net, arguments):
    """The reference with the parameters of a network, or None where a training by it would not be the same."""
    data = [arguments[name] for name in ("X", "y", "X_val", "y_val")]
    if any(isinstance(value, Liar) for value in data) or type(net.params) is pool.OddDict:
        return None
    params = {name: np.asarray(net.params[name]) for name in NAMES}  # views: they may overlap
    X, _, X_val, _ = (candidates(value)[0] for value in data)
    numbers = [float(arguments[name]) for name in ("learning_rate", "learning_rate_decay", "reg")]
    if not tame(X, X_val, *numbers, *params.values()) or any(array.dtype == np.float16 for array in params.values()):
        return None
    if any(np.may_share_memory(samples, array) for samples in (X, X_val) for array in params.values()):
        return None  # the data change with the parameters
    other = reference.TwoLayerNet(1, 1, 1, dtype=net.dtype, l2=net.l2, rng=0)
    other.params, other._rng = params, np.random if net._rng is None else net._rng
    return other


def training_case(random):
    """A network, which argument is hostile, and all of them."""
    net, (D, _, C) = make_net(random)
    target = pool.pick(random, ["X", "y", "X_val", "y_val", "learning_rate", "learning_rate_decay", "reg", "num_iters",
                                "batch_size", "verbose", "callback", "checkpoint_every", "checkpoint", "resume",
                                "params", "params", "none"])
    samples, others = pool.pick(random, [1, 2, 6]), pool.pick(random, [1, 5])
    hostile = {
        "X": pool.features(random, samples, D, net, target == "X"),
        "y": pool.labels(random, samples, C, target == "y"),
        "X_val": pool.features(random, others, D, net, target == "X_val"),
        "y_val": pool.labels(random, others, C, target == "y_val")}
    for name in ("learning_rate", "learning_rate_decay", "reg"):
        hostile[name] = pool.number(random, target == name)
    for name, good in (("num_iters", 3), ("batch_size", 4)):
        hostile[name] = pool.integer(random, target == name, good)
    for name in ("y", "y_val"):
        if hostile[name].value is None:  # which `loss` takes
            hostile[name] = hostile[name]._replace(verdict=BAD)
    if hostile["num_iters"].verdict == HUGE:  # no mistake, only long
        hostile["num_iters"] = hostile["num_iters"]._replace(verdict=ODD)
        hostile["callback"] = pool.Value("stop", GOOD, lambda *_: True)
    if target == "verbose":
        hostile["verbose"] = pool.nonsense(random)._replace(verdict=ODD)
        if hostile["verbose"].value is NotImplemented:  # Python warns of its truth
            hostile["verbose"] = pool.Value("0", GOOD, 0)
    if target == "callback":
        hostile["callback"] = pool.nonsense(random)
        if hostile["callback"].value is None or callable(hostile["callback"].value):
            hostile["callback"] = pool.Value("None", GOOD, None)
    if target == "checkpoint_every":
        hostile[target] = pool.number(random, True)
        if hostile[target].verdict == GOOD or isinstance(hostile[target].value, int):  # but not 0
            hostile[target] = hostile[target]._replace(verdict=ODD)
    if target in ("checkpoint", "resume"):
        hostile[target] = pool.nonsense(random)
        if hostile[target].value is None or isinstance(hostile[target].value, str | bytes):  # a file's name
            hostile[target] = pool.Value("None", GOOD, None)
    if target == "params":
        name, _, verdict = pool.spoil(random, net)
        hostile["params"] = pool.Value(name, verdict, None)
    return net, target, hostile


def effect_call(random):
    """A model that changes while its arguments are looked at, or in a callback."""
    net, (D, _, C) = make_net(random)
    name, effect = pool.effect(random, net)
    where = pool.pick(random, ["X", "y", "X_val", "y_val", "callback"])
    method = "train" if where in ("X_val", "y_val", "callback") else pool.pick(
        random, ["loss", "loss with labels", "predict", "predict_proba", "train"])
    if where == "y" and method != "train":
        method = "loss with labels"
    X, y = random.standard_normal((6, D)), random.randint(C, size=6)
    arguments = {"X": X, "y": y}
    before = {key: array.copy() for key, array in net.params.items()}
    if method == "train":
        arguments |= {"X_val": X, "y_val": y, "num_iters": 3, "batch_size": 6}
    elif method != "loss with labels":
        del arguments["y"]
    arguments[where] = (lambda *_: effect()) if where == "callback" else Liar(arguments[where], effect=effect)

    def check(result):
        if method == "train":
            return
        expectations = []
        for params in (before, net.params):
            with contextlib.suppress(Exception), np.errstate(all="ignore"):
                twin = reference_of(net, params)
                if method == "loss with labels":
                    loss, grads = twin.loss(X, y)
                    expectations.append([loss, *(grads[key] for key in before)])
                else:
                    scores = twin.loss(X)
                    expectations.append([{"loss": scores, "predict": scores.argmax(axis=1),
                                          "predict_proba": reference.softmax(scores)}[method]])
        got = [result[0], *(result[1][key] for key in before)] if method == "loss with labels" else [result]
        # A gradient has the shape that the parameter has at last.
        expect([np.reshape(part, -1) for part in got],
               [[np.reshape(part, -1) for part in expected] for expected in expectations], net.dtype)

    hostile = {part: pool.Value(name, ODD, None) for part in (where, "params")}
    return f"{where}: {outcome(lambda: getattr(net, method.split()[0])(**arguments), hostile, check)}"


def constructor_call(random):
    names = ("input_size", "hidden_size", "output_size", "std", "dtype", "l2", "rng", "threads")
    target = pool.pick(random, names)
    hostile = {name: pool.integer(random, target == name, 3) for name in names[:3]}
    hostile["std"] = pool.number(random, target == "std")
    options = {"dtype": [(GOOD, "f4"), (GOOD, ">f8"), (GOOD, float), (ODD, np.float64), (BAD, "f2"), (BAD, "g"),
                         (BAD, int), (BAD, "c16"), (BAD, [("a", "f8")]), (BAD, "f8,f8"), (BAD, "U8"), (BAD, "(2,)f8"),
                         (BAD, {"names": 3}), (BAD, np.dtype("V8"))],
               "l2": [(GOOD, "half"), (BAD, "FULL"), (BAD, b"full"), (ODD, np.str_("full")), (BAD, ["full"]),
                      (BAD, np.array("full"))],
               "rng": [(GOOD, 0), (GOOD, None), (GOOD, np.int8(3)), (ODD, True), (GOOD, 2**32 - 1), (BAD, 2**32),
                       (BAD, -1), (BAD, 1.0), (BAD, np.random), (BAD, np.random.MT19937(0)), (BAD, [1, 2]),
                       (GOOD, np.random.default_rng(0))],
               "threads": [(GOOD, None), (GOOD, 1), (GOOD, np.int8(1)), (GOOD, True), (BAD, 0), (BAD, -1),
                           (BAD, 10**6), (BAD, 2**64), (BAD, 1.0)]}
    for name, values in options.items():
        if target == name and random.randint(3):
            verdict, value = pool.pick(random, values)
            hostile[name] = pool.Value(str(value), verdict, value)
        elif target == name:
            hostile[name] = pool.nonsense(random)
            if hostile[name].value is None or isinstance(hostile[name].value, type | np.dtype):
                hostile[name] = hostile[name]._replace(verdict=ODD)
    def check(net):
        sizes = [int(hostile[name].value.__index__()) for name in names[:3]]
        if net.params["W1"].shape != tuple(sizes[:2]) or net.params["W2"].shape != tuple(sizes[1:]):
            raise FindingError("wrong shapes")
        if "rng" not in hostile and net.dtype == np.float64:
            np.random.seed(5)
            twin = reference.TwoLayerNet(*sizes, float(hostile["std"].value))
            expect(list(net.params.values()), [list(twin.params.values())], net.dtype)

    np.random.seed(5)
    arguments = {name: value.value for name, value in hostile.items()}
    return f"{target}: {outcome(lambda: fastnet.TwoLayerNet(**arguments), hostile, check, numpy_state)}"


def setting_call(random):
    """Functions of a number or a dtype."""
    function = pool.pick(random, [fastnet.set_num_threads, fastnet.warmup])
    if function is fastnet.warmup:
        verdict, value = pool.pick(random, [(GOOD, "f8"), (GOOD, np.float64), (GOOD, np.dtype(">f8")), (BAD, "f2"),
                                            (BAD, int), (BAD, None), (BAD, "nonsense"), (BAD, 3), (BAD, [])])
        hostile = {"dtype": pool.Value(str(value), verdict, value)}
    else:
        value = pool.integer(random, True, 1)
        hostile = {"threads": value if value.name in ("1", "True") or value.verdict == BAD
                   else value._replace(verdict=ODD)}
    before = fastnet.get_num_threads()

    def check(result):
        fastnet.set_num_threads(before)

    kind = outcome(lambda: function(next(iter(hostile.values())).value), hostile, check,
                   lambda: (fastnet.get_num_threads(), numpy_state()))
    return f"{function.__name__}: {kind}"


def kernel_call(random):
    """A kernel with sides that do not agree, or are 0, or odd numbers. Few combinations of types: each compiles."""
    name = pool.pick(random, list(KERNELS))
    dtype, layout = pool.pick(random, [(np.float64, "C"), (np.float64, "A"), (np.float32, "C")])
    sides = {letter: pool.pick(random, [1, 2, 5, 17, 40]) for letter in "NDHC"}
    wrong = pool.pick(random, ["shape", "values", "labels", "nothing"])
    arguments, broken = [], False
    for letters in KERNELS[name]:
        if letters == "a":
            arguments.append(pool.pick(random, [0.5, -0.0, 1e300, float("nan"), float("inf")]))
            continue
        shape = [sides["N"]] if letters == "y" else [sides[letter] for letter in letters]
        if wrong == "shape" and random.randint(2):
            at, side = random.randint(len(shape)), pool.pick(random, [0, 0, 1, 3, 41])
            broken |= shape[at] != side
            shape[at] = side
        if letters == "y":
            array = random.randint(sides["C"], size=shape)
            if wrong == "labels" and array.size:
                array[random.randint(array.size)] = pool.pick(
                    random, [-1, sides["C"], 2**31, 2**32, 2**63 - 1, -2**63])
                broken = True
        else:
            array = random.standard_normal(shape).astype(dtype)
            if wrong == "values" and array.size:
                array.flat[random.randint(array.size)] = pool.pick(
                    random, [np.nan, np.inf, -np.inf, np.finfo(dtype).max, np.finfo(dtype).tiny / 4, -0.0])
        if layout == "A":
            array = pool.pick(random, [pool.strided, lambda array: pool.strided(array)[::-1]])(array)
        arguments.append(array)
    hostile = {name: pool.Value(wrong, ODD if broken else GOOD, None)}
    kept = copy.deepcopy(arguments)

    def check(result):
        if name == "all_finite":
            if result != np.isfinite(arguments[0]).all():
                raise FindingError("wrong")
            return
        with np.errstate(all="ignore"):
            expected = getattr(reference, name)(*kept)
        if name == "axpy":
            result, expected = arguments[2], kept[2]
        if wrong != "values" and tame(*(array for array in arguments if not isinstance(array, float))) and (
                name != "axpy" or tame(arguments[0])):
            expect(list(result) if isinstance(result, tuple) else [result],
                   [list(expected) if isinstance(expected, tuple) else [expected]], dtype)

    def before():
        return [held(array) for array in arguments]

    return f"{wrong}: {outcome(lambda: getattr(kernels, name)(*arguments), hostile, check, before)}"


def kernel_type_call(random):
    """A kernel with one argument of another type: refused, before anything is compiled.

    Not of another byte order, or with a mask: once numba has seen an array that is not plain (a read-only one, say) it
    does not tell them from such.
    """
    name = pool.pick(random, list(KERNELS))
    sides = dict(zip("NDHC", (5, 4, 3, 2), strict=True))
    arguments = [0.5 if letters == "a" else np.zeros(5, np.int64) if letters == "y" else
                 np.ones([sides[letter] for letter in letters]) for letters in KERNELS[name]]
    at = random.randint(len(arguments))
    array = arguments[at]
    if isinstance(array, float):
        value = pool.Value("text", BAD, pool.pick(random, ["1", None, np.ones(3), [1.0], 1j]))
    else:
        kinds = {"list": np.ndarray.tolist, "0-d": lambda array: array.flat[0], "3-d": lambda array: array[None, None],
                 "records": lambda array: np.zeros(array.shape, "f8,f8"), "complex": lambda array: array + 0j,
                 "nonsense": lambda array: pool.nonsense(random).value}
        dtypes = ["f2", "g", "U9", "O", "M8[s]", "?", "f4", "i8"]
        kind = pool.pick(random, [*kinds, *dtypes])
        value = pool.Value(kind, BAD, kinds[kind](array) if kind in kinds else array.astype(kind))
        floats = sum(letters not in "ay" for letters in KERNELS[name])
        if kind in ("i8", "f4", "?") if array.dtype == np.int64 else kind == "f4" and floats == 1:
            value = value._replace(verdict=ODD)  # as it should be, or labels in another form
    if value.value is np.ma.masked:
        value = pool.Value("None", BAD, None)
    arguments[at] = value.value
    return f"types: {outcome(lambda: getattr(kernels, name)(*arguments), {name: value}, lambda result: None)}"


def estimator_call(random):
    """An estimator does what scikit-learn's own does, to the class of the error."""
    if neural_network is None:
        return "scikit-learn is not there"
    seed, results, raised = random.randint(2**31), [], []
    from fastnet import sklearn as ours

    for module in (ours, neural_network):
        call, kind = estimator_case(np.random.RandomState(seed), module)
        np.random.seed(7)  # for a random_state of None
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                results.append(call())
                raised.append(None)
            except Exception as error:
                results.append(None)
                raised.append(error)
        results[-1] = results[-1], {warning.category for warning in caught} - {RuntimeWarning}
    (result, warned), (expected, expected_warned) = results
    if any("non-finite" in str(error) for error in raised):
        return f"{kind}: an overflow, at least in one of the two"
    types = [next((base for base in (TypeError, ValueError, MemoryError) if isinstance(error, base)), type(error))
             for error in raised]
    if types[0] is not types[1]:
        raise FindingError(f"{kind}: {raised[0]!r:.200}, scikit-learn {raised[1]!r:.200}") from raised[0]
    if raised[0] is not None:
        # Addresses differ, and `verbose` may be more with fastnet.
        same = str(raised[0]) == str(raised[1]) or "0x" in str(raised[0]) or "'verbose'" in str(raised[0])
        if not same and type(raised[0]) is type(raised[1]) is not MemoryError:
            raise FindingError(f"{kind}: {raised[0]!r:.300}, scikit-learn {raised[1]!r:.300}") from raised[0]
        return f"{kind}: {types[0].__name__}, as in scikit-learn"
    if warned != expected_warned:
        raise FindingError(f"{kind}: warnings {warned}, scikit-learn {expected_warned}")
    for one, other in zip(result, expected, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        if one.shape != other.shape:
            raise FindingError(f"{kind}: shape {one.shape}, scikit-learn {other.shape}")
        if one.dtype.kind == "f" and tame(other):
            small = one.dtype == np.float32 or other.dtype == np.float32
            if fault := agree(one, other, np.dtype("f4" if small else "f8"), kind, 1e-6):
                raise FindingError(f"{kind}: {fault}")
    return f"{kind}: right"


def estimator_case(random, module):
    """A call without arguments, and its name."""
    regressor = random.randint(2)
    options = {"hidden_layer_sizes": pool.pick(random, [(3,), (4, 2), ()]), "max_iter": 2, "random_state": 1,
               "solver": pool.pick(random, ["sgd", "adam"]), "batch_size": pool.pick(random, ["auto", 3])}
    target = pool.pick(random, ["X", "X", "y", "y", "option", "X of predict", "attributes"])
    samples, D, C = 12, 4, 3
    if target == "option":
        name = pool.pick(random, ["hidden_layer_sizes", "alpha", "batch_size", "learning_rate_init", "max_iter", "tol",
                                  "momentum", "beta_1", "epsilon", "n_iter_no_change", "random_state", "shuffle",
                                  "validation_fraction", "early_stopping", "solver", "activation", "verbose"])
        value = pool.pick(random, [pool.nonsense, lambda random: pool.number(random, True),
                                   lambda random: pool.integer(random, True, 2)])(random)
        if not (value.verdict == HUGE or (name == "verbose" and value.value)):
            options[name] = value.value
    estimator = (module.MLPRegressor if regressor else module.MLPClassifier)(**options)
    X = affordable(pool.features(random, samples, D, _Nothing, target == "X"))
    y = affordable(pool.labels(random, samples, C, target == "y"))
    other = affordable(pool.features(random, 5, D, _Nothing, target == "X of predict"))
    attribute, spoilt = pool.pick(random, ["coefs_", "intercepts_"]), random.randint(9)
    partial = random.randint(3) == 0 and not (regressor or options["solver"] == "lbfgs")

    def call():
        if partial:
            estimator.partial_fit(X, y, classes=[0, 1, 2])
        else:
            estimator.fit(X, y)
        if target == "attributes":
            values = list(getattr(estimator, attribute))
            array = values[-1]
            values[-1] = [array.astype(int), array * np.nan, array[:1], array.astype("f4"), array + 0j, array.tolist(),
                          None, np.asfortranarray(array), array.astype(">f8")][spoilt]
            setattr(estimator, attribute, values)
        results = [] if target == "attributes" else list(estimator.coefs_)
        results.append(estimator.predict(other))
        if not regressor:
            results.append(estimator.predict_proba(other))
        return results

    return call, f"{type(estimator).__name__} {target}"


def affordable(value):
    """What is given, or None where it is so large that scikit-learn looks at it for hours."""
    return None if value.name.startswith(("huge", "wide")) else value.value


class _Nothing:
    params = {"W1": np.ones((4, 4)), "W2": np.ones((4, 4))}  # noqa: RUF012


ENTRIES = {"scores and loss": (model_call, 30), "training": (train_call, 25), "effects": (effect_call, 10),
           "constructor": (constructor_call, 10), "settings": (setting_call, 3), "kernels": (kernel_call, 15),
           "kernels' types": (kernel_type_call, 2 if hasattr(decorators, "takes") else 0),
           "estimators": (estimator_call, 5)}
"""Each with how many calls of a hundred, or so, are of its kind."""


# ---- running them ----------------------------------------------------------------------------------------------------


def call_number(seed, number, entries):
    """Make call number `number`; return what it was and how it ended."""
    random = np.random.RandomState([seed, number])
    names = [name for name in entries for _ in range(ENTRIES[name][1])] or list(entries)
    entry = pool.pick(random, names)
    np.random.seed(random.randint(2**31))
    return entry, ENTRIES[entry][0](random)


def work(options):
    """The watched process: make the calls, write the number of each to a file first, and report at the end."""
    limit_memory()
    counts = Counter()
    with open(options.progress, "r+b") as file, mmap.mmap(file.fileno(), 8) as progress:
        for number in range(options.start, options.calls):
            progress[:8] = number.to_bytes(8, "little")
            try:
                entry, kind = call_number(options.seed, number, options.entries)
                counts[f"{entry}, {kind}"] += 1
            except FindingError as finding:
                print(json.dumps({"finding": (number, str(finding))}), flush=True)
            except Exception:  # one of this script, or of the reference
                print(json.dumps({"finding": (number, traceback.format_exc())}), flush=True)
            if number % 100 == 0 or number == options.calls - 1:
                print(json.dumps({"counts": counts, "upto": number}), flush=True)
                counts.clear()


def limit_memory():
    """What is too large fails at once, whatever the machine."""
    with contextlib.suppress(ImportError):
        import resource
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 2**30, resource.RLIM_INFINITY))


def watch(options):
    """Run the calls in a process, and once more from where it crashed or hung; return counts and findings."""
    counts, findings, start = Counter(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        progress = os.path.join(folder, "progress")
        while start < options.calls:
            with open(progress, "wb") as file:
                file.write(start.to_bytes(8, "little"))
            command = [sys.executable, __file__, "--seed", options.seed, "--calls", options.calls, "--start", start,
                       "--progress", progress, "--entries", *options.entries]
            with open(os.path.join(folder, "out"), "w+b") as out:
                child = subprocess.Popen(list(map(str, command)), stdout=out)
                hung = not wait(child, progress)
                out.seek(0)
                for line in out.read().decode().splitlines():
                    report = json.loads(line)
                    counts.update(report.get("counts", {}))
                    findings += [report["finding"]] if "finding" in report else []
            with open(progress, "rb") as file:
                at = int.from_bytes(file.read(8), "little")
            if child.returncode == 0:
                break
            findings.append((at, "a hang" if hung else f"the process died, status {child.returncode}"))
            start = at + 1
    return counts, findings


def wait(child, progress):
    """Wait for a process; return False, and end it, if it makes no call for long."""
    last, since = b"", time.monotonic()
    while child.poll() is None:
        time.sleep(0.1)
        with open(progress, "rb") as file:
            now = file.read(8)
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > HANG_SECONDS:
            child.kill()
            child.wait()
            return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--call", type=int, help="repeat a single call, by its number")
    parser.add_argument("--entries", nargs="+", choices=list(ENTRIES), default=list(ENTRIES))
    parser.add_argument("--start", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--progress", help=argparse.SUPPRESS)
    options = parser.parse_args()
    faulthandler.enable()
    if options.progress:
        return work(options)
    if options.call is not None:
        limit_memory()
        try:
            return print(*call_number(options.seed, options.call, options.entries), sep=": ")
        except FindingError:
            traceback.print_exc()
            return 1
    begin = time.monotonic()
    counts, findings = watch(options)
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")
    print(f"{sum(counts.values()):8} calls as they should be, {len(findings)} findings, seed {options.seed}, "
          f"{time.monotonic() - begin:.0f} s")
    groups = {}
    for number, text in findings:
        groups.setdefault(re.sub(r"\d+", "0", text), []).append((number, text))
    for group in groups.values():
        print(f"finding, {len(group)} times, first call {group[0][0]}: {group[0][1]}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
