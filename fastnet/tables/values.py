"""The values of one column of a table, wherever it comes from: as numbers, as text, and which are missing.

A column is an array, or what becomes one: a column of pandas, of any of its dtypes, among others.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING", "as_array", "is_missing", "not_finite", "number_of", "numbers", "text_of", "texts", "truths"]

MISSING = ""
"""The text of a missing value."""

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_TRUTHS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0}


def as_array(column: Any) -> NDArray[Any]:
    """Return a column as an array: numbers and booleans as they are, all else as objects."""
    array = np.asarray(column)
    return array if array.dtype.kind in "biufmM" else array.astype(object)


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT, pandas' NA or blank text."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float | np.floating) and math.isnan(value)


def text_of(value: Any) -> str:
    """Return the text by which a value is known as a category or a class; "" for what is missing.

    A whole number is the same as integer and as float: with one value missing, pandas makes floats of integers.
    """
    if is_missing(value):
        return MISSING
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 2**53:
        return str(int(value))
    return str(value).strip()


def texts(column: Any) -> list[str]:
    """Return the text of each value of a column."""
    values = as_array(column).tolist()
    known: dict[str, str] = {}  # most values of a column are the same few; 1, 1.0 and True are one key, and not here
    result = []
    for value in values:
        if isinstance(value, str):
            text = known.get(value)
            if text is None:
                text = known[value] = text_of(value)
        else:
            text = text_of(value)
        result.append(text)
    return result


def number_of(value: Any) -> float:
    """Return a value as a number, NaN where it is missing; raise ValueError if it is none."""
    if is_missing(value):
        return math.nan
    if isinstance(value, str) and not _NUMBER.fullmatch(value) and value.strip().lower().lstrip("+-") not in (
            "inf", "infinity"):
        raise ValueError(value)  # Python reads 1_000 as a number, and nobody else does
    return float(value)


def numbers(column: Any, name: str) -> NDArray[np.float64]:
    """Return a column as float64, NaN where a value is missing.

    Raises
    ------
    ValueError
        If a value is no number, or infinite: with the name of the column, and the row, counted from 1.
    """
    array = as_array(column)
    if array.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            result = array.astype(np.float64)
    else:
        result = np.empty(len(array))
        for row, value in enumerate(array.tolist()):
            try:
                result[row] = number_of(value)
            except (TypeError, ValueError, OverflowError):
                raise ValueError(f"column {name}, row {row + 1}: {str(value)[:40]!r} is not a number") from None
    infinite = np.isinf(result)
    if infinite.any():
        row = int(infinite.argmax())
        raise not_finite(name, row, result[row])
    return result


def not_finite(name: str, row: int, value: float) -> ValueError:
    """Return the error that says where an infinite number is."""
    return ValueError(f"column {name}, row {row + 1}: {value} is not a finite number")


def truths(column: Any, name: str) -> NDArray[np.float64]:
    """Return a column of booleans as 0, 1 and, where a value is missing, NaN.

    Raises
    ------
    ValueError
        If a value is neither; the message says where.
    """
    array = as_array(column)
    if array.dtype.kind == "b":
        return array.astype(np.float64)
    result = np.empty(len(array))
    for row, value in enumerate(array.tolist()):
        text = text_of(value).lower()
        if text and text not in _TRUTHS:
            raise ValueError(f"column {name}, row {row + 1}: {str(value)[:40]!r} is neither true nor false")
        result[row] = _TRUTHS[text] if text else math.nan
    return result
