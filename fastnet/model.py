"""The model class: the course's API, thin, over the network."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from itertools import chain
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import checks, stored
from .aliases import Layer
from .files import models, onnx
from .keywords import names_edition
from .llvm.memory import add_all, overlap
from .network import passes
from .network.initial import initial_parameters
from .notebook import html_table, line, sizes_of
from .parallel.threads import checked_threads
from .training import loop
from .training.checkpoints import Checkpoints, checked_interval, data_checksum, read_checkpoint
from .training.chunks import WINDOW, Chunks, train_windows
from .training.loop import Callback, History
from .training.minibatches import Minibatches, minibatches

__all__ = ["TwoLayerNet", "warmup"]


class TwoLayerNet:
    """Two-layer network: affine, ReLU, affine, softmax, with cross-entropy loss and L2 penalty.

    A drop-in for the class of that name in the cs231n course: same constructor, `params`, `loss`, `train` and
    `predict`, same draws from NumPy's random generator, same histories.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Number of inputs D, hidden units H and classes C.
    std : float, default 1e-4
        Standard deviation of the initial weights; biases start at 0.
    dtype : {float64, float32}, keyword-only
        What the network computes in.
    l2 : {"full", "half"}, keyword-only
        Which published form of the L2 penalty `reg` stands for: ``"full"``, loss + reg * sum(W^2) and gradient
        + 2 * reg * W, as in the course's editions from 2017 on; ``"half"``, 0.5 * reg * sum(W^2) and reg * W.
    rng : None, int, numpy.random.RandomState or numpy.random.Generator, keyword-only
        Where initial weights and minibatches are drawn from. None: NumPy's global generator, so that
        ``np.random.seed`` works as it does with the course's class. An int seeds a RandomState of the model's own.
    threads : None or int, keyword-only
        How many threads this model uses at most. None: as many as :func:`fastnet.get_num_threads` says. Changes no
        result.

    Attributes
    ----------
    params : dict of str to array
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,). A plain dict: arrays that are replaced or changed in
        place are what the next call uses, and `train` updates them in place. Biases may also have shape (1, H).
    dtype : numpy.dtype
        What the network computes in. Parameters of another dtype are converted for that, and keep theirs.
    l2 : str
        Which form of the penalty `reg` stands for.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet import TwoLayerNet
    >>> net = TwoLayerNet(4, 10, 3, std=1e-1, rng=0)
    >>> net.loss(np.ones((5, 4))).shape
    (5, 3)
    """

    params: dict[str, NDArray[Any]]
    _threads: int | None = None
    _known: checks.Known = ()

    @names_edition
    def __init__(self, input_size: int, hidden_size: int, output_size: int, std: float = 1e-4, *,
                 dtype: DTypeLike = np.float64, l2: str = "full",
                 rng: int | np.random.RandomState | np.random.Generator | None = None,
                 threads: int | None = None) -> None:
        sizes = [checks.integer(size, name, minimum=1) for size, name in
                 [(input_size, "input_size"), (hidden_size, "hidden_size"), (output_size, "output_size")]]
        self._dtype = checks.floating_dtype(dtype)
        self._l2 = checks.choice(l2, "l2", ("full", "half"))
        self._rng = checks.random_source(rng)
        self._threads = None if threads is None else checked_threads(threads)
        self.params = initial_parameters(sizes, std, "std", self._dtype, self._random)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the network computes in."""
        return self._dtype

    @property
    def l2(self) -> str:
        """Which form of the penalty `reg` stands for: ``"full"`` or ``"half"``."""
        return self._l2

    @property
    def reg(self) -> Any:
        """What somebody has assigned; nobody reads it."""
        try:
            return vars(self)["reg"]
        except KeyError:
            raise AttributeError("TwoLayerNet has no attribute 'reg': it is an argument of loss and train") from None

    @reg.setter
    def reg(self, value: Any) -> None:
        # The course's Solver has models with this attribute, and would train this one without a penalty.
        warnings.warn("nobody reads the attribute reg of fastnet.TwoLayerNet: it is an argument of its loss and train. "
                      "The class that a Solver trains is fastnet.cs231n.classifiers.fc_net.TwoLayerNet", UserWarning,
                      stacklevel=2)
        vars(self)["reg"] = value

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def __repr__(self) -> str:
        return line(self, sizes_of(self.params), self._dtype)

    def _repr_html_(self) -> str:
        sizes = sizes_of(self.params)
        rows = [(name, size) for name, size in zip(("inputs", "hidden units", "classes"), sizes, strict=False)]
        return html_table(type(self).__name__, [*rows, ("computes in", str(self._dtype)), ("L2 penalty", self.l2)])

    @property
    def _random(self) -> Any:
        return np.random if self._rng is None else self._rng  # the module's functions draw from the global generator

    def _layers(self) -> list[Layer]:
        """The checked layers, views made by this call."""
        return self._checked()[0]

    def _checked(self) -> tuple[list[Layer], checks.Known]:
        """`_layers`, and what `_known` is for them."""
        layers, self._known = checks.known_layers(self.params, 2, self._dtype, self._known)
        return layers, self._known

    def _l2_strength(self, reg: float) -> float:
        """The penalty p of the engine, with loss 0.5 * p * sum(W^2), for the user's reg."""
        return checks.penalty(reg, self.dtype, 2 if self.l2 == "full" else 1)

    def _infer(self, X: ArrayLike, scores: bool = True) -> tuple[NDArray[Any], NDArray[np.intp]]:
        found = passes.infer_known(self.params, self._known, X, self._dtype, self._threads)
        if found is not None:
            return found
        layers = self._layers()
        columns = len(layers[0][0])
        samples: stored.AnySamples
        if type(X) is np.ndarray and X.dtype == self._dtype and X.flags.c_contiguous:  # the common case, quickly
            samples = checks.features(X, "X", columns=columns, dtype=self._dtype, finite=False)
        else:
            samples = stored.samples(X, "X", columns=columns, dtype=self._dtype)
        return passes.infer(layers, samples, threads=self._threads, scores=scores)

    @overload
    def loss(self, X: ArrayLike, y: None = None, reg: float = 0.0) -> NDArray[Any]: ...
    @overload
    def loss(self, X: ArrayLike, y: ArrayLike, reg: float = 0.0) -> tuple[np.float64, dict[str, NDArray[Any]]]: ...

    def loss(self, X: ArrayLike, y: ArrayLike | None = None, reg: float = 0.0) -> Any:
        """Return the scores, or with labels the loss and its gradients.

        Parameters
        ----------
        X : array_like (N, D)
            Samples, real and finite, in any layout and dtype; more than two dimensions are flattened to (N, D).
        y : array_like of int (N,), optional
            Labels from 0 to C - 1.
        reg : float, default 0.0
            Strength of the L2 penalty, in the form that `l2` names.

        Returns
        -------
        scores : array (N, C)
            If `y` is None.
        loss, grads : numpy.float64, dict of str to array
            Otherwise: mean cross-entropy plus penalty, and its gradient for each parameter, in the parameter's shape.

        Raises
        ------
        TypeError, ValueError
            If an argument or `params` is not as described; the message says which and what came.
        """
        if y is None:
            return self._infer(X)[0]
        # To look at X and y may run code of theirs, which may change `params`: this call goes by what they were.
        layers, known = self._checked()
        samples = checks.features(X, "X", columns=len(layers[0][0]), dtype=self.dtype, finite=False)
        targets = checks.labels(y, "y", samples=len(samples), classes=layers[-1][0].shape[1])
        strength = self._l2_strength(reg)
        loss, grads = passes.loss_and_grads(layers, checks.writable(samples), targets, strength, self._threads, "X")
        return np.float64(loss), checks.named_gradients(grads, known)

    def train(self, X: ArrayLike, y: ArrayLike, X_val: ArrayLike, y_val: ArrayLike, learning_rate: float = 1e-3,
              learning_rate_decay: float = 0.95, reg: float = 5e-6, num_iters: int = 100, batch_size: int = 200,
              verbose: bool = False, *, progress: bool | str = False,
              callback: Callback | None = None, checkpoint: str | os.PathLike[str] | None = None,
              checkpoint_every: float = 60.0, resume: str | os.PathLike[str] | None = None) -> History:
        """Train with minibatch SGD, updating the arrays in `params` in place.

        Parameters
        ----------
        X, X_val : array_like (N, D), (M, D)
            Training and validation samples, as for `loss`. Of samples in a file no copy is made: a `numpy.memmap`, or
            whatever has `shape`, `dtype` and slices, such as a dataset of h5py or an array of Zarr, of which a thread
            reads what the next steps need while steps are taken. NaN and inf in the latter are found when they are
            read: `params` holds what was learned before, then.
        y, y_val : array_like of int (N,), (M,)
            Their labels.
        learning_rate : float, default 1e-3
        learning_rate_decay : float, default 0.95
            Factor on the learning rate at each accuracy check.
        reg : float, default 5e-6
            Strength of the L2 penalty, in the form that `l2` names.
        num_iters : int, default 100
            Number of steps.
        batch_size : int, default 200
            Samples in a minibatch, drawn with replacement; may exceed N.
        verbose : bool, default False
            Print the loss every 100 iterations.
        progress : bool or str, default False
            Show on standard error how far it has come, with rate, time left, loss and validation accuracy: a bar of
            tqdm's where it is installed (in notebooks too), else a few lines. A string is its label.
        callback : callable, optional
            Called as ``callback(iteration, history)`` after each accuracy check, with the dict that `train` will
            return as it is so far. If it returns True, training stops.
        checkpoint : path, optional
            Write to this file, every now and then, at Ctrl-C and at the end, all that the run is: parameters, random
            generator, learning rate, histories. Each time the file is replaced, whole or not at all.
        checkpoint_every : float or int, default 60.0
            How often: a float counts seconds, an int iterations.
        resume : path, optional
            Go on from such a file, with the same data and the same arguments (but for `num_iters`, which may be larger
            now): parameters, generator and history are bit for bit those of a run that was never interrupted.

        Returns
        -------
        history : dict
            ``loss_history``: the minibatch's loss before each update. ``train_acc_history`` and ``val_acc_history``:
            accuracies on the minibatch after the update and on the validation set, taken at each iteration that is a
            multiple of max(N / batch_size, 1). As in the course, that quotient is not rounded: where it is no integer,
            checks (and the decay of the learning rate) come at iteration 0 and then seldom.

        Raises
        ------
        TypeError, ValueError
            If an argument or `params` is not as described, or the file is not of this run; nothing has been changed
            then.
        OSError
            If a checkpoint cannot be written, or the one to go on from cannot be read.
        KeyboardInterrupt
            On Ctrl-C, after a whole step: `params` holds its result.

        Warns
        -----
        DivergenceWarning
            Once, with the iteration, when the loss or the parameters are no longer finite; training goes on.
        """
        layers, _ = _Trained(self).layers()
        inputs, classes = len(layers[0][0]), layers[-1][0].shape[1]
        samples = stored.samples(X, "X", columns=inputs, dtype=self.dtype)
        targets = checks.labels(y, "y", samples=len(samples), classes=classes)
        samples_val = stored.samples(X_val, "X_val", columns=inputs, dtype=self.dtype)
        targets_val = checks.labels(y_val, "y_val", samples=len(samples_val), classes=classes)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable or None, got {checks.shortened(callback)}")
        steps = checks.integer(num_iters, "num_iters", minimum=0)
        arguments: dict[str, Any] = {
            "learning_rate": checks.number(learning_rate, "learning_rate"),
            "learning_rate_decay": checks.number(learning_rate_decay, "learning_rate_decay"),
            "l2": self._l2_strength(reg),
            "batch_size": checks.integer(batch_size, "batch_size", minimum=1, maximum=2**48)}
        every = checked_interval(checkpoint_every)
        checkpoint = None if checkpoint is None else checks.path(checkpoint, "checkpoint")
        resume = None if resume is None else checks.path(resume, "resume")
        samples = stored.finite(samples, "X", self.dtype)  # last, as it reads all of the data
        samples_val = stored.finite(samples_val, "X_val", self.dtype)
        checkpoints, so_far = None, None
        if checkpoint is not None or resume is not None:
            run = {**arguments, "dtype": str(self.dtype),
                   "data": data_checksum(chain(checks.pieces(samples, self.dtype), [targets],
                                               checks.pieces(samples_val, self.dtype), [targets_val]))}
            if checkpoint is not None:
                checkpoints = Checkpoints(checkpoint, every, run, self._named_arrays, self._rng)
            if resume is not None:
                so_far, restore = read_checkpoint(resume, run, self._named_arrays(), self._rng)
                if so_far.iteration > steps:
                    raise ValueError(f"num_iters must be at least {so_far.iteration}, the number of iterations in "
                                     f"{os.fspath(resume)}, got {steps}")
                restore()
        penalty = arguments.pop("l2")  # the name that it has in checkpoints
        return loop.train(
            _Trained(self, inputs, classes), samples, targets, samples_val, targets_val, **arguments,
            penalty=penalty, num_iters=steps, verbose=bool(verbose), progress=progress,
            callback=callback, checkpoints=checkpoints, progress_so_far=so_far, threads=self._threads)

    def fit_batches(self, chunks: Any, *, target: Any = None, learning_rate: float = 1e-3,
                    learning_rate_decay: float = 0.95, reg: float = 5e-6, epochs: int = 1, batch_size: int = 200,
                    window: int = WINDOW, progress: bool | str = False) -> History:
        """Train with minibatch SGD on data that come in chunks, and need never be in memory as a whole.

        The next chunks are read, in a thread of their own, while steps are taken. Samples go through a window: as many
        consecutive ones as `window` says are shuffled, and make minibatches, each sample in one of them; the last
        minibatch of an epoch may be smaller. What is learned depends on the samples, their order, `window` and the
        generator `rng`, and not on where chunks begin and end.

        Parameters
        ----------
        chunks : iterable, or callable that returns one
            Of pairs (X, y), samples as for `loss` and their labels; or of tables, if `target` is given: record batches
            or tables of Arrow, data frames of pandas or polars. A chunk without samples is passed over. All of its
            code is run by the other thread. For several epochs it has to be a list, or a function, which is
            called for each. An endless generator trains for ever: ``itertools.islice(chunks, 1000)`` ends it.
        target : optional
            The column of tables that has the labels; all others are features, in the order of the first table.
        learning_rate : float, default 1e-3
        learning_rate_decay : float, default 0.95
            Factor on the learning rate from one epoch to the next.
        reg : float, default 5e-6
            Strength of the L2 penalty, in the form that `l2` names.
        epochs : int, default 1
            How often to go through all chunks.
        batch_size : int, default 200
            Samples in a minibatch.
        window : int, default 10000
            Samples that are shuffled together, rounded up to whole minibatches; 0 to take them as they come. Two
            windows of numbers of `dtype` are in memory, and what `chunks` itself keeps.
        progress : bool or str, default False
            Show on standard error how many steps have been taken, and the loss, as in `train`.

        Returns
        -------
        history : dict
            ``loss_history``: the minibatch's loss before each update.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, before anything has been changed; or a chunk, which the message names:
            `params` then holds what was learned before.
        KeyboardInterrupt
            On Ctrl-C, after a whole step: `params` holds its result. What `chunks` raises goes through in the same
            way. The thread has ended then, and a generator has been closed; a second Ctrl-C does not wait for that.

        Warns
        -----
        DivergenceWarning
            Once, with the step, when the loss is no longer a finite number; training goes on.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnet import TwoLayerNet
        >>> net = TwoLayerNet(4, 10, 3, std=1e-1, rng=0)
        >>> chunks = [(np.full((50, 4), number), np.full(50, number)) for number in range(3)]
        >>> len(net.fit_batches(chunks, batch_size=10, epochs=2)["loss_history"])
        30
        """
        layers, _ = _Trained(self).layers()
        inputs, classes = len(layers[0][0]), layers[-1][0].shape[1]
        size = checks.integer(batch_size, "batch_size", minimum=1, maximum=2**48)
        pieces = Chunks(
            chunks, target=target, columns=inputs, dtype=self.dtype, window=window, batch_size=size, epochs=epochs,
            weighted=False, truth=lambda y, name, samples: checks.labels(y, name, samples=samples, classes=classes))
        return train_windows(
            _Trained(self, inputs, classes), pieces, self._random.permutation if window else None,
            learning_rate=checks.number(learning_rate, "learning_rate"),
            learning_rate_decay=checks.number(learning_rate_decay, "learning_rate_decay"),
            penalty=self._l2_strength(reg), batch_size=size, progress=progress, threads=self._threads)

    def _named_arrays(self) -> dict[str, NDArray[Any]]:
        """The user's own arrays that are trained."""
        return {name: self.params[name] for name, _ in _named(self._layers())}

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Return the label with the largest score for each sample, (N,); the first wins a tie.

        Parameters
        ----------
        X : array_like (N, D)
            Samples, as for `loss`.

        Raises
        ------
        TypeError, ValueError
            As for `loss`.
        """
        return self._infer(X, scores=False)[1]

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probability of each class for each sample, (N, C); rows sum to 1.

        Parameters
        ----------
        X : array_like (N, D)
            Samples, as for `loss`.

        Raises
        ------
        TypeError, ValueError
            As for `loss`.
        """
        return passes.probabilities(self._infer(X)[0])

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Return the share of samples whose label `predict` finds.

        Parameters
        ----------
        X : array_like (N, D)
            Samples, as for `loss`.
        y : array_like of int (N,)
            Their labels, from 0 to C - 1.

        Raises
        ------
        TypeError, ValueError
            As for `loss`.
        """
        predicted = self.predict(X)
        truth = checks.labels(y, "y", samples=len(predicted), classes=self._layers()[-1][0].shape[1])
        return float((predicted == truth).mean())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file: whole or not at all, without pickles.

        Parameters
        ----------
        path : path
            The file to write or to replace; with a name that ends in ``.safetensors`` in that format (extra
            `safetensors`), in ``.onnx`` for other programs (extra `onnx`), else as an ``.npz``.

        Raises
        ------
        TypeError, ValueError
            If `params` is not as it should be, or not finite.
        OSError
            If the file cannot be written; an old one is as it was.
        """
        if onnx.is_onnx(path):
            onnx.write_onnx(path, self.to_sklearn)
        else:
            models.save_network(path, dict(_named(self._layers())), self.l2)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Return the network that `save` wrote to a file. Nothing in the file is trusted.

        Parameters
        ----------
        path : path
        **options
            As for the constructor: `rng`, `threads`.

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is no intact file of a network; the message says what is wrong with it.
        """
        return cls._from_params(*models.load_network(path), **options)

    @classmethod
    def _from_params(cls, params: dict[str, NDArray[Any]], l2: str, **options: Any) -> Self:
        (inputs, hidden), classes = params["W1"].shape, params["W2"].shape[1]
        rng = checks.random_source(options.pop("rng", None))
        net = cls(inputs, hidden, classes, 0.0, dtype=params["W1"].dtype, l2=l2, rng=0, **options)  # it draws
        net._rng = rng
        for name, array in params.items():
            net.params[name][...] = array
        return net

    def to_sklearn(self) -> Any:
        """Return a `sklearn.neural_network.MLPClassifier` that predicts the same, as if it had been fitted.

        Its classes are 0 to C - 1; two classes become its one logistic output. It shares no memory with this network.

        Raises
        ------
        ImportError
            If scikit-learn is not installed (extra `sklearn`).
        ValueError
            If there is one class only, or `params` is not as it should be.
        """
        from .sklearn.convert import classifier_of

        return classifier_of(dict(_named(self._layers())))

    @classmethod
    def from_sklearn(cls, estimator: Any, **options: Any) -> Self:
        """Return the network that predicts what a fitted classifier of scikit-learn does.

        Parameters
        ----------
        estimator : MLPClassifier
            Of `sklearn.neural_network` or `fastnet.sklearn`, with one hidden layer, ReLU and one label for a sample.
        **options
            As for the constructor: `l2`, `rng`, `threads`. The dtype is the estimator's.

        Returns
        -------
        TwoLayerNet
            Its labels are the places of the classes in ``estimator.classes_``.

        Raises
        ------
        ImportError
            If scikit-learn is not installed (extra `sklearn`).
        TypeError, ValueError
            If the estimator is something else; the message says what.
        """
        from .sklearn.convert import parameters_of

        return cls._from_params(parameters_of(estimator), **{"l2": "full", **options})


class _Trained(loop.Trainee):
    """A network that is trained; `inputs` and `classes` are what the data at hand needs, where that is known."""

    def __init__(self, net: TwoLayerNet, inputs: int | None = None, classes: int | None = None) -> None:
        self._net, self._inputs, self._classes = net, inputs, classes

    def layers(self) -> tuple[list[Layer], bool]:
        """Return the layers, and whether they may be trained in place; `params` has to hold writable floats.

        In place: all are views of these arrays, and no two of them share memory, as tied weights do.
        """
        layers, params = self._net._layers(), self._net.params
        for name, _ in _named(layers):
            parameter = params[name]
            if parameter.dtype.kind != "f" or not parameter.flags.writeable:
                raise TypeError(f"params[{name!r}] must be a writable array of floats to be trained, got "
                                f"{'a read-only array' if parameter.dtype.kind == 'f' else parameter.dtype}")
        sizes = len(layers[0][0]), layers[-1][0].shape[1]
        if self._inputs is not None and sizes != (self._inputs, self._classes):
            raise ValueError(f"params must keep {self._inputs} inputs and {self._classes} classes during training, got "
                             f"{sizes}")
        arrays = [array for layer in layers for array in layer]
        views = all(np.may_share_memory(params[name], array) for name, array in _named(layers))
        return layers, views and not overlap(arrays)

    def update(self, grads: Sequence[Layer], learning_rate: float) -> None:
        """Take a step on the arrays in `params`, of any layout, dtype or overlap, as the course's class does it."""
        arrays = [(self._net.params[name], grad) for name, grad in _named(grads)]
        add_all((array, -learning_rate * grad.reshape(array.shape)) for array, grad in arrays)

    def minibatches(self, samples: int, batch_size: int, steps: int, ahead: bool) -> Minibatches:
        """Draw from the network's own generator, or NumPy's."""
        return minibatches(self._net._random, samples, batch_size, steps, ahead)


def _named(layers: Sequence[Layer]) -> list[tuple[str, NDArray[Any]]]:
    """The arrays of `layers` with the names that they have in `params`."""
    return [(f"{letter}{index}", array) for index, layer in enumerate(layers, start=1)
            for letter, array in zip("Wb", layer, strict=True)]


def warmup(dtype: DTypeLike = np.float64) -> float:
    """Compile everything that a model of `dtype` needs, or load it from the disk cache.

    Without it, the first calls of `loss`, `train` and `predict` do that.

    Parameters
    ----------
    dtype : {float64, float32}

    Returns
    -------
    seconds : float
        How long it took.
    """
    start = time.perf_counter()
    net = TwoLayerNet(2, 2, 2, dtype=dtype, rng=0)
    X, y = np.ones((2, 2)), np.arange(2)
    net.train(X, y, X, y, num_iters=1, batch_size=2)
    net.loss(X, y, reg=1.0)
    net.predict_proba(X)
    net.predict(X[:1])
    loop.prepare(net.dtype, scores=True)
    passes.prepare_regions(net.dtype, 2)
    return time.perf_counter() - start
