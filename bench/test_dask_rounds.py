"""bench/dask_rounds.py: its model finds the costs that rounds have been made of, and says what follows from them."""

import numpy as np
import pytest

pytest.importorskip("dask")

from bench import dask_rounds

COSTS = [0.01, 0.001, 0.002, 3e-9, 4e-9, 1e-9, 2e-9]


def test_the_model_finds_the_costs():
    rows = [{"workers": workers, "parts": parts, "network": name, "seconds": dask_rounds.round_seconds(
                 COSTS, workers, parts, dask_rounds.parameters(sizes))}
            for name, sizes in dask_rounds.NETWORKS.items() for workers in (1, 2, 4) for parts in (4, 8, 16)]
    np.testing.assert_allclose(dask_rounds.model_of(rows), COSTS, rtol=1e-6)


def test_more_workers_beat_one_from_where_it_says():
    size, step = dask_rounds.parameters(dask_rounds.NETWORKS["16-8-3"]), 1e-4
    steps = dask_rounds.break_even(COSTS, size, step, 4)
    assert dask_rounds.speedup(COSTS, size, step, steps, 4) == pytest.approx(1)
    assert dask_rounds.speedup(COSTS, size, step, 2 * steps, 4) > 1
    assert dask_rounds.parameters((2, 3, 1)) == 3 * 8 * (9 + 4)
