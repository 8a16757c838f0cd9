"""JSON of strangers: what is counted before it is parsed is what it then has."""

import json

import pytest

from fastnet.files.parsing import parse_json


def containers(tree):
    """How many lists and objects there are in a tree, and how deep they are."""
    if not isinstance(tree, list | dict):
        return 0, 0
    inside = [containers(part) for part in (tree.values() if isinstance(tree, dict) else tree)]
    return 1 + sum(count for count, _ in inside), 1 + max((depth for _, depth in inside), default=0)


def random_tree(rng, depth):
    kind = rng.randint(7)
    if kind < 2 and depth:
        return [random_tree(rng, depth - 1) for _ in range(rng.randint(4))]
    if kind < 4 and depth:
        return {random_text(rng): random_tree(rng, depth - 1) for _ in range(rng.randint(4))}
    return [0, -1.5e300, True, None, random_text(rng)][rng.randint(5)]


def random_text(rng):
    return "".join(rng.choice(list('ab"\\[]{},: \n\0é日🐝\ud800/u'), rng.randint(12)))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_lists_and_objects_are_counted_as_they_are_parsed(rng, ascii_only):
    for _ in range(500):
        tree = random_tree(rng, 5)
        text = json.dumps(tree, ensure_ascii=ascii_only, indent=[None, 1][rng.randint(2)])
        count, _ = containers(tree)
        assert parse_json(text, count) == tree
        if count:
            with pytest.raises(ValueError, match="lists and objects"):
                parse_json(text, count - 1)


def test_damaged_text_has_no_more_than_was_counted(rng):
    parsed = 0
    for _ in range(2000):
        text = list(json.dumps(random_tree(rng, 4)))
        for _ in range(rng.randint(3)):
            text.insert(rng.randint(len(text) + 1), rng.choice(list('"\\[]{},0')))
        text = "".join(text)
        try:
            tree = json.loads(text)
        except ValueError:
            continue
        parsed += 1
        count, _ = containers(tree)
        if count:
            with pytest.raises(ValueError, match="lists and objects"):
                parse_json(text, count - 1)
    assert parsed > 100


def test_depth():
    for opening, closing in ("[]", ('{"a":', "}")):
        assert containers(parse_json(opening * 15 + "[]" + closing * 15, 100))[1] == 16
        with pytest.raises(ValueError, match="within each other"):
            parse_json(opening * 16 + "[]" + closing * 16, 100)
    with pytest.raises(ValueError, match="within each other"):
        parse_json("[" * 10**6, 10**9)


@pytest.mark.parametrize("text", [b"\xff", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), "", "[1", "]", '"', "\\"])
def test_no_json(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(text, 10)


@pytest.mark.parametrize("part", ['"', '\\"', '"\\', "]", '"a",', "\\", '"[', "{]"])
@pytest.mark.parametrize("start", ["", '"', "["])
def test_long_texts_take_a_linear_time(start, part):
    """The tests would take hours else."""
    text = start + part * 1_000_000
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(text, 10)
