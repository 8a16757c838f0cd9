import math

import numpy as np
import pandas as pd
import pytest

from fastnet.tables.values import is_missing, numbers, text_of, texts, truths


@pytest.mark.parametrize("value", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, "", "  "])
def test_missing(value):
    assert is_missing(value)
    assert text_of(value) == ""


@pytest.mark.parametrize(("value", "text"), [
    (3, "3"), (3.0, "3"), (np.int8(3), "3"), (2.5, "2.5"), (True, "True"), (" a ", "a"), ("007", "007"), (b"x", "x"),
])
def test_text_of(value, text):
    assert not is_missing(value)
    assert text_of(value) == text


@pytest.mark.parametrize("column", [
    [1, 2.5, None], ["1", " 2.5 ", ""], np.array([1, 2.5, np.nan], np.float32), pd.Series(["1", "2.5", None]),
    pd.Series([1, 2.5, None]), pd.array([1, 2.5, None], "Float64"), pd.Series([1, 2.5, None], dtype=object),
])
def test_numbers(column):
    assert str(numbers(column, "'a'").tolist()) == "[1.0, 2.5, nan]"


def test_numbers_of_integers_with_one_missing():
    assert str(numbers(pd.Series([1, None], dtype="Int64"), "'a'").tolist()) == "[1.0, nan]"


@pytest.mark.parametrize(("column", "message"), [
    (["1", "q"], "column 'a', row 2: 'q' is not a number"), (["1_000"], "row 1: '1_000'"),
    ([1.0, math.inf], "row 2: inf is not a finite number"), (["-inf"], "row 1: -inf"), ([[1], 2], "row 1: "),
    ([10**400], "row 1: "),
])
def test_what_is_no_number(column, message):
    array = np.empty(len(column), object)
    array[:] = column
    with pytest.raises(ValueError, match=message):
        numbers(array, "'a'")


def test_truths():
    for column in ([True, False, None], ["True", "false", ""], [1, 0, None], pd.Series([True, False, None]),
                   pd.array([True, False, None], "boolean")):
        assert str(truths(column, "'a'").tolist()) == "[1.0, 0.0, nan]"
    assert truths([True, False], "'a'").tolist() == [1, 0]
    with pytest.raises(ValueError, match="column 'a', row 2: 'maybe' is neither true nor false"):
        truths(["True", "maybe"], "'a'")


def test_texts_keep_apart_what_python_takes_for_one_key():
    column = np.array([1, 1.0, True, "1", None, np.nan], object)
    assert texts(column) == ["1", "1", "True", "1", "", ""]
    assert texts(pd.Series(["a", "b", "a"], dtype="category")) == ["a", "b", "a"]
