"""Workers of a search that begin together, with an empty cache: nothing is compiled twice."""

import re
from collections import Counter

import pytest

from fastnet.jit import turns

from ..conftest import COMPILED

SEARCH = """
import numpy as np
from sklearn.model_selection import GridSearchCV
from fastnet.sklearn import MLPClassifier

X, y = np.eye(40, 5), np.arange(40) % 3
estimator = MLPClassifier((3,), random_state=0, max_iter=9, n_iter_no_change=1, tol=9.0)
search = GridSearchCV(estimator, {"alpha": [1e-4, 1e-3]}, cv=2, n_jobs=2, error_score="raise", refit=False)
search.fit(X, y)
assert np.isfinite(search.cv_results_["mean_test_score"]).all()
"""


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.skipif(turns.fcntl is None, reason="there are no such locks here")
def test_two_workers_compile_everything_once(run_python, tmp_path):
    said = run_python(SEARCH, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_DEBUG_CACHE="1", PYTHONUNBUFFERED="1")
    saved = Counter(re.findall(r"saved to (\S+\.bin)$", said, re.MULTILINE))
    print(*saved.items(), sep="\n")
    assert len(saved) >= 3
    assert set(saved.values()) == {1}
    assert len({*re.findall(r"\[cache\] loaded from (\S+\.bin)$", said, re.MULTILINE)} & {*saved}) >= 3
    assert not [*tmp_path.rglob("*.lock")]
