"""A user's own class and fastnet's side by side from one seed, so that he can trust the switch on his own code."""

from __future__ import annotations

import statistics
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, reference
from ..model import warmup
from ..training.loop import DivergenceWarning
from . import beginning, diagnosis, iteration, outcome, penalty
from .anatomy import PARTS, evaluate
from .editions import Edition, edition_of
from .evidence import ACCURACIES, NAMES, Answers, Arrays, Deviation, Probe, Run, accuracies, deviation, same_state

__all__ = ["Verification", "verify"]

_RTOL = {"float64": 1e-6, "float32": 1e-3}
"""What counts as the same where the user does not say: far above what rounding does, far below what a formula does."""


@dataclass(frozen=True)
class Verification:
    """What :func:`fastnet.verify` found; printed, a table."""

    ok: bool
    """Whether all numbers agree within `rtol`, and the generator ends in the same state."""
    differences: tuple[str, ...]
    """What differs, and the likely reason, in plain words; empty if `ok`."""
    notes: tuple[str, ...]
    """What else is good to know before a switch."""
    losses: Deviation
    """Of the losses of all iterations."""
    parameters: dict[str, Deviation]
    """Of each parameter after the training."""
    gradients: dict[str, Deviation] | None
    """Of each gradient before the training, at parameters where all parts of a network are at work: the larger of that
    without a penalty and that with one. None if the class has no `loss` that returns gradients."""
    same_accuracies: bool | None
    """Whether both histories of accuracies are equal; None if the class keeps none."""
    same_initial_parameters: bool
    """Whether the constructors drew the same parameters. If not, fastnet was given a copy of the user's."""
    same_generator_state: bool
    """Whether NumPy's global generator is in the same state after both trainings."""
    l2: str
    """The form of the penalty that fits best, for ``TwoLayerNet(..., l2=...)``; "none" where the book's has none."""
    dtype: str
    """What fastnet computed in: "float32" if all parameters of the user are of that, else "float64"."""
    rtol: float
    """Relative deviation up to which numbers are called the same."""
    seconds: float
    """Median time of fastnet's `train`, seconds; compilation is not in it."""
    their_seconds: float
    """Median time of the user's `train`, seconds."""
    warmup_seconds: float
    """What fastnet took before, to compile its functions or to load them from the cache."""
    subject: str
    """The classes that were compared, and how they were trained."""
    edition: str = "fastnet.TwoLayerNet"
    """The class to import instead of the user's."""

    @property
    def speedup(self) -> float:
        """How many times as fast as the user's class fastnet trains."""
        return self.their_seconds / self.seconds

    def __str__(self) -> str:
        """Return the table, and below it what differs."""
        verdict = f"the same numbers, within {self.rtol:g}" if self.ok else "NOT the same numbers"
        gradients = {f"gradient of {name}": apart for name, apart in (self.gradients or {}).items()}
        parameters = {f"{name} after training": apart for name, apart in self.parameters.items()}
        rows = {"losses": self.losses, **gradients, **parameters}
        facts = {
            "initial parameters": "the same" if self.same_initial_parameters else "others: copied for the comparison",
            "accuracy histories": {True: "equal", False: "not equal", None: "there are none"}[self.same_accuracies],
            "generator afterwards": "in the same state" if self.same_generator_state else "in another state",
            "L2 penalty": f'l2="{self.l2}"',
            "seconds in train": f"{self.their_seconds:.3g}, fastnet {self.seconds:.3g}: "
                                f"{self.speedup:.3g} times as fast",
            "compiling or loading": f"{self.warmup_seconds:.2g} s, before that"}
        told = [*(f"differs: {text}" for text in self.differences), *(f"note: {text}" for text in self.notes)]
        return "\n".join([
            *self.subject.splitlines(), verdict, f"{'largest deviation':24}{'relative':>10}{'absolute':>10}",
            *(f"{name:24}{apart.relative:10.1e}{apart.absolute:10.1e}" for name, apart in rows.items()),
            *(f"{name:26}{fact}" for name, fact in facts.items()),
            *(textwrap.fill(text, 100, subsequent_indent="    ") for text in told)])


def verify(their_class: Callable[..., Any], X: ArrayLike, y: ArrayLike, *, hidden_size: int = 50, std: float = 1e-4,
           learning_rate: float = 1e-3, learning_rate_decay: float = 0.95, reg: float = 1e-3, num_iters: int = 100,
           batch_size: int = 200, seed: int = 0, l2: str = "auto", rtol: float | None = None,
           repeats: int = 3) -> Verification:
    """Train a network of a user's class and one of fastnet's from the same seed, and compare them.

    Parameters
    ----------
    their_class : class
        Like the course's `TwoLayerNet`: ``their_class(input_size, hidden_size, output_size, std)`` has `params`, a dict
        of W1, b1, W2 and b2, and `train` as :meth:`fastnet.TwoLayerNet.train` has it, which draws from NumPy's global
        generator. Gradients are compared if ``loss(X, y, reg)`` returns a loss and a dict of them. Or like the course's
        `TwoLayerNet` or `FullyConnectedNet` of the editions with a Solver, or the book's `TwoLayerNet` of chapter 4 or
        5: what the constructor takes tells which, and fastnet's Solver or Trainer trains both classes.
    X : array_like (N, D)
        Samples, real and finite; more than two dimensions are flattened to (N, D). Every fifth is set aside, for the
        validation accuracy. Both classes are given copies, float32 if X is that, else float64.
    y : array_like of int (N,)
        Their labels, from 0 on.
    hidden_size : int, default 50
    std, learning_rate, learning_rate_decay, reg, num_iters, batch_size
        As for the constructor and for `train`; give what you use. `num_iters` is at least 1.
    seed : int, default 0
        What NumPy's global generator is seeded with before each run. Afterwards it is as it was.
    l2 : {"auto", "full", "half"}, default "auto"
        Form of fastnet's penalty; "auto" finds out which one fits.
    rtol : float, optional
        Relative deviation up to which numbers are called the same: that of the largest difference of two elements to
        the largest element of the user's array. By default 1e-6, and 1e-3 where his parameters are float32. (In float64
        classes that do the same arithmetic mostly agree to 1e-12.)
    repeats : int, default 3
        How many times both are timed, in turn.

    Returns
    -------
    Verification
        ``ok`` is the verdict; `print` it for the rest.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or `their_class` is not such a class; the message says what is wrong.
    Exception
        What `their_class` raises, with a note that says where.

    Examples
    --------
    >>> import fastnet
    >>> from fastnet.datasets import load_digits
    >>> report = fastnet.verify(fastnet.reference.TwoLayerNet, *load_digits(), learning_rate=0.1, num_iters=20)
    >>> report.ok, report.l2
    (True, 'full')
    """
    if not callable(their_class):
        raise TypeError(f"their_class must be a class, got {their_class!r}")
    dtype = np.dtype(np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64)
    samples = checks.features(X, "X", columns=None, dtype=dtype)
    targets = checks.labels(y, "y", samples=len(samples), classes=2**31)
    aside = np.arange(len(samples)) % 5 == 4
    if not aside.any():
        aside[:] = True
    kept = ~aside if not aside.all() else aside
    comparison = _Comparison(
        their_class, edition_of(their_class), (samples[kept], targets[kept], samples[aside], targets[aside]),
        (samples.shape[1], checks.integer(hidden_size, "hidden_size", minimum=1), int(targets.max()) + 1),
        checks.number(std, "std", minimum=0), checks.integer(seed, "seed", minimum=0, maximum=2**32 - 1),
        {"learning_rate": checks.number(learning_rate, "learning_rate"),
         "learning_rate_decay": checks.number(learning_rate_decay, "learning_rate_decay"),
         "reg": checks.number(reg, "reg", minimum=0), "num_iters": checks.integer(num_iters, "num_iters", minimum=1),
         "batch_size": checks.integer(batch_size, "batch_size", minimum=1)},
        checks.choice(l2, "l2", ("auto", "full", "half")),
        None if rtol is None else checks.number(rtol, "rtol", minimum=0))
    repeats = checks.integer(repeats, "repeats", minimum=1)
    state = np.random.get_state(legacy=False)
    try:
        return comparison.report(repeats)
    finally:
        np.random.set_state(state)


@dataclass(frozen=True)
class _Comparison:
    """What is compared: a class, the data, the sizes, and how to train."""

    their_class: Callable[..., Any]
    edition: Edition
    data: tuple[NDArray[Any], ...]
    """X, y, X_val, y_val."""
    sizes: tuple[int, int, int]
    std: float
    seed: int
    options: dict[str, Any]
    """Of `train`."""
    l2: str
    rtol: float | None

    def report(self, repeats: int) -> Verification:
        """Compare, and then measure. Leaves the generator in any state."""
        theirs = self._run(self._their_net)
        float32 = all(array.dtype == np.float32 for array in theirs.initial.values())
        dtype = np.dtype(np.float32 if float32 else np.float64)
        rtol = _RTOL[dtype.name] if self.rtol is None else self.rtol
        warmup_seconds = warmup(dtype)
        probe = self._probe(dtype)
        l2 = self._fitting_l2(dtype, theirs, probe, rtol)
        ours = self._run(self._our_net(dtype, l2))
        same_initial = all(deviation(theirs.initial[name], ours.initial[name]).relative <= rtol for name in NAMES)
        if not same_initial:
            ours = self._run(self._our_net(dtype, l2), start=theirs)
        gradients, faults = self._compare_gradients(probe, dtype, l2, rtol)
        explained = bool(faults)
        if not same_initial:
            faults.append(beginning.fault(theirs, self.seed, self.std, rtol))
        faults += self._training_faults(theirs, ours, dtype, l2, probe, rtol, explained)
        notes = self._notes(theirs, ours, dtype, l2, probe)
        seconds = [[self._run(make, start=theirs).seconds for make in (self._their_net, self._our_net(dtype, l2))]
                   for _ in range(repeats)]
        theirs_median, ours_median = map(statistics.median, zip(*seconds, strict=True))
        kept = accuracies(theirs)
        return Verification(
            ok=not faults, differences=tuple(faults), notes=tuple(notes), losses=deviation(theirs.losses, ours.losses),
            parameters={name: deviation(theirs.params[name], ours.params[name]) for name in NAMES},
            gradients=gradients, same_initial_parameters=same_initial,
            same_accuracies=None if kept is None else kept == accuracies(ours),
            same_generator_state=same_state(theirs.state, ours.state),
            l2=l2 if self.edition.penalized else "none", dtype=dtype.name, rtol=rtol,
            seconds=ours_median, their_seconds=theirs_median, warmup_seconds=warmup_seconds,
            subject=self._subject(dtype, len(ours.losses)), edition=self.edition.name)

    def _subject(self, dtype: np.dtype[Any], iterations: int) -> str:
        return (f"{_name(self.their_class)} and {self.edition.name}:\n{'-'.join(map(str, self.sizes))} in {dtype}, "
                f"{iterations} iterations with {self.options['batch_size']} of {len(self.data[0])} "
                f"samples, from seed {self.seed}")

    def _their_net(self) -> Any:
        with _noted(_name(self.their_class)):
            net = self.edition.theirs(self.their_class, self.sizes, self.std, self.data[0].dtype)
        params = getattr(net, "params", None)
        if not isinstance(params, Mapping) or not all(isinstance(params.get(name), np.ndarray) for name in NAMES):
            raise TypeError(f"their_class must have params, a dict of the arrays {', '.join(NAMES)}, when it has been "
                            f"constructed, got {params!r:.200}")
        D, H, C = self.sizes
        for name, shape in zip(NAMES, ((D, H), (H,), (H, C), (C,)), strict=True):
            if params[name].shape not in (shape, (1, *shape)):
                raise ValueError(f"their_class must have params[{name!r}] of shape {shape}, got {params[name].shape}")
        return net

    def _our_net(self, dtype: np.dtype[Any], l2: str) -> Callable[[], Any]:
        return lambda: self.edition.ours(self.sizes, self.std, dtype, l2)

    def _run(self, make: Callable[[], Any], start: Run | None = None) -> Run:
        """Construct a network from the seed and train it; with `start`, from the parameters and the state of that."""
        np.random.seed(self.seed)
        net = make()
        if start is not None:
            _set_params(net, start.initial)
            np.random.set_state(start.drawn)
        initial, drawn = _copies(net), np.random.get_state()
        data = [array.copy() for array in self.data]
        with _noted(f"{_name(type(net))}.train"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # the report says it
            begin = time.perf_counter()
            history = net.train(*data, **self.options, verbose=False)
            seconds = time.perf_counter() - begin
        losses = history.get("loss_history") if isinstance(history, Mapping) else None
        if losses is None or np.ndim(losses) != 1:
            raise TypeError(f"train of their_class must return a dict with a list loss_history, got {history!r:.200}")
        changed = not all(map(np.array_equal, data, self.data))
        return Run(initial, drawn, history, _copies(net), np.random.get_state(), seconds, changed)

    def _fitting_l2(self, dtype: np.dtype[Any], theirs: Run, probe: Probe | None, rtol: float) -> str:
        """The form of the penalty to compare with: the user's choice, that of the gradients, or of the losses."""
        if self.l2 != "auto":
            return self.l2
        if probe is not None:
            return penalty.form_of(probe, rtol)
        runs = {form: self._run(self._our_net(dtype, form), start=theirs) for form in penalty.FORMS}
        return min(runs, key=lambda form: deviation(theirs.losses, runs[form].losses).absolute)

    def _probe(self, dtype: np.dtype[Any]) -> Probe | None:
        """What the user's class gives for a batch, at parameters made for it; None if `loss` gives no gradients."""
        net = self._their_net()
        if not callable(getattr(net, "loss", None)):
            return None
        stride = max(1, len(self.data[0]) // self.options["batch_size"])
        X, y = (array[::stride][:self.options["batch_size"]] for array in self.data[:2])
        (D, H, C), random = self.sizes, np.random.RandomState(0)
        size = float(np.sqrt(np.square(X, dtype=np.float64).mean())) or 1.0
        params = {"W1": random.standard_normal((D, H)) / (np.sqrt(D) * size), "b1": random.standard_normal(H) / 2,
                  "W2": random.standard_normal((H, C)) / np.sqrt(H), "b2": random.standard_normal(C) / 2}
        if H > 1:  # a unit at exactly 0, where the derivative of ReLU is a matter of < or <=
            params["W1"][:, -1] = params["b1"][-1] = 0
        reg = 1 / sum(reference.sum_of_squares(params[name]) for name in ("W1", "W2"))
        params = {name: array.astype(dtype) for name, array in params.items()}
        plain, penalized = (self._asked(net, X, y, params, strength) for strength in (0.0, reg))
        if plain is None or penalized is None:
            return None
        plain |= self._looks(net, X, y)
        return Probe(Answers(X, y, params, plain), penalized, reg, self._extreme(net, X, params))

    def _asked(self, net: Any, X: NDArray[Any], y: NDArray[Any], params: Arrays, strength: float) -> Arrays | None:
        """Loss and gradients at these parameters; None if `loss` does not return them."""
        _set_params(net, params)
        with _noted(f"{_name(type(net))}.loss"):
            result = net.loss(X.copy(), y.copy(), strength)
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping):
            return None
        seen = {"loss": np.array(float(result[0]))}
        for name in NAMES:
            gradient = np.array(result[1].get(name, np.nan))
            if gradient.size == params[name].size:
                gradient = gradient.reshape(params[name].shape)
            elif name in result[1] and gradient.size == 1:  # which a step adds to every element
                gradient = np.full(params[name].shape, gradient.item())
            else:
                return None
            seen[f"d{name}"] = gradient
        return seen

    def _looks(self, net: Any, X: NDArray[Any], y: NDArray[Any]) -> Arrays:
        """What else can be seen of the network; what it cannot be asked is left out."""
        seen = {}
        for name, look in self.edition.looks.items():
            with suppress(Exception):
                seen[name] = np.array(look(net, X.copy(), y.copy()), np.float64)
        return seen

    def _extreme(self, net: Any, X: NDArray[Any], params: Arrays) -> Answers | None:
        """Ask again where each exponential of a score overflows and the label's probability is 0."""
        X, params = X[:8].copy(), {**params}
        X[::2] *= 10  # so that a maximum of the whole matrix is far above the scores of some samples
        v = evaluate({**PARTS, **self.edition.parts}, X=X, y=np.zeros(len(X), np.int64), **params)
        scores = v.scores
        spread = float(np.min(scores.max(axis=1) - scores.min(axis=1)))
        if not spread:
            return None
        y = scores.argmin(axis=1)
        large = 3 * float(np.log(np.finfo(params["W2"].dtype).max))
        params["W2"] = params["W2"] * params["W2"].dtype.type(large / spread)
        params["b2"] = params["b2"] * params["b2"].dtype.type(large / spread)
        with np.errstate(all="ignore"), warnings.catch_warnings(), suppress(Exception):  # it may refuse what it made
            warnings.simplefilter("ignore")
            seen = self._asked(net, X, y, params, 0.0)
            if seen is not None:
                return Answers(X, y, params, {name: seen[name] for name in ("loss", "db2")})
        return None

    def _compare_gradients(self, probe: Probe | None, dtype: np.dtype[Any], l2: str,
                           rtol: float) -> tuple[dict[str, Deviation] | None, list[str]]:
        if probe is None:
            return None, []
        net = self._our_net(dtype, l2)()
        _set_params(net, probe.plain.params)
        ours = [net.loss(probe.plain.X, probe.plain.y, strength) for strength in (0.0, probe.reg)]
        apart = {name: max(deviation(theirs[f"d{name}"], grads[name])
                           for theirs, (_, grads) in zip((probe.plain.seen, probe.penalized), ours, strict=True))
                 for name in NAMES}
        faults = diagnosis.faults(probe.plain, probe.extreme, self.edition.parts, rtol)
        if self.edition.penalized:
            fault = penalty.fault(probe, l2, rtol)
            faults += [fault] if fault else []
        return apart, faults

    def _training_faults(self, theirs: Run, ours: Run, dtype: np.dtype[Any], l2: str, probe: Probe | None, rtol: float,
                         explained: bool) -> list[str]:
        """What differs between two trainings; `explained`: losses, gradients or predictions do."""
        faults = ["train changes the arrays of samples or labels that it is given"] if theirs.data_changed else []
        if iteration.agrees(theirs, ours, rtol):
            return faults
        if self.edition.has_loop and len(theirs.losses) == len(ours.losses):
            by_theirs = iteration.Training(self._their_net, self.data, self.options)
            by_ours = by_theirs._replace(make=lambda: reference.TwoLayerNet(*self.sizes, self.std, dtype=dtype, l2=l2))
            fault, right = iteration.fault([*([by_theirs] if probe else []), by_ours], theirs, rtol)
            if fault is not None:
                return [*faults, fault]
            if not iteration.agrees(theirs, right, rtol):
                return faults + outcome.faults(theirs, right, len(self.data[0]), self.options["batch_size"], rtol)
        if explained and not iteration.same_losses(theirs, ours, rtol):
            return [*faults, "the losses of the training; that follows from the above"]
        if explained:
            return faults
        return faults + outcome.faults(theirs, ours, len(self.data[0]), self.options["batch_size"], rtol)

    def _notes(self, theirs: Run, ours: Run, dtype: np.dtype[Any], l2: str, probe: Probe | None) -> list[str]:
        """What is no difference, but good to know."""
        old, notes = self.edition.name == "fastnet.TwoLayerNet", []
        if not old:
            notes.append(f"import {self.edition.name} instead; the module is {self.edition.name.rpartition('.')[0]}")
        if dtype == np.float32 and old:
            notes.append('the parameters are float32: TwoLayerNet(..., dtype="float32") is what takes the place')
        if l2 == "half" and old:
            notes.append('the penalty has a factor 0.5: TwoLayerNet(..., l2="half") is what takes the place')
        if any(theirs.initial[name].ndim == 2 for name in ("b1", "b2")):
            notes.append("the biases have shape (1, H): fastnet takes them so, and makes its own (H,)")
        if probe is None:
            notes.append("loss(X, y, reg) returns no loss with a dict of gradients: so these were not compared")
        if accuracies(theirs) is None:
            notes.append(f"train returns no {' and no '.join(ACCURACIES)}: so these were not compared")
        if old and not outcome.decay_fault(theirs, ours, len(self.data[0]), self.options["batch_size"]):
            notes += self._decay_notes(dtype, l2)
        return notes

    def _decay_notes(self, dtype: np.dtype[Any], l2: str) -> list[str]:
        """A note if accuracies are taken at other iterations where batch_size does not divide N, by a short run."""
        samples, batch_size = 7, 2
        X, y, X_val, y_val = self.data
        rows = np.arange(samples) % len(X)
        short = replace(self, data=(X[rows], y[rows], X_val[:1], y_val[:1]),
                        options={**self.options, "num_iters": 15, "batch_size": batch_size})
        try:
            runs = short._run(short._their_net), short._run(short._our_net(dtype, l2))
        except Exception:  # what it did with the user's sizes it may not do with others
            return []
        fault = outcome.decay_fault(*runs, samples, batch_size)
        return [fault] if fault else []


def _copies(net: Any) -> Arrays:
    return {name: np.array(net.params[name]) for name in NAMES}


def _set_params(net: Any, params: Arrays) -> None:
    """Write into the arrays that a network has: it may hold them in more than one place."""
    for name, array in params.items():
        net.params[name][...] = array.reshape(net.params[name].shape)


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '?')}.{getattr(thing, '__qualname__', type(thing).__name__)}"


@contextmanager
def _noted(function: str) -> Iterator[None]:
    """Add to an exception what it comes from."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{function}, called by fastnet.verify, raised this")
        raise
