"""Minibatches are those of NumPy, and the generator is where NumPy leaves it."""

import numpy as np
import pytest

from fastnet.parallel import team
from fastnet.training.minibatches import draw, minibatches


def state(random):
    return repr(random.get_state(legacy=False) if hasattr(random, "get_state") else random.bit_generator.state)


@pytest.mark.parametrize("samples", [1, 2, 3, 127, 128, 129, 5003, 2**31 + 5, 2**32 - 1, 2**32, 2**32 + 1, 2**40])
@pytest.mark.parametrize("count", [1, 500, 501, 2000])
@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng,
                                  lambda seed: np.random.RandomState(np.random.PCG64(seed))])
def test_draws_and_state_are_those_of_numpy(rng, samples, count, kind):
    seed = rng.randint(2**31)
    ours, theirs = kind(seed), kind(seed)
    for _ in range(2):
        np.testing.assert_array_equal(draw(ours, samples, count), theirs.choice(samples, count), strict=True)
        assert state(ours) == state(theirs)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(("steps", "batch_size"), [(1, 40_000), (15, 4000), (16, 2500), (1001, 33), (5, 7)])
def test_minibatches_are_drawn_one_after_the_other(rng, ahead, steps, batch_size):
    seed = rng.randint(2**31)
    ours, theirs = np.random.RandomState(seed), np.random.RandomState(seed)
    parts = list(minibatches(ours, 5003, batch_size, steps, ahead))
    assert len(parts) == (3 if ahead and steps >= 16 else 1)
    batches = np.concatenate(parts)
    assert batches.shape == (steps, batch_size)
    for batch in batches:
        np.testing.assert_array_equal(batch, theirs.choice(5003, batch_size), strict=True)
    assert state(ours) == state(theirs)


def test_what_is_drawn_ahead_is_drawn_to_its_end(rng):
    seed = rng.randint(2**31)
    ours, theirs = np.random.RandomState(seed), np.random.RandomState(seed)
    parts = minibatches(ours, 5003, 100, 1600, True)
    assert len(next(parts)) == 100
    parts.close()  # as an error in between does
    theirs.choice(5003, 600 * 100)
    assert state(ours) == state(theirs)


def test_only_generators_of_numpy_are_drawn_from_ahead(monkeypatch):
    class Own(np.random.RandomState):
        pass

    monkeypatch.setattr(team.Ahead, "__init__", lambda *_: pytest.fail("a helper was asked"))
    for random in (Own(0), np.random.default_rng(0)):
        assert [len(part) for part in minibatches(random, 5003, 100, 1600, True)] == [1600]


def test_the_global_generator_is_drawn_from(rng):
    before = np.random.get_state()
    try:
        seed = rng.randint(2**31)
        np.random.seed(seed)
        indices = draw(np.random, 5003, 2000)
        following = np.random.randint(2**31)
        np.random.seed(seed)
        np.testing.assert_array_equal(indices, np.random.choice(5003, 2000))
        assert following == np.random.randint(2**31)
    finally:
        np.random.set_state(before)


def test_another_choice_in_the_module_is_asked(monkeypatch):
    monkeypatch.setattr(np.random, "choice", lambda samples, count: np.arange(count, dtype=np.int32) % samples)
    np.testing.assert_array_equal(draw(np.random, 7, 1000), np.arange(1000) % 7, strict=True)


def test_a_subclass_draws_by_its_own_methods():
    class Last(np.random.RandomState):
        def choice(self, samples, count):
            return np.full(count, samples - 1)

    assert (draw(Last(0), 7, 1000) == 6).all()


class Odd(np.random.RandomState):
    """A generator whose choice returns what it has been given."""

    def choice(self, samples, count):
        return self.given


@pytest.mark.parametrize("given", [np.zeros(7, int), np.zeros((5, 1), int), np.zeros(5), np.array(list("abcde"))])
def test_what_a_generator_of_ones_own_returns_is_looked_at(given):
    rng = Odd(0)
    rng.given = given
    with pytest.raises(TypeError, match=r"rng\.choice must return 5 integers"):
        draw(rng, 10, 5)


def test_what_a_generator_of_ones_own_keeps_is_copied():
    rng = Odd(0)
    rng.given = np.arange(5)
    drawn = draw(rng, 10, 5)
    rng.given[:] = 99
    assert drawn.tolist() == [0, 1, 2, 3, 4]


def test_nobody_puts_a_function_in_the_place_of_numpys(monkeypatch):
    np.random.seed(0)
    expected = np.random.choice(1000, 2000)
    np.random.seed(0)
    monkeypatch.setattr(np.random, "randint", lambda *_: np.zeros(10**6, np.uint32))
    np.testing.assert_array_equal(draw(np.random, 1000, 2000), expected)
