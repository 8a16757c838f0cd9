"""The numbers that a machine decides on: each is described, used and measured, and measured with the value it says."""

import ast
import sys
from pathlib import Path

import pytest

from bench import tuning as bench
from fastnet import tuning

from .conftest import COMPILED

ROOT = Path(bench.__file__).parents[1]
NUMBERS = bench.numbers()
needs_compilation = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")


def test_the_source_is_what_is_imported():
    assert {name: getattr(tuning, name) for name in NUMBERS} == {name: number.value for name, number in NUMBERS.items()}
    assert [name for name in vars(tuning) if name.isupper()] == list(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_number_has_a_unit_and_says_what_it_trades(name):
    number = NUMBERS[name]
    unit, what, trade = number.text.strip().split("\n\n")
    assert number.unit
    assert unit.startswith(f"Unit: {number.unit}")
    assert what.endswith(".")
    assert trade.startswith("Higher")
    assert "Lower: " in trade


def test_it_imports_nothing_but_the_standard_library():
    tree = ast.parse(Path(tuning.__file__).read_text())
    tops = {(node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) and not node.level else "fastnet"
            for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops |= {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)
             for alias in node.names}
    assert tops <= sys.stdlib_module_names | {"__future__"}


def test_each_is_measured_around_todays_value():
    assert list(bench.MEASUREMENTS) == list(NUMBERS)
    for name, number in NUMBERS.items():
        values = bench.values_of(name)
        assert number.value in values
        assert 3 <= len(values) == len(set(values))
        assert all(type(value) is type(number.value) for value in values)


def test_values_are_within_the_bounds_that_memory_is_laid_out_by():
    for rows in bench.values_of("BLOCK_ROWS"):
        assert rows % 8 == 0
        assert rows >= max(64, tuning.FEW_ROWS)
    for rows in (*bench.values_of("PRODUCT_ROWS"), *bench.values_of("GRADIENT_ROWS")):
        assert rows % 8 == 0
    for rows in bench.values_of("FEW_ROWS"):
        assert rows % 8 == 0
        assert rows <= tuning.BLOCK_ROWS
    assert min(bench.values_of("ROW_VECTORS")) >= 4
    assert min(bench.values_of("CACHE_LINE")) >= 16


EVERYTHING = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib
from pathlib import Path
from bench import tuning
for name, number in tuning.numbers().items():
    tuning.change(name, tuple(2 * part for part in number.value) if isinstance(number.value, tuple)
                  else 2 * number.value, sys.argv[2])
for path in (Path(sys.argv[1]) / "fastnet").rglob("*.py"):
    if path.stem not in ("__init__", "__main__"):
        importlib.import_module(".".join(path.relative_to(sys.argv[1]).with_suffix("").parts))
for name, number in tuning.numbers().items():
    values = tuning.seen(name).values()
    double = number.value * 2 if not isinstance(number.value, tuple) else tuple(2 * part for part in number.value)
    print(name, len(values) > 0 and set(values) == {double})
"""


@pytest.mark.slow
def test_every_module_has_what_was_set_before(run_python, tmp_path):
    lines = run_python(EVERYTHING, ROOT, tmp_path).splitlines()
    assert lines == [f"{name} True" for name in NUMBERS]


def test_what_is_set_too_late_is_refused(tmp_path):
    import fastnet.kernels  # noqa: F401
    with pytest.raises(RuntimeError, match=r"K_BLOCK has to be set before fastnet.* is imported"):
        bench.change("K_BLOCK", 1, str(tmp_path))


@pytest.mark.slow
def test_a_child_measures_with_the_value_that_it_is_given(tmp_path, monkeypatch):
    assert bench.measured("CHECKSUM_PIECE", 1 << 22, tmp_path) > 0
    assert not list(tmp_path.rglob("*.bin"))  # nothing was compiled
    loads = bench.json.loads
    monkeypatch.setattr(bench.json, "loads", lambda text: {**loads(text), "seen": {"fastnet.training.checkpoints": 1}}
                        if "seen" in text else loads(text))
    with pytest.raises(SystemExit, match="modules have other values"):
        bench.measured("CHECKSUM_PIECE", 1 << 22, tmp_path)


SUMS = """
import sys
sys.path.insert(0, sys.argv[1])
from bench import tuning
tuning.change("SPLIT_SAMPLES", int(sys.argv[2]), sys.argv[3])
import numpy as np
from fastnet import kernels
print(kernels.bias_gradient(np.random.RandomState(0).standard_normal((100, 64)).astype(np.float32)).tobytes().hex())
"""


@pytest.mark.slow
@needs_compilation
def test_compiled_code_has_the_value_and_does_not_leave_its_cache(run_python, tmp_path):
    ordinary, results = tmp_path / "ordinary", {}
    ordinary.mkdir()
    for turn, samples in enumerate((64, 1000, 64, 1000)):
        results[turn] = run_python(SUMS, ROOT, samples, tmp_path / str(samples), NUMBA_CACHE_DIR=str(ordinary))
        assert list((tmp_path / str(samples)).rglob("*.bin"))
    assert results[0] == results[2] != results[1] == results[3]  # two sums of 50, or one of 100
    assert not list(ordinary.iterdir())


@pytest.mark.parametrize(("name", "compiled"), [
    ("K_BLOCK", True), ("SPLIT_SAMPLES", True), ("CACHE_LINE", True), ("COUNTER_SPACING", True), ("ROW_VECTORS", True),
    ("WORK_PER_THREAD", True), ("TEAM_WORK_PER_THREAD", False), ("PACKED_ROWS", False), ("FEW_INDICES", False),
    ("RUN_SECONDS", False), ("CHUNK_WORK", False)])
def test_which_numbers_are_in_compiled_code(name, compiled):
    assert bench.in_compiled_code(name) is compiled


def test_what_one_machine_cannot_measure_is_said():
    assert not bench.unmeasurable("SPINS", 2)
    assert bench.unmeasurable("SPINS", 1) == "not measured: needs 2 cores, and here is 1"
    assert not bench.unmeasurable("K_BLOCK", 1)


def test_a_row_of_the_table():
    times = {56: [3e-6, 4e-6, 5e-6], 224: [2e-6, 1e-6, 3e-6], 448: [1e-6, 1e-6, 1e-6]}
    cells = [cell.strip() for cell in bench.row("K_BLOCK", times).strip("|").split("|")]
    assert cells[:2] == ["K_BLOCK", "terms of a sum"]
    assert cells[3:] == ["56: 4 · **224: 2** · 448: 1", "448", "0.50", "1.00"]
