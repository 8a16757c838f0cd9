"""bench/anatomy.py: its parts, one after the other, are a step."""

import numba
import numpy as np
import pytest

import fastnet
from bench import anatomy
from bench.registry import CASES, step_products

COMPILED = not numba.config.DISABLE_JIT


@pytest.fixture
def one_thread():
    threads = fastnet.get_num_threads()
    fastnet.set_num_threads(1)
    yield
    fastnet.set_num_threads(threads)


@pytest.mark.skipif(COMPILED, reason="to compile the parts takes long")
@pytest.mark.parametrize("case", ["tiny", "digits"])
def test_the_parts_are_a_step(one_thread, case):
    step, parts = (anatomy.Run(CASES[case], "float64") for _ in range(2))
    before = step.weights()
    step.steps(1, 0.1)
    arguments, _held = anatomy.arguments_of(parts, 0.1)
    for part in anatomy.PARTS:
        part.function(1, *arguments)
    for old, new, same in zip(before, step.weights(), parts.weights(), strict=True):
        np.testing.assert_array_equal(same, new)
        assert (old != new).any()


def test_the_products_of_the_parts_are_those_of_a_step():
    for case in CASES.values():
        assert sum(part.products(case) for part in anatomy.PARTS if part.products) == step_products(case)


@pytest.mark.skipif(COMPILED, reason="to compile the parts takes long")
def test_a_table(monkeypatch, one_thread):
    monkeypatch.setattr(anatomy, "LOOK", 1e-6)
    seconds = anatomy.anatomy(CASES["tiny"], "float32", 1, 1)
    assert all(value > 0 for value in seconds.values())
    table = anatomy.report("tiny", CASES["tiny"], "float32", seconds, 1, 1e9)
    for part in anatomy.PARTS:
        assert f"| {part.name} | {seconds[part.name] * 1e6:.2f} |" in table
    assert f"| the step | {seconds['1'] * 1e6:.2f} |" in table
