import numpy as np
import pandas as pd
import pytest

from fastnet.tables.learning import MOST_CATEGORIES, class_target, learn, number_target, stratified


def frame(rows=60, **columns):
    return pd.DataFrame({"a": np.arange(rows) % 7 / 2, **columns})


def test_kinds_of_columns():
    columns, notices = learn(frame(
        integers=np.arange(60) % 5, text=["x", "y", None] * 20, flag=[True, False] * 30,
        maybe=pd.Series([True, False, None] * 20, dtype=object), category=pd.Categorical(["u", "v"] * 30),
        digits=["1", "2.5", ""] * 20, nullable=pd.array([1, 2, None] * 20, "Int64")))
    assert columns.names == ("a", "integers", "text", "flag", "maybe", "category", "digits", "nullable")
    assert columns.booleans == (3, 4)
    assert columns.categories == {2: ("", "x", "y"), 5: ("u", "v")}
    assert notices == []


def test_what_is_left_out_is_told():
    columns, notices = learn(frame(empty=[None] * 60, nan=[np.nan] * 60, when=pd.Timestamp("2024-01-01"),
                                   remark=[f"r{number}" for number in range(60)], lists=[[1]] * 60), drop=["a"],
                             categories=["remark"])
    assert columns.names == ("remark",)
    assert [notice.split("'")[1] for notice in notices] == ["empty", "nan", "when", "lists"]
    columns, notices = learn(frame(remark=[f"r{number}" for number in range(60)]))
    assert columns.names == ("a",)
    assert "different in nearly every row (60 values in 60 rows)" in notices[0]


@pytest.mark.parametrize(("name", "values", "told"), [
    ("row", np.arange(60) + 7, True), ("x", np.arange(60)[::-1], True), ("user_id", np.arange(60) * 3, True),
    ("Unnamed: 0", np.arange(60), True), ("width", np.arange(60) * 3, False), ("id", np.arange(60) // 2, False),
    ("id", np.arange(60) / 2, False),
])
def test_identifiers_are_noticed(name, values, told):
    columns, notices = learn(pd.DataFrame({name: values}))
    assert columns.names == (name,)
    assert [f"--drop {name!r}" in notice for notice in notices] == [True] * told


def test_many_categories():
    texts = [f"c{number % 400:03}" for number in range(2000)] + ["c399"] * 10
    columns, notices = learn(pd.DataFrame({"t": texts}))
    assert len(columns.categories[0]) == MOST_CATEGORIES
    assert "c399" in columns.categories[0]
    assert "has 400 categories" in notices[0]


@pytest.mark.parametrize(("data", "options", "message"), [
    (frame(b=["1", "2", "q"] * 20), {}, "column 'b', row 3: 'q' is not a number.*--missing 'q'.*--category 'b'"),
    (frame(b=["1,5", "2,5", "3"] * 20), {}, "has a decimal comma; say --decimal ,"),
    (frame(), {"drop": ["q"]}, r"no column 'q' for --drop \(the columns are 'a'\)"),
    (frame(), {"categories": ["q"]}, "no column 'q' for --category"),
    (frame(), {"drop": ["a"]}, "no column to learn from"),
    (pd.DataFrame({"a": [None] * 3}), {}, "no column to learn from; column 'a' has no value"),
])
def test_faults(data, options, message):
    with pytest.raises(ValueError, match=message):
        learn(data, **options)
    if "b" in data:
        assert learn(data, categories=["b"])[0].categories[1] == tuple(sorted(set(data["b"])))


def test_infinite_numbers():
    with pytest.raises(ValueError, match="column 'b', row 1: inf is not a finite number"):
        learn(frame(b=[np.inf] + [1.0] * 59))


# What is to be predicted


@pytest.mark.parametrize(("labels", "classes"), [
    (["10", "9", "-1"], [-1, 9, 10]), (["10", "9", "09"], ["09", "10", "9"]), (["yes", " no"], ["no", "yes"]),
    ([True, False], ["False", "True"]), ([1.0, 3.0], [1, 3]), (["NA", "b"], ["NA", "b"]),
])
def test_classes(labels, classes):
    target, notices = class_target(pd.Series(labels * 20), "t")
    assert target.classes.tolist() == classes
    assert [str(target.classes[place]) for place in target.values[:len(labels)]] == [
        str(label).strip().removesuffix(".0") for label in labels]
    assert notices == []


def test_rows_without_truth_are_left_out():
    target, notices = class_target(pd.Series(["a", None, "b"] * 10), "t")
    assert target.known.tolist() == [True, False, True] * 10
    assert len(target.values) == 20
    assert notices == ["10 rows have no label: they are left out"]
    target, notices = number_target(pd.Series([1.5, None, 2]), "t")
    assert target.values.tolist() == [1.5, 2]
    assert target.classes is None
    assert notices == ["1 rows have no target: they are left out"]


@pytest.mark.parametrize(("column", "message"), [
    (np.linspace(0, 1, 60), "'t' holds fractions, which are no classes; --target 't'"),
    (np.arange(60), "different in nearly every row.*--target 't'"),
    ([f"n{number}" for number in range(60)], "different in nearly every row .*so these are no"),
    (["a"] * 60, "every sample has the label a; at least two"), ([None] * 60, "no value in any row"),
    (["a\0", "b"] * 30, "NUL"),
])
def test_what_is_no_class(column, message):
    with pytest.raises(ValueError, match=message):
        class_target(pd.Series(column), "t")


def test_a_quantity_among_the_labels_is_noticed():
    _, notices = class_target(pd.Series(np.arange(100) % 40), "t")
    assert "40 classes that are all numbers" in notices[0]


@pytest.mark.parametrize(("column", "message"), [
    (["1", "q"], "column 't', row 2: 'q' is not a number"), (["1,5", "2"], "decimal comma"),
    ([None, None], "no value"), ([3, 3.0], "is 3 in every row"),
])
def test_what_is_no_number(column, message):
    with pytest.raises(ValueError, match=message):
        number_target(pd.Series(column, dtype=object), "t")


def test_stratified(rng):
    for _ in range(50):
        groups = rng.randint(rng.randint(1, 8), size=rng.randint(2, 200))
        fraction = rng.uniform(0.02, 0.6)
        used, held = stratified(groups, fraction, np.random.RandomState(3))
        assert sorted([*used, *held]) == list(range(len(groups)))
        for group in np.unique(groups):
            size, share = (groups == group).sum(), (groups[held] == group).sum()
            assert share < size
            assert abs(share - fraction * size) <= 1
        again = stratified(groups, fraction, np.random.RandomState(3))
        assert all((ours == theirs).all() for ours, theirs in zip(again, (used, held), strict=True))
    used, held = stratified([0] * 10 + [1], 0.2, np.random.RandomState(0))
    assert 10 in used
    assert len(held) == 2
