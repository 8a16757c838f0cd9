"""States of random generators from files: what comes back draws the same, and what never would draw is refused."""

import copy
import json

import numpy as np
import pytest

from fastnet.files import random_state

NAMES = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"]
wraps = pytest.mark.parametrize("wrap", [np.random.Generator, np.random.RandomState])


def make(name, wrap, seed=5):
    return wrap(getattr(np.random, name)(seed))


def draw(rng):
    """Numbers of every kind that is drawn by trial and error, too."""
    return [rng.standard_normal(3).tolist(), rng.permutation(7).tolist(), rng.choice(5, 3).tolist(),
            rng.uniform(size=2).tolist()]


@wraps
@pytest.mark.parametrize("name", NAMES)
def test_what_comes_back_draws_the_same(name, wrap):
    rng, other = make(name, wrap), make(name, wrap, 6)
    for _ in range(5):
        stored = json.loads(json.dumps(random_state.state_of(rng)))
        before = json.dumps(random_state.state_of(other))
        state = random_state.restored_state(stored, other)
        assert json.dumps(random_state.state_of(other)) == before
        random_state.set_state(other, state)
        assert json.dumps(random_state.state_of(other)) == json.dumps(stored)
        assert draw(other) == draw(rng)
        rng.standard_normal()  # one of a pair is kept, and half of 64 bits
        rng.integers(9) if wrap is np.random.Generator else rng.randint(9)


def forged(name, wrap, **changes):
    """The state of a generator with other numbers in it, wherever they are."""
    stored = json.loads(json.dumps(random_state.state_of(make(name, wrap))))
    for key, value in changes.items():
        part = stored["state"]["state"] if key in stored["state"]["state"] else stored["state"]
        assert key in part
        part[key] = value
    return stored


@wraps
@pytest.mark.parametrize(("name", "changes", "message"), [
    ("PCG64", {"state": 0, "inc": 0}, "even increment"),
    ("PCG64", {"inc": 2**128 - 2}, "even increment"),
    ("PCG64DXSM", {"state": 0, "inc": 0}, "even increment"),
    ("PCG64DXSM", {"inc": 4}, "even increment"),
    ("PCG64", {"inc": 2**128 + 1}, "NumPy takes"),
    ("PCG64", {"state": 2**128}, "NumPy takes"),
    ("PCG64", {"state": -1}, "built"),
    ("PCG64", {"state": 1.0}, "built"),
    ("PCG64", {"has_uint32": 2}, "from 0 to"),
    ("PCG64DXSM", {"uinteger": 2**32}, "NumPy takes"),
    ("MT19937", {"key": [0] * 624}, "all zeros"),
    ("MT19937", {"key": [2**31 - 1] + [0] * 623}, "all zeros"),
    ("MT19937", {"key": [1] * 623}, "built"),
    ("MT19937", {"key": [2**32] * 624}, "NumPy takes"),
    ("MT19937", {"pos": 625}, "from 0 to"),
    ("MT19937", {"pos": -1}, "built"),
    ("Philox", {"buffer_pos": 5}, "from 0 to"),
    ("Philox", {"buffer_pos": -1}, "built"),
    ("Philox", {"buffer_pos": 2**33}, "from 0 to"),
    ("Philox", {"buffer": [0, 0, 0, 2**64]}, "NumPy takes"),
    ("SFC64", {"has_uint32": 2**40}, "from 0 to"),
    ("SFC64", {"state": [0, 0, 0, -1]}, "built"),
    ("SFC64", {"bit_generator": "PCG64"}, "NumPy takes"),
])
def test_states_that_no_generator_is_ever_in(name, wrap, changes, message):
    with pytest.raises(ValueError, match=message):
        random_state.restored_state(forged(name, wrap, **changes), make(name, wrap))


@pytest.mark.parametrize("changes", [{"has_gauss": 2}, {"gauss": float("nan")}, {"gauss": float("inf")}])
def test_half_of_a_pair_that_was_never_drawn(changes):
    with pytest.raises(ValueError, match=r"from 0 to|finite"):
        random_state.restored_state(forged("MT19937", np.random.RandomState, **changes), np.random.RandomState(0))


@wraps
@pytest.mark.parametrize(("name", "changes"), [
    ("PCG64", {"state": 0, "inc": 1}), ("PCG64DXSM", {"state": 0, "inc": 2**128 - 1}),
    ("MT19937", {"key": [2**31] + [0] * 623}), ("MT19937", {"key": [0] * 623 + [1], "pos": 0}),
    ("Philox", {"counter": [0] * 4, "key": [0] * 2, "buffer": [0] * 4, "buffer_pos": 0}), ("SFC64", {"state": [0] * 4}),
])
def test_the_worst_states_that_are_taken_draw(name, wrap, changes):
    rng = make(name, wrap)
    random_state.set_state(rng, random_state.restored_state(forged(name, wrap, **changes), rng))
    assert np.unique(rng.standard_normal(200_000)).size > 10_000  # few bits take long to become many
    draw(rng)


def test_any_state_that_is_taken_draws(rng):
    """States with random numbers in random places."""
    taken = 0
    for _ in range(300):
        name, wrap = NAMES[rng.randint(5)], [np.random.Generator, np.random.RandomState][rng.randint(2)]
        stored = json.loads(json.dumps(random_state.state_of(make(name, wrap))))
        for part in (stored["state"]["state"], stored["state"]):
            for key in [key for key in part if isinstance(part[key], int | list) and rng.randint(2)]:
                value = int(rng.choice([0, 1, 2, 4, 624, 2**32 - 1]))
                part[key] = [value] * len(part[key]) if isinstance(part[key], list) else value
        other = make(name, wrap)
        try:
            state = random_state.restored_state(copy.deepcopy(stored), other)
        except ValueError:
            continue
        taken += 1
        random_state.set_state(other, state)
        draw(other)
    assert taken > 20
