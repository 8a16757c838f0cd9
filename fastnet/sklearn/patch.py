"""scikit-learn with fastnet's estimators in the place of its own."""

from __future__ import annotations

from sklearn import neural_network

from .estimators import MLPClassifier, MLPRegressor

__all__ = ["patch_sklearn", "unpatch_sklearn"]

_PAIRS: list[tuple[type, type]] = [(cls._original, cls) for cls in (MLPClassifier, MLPRegressor)]


def patch_sklearn() -> None:
    """Put fastnet's estimators into scikit-learn: from then on, imports from it give these.

    ``sklearn.neural_network`` is changed. Modules that have imported the classes before keep theirs, and so do
    processes that are started anew (spawn, loky). May be called again; :func:`unpatch_sklearn` undoes it.
    """
    _replace(_PAIRS)


def unpatch_sklearn() -> None:
    """Put scikit-learn's own estimators back; does nothing if they are there."""
    _replace([(ours, theirs) for theirs, ours in _PAIRS])


def _replace(pairs: list[tuple[type, type]]) -> None:
    # Not the module that defines them: from there pickles take the originals, which may still be about.
    for old, new in pairs:
        if getattr(neural_network, new.__name__) is old:
            setattr(neural_network, new.__name__, new)
