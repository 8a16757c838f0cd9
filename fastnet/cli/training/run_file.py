"""The checkpoint of a training with Adam: the estimator with all of its state, and the histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...aliases import Layer
from ...files import containers
from ...files.containers import Contents, FaultError
from ...sklearn import storage
from ...training.checkpoints import check_run

__all__ = ["HISTORIES", "read_run", "write_run"]

_KIND = "table training"
HISTORIES = ("loss", "validation_loss", "validation_score")
"""What is measured in each epoch."""


def write_run(path: str, run: Mapping[str, Any], estimator: Any, history: Mapping[str, list[float]],
              best: list[Layer] | None) -> None:
    """Write how far a training has come.

    Parameters
    ----------
    path : str
    run : mapping
        What the run is made of, and must be made of when it goes on.
    estimator : MLPClassifier or MLPRegressor
    history : mapping
        A list for each of `HISTORIES`, a number for each epoch.
    best : list of (W, b) or None
        The layers of the best epoch, where early stopping keeps them.
    """
    fields, arrays = storage.described(estimator)
    kept = {} if best is None else {f"kept_{letter}{number}": array for number, layer in enumerate(best, 1)
                                    for letter, array in zip("Wb", layer, strict=True)}
    histories = {f"history_{name}": np.array(history[name], np.float64) for name in HISTORIES}
    containers.write(path, _KIND, {"run": dict(run), "estimator": fields, "best": best is not None},
                     {**arrays, **kept, **histories})


def read_run(path: str, run: Mapping[str, Any], estimator: Any) -> tuple[dict[str, list[float]], list[Layer] | None]:
    """Put a new estimator into the state that a file has of it; return histories and best layers.

    Nothing in the file is trusted; after an error the estimator is not to be used.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact checkpoint, or one of another run; the message says what is wrong or differs.
    """
    contents = containers.read(path, (_KIND,), "a checkpoint of a training with Adam")
    try:
        return _restored(contents, run, estimator)
    except ValueError as error:
        raise containers.described(error, path, "a checkpoint of this run") from None


def _restored(contents: Contents, run: Mapping[str, Any],
              estimator: Any) -> tuple[dict[str, list[float]], list[Layer] | None]:
    fields, arrays = contents.fields, dict(contents.arrays)
    missing = [name for name in ("run", "estimator", "best") if name not in fields]
    missing += [f"history_{name}" for name in HISTORIES if f"history_{name}" not in arrays]
    if missing or len(fields) != 3:
        raise FaultError(f"it lacks {', '.join(missing)}" if missing else "it holds what is not part of a checkpoint")
    check_run(fields["run"], run)
    if not isinstance(fields["estimator"], dict):
        raise FaultError("estimator must be an object")
    epochs = arrays["history_loss"].size
    history = {}
    for name in HISTORIES:
        del arrays[f"history_{name}"]
        history[name] = contents.array(f"history_{name}", (epochs,), np.float64, finite=False).tolist()
    kept = {name: arrays.pop(name) for name in list(arrays) if name.startswith("kept_")}
    params = estimator.get_params(deep=False)
    storage.restore(Contents(type(estimator).__name__, fields["estimator"], arrays), estimator)
    if estimator.get_params(deep=False) != params or not hasattr(estimator, "coefs_") or epochs == 0:
        raise FaultError("its estimator is not that of the run")
    if not contents.choice("best", (False, True)):
        if kept:
            raise FaultError(f"it holds {', '.join(sorted(kept))}")
        return history, None
    best = []
    for number, (W, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True), 1):
        pair = []
        for letter, like in (("W", W), ("b", b)):
            name = f"kept_{letter}{number}"
            if kept.pop(name, None) is None:
                raise FaultError(f"it lacks {name}")
            pair.append(np.require(contents.array(name, like.shape, like.dtype), requirements=["C", "A"]))
        best.append((pair[0], pair[1]))
    if kept:
        raise FaultError(f"it holds {', '.join(sorted(kept))}")
    return history, best
