"""scikit-learn's own tests of its estimators, as installed, with fastnet's in their place; and its checks of both."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import COMPILED

pytestmark = pytest.mark.skipif(not COMPILED, reason="minutes without compilation")

PATCH = "from fastnet.sklearn import patch_sklearn\npatch_sklearn()\n"

CHECKS = """
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from fastnet.sklearn import MLPClassifier, MLPRegressor

@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])  # scikit-learn's own setting
def test_estimators(estimator, check):
    check(estimator)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("what", "least"), [("test_mlp", 50), ("checks", 90)])
def test_scikit_learn_s_own(tmp_path, what, least):
    (tmp_path / "patch_first.py").write_text(PATCH)
    (tmp_path / "test_checks.py").write_text(CHECKS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    target = ["--pyargs", "sklearn.neural_network.tests.test_mlp"] if what == "test_mlp" else ["test_checks.py"]
    plugin = ["-p", "patch_first"] if what == "test_mlp" else []
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).resolve().parents[2]}"}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini"), *plugin,
         *target], cwd=tmp_path, env={**os.environ, **environment}, text=True, capture_output=True,
        timeout=600, check=False)
    print(result.stdout[-5000:], result.stderr[-5000:])
    assert result.returncode == 0
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed is not None
    assert int(passed[1]) >= least
    assert " failed" not in result.stdout
    assert "xfailed" not in result.stdout  # nothing is exempted
