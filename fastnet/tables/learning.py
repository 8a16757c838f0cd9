"""What the columns of a table are: numbers, categories or booleans; and what a user should be told of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files.models import check_text
from .columns import Columns, column_names
from .values import MISSING, as_array, is_missing, number_of, numbers, texts

__all__ = ["Target", "class_target", "learn", "number_target", "stratified"]

MOST_CATEGORIES = 255
"""Categories of a column that become inputs of the network: the most frequent ones."""
FEW = 20
"""So many different values are no sign of an identifier, or of a number."""

_IDENTIFIER = re.compile(r"(?i)(^|[ _.-])(id|ids|uuid|guid|index|idx|key|row|rownum|nr|no)$|^unnamed: 0$")


_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")


class Target(NamedTuple):
    """What is to be predicted."""

    values: NDArray[Any]
    """The place of its class for each sample, or a number: int64 or float64, (N,)."""
    classes: NDArray[Any] | None
    """Names of the classes, sorted: int64 or strings; None for regression."""
    known: NDArray[np.bool_]
    """For each row of the table whether it says what is to be predicted; only such rows count in `values`."""


def learn(frame: Any, drop: Collection[str] = (), categories: Collection[str] = ()) -> tuple[Columns, list[str]]:
    """Return the columns of a data frame that a network can learn from, and notices for the user.

    Nothing is filled in or scaled yet: see `Columns.filled_from` and `Columns.standardized_from`.

    Parameters
    ----------
    frame : data frame
    drop : collection of str
        Columns to leave out.
    categories : collection of str
        Columns that hold categories, whatever they look like.

    Raises
    ------
    ValueError
        If there is no column to learn from; if a column is mostly of numbers, and holds something else; if `drop` or
        `categories` name a column that is not there.
    """
    names = column_names(frame)
    for option, wanted in (("--drop", drop), ("--category", categories)):
        for name in wanted:
            if name not in names:
                raise ValueError(f"there is no column {name!r} for {option} (the columns are "
                                 f"{', '.join(map(repr, names[:8]))}{' ...' if len(names) > 8 else ''})")
    kept: list[str] = []
    booleans: list[int] = []
    known: dict[int, tuple[str, ...]] = {}
    notices: list[str] = []
    for key, name in zip(list(frame.columns), names, strict=True):
        if name in drop:
            continue
        column = as_array(frame[key])
        kind = "category" if name in categories else _kind(column, name)
        if kind == "number":
            notices += _numbers_notices(column, name)
        elif kind == "boolean":
            booleans.append(len(kept))
        elif kind == "category":
            found, more = _categories(column, name, name in categories)
            notices += more
            if found is None:
                continue
            known[len(kept)] = found
        else:
            notices.append(f"column {name!r} {kind}: it is left out")
            continue
        kept.append(name)
    if not kept:
        raise ValueError("there is no column to learn from" + "".join(f"; {notice}" for notice in notices))
    width = len(kept) + sum(len(found) - 1 for found in known.values())
    return Columns(len(kept), tuple(kept), tuple(booleans), known, np.zeros(len(kept)), np.zeros(width),
                   np.ones(width)), notices


def _kind(column: NDArray[Any], name: str) -> str:
    """What a column holds: "number", "boolean", "category"; else why it cannot be used."""
    if column.dtype.kind == "b":
        return "boolean"
    if column.dtype.kind in "iuf":
        return "number" if not np.isnan(column.astype(np.float64)).all() else "has no value in any row"
    if column.dtype.kind in "mM":
        return "holds times, which are neither numbers nor categories (make numbers of them if they matter)"
    values = [value for value in column.tolist() if not is_missing(value)]
    if not values:
        return "has no value in any row"
    if all(isinstance(value, bool | np.bool_) for value in values):
        return "boolean"
    if not all(isinstance(value, str | bytes | bool | int | float | np.generic) or hasattr(value, "__float__")
               for value in values):
        kind = next(type(value).__name__ for value in values if not hasattr(value, "__float__")
                    and not isinstance(value, str | bytes))
        return f"holds values of the type {kind}, which are neither numbers nor categories"
    # A column of text that is nearly all numbers is one of numbers with a fault, or with a mark that is not known.
    wrong = None
    for row, value in enumerate(column.tolist()):
        try:
            number_of(value)
        except (TypeError, ValueError, OverflowError):
            wrong = (row, value) if wrong is None else wrong
    if wrong is None:
        return "number"
    right = sum(_is_number(value) for value in values)
    if right > len(values) / 2:
        raise ValueError(f"column {name!r}, row {wrong[0] + 1}: {str(wrong[1])[:40]!r} is not a number, and "
                         f"{right} of {len(values)} values are; if it stands for a missing value, say --missing "
                         f"{str(wrong[1])[:40]!r}, and if the column holds categories, --category {name!r}")
    if sum(bool(_DECIMAL_COMMA.fullmatch(str(value))) for value in values) > len(values) / 2:
        raise ValueError(f"column {name!r}: {str(values[0])[:40]!r} has a decimal comma; say --decimal ,")
    return "category"


def _is_number(value: Any) -> bool:
    try:
        number_of(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _numbers_notices(column: NDArray[Any], name: str) -> list[str]:
    values = numbers(column, repr(name))
    if len(values) <= FEW or np.isnan(values).any() or (values != np.rint(values)).any():
        return []
    if len(np.unique(values)) < len(values):
        return []
    in_a_row = values.max() - values.min() == len(values) - 1
    if not in_a_row and not _IDENTIFIER.search(name):
        return []
    return [f"column {name!r} looks like an identifier (each row has a whole number of its own): if it is one, leave "
            f"it out with --drop {name!r}"]


def _categories(column: NDArray[Any], name: str, forced: bool) -> tuple[tuple[str, ...] | None, list[str]]:
    """The categories of a column, or None if it holds too many to be any, and notices."""
    counts = Counter(texts(column))
    missing = counts.pop(MISSING, 0)
    rows = sum(counts.values())
    if not forced and len(counts) > max(FEW, rows / 2):
        return None, [f"column {name!r} holds text that is different in nearly every row ({len(counts)} values in "
                      f"{rows} rows), an identifier or remarks: it is left out"]
    notices = []
    kept = list(counts)
    if len(counts) > MOST_CATEGORIES:
        kept = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_CATEGORIES]
        notices.append(f"column {name!r} has {len(counts)} categories: the {MOST_CATEGORIES} most frequent count, all "
                       f"others are as unknown")
    return tuple(sorted([*kept, *([MISSING] if missing else [])])), notices


# What is to be predicted


def class_target(column: Any, name: str) -> tuple[Target, list[str]]:
    """Return the classes that a column of labels holds, and notices for the user.

    Raises
    ------
    ValueError
        If these are no classes: fractions, or nearly all different; or if there are fewer than two.
    """
    labels = texts(column)
    known = np.array([label != MISSING for label in labels], bool)
    labels = [label for label in labels if label != MISSING]
    names: list[Any] = sorted(set(labels))
    numeric = bool(names) and all(map(_is_number, names))
    hint = f"--target {name!r} is for numbers"
    if numeric and not all(float(label).is_integer() for label in names):
        raise ValueError(f"the label {name!r} holds fractions, which are no classes; {hint}")
    if len(names) > max(FEW, len(labels) / 2):
        raise ValueError(f"the label {name!r} is different in nearly every row ({len(names)} values in {len(labels)} "
                         f"rows), so these are no classes" + (f"; {hint}" if numeric else ""))
    if len(names) < 2:
        raise ValueError(f"every sample has the label {names[0]}; at least two classes are needed" if names
                         else f"the label {name!r} has no value in any row")
    check_text(names, "the column of the labels")
    notices = []
    if numeric and len(names) > max(FEW, len(labels) / 10):
        notices.append(f"the label {name!r} has {len(names)} classes that are all numbers: if it is a quantity, {hint}")
    if not known.all():
        notices.append(f"{len(known) - len(labels)} rows have no label: they are left out")
    if all(map(_is_plain_integer, names)):  # so that 10 comes after 9
        names.sort(key=int)
        classes = np.array([int(name) for name in names], np.int64)
    else:
        classes = np.array(names)
    index = {text: place for place, text in enumerate(names)}
    return Target(np.array([index[label] for label in labels], np.int64), classes, known), notices


def number_target(column: Any, name: str) -> tuple[Target, list[str]]:
    """Return the numbers that a column holds, and notices for the user.

    Raises
    ------
    ValueError
        If a value is no finite number, or all are the same.
    """
    array = as_array(column)
    if array.dtype.kind == "O" and any(_DECIMAL_COMMA.fullmatch(str(value)) for value in array[:FEW].tolist()):
        raise ValueError(f"the target {name!r} has a decimal comma; say --decimal ,")
    values = numbers(column, repr(name))
    known = ~np.isnan(values)
    if not known.any():
        raise ValueError(f"the target {name!r} has no value in any row")
    values = values[known]
    if values.min() == values.max():
        raise ValueError(f"the target {name!r} is {values[0]:g} in every row")
    notices = []
    if not known.all():
        notices.append(f"{int((~known).sum())} rows have no target: they are left out")
    return Target(values, None, known), notices


def _is_plain_integer(text: str) -> bool:
    """Whether `text` is an int64 and comes back the same from it, as 007 would not."""
    try:
        return len(text) <= 20 and str(int(text)) == text and -2**63 <= int(text) < 2**63
    except ValueError:
        return False


def stratified(groups: Sequence[int] | NDArray[Any], fraction: float,
               rng: np.random.RandomState) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the samples to train with, and of those to hold back: of each group about as large a share.

    Of a group of one sample that one is trained with.

    Parameters
    ----------
    groups : sequence of int (N,)
        The class of each sample, or 0 for all.
    fraction : float
        Share of the samples to hold back; at least one is.
    rng : numpy.random.RandomState
    """
    groups = np.asarray(groups)
    order = rng.permutation(len(groups))
    wanted = max(1, round(fraction * len(groups)))
    together = order[np.argsort(groups[order], kind="stable")]
    members = np.split(together, np.flatnonzero(np.diff(groups[together])) + 1)
    most = [len(part) - 1 for part in members]
    exact = [fraction * len(part) for part in members]
    counts = [min(int(share), limit) for share, limit in zip(exact, most, strict=True)]
    # What rounding down leaves goes to those who lost the most by it.
    for place in sorted(range(len(members)), key=lambda place: counts[place] - exact[place]):
        if sum(counts) < wanted and counts[place] < most[place]:
            counts[place] += 1
    held = np.concatenate([part[:count] for part, count in zip(members, counts, strict=True)])
    mask = np.zeros(len(groups), bool)
    mask[held] = True
    return order[~mask[order]], order[mask[order]]
