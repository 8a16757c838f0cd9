"""bench/results/: what is kept there can be read, and makes tables."""

import json
import re

import pytest

from bench import results
from tests.conftest import COMPILED

ROOT = results.RESULTS.parents[1]
KEPT = sorted(results.RESULTS.glob("*.json"))


@pytest.mark.skipif(not COMPILED, reason="cases are smaller then")
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_tables(path):
    kept = json.loads(path.read_text())
    text = results.tables_of(kept)
    assert text.count("\n|") > 10
    assert kept["date"] in text
    assert kept["machine"] in text
    assert kept["command"].startswith(f"python bench/{path.stem}.py")


@pytest.mark.skipif(not COMPILED, reason="cases are smaller then")
def test_the_readme_shows_what_was_measured(tmp_path):
    found = json.loads((results.RESULTS / "calls.json").read_text())["found"]
    assert results.short(found) in (ROOT / "README.md").read_text()
    results.bars(found, tmp_path / "calls.svg")
    drawn, kept = (re.findall(">([^<]+)</text>", path.read_text())
                   for path in (tmp_path / "calls.svg", ROOT / "docs" / "drawings" / "calls.svg"))
    assert len(drawn) > 20
    assert drawn == kept


@pytest.mark.skipif(not COMPILED, reason="cases are smaller then")
def test_a_product_is_not_faster_than_the_core():
    found = json.loads((results.RESULTS / "anatomy.json").read_text())["found"]
    points = results.roofline(found)
    assert points
    assert all(0 < speed < found["peak_of_one_core"] for _, _, speed in points)
    assert results.copying(found) > 0


def test_keeping(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    (tmp_path / "found.json").write_text('{"cases": {}}')
    monkeypatch.setattr("sys.argv", ["results.py", "anatomy", "--keep", str(tmp_path / "found.json")])
    results.main()
    kept = json.loads((tmp_path / "anatomy.json").read_text())
    assert kept["program"] == "anatomy"
    assert kept["found"] == {"cases": {}}


def test_measuring_again(tmp_path, monkeypatch, capsys):
    results_of_a_clone = tmp_path / "bench" / "results"
    results_of_a_clone.mkdir(parents=True)
    (tmp_path / "bench" / "some.py").write_text(
        "import json, sys\n"
        "json.dump({'machine': 'M', 'versions': 'V', 'options': sys.argv[1:-2]}, open(sys.argv[-1], 'w'))")
    monkeypatch.setattr(results, "RESULTS", results_of_a_clone)
    results.keep("some", {"machine": "old", "versions": "old"}, "python bench/some.py --repeats 2", 240)
    results.again("some")
    assert "some: python bench/some.py --repeats 2 (took 4 minutes)" in capsys.readouterr().err
    kept = json.loads((results_of_a_clone / "some.json").read_text())
    assert kept["found"] == {"machine": "M", "versions": "V", "options": ["--repeats", "2"]}
    assert (kept["program"], kept["machine"], kept["versions"]) == ("some", "M", "V")
    assert kept["seconds"] < 60
