"""Every kernel against its namesake in the reference, over shapes, dtypes and layouts."""

import numpy as np
import pytest
from hypothesis import given

from fastnet import kernels, reference
from fastnet.blocks import partition
from fastnet.llvm.target import tile_width
from fastnet.tuning import BLOCK_PANELS

from . import strategies as draw
from .conftest import COMPILED
from .strategies import KINDS, lay_out
from .tolerances import assert_within, product_bound

quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's about NaN and overflow, which are the point here


def normal(seed, dtype, layout, *shapes, scale=1.0):
    random = np.random.RandomState(seed)
    return [lay_out((scale * random.standard_normal(shape)).astype(dtype), layout) for shape in shapes]


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.scales, draw.sizes, draw.sizes, draw.sizes)
def test_affine_forward(seed, kind, scale, N, D, H):
    dtype, layout = kind
    X, W, b = normal(seed, dtype, layout, (N, D), (D, H), H, scale=scale)
    bound = product_bound(X, W, b)
    assert_within(kernels.affine_forward(X, W, b), reference.affine_forward(X, W, b), bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("N", "D", "panels"), [
    (513, 95, BLOCK_PANELS), (257, 96, BLOCK_PANELS + 1), (300, 520, 2 * BLOCK_PANELS)] if COMPILED else [(9, 5, 1)])
def test_a_row_does_not_depend_on_the_blocks_it_is_in(dtype, N, D, panels):
    for H in {panels * tile_width(dtype().itemsize) + rest for rest in (-1, 0, 1)}:
        X, W, b, Z, V = normal(3, dtype, "C", (N, D), (D, H), H, (N, H), (H, D))
        A = np.asfortranarray(reference.relu(Z))
        slack = 0 if COMPILED else 100 * np.finfo(dtype).eps * D
        whole = kernels.affine_forward(X, W, b), kernels.propagate_delta(X, V, A)
        assert_within(whole[0], reference.affine_forward(X, W, b), product_bound(X, W, b))
        for i in (0, 1, N // 2, 255, 256, N - 2, N - 1) if COMPILED else range(N):
            row = slice(i, i + 1)
            for made, alone in zip(whole, (kernels.affine_forward(X[row], W, b),
                                           kernels.propagate_delta(X[row], V, A[row])), strict=True):
                np.testing.assert_allclose(made[row], alone, rtol=0, atol=slack)


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.sizes, draw.sizes)
def test_relu(seed, kind, N, H):
    dtype, layout = kind
    (Z,) = normal(seed, dtype, layout, (N, H))
    np.testing.assert_array_equal(kernels.relu(Z), reference.relu(Z))


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.sizes, draw.sizes)
def test_relu_mask(seed, kind, N, H):
    dtype, layout = kind
    dA, Z = normal(seed, dtype, layout, (N, H), (N, H))
    A = lay_out(reference.relu(Z), layout)
    np.testing.assert_array_equal(kernels.relu_mask(dA, A), reference.relu_mask(dA, A))


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.scales, draw.sizes, draw.class_counts)
def test_softmax(seed, kind, scale, N, C):
    dtype, layout = kind
    (Z,) = normal(seed, dtype, layout, (N, C), scale=scale)
    P = kernels.softmax(Z)
    expected = reference.softmax(Z)
    # exp, its sum over C (relative C u each way, all terms positive) and a division; below the smallest normal
    # number the kernel gives 0, and so may a division that ends there.
    bound = (C + 8) * np.finfo(dtype).eps * expected + 2 * np.finfo(dtype).tiny
    assert_within(P, expected, bound)


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.scales, draw.sizes, draw.class_counts)
def test_softmax_cross_entropy(seed, kind, scale, N, C):
    dtype, layout = kind
    (Z,) = normal(seed, dtype, layout, (N, C), scale=scale)
    y = np.random.RandomState(seed).randint(C, size=N)
    loss, delta = kernels.softmax_cross_entropy(Z, y)
    expected_loss, expected = reference.softmax_cross_entropy(Z, y)
    eps = np.finfo(dtype).eps
    onehot = np.eye(C)[y]
    assert_within(delta, expected, ((C + 8) * eps * (reference.softmax(Z) + onehot) + 2 * np.finfo(dtype).tiny) / N)
    # A sample's loss is log(total) - (Z_y - m): relative (C + 4) eps of total shifts the log by as much, the
    # subtraction rounds what it is given; the mean over N in the dtype adds N eps of itself.
    spread = np.abs(Z.astype(np.float64) - Z.max(axis=1, keepdims=True)).max()
    assert abs(loss - expected_loss) <= (C + 8) * eps + 2 * eps * spread + (N + 2) * eps * abs(expected_loss)


@pytest.mark.parametrize("D", [1, 8, 9, 31, 33, 64, 65, 100, 300])
def test_sum_of_squares_counts_every_row(rng, D):
    W = rng.standard_normal((D, 3))
    assert kernels.sum_of_squares(W) == pytest.approx((W * W).sum(), rel=1e-13)


@pytest.mark.slow
def test_propagate_delta_holds_its_copy_of_activations(rng):
    delta, W, A = rng.standard_normal((4000, 1)), rng.standard_normal((50, 1)), rng.standard_normal((4000, 50))
    expected = reference.propagate_delta(delta, W, A)
    for _ in range(3):
        np.testing.assert_array_equal(kernels.propagate_delta(delta, W, np.asfortranarray(A)), expected)


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.scales, draw.sizes, draw.class_counts, draw.sizes)
def test_propagate_delta(seed, kind, scale, N, C, H):
    dtype, layout = kind
    delta, W, Z = normal(seed, dtype, layout, (N, C), (H, C), (N, H), scale=scale)
    A = lay_out(reference.relu(Z), layout)
    assert_within(kernels.propagate_delta(delta, W, A), reference.propagate_delta(delta, W, A),
                  product_bound(delta, W.T))


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.scales, draw.sizes, draw.sizes, draw.sizes)
def test_weight_gradient(seed, kind, scale, N, D, H):
    dtype, layout = kind
    A, delta = normal(seed, dtype, layout, (N, D), (N, H), scale=scale)
    assert_within(kernels.weight_gradient(A, delta), reference.weight_gradient(A, delta), product_bound(A.T, delta))


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.scales, draw.sizes, draw.sizes)
def test_bias_gradient(seed, kind, scale, N, H):
    dtype, layout = kind
    (delta,) = normal(seed, dtype, layout, (N, H), scale=scale)
    bound = product_bound(np.ones((1, N), dtype), delta)[0]
    assert_within(kernels.bias_gradient(delta), reference.bias_gradient(delta), bound)


@pytest.mark.parametrize(("N", "H"), [(1, 1), (7, 3), (63, 130), (64, 7), (135, 24), (130, 600)])
def test_bias_gradient_adds_row_after_row(rng, N, H):
    delta = rng.standard_normal((N, H))
    half = partition.tile_share_start(1, partition.sample_splits(N), N)
    sums = [rows.cumsum(axis=0)[-1] for rows in (delta[:half], delta[half:]) if len(rows)]
    np.testing.assert_array_equal(kernels.bias_gradient(delta), sum(sums[1:], sums[0]))


@pytest.mark.slow
@given(draw.seeds, draw.kinds, draw.scales, draw.sizes, draw.sizes)
def test_sum_of_squares(seed, kind, scale, N, H):
    dtype, layout = kind
    (W,) = normal(seed, dtype, layout, (N, H), scale=scale)
    expected = reference.sum_of_squares(W)
    assert abs(kernels.sum_of_squares(W) - expected) <= (N * H + 2) * np.finfo(dtype).eps * expected


@given(draw.seeds, draw.dtypes, draw.sizes, draw.sizes)
def test_axpy(seed, dtype, N, H):
    X, Y = normal(seed, dtype, "C", N * H, N * H)
    expected = Y.copy()
    reference.axpy(-0.3, X, expected)
    kernels.axpy(-0.3, X, Y)
    np.testing.assert_array_equal(Y, expected)


@given(draw.seeds, draw.dtypes, draw.sizes)
def test_all_finite(seed, dtype, n):
    (v,) = normal(seed, dtype, "C", n)
    assert kernels.all_finite(v)
    for bad in (np.nan, np.inf, -np.inf):
        v[seed % n] = bad
        with np.errstate(invalid="ignore"):
            assert not kernels.all_finite(v)


# ---- large enough for several threads, and for every block of a long sum ---------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "layout"), KINDS)
def test_parallel_sizes(dtype, layout):
    N, D, H, C = (1003, 517, 203, 1001) if COMPILED else (9, 7, 5, 11)
    X, W, b, delta, V = normal(11, dtype, layout, (N, D), (D, H), H, (N, C), (H, C))
    A = lay_out(kernels.relu(kernels.affine_forward(X, W, b)), layout)
    assert_within(A, reference.relu(reference.affine_forward(X, W, b)), product_bound(X, W, b))
    assert_within(kernels.propagate_delta(delta, V, A), reference.propagate_delta(delta, V, A),
                  product_bound(delta, V.T))
    assert_within(kernels.weight_gradient(X, A), reference.weight_gradient(X, A), product_bound(X.T, A))
    assert_within(kernels.bias_gradient(delta), reference.bias_gradient(delta),
                  product_bound(np.ones((1, N), dtype), delta)[0])
    np.testing.assert_array_equal(kernels.relu_mask(A, A), reference.relu_mask(A, A))
    assert kernels.sum_of_squares(delta) == pytest.approx(reference.sum_of_squares(delta), rel=1e-5)


@pytest.mark.slow
def test_a_field_of_records():
    records = np.zeros((8, 6), "f4,u1")
    records["f0"], records["f1"] = np.arange(48).reshape(8, 6), 7
    A = records["f0"]  # its strides are no multiples of its elements
    W, b = np.ones((6, 3), A.dtype), np.zeros(3, A.dtype)
    np.testing.assert_array_equal(kernels.affine_forward(A, W, b), reference.affine_forward(A, W, b))
    np.testing.assert_array_equal(kernels.weight_gradient(A, A), reference.weight_gradient(A, A))
    np.testing.assert_array_equal(kernels.propagate_delta(A, np.ascontiguousarray(A), np.ones((8, 8), A.dtype)),
                                  A @ A.T)


# ---- extreme logits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", [kernels, reference], ids=["kernels", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(implementation, dtype):
    def loss_of(logits, label):
        loss, delta = implementation.softmax_cross_entropy(np.array([logits], dtype), np.array([label]))
        assert np.isfinite(delta).all()
        return loss

    assert loss_of([1e4, 0, -1e4], 0) == 0
    assert loss_of([1e4, 0, -1e4], 1) == 1e4
    assert loss_of([1e4, 0, -1e4], 2) == 2e4
    assert loss_of([-1e4, -1e4], 1) == pytest.approx(np.log(2), rel=1e-6)
    assert loss_of([7.0] * 5, 3) == pytest.approx(np.log(5), rel=1e-6)
    assert loss_of([3.0], 0) == 0
    largest = np.finfo(dtype).max
    assert loss_of([largest, 0], 0) == 0
    assert loss_of([largest, 0], 1) == float(largest)


# ---- NaN in, NaN out -------------------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("implementation", [kernels, reference], ids=["kernels", "reference"])
def test_nan_stays_nan(implementation, dtype):
    N, D, H = 9, 5, 20
    X, W, b, delta, A = normal(0, dtype, "C", (N, D), (D, H), H, (N, H), (N, D))

    def with_nan(array, *index):
        array = array.copy()
        array[index] = np.nan
        return array

    def nans(array):
        return set(map(tuple, np.argwhere(np.isnan(array)).tolist()))

    row = {(3, j) for j in range(H)}
    assert nans(implementation.affine_forward(with_nan(X, 3, 2), W, b)) == row
    assert nans(implementation.affine_forward(X, with_nan(W, 1, 17), b)) == {(i, 17) for i in range(N)}
    assert nans(implementation.affine_forward(X, W, with_nan(b, 17))) == {(i, 17) for i in range(N)}
    assert nans(implementation.relu(with_nan(delta, 8, 19))) == {(8, 19)}
    assert nans(implementation.relu_mask(with_nan(delta, 8, 19), delta)) == {(8, 19)}
    assert nans(implementation.relu_mask(with_nan(delta, 8, 19), -np.abs(delta))) == {(8, 19)}
    assert nans(implementation.softmax(with_nan(delta, 3, 0))) == row
    assert nans(implementation.softmax(with_nan(delta, 3, 19))) == row
    loss, gradient = implementation.softmax_cross_entropy(with_nan(delta, 3, 4), np.zeros(N, np.int64))
    assert np.isnan(loss)
    assert nans(gradient) == row
    assert nans(implementation.propagate_delta(with_nan(delta, 3, 2), W, A)) == {(3, j) for j in range(D)}
    assert nans(implementation.weight_gradient(with_nan(X, 3, 2), delta)) == {(2, j) for j in range(H)}
    assert nans(implementation.weight_gradient(X, with_nan(delta, 8, 19))) == {(j, 19) for j in range(D)}
    assert nans(implementation.bias_gradient(with_nan(delta, 8, 19))) == {(19,)}
    assert np.isnan(implementation.sum_of_squares(with_nan(W, 1, 19)))


@quiet
def test_infinite_logits_as_in_numpy():
    Z = np.array([[np.inf, 0.0], [-np.inf, 0.0], [-np.inf, -np.inf]])
    np.testing.assert_array_equal(kernels.softmax(Z), reference.softmax(Z))


# ---- what kernels refuse, whoever calls them -------------------------------------------------------------------------

one = np.ones((3, 4))
empty = np.ones((0, 4))


@pytest.mark.parametrize(("name", "args"), [
    ("affine_forward", (empty, np.ones((4, 2)), np.ones(2))),
    ("affine_forward", (one, np.ones((5, 2)), np.ones(2))),
    ("affine_forward", (one, np.ones((4, 2)), np.ones(3))),
    ("affine_forward", (one, np.ones((4, 0)), np.ones(0))),
    ("relu", (empty,)),
    ("relu_mask", (empty, empty)),
    ("relu_mask", (one, np.ones((3, 5)))),
    ("relu_mask", (one, np.ones((2, 4)))),
    ("softmax", (empty,)),
    ("softmax", (np.ones((3, 0)),)),
    ("softmax_cross_entropy", (empty, np.ones(0, np.int64))),
    ("softmax_cross_entropy", (one, np.ones(2, np.int64))),
    ("softmax_cross_entropy", (one, np.array([0, 1, 4]))),
    ("softmax_cross_entropy", (one, np.array([0, -1, 3]))),
    ("softmax_cross_entropy", (one, np.array([0, 2**63 - 1, 3]))),
    ("softmax_cross_entropy", (one, np.array([0, 2**63, 3], np.uint64))),
    ("softmax_cross_entropy", (one, np.array([0, 0.5, 3]))),
    ("propagate_delta", (empty, np.ones((2, 4)), np.ones((0, 2)))),
    ("propagate_delta", (one, np.ones((2, 5)), np.ones((3, 2)))),
    ("propagate_delta", (one, np.ones((2, 4)), np.ones((3, 3)))),
    ("propagate_delta", (one, np.ones((2, 4)), np.ones((2, 2)))),
    ("weight_gradient", (empty, empty)),
    ("weight_gradient", (one, np.ones((2, 2)))),
    ("weight_gradient", (np.ones((3, 0)), one)),
    ("bias_gradient", (empty,)),
    ("sum_of_squares", (empty,)),
    ("sum_of_squares", (np.ones((3, 0)),)),
    ("axpy", (1.0, np.ones(3), np.ones(4))),
])
def test_kernels_guard_themselves(name, args):
    with pytest.raises(ValueError, match=f"^{name}: "):
        getattr(kernels, name)(*args)


def test_kernels_are_parallel_dispatchers():
    names = [name for name in kernels.__all__ if name != "all_finite"]
    assert set(names) <= set(reference.__all__)
    if COMPILED:
        assert all(getattr(kernels, name).targetoptions["parallel"] for name in names)
