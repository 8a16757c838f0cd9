"""The notebooks in examples/: their cells run, one after the other, without a warning."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import COMPILED

NOTEBOOKS = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))


def cells_of(path):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.skipif(not COMPILED, reason="trainings take minutes in plain Python")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, capsys):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    names = {"__name__": "__main__"}
    try:
        for number, cell in enumerate(cells_of(path)):
            exec(compile(cell, f"{path.name}, cell {number}", "exec"), names)
        assert pyplot.get_fignums()
    finally:
        pyplot.close("all")
    assert names["best"].max() > 0.95
    assert names["accuracy"] > 0.93
    assert np.isfinite(names["solver"].loss_history).all()
    assert "relative error" in capsys.readouterr().out


def test_notebooks_are_kept_without_what_they_print():
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
