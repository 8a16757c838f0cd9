"""scikit-learn with fastnet's estimators in the place of its own."""

from __future__ import annotations

import sys

from sklearn import neural_network

from .estimators import MLPClassifier, MLPRegressor

__all__ = ["patch_sklearn", "unpatch_sklearn"]

_PAIRS: list[tuple[type, type]] = [(cls._original, cls) for cls in (MLPClassifier, MLPRegressor)]


def patch_sklearn() -> None:
    """Put fastnet's estimators into scikit-learn: from then on, imports from it give these.

    Modules of scikit-learn that hold the original classes are changed. Your own that have imported them before keep
    theirs. May be called again; :func:`unpatch_sklearn` undoes it.
    """
    _replace(_PAIRS)


def unpatch_sklearn() -> None:
    """Put scikit-learn's own estimators back; does nothing if they are there."""
    _replace([(ours, theirs) for theirs, ours in _PAIRS])


def _replace(pairs: list[tuple[type, type]]) -> None:
    modules = [module for name, module in list(sys.modules.items()) if name == neural_network.__name__
               or name.startswith(f"{neural_network.__name__}.")]
    for module in modules:
        for old, new in pairs:
            if vars(module).get(new.__name__) is old:
                setattr(module, new.__name__, new)
