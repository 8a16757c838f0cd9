"""How a training step is cut into shares: pure, and of sizes only. No choice here changes a result.

What one core has written and another reads costs more than the work on it, so the cut is the one with which the fewest
numbers travel between cores. The two inequalities below count what travels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..blocks.partition import K_SLICES, gradient_splits, k_slice_count, sample_splits
from ..jit.decorators import shared
from ..llvm.target import PACK
from ..tuning import BLOCK_ROWS, FEW_ROWS, FEW_WEIGHTS
from .arguments import FIRST_LAYER, NO_LAYER, SECOND_LAYER, Plan

__all__ = ["affine_work", "gradient_is_split", "halves_hidden_units", "plan"]


def halves_hidden_units(sizes: Sequence[int]) -> bool:
    """Whether each of two cores had better own half of the first hidden layer's H units, with all that is below them.

    With halves, each sample moves its D features and 2 C sums of the second map; without, up to 3 H numbers: sums of
    the first map, activations, deltas. So H has to be more than (D + 2 C) / 3; and enough for k-slices, which halves
    of the second map are.
    """
    if len(sizes) < 3 or k_slice_count(sizes[1]) == 1:
        return False
    D, H, C = sizes[:3]
    return D + 2 * C < 3 * H


def _sums_travel_less(samples: int, inputs: int, units: int) -> bool:
    """Whether two sums of the first affine map are fewer numbers than the samples and weights that travel else."""
    return 2 * samples * units < inputs * (samples + units)


def affine_work(sizes: Sequence[int], batch: int) -> int:
    """Multiply-adds of one affine map of each layer."""
    return batch * sum(inputs * units for inputs, units in pairwise(sizes))


def plan(sizes: Sequence[int], batch: int, threads: int, sparse: bool = False) -> Plan:
    """Return how to cut the steps of a network.

    Parameters
    ----------
    sizes : sequence of int
        (D, H, ..., C).
    batch : int
        Samples in a minibatch.
    threads : int
        How many shares there may be, of work that is enough for them (:func:`fastnet.parallel.threads.share_count`).
    sparse : bool
        Whether samples are given by their non-zeros: the first affine map is made of them row by row then.
    """
    halved = halves_hidden_units(sizes)
    slices = k_slice_count(sizes[0])
    if not sparse and threads == 2 and halved:
        forward_layer, feature_shares, slices = SECOND_LAYER, 2, k_slice_count(sizes[1])
    elif not sparse and slices > 1 and threads <= slices and _sums_travel_less(batch, sizes[0], sizes[1]):
        forward_layer, feature_shares = FIRST_LAYER, 1 << threads.bit_length() - 1  # a power of two, as slices are
    else:
        packs = -(-max(sizes[:-1]) // PACK)
        forward_layer, feature_shares, slices = NO_LAYER, min(threads, packs), 1
    sample_shares = min(threads, -(-batch // PACK))
    return Plan(
        sample_shares=sample_shares, feature_shares=feature_shares, forward_layer=forward_layer,
        # Where units are halved the deltas of the first layer come later, in the feature phase.
        split_gradients=sample_shares == 2 and sample_splits(batch) == 2 and forward_layer != SECOND_LAYER,
        slices_in_pairs=slices == K_SLICES and feature_shares <= K_SLICES // 2,
        panels_halved=halved,
        chunk_rows=FEW_ROWS if sizes[0] * sizes[1] <= FEW_WEIGHTS else BLOCK_ROWS)


@shared
def gradient_is_split(plan: Plan, layer: int, N: int, K: int, J: int) -> bool:
    """Whether each of two shares of samples makes one of the two sums of the gradient of a layer's weights (K, J)."""
    return plan.split_gradients and layer != plan.forward_layer and gradient_splits(N, K, J) == 2
