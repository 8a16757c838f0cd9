"""How a step is cut: a table of what is decided, for networks and numbers of threads."""

import pytest

from fastnet.blocks.partition import K_SLICES, k_slice_count
from fastnet.engine.arguments import FIRST_LAYER, NO_LAYER, SECOND_LAYER
from fastnet.engine.plan import affine_work, halves_hidden_units, plan
from fastnet.llvm.target import ISA, PACK

THREADS = (1, 2, 3, 4, 8, 16)

# The layer whose map is made in the feature phase, for each number of threads.
TABLE = [
    ((784, 128, 10), 128, [FIRST_LAYER, FIRST_LAYER, FIRST_LAYER, FIRST_LAYER, NO_LAYER, NO_LAYER]),
    ((3072, 50, 10), 200, [FIRST_LAYER, FIRST_LAYER, FIRST_LAYER, FIRST_LAYER, NO_LAYER, NO_LAYER]),
    ((64, 100, 10), 200, [NO_LAYER, SECOND_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER]),
    ((64, 95, 10), 100, [NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER]),
    ((784, 1024, 10), 1024, [NO_LAYER, SECOND_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER]),
    ((300, 50, 3), 100, [FIRST_LAYER, FIRST_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER]),
    ((20, 200, 300), 100, [NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER]),
    ((600, 10), 50, [FIRST_LAYER, FIRST_LAYER, FIRST_LAYER, FIRST_LAYER, NO_LAYER, NO_LAYER]),
    ((4, 10, 3), 5, [NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER, NO_LAYER]),
]


@pytest.mark.parametrize(("sizes", "batch", "expected"), TABLE, ids=str)
def test_which_affine_map_is_made_in_the_feature_phase(sizes, batch, expected):
    assert [plan(sizes, batch, threads).forward_layer for threads in THREADS] == expected


@pytest.mark.parametrize(("sizes", "batch", "_"), TABLE, ids=str)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("sparse", [False, True])
def test_every_plan_can_be_carried_out(sizes, batch, threads, sparse, _):
    made = plan(sizes, batch, threads, sparse)
    assert 1 <= made.sample_shares <= min(threads, -(-batch // PACK))
    assert 1 <= made.feature_shares <= threads
    assert made.forward_layer == NO_LAYER or not sparse
    slices = 1
    if made.forward_layer != NO_LAYER:
        slices = k_slice_count(sizes[made.forward_layer])
        assert slices % made.feature_shares == 0
    if made.forward_layer == SECOND_LAYER:
        assert made.panels_halved
        assert made.feature_shares == 2
        assert not made.split_gradients
    if made.split_gradients:
        assert made.sample_shares == 2
    assert made.slices_in_pairs == (slices == K_SLICES and (slices // made.feature_shares) % 2 == 0)
    assert made.panels_halved == halves_hidden_units(sizes)


@pytest.mark.skipif(ISA.name != "AVX-512", reason="other processors have other packs")
def test_shares_of_the_course_s_network():
    for threads, samples, features in ((1, 1, 1), (2, 2, 2), (4, 4, 4), (16, 16, 16)):
        made = plan((3072, 50, 10), 200, threads)
        assert made.sample_shares == samples
        assert made.feature_shares == features
    assert plan((4, 10, 3), 5, 16)[:2] == (1, 2)  # packs of eight: one of samples, two of hidden units


def test_splits_and_chunks():
    assert plan((64, 50, 10), 200, 2).split_gradients
    assert not plan((64, 50, 10), 63, 2).split_gradients  # so few samples are one sum
    assert not plan((64, 50, 10), 200, 4).split_gradients  # two sums are for two shares
    assert plan((64, 50, 10), 200, 1).chunk_rows < plan((784, 128, 10), 128, 1).chunk_rows


def test_which_hidden_units_are_halved():
    assert halves_hidden_units((64, 100, 10))
    assert not halves_hidden_units((64, 95, 10))  # no k-slices, so nothing that two cores could add up
    assert not halves_hidden_units((20, 200, 300))  # 20 + 2 * 300 numbers travel for each sample, not 3 * 200
    assert not halves_hidden_units((600, 10))  # there is no second layer
    assert affine_work((4, 10, 3), 5) == 5 * (40 + 30)
