"""The start of a process, for calls.py: programs that import fastnet, make a first call or several, and end.

Where nothing is compiled on disk, what is called is compiled first: seconds that a user waits for once, in a new
installation. The same program runs a second time with what it has left on disk, as it does from then on.
"""

from __future__ import annotations

import compileall
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.timing import answer, with_path

TOY = """
net = TwoLayerNet(4, 10, 3, std=1e-1, rng=0)
X, y = 10 * np.random.RandomState(1).standard_normal((5, 4)), np.array([0, 1, 2, 2, 1])
result = [net.train(X, y, X, y, learning_rate=1e-1)["loss_history"], net.predict(X).tolist()]
"""
FIT = """
X = np.random.RandomState(0).standard_normal((200, 8))
classifier = MLPClassifier(max_iter=5, random_state=0).fit(X, X[:, 0] > 0)
result = [classifier.loss_curve_, classifier.predict(X).tolist()]
"""
NETWORK = {"NumPy": "from fastnet.reference import TwoLayerNet", "fastnet": "from fastnet import TwoLayerNet"}
ESTIMATOR = {"scikit-learn": "from sklearn.neural_network import MLPClassifier",
             "fastnet": "from fastnet.sklearn import MLPClassifier"}

STATES = ("none", "all")
"""Which functions lie on disk, compiled."""


class Start(NamedTuple):
    """A program that is timed from its start to its end."""

    what: str
    """For people."""
    imports: dict[str, str]
    """How each side begins."""
    code: str

    @property
    def peer(self) -> str:
        """Who is compared with fastnet."""
        return next(iter(self.imports))

    def program(self, kind: str) -> str:
        """What a side runs."""
        return "\n".join(["import json, warnings", "import numpy as np", self.imports[kind],
                          "warnings.simplefilter('ignore')", self.code, "print(json.dumps(result))"])


STARTS = {
    "start-import": Start("import", NETWORK, "result = []"),
    "start-toy": Start("import, `train` and `predict`, toy", NETWORK, TOY),
    "start-four": Start("import, `train`, `loss`, `predict` and `predict_proba`, toy", NETWORK,
                        f"{TOY}result += [net.loss(X, y)[0], net.predict_proba(X).tolist()]"),
    "start-estimator": Start("import, `MLPClassifier().fit` and `predict`, 200 x 8-100-1, 5 epochs", ESTIMATOR, FIT),
}


def install(checkout: Path, folder: Path) -> None:
    """Copy fastnet with Python's bytecode, as pip leaves it: what has been imported before has no advantage then."""
    shutil.copytree(checkout / "fastnet", folder / "fastnet", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder / "fastnet", quiet=1)


def _cpu() -> float:
    """Seconds of work of all processes that this one has started and that have ended, with those that they started."""
    import resource  # no Windows has it

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(start: Start, kind: str, installed: Path, cache: str) -> Any:
    # Without -P the folder that this runs in, a checkout mostly, would come before `installed`.
    return answer(["-P", "-c", start.program(kind)], f"{kind}: {start.what}", PYTHONPATH=with_path(installed),
                  NUMBA_CACHE_DIR=cache)


def read(name: str, kind: str, installed: Path) -> None:
    """Import what a program imports, so that no run has to read it from the disk."""
    with tempfile.TemporaryDirectory() as cache:
        _run(STARTS[name]._replace(code="result = []"), kind, installed, cache)


def measure(name: str, kind: str, installed: Path) -> tuple[list[Any], dict[str, dict[str, float]]]:
    """Run a program twice; return its result, and for each state of the disk the seconds on the clock and of work."""
    seconds: dict[str, dict[str, float]] = {}
    result: list[Any] = []
    with tempfile.TemporaryDirectory() as cache:
        for state in STATES:
            work, clock = _cpu(), time.perf_counter()
            result = _run(STARTS[name], kind, installed, cache)
            seconds[state] = {"clock": time.perf_counter() - clock, "work": _cpu() - work}
    return result, seconds
