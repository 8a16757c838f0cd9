import json

import numpy as np
import pandas as pd
import pytest

from fastnet.files.containers import Contents
from fastnet.tables.columns import Columns, column_names

FRAME = pd.DataFrame({"a": [1.0, 3.0, None, 5.0], "b": ["x", None, "y", "x"], "c": [True, True, None, False]})


def columns():
    plain = Columns(3, ("a", "b", "c"), (2,), {1: ("", "x", "y")}, np.zeros(3), np.zeros(5), np.ones(5))
    return plain.filled_from(FRAME).standardized_from(FRAME)


def test_what_the_network_sees():
    known = columns()
    assert known.width == 5
    assert known.fill.tolist() == [3, 0, 1]
    filled = np.array([1.0, 3.0, 3.0, 5.0])
    assert np.allclose(known.transform(FRAME), np.column_stack([
        (filled - filled.mean()) / filled.std(), [0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0], [1, 1, 1, 0]]))


def test_columns_are_found_by_name_and_categories_that_are_new_are_told():
    known = columns()
    other = FRAME[["c", "b", "a"]].assign(more="q", b=["x", "new", "y", None])
    seen = known.transform(other)
    assert seen[1, 1:4].tolist() == [0, 0, 0]
    assert seen[3, 1:4].tolist() == [1, 0, 0]
    assert known.unknown(other) == {"'b'": ["new"]}
    assert known.unknown(FRAME) == {}
    assert (known.transform(FRAME.to_numpy()) == known.transform(FRAME)).all()
    assert (known.transform(FRAME.astype(object)) == known.transform(FRAME)).all()
    text = FRAME.map(lambda value: "" if pd.isna(value) else str(value))  # as a reader of text gives it
    assert (known.transform(text) == known.transform(FRAME)).all()


def test_a_constant_is_shifted_only():
    numbers = Columns.of_numbers(2).standardized_from(np.array([[0.1, 1], [0.1, 3]]))
    assert numbers.scale.tolist() == [1, 1]
    assert numbers.transform(np.array([[0.1, 3]])).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="too large to standardize"):
        Columns.of_numbers(1).standardized_from(np.array([[1e308], [-1e308]]))


def test_arrays_of_numbers():
    numbers = Columns.of_numbers(4)
    assert numbers.transform(np.arange(8).reshape(2, 2, 2)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    missing = np.array([[1.0, 2, 3, 4], [1, np.nan, 3, 4]])
    for X in (missing, pd.DataFrame(missing)):
        with pytest.raises(ValueError, match="column 1, row 2: there is no value"):
            numbers.transform(X)
    assert numbers.filled_from(missing).transform(missing).tolist() == [[1, 2, 3, 4], [1, 2, 3, 4]]
    frame = pd.DataFrame(np.arange(8.0).reshape(2, 4))
    assert (numbers.transform(frame) == frame.to_numpy()).all()


@pytest.mark.parametrize(("X", "message"), [
    (FRAME[["a", "b"]], "the model needs 'c', and there is no such column"),
    (FRAME.iloc[:0], "at least one sample"),
    (FRAME.assign(a=["1", "q", "2", "3"]), "column 'a', row 2: 'q' is not a number"),
    (FRAME.assign(c=[1, 0, 2, 0]), "column 'c', row 3: '2' is neither"),
    (FRAME.rename(columns={"b": "a"}), "'a' as the name of two columns"),
    (np.ones((2, 4)), "must have the 3 features that the model was trained on \\(a, b, c\\), got 4"),
    (np.ones(3), "a single sample"), (np.ones((0, 3)), "at least one sample"), (3, "a row for each sample"),
])
def test_faults_say_where(X, message):
    with pytest.raises(ValueError, match=message):
        columns().transform(X)


def test_other_faults():
    with pytest.raises(ValueError, match=r"column 1, row 2: inf is not a finite number"):
        Columns.of_numbers(2).transform(np.array([[1, 2], [3, np.inf]]))
    with pytest.raises(TypeError, match="numbers or text, got the dtype complex128"):
        Columns.of_numbers(1).transform(np.ones((1, 1), complex))
    assert column_names(FRAME) == ["a", "b", "c"]


# In files


def restored(fields, arrays):
    return Columns.restored(Contents("table model", json.loads(json.dumps(fields)), arrays))


def test_comes_back_the_same():
    for known in (columns(), Columns.of_numbers(3)):
        again = restored(*known.described())
        assert (again.count, again.names, again.booleans, again.categories) == (
            known.count, known.names, known.booleans, known.categories)
        assert all(np.array_equal(getattr(again, name), getattr(known, name), equal_nan=True)
                   for name in Columns.ARRAYS)


@pytest.mark.parametrize(("change", "message"), [
    ({"columns": ["a", "b"]}, "2 names for 3 columns"), ({"columns": ["a", "b", "b"]}, "two columns have one name"),
    ({"columns": ["a", "b", 3]}, "strings"), ({"columns": "abc"}, "list"), ({"columns": ["a", "b", "c\0"]}, "NUL"),
    ({"columns": ["a", "b", "\ud800"]}, "Unicode"),
    ({"booleans": [3]}, "from 0 to 2"), ({"booleans": [1]}, "different columns"), ({"booleans": [2.0]}, "integers"),
    ({"booleans": [True]}, "integers"), ({"booleans": None}, "list"), ({"categorical": [-1]}, "integers"),
    ({"categorical": [1, 1]}, "agree"), ({"category_counts": [2]}, "agree"), ({"category_counts": [2**40]}, "integers"),
    ({"category_counts": [0]}, "integers"), ({"categories": ["", "y", "x"]}, "sorted"),
    ({"categories": ["x", "x", "y"]}, "sorted"), ({"categories": ["a", "x\0", "y"]}, "NUL"),
    ({"categories": [1, 2, 3]}, "strings"),
    ({"fill": np.zeros(2)}, "2 columns|width|names"), ({"fill": np.zeros((3, 1))}, "fill"),
    ({"fill": np.zeros(3, np.float32)}, "fill"), ({"fill": np.full(3, np.inf)}, "fill"),
    ({"mean": np.zeros(4)}, "mean"), ({"scale": np.zeros(5)}, "scale must be above 0"),
    ({"scale": np.full(5, np.inf)}, "scale"),
])
def test_descriptions_of_no_columns(change, message):
    fields, arrays = columns().described()
    for name, value in change.items():
        (arrays if name in arrays else fields)[name] = value
    with pytest.raises(ValueError, match=message):
        restored(fields, arrays)
