"""Read the data files that users give to the command line: .csv with a header, and .npz with X and y.

Every fault is a ValueError that names the file and, in a .csv, the line and the column.
"""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ...files.models import check_text
from ...files.npz import read_npz

__all__ = ["DEFAULT_LABEL", "Table", "cast", "read_features", "read_labelled_npz", "read_table"]

Array = np.ndarray[Any, Any]

DEFAULT_LABEL = "label"
"""Column of the labels in a .csv where the user names none."""


class Table(NamedTuple):
    """Samples with their labels."""

    X: Array
    """Features, float64 (N, D), all finite."""
    y: Array
    """Class of each sample, an index into `classes`: int64 (N,)."""
    classes: Array
    """Names of the classes, sorted: int64 or strings (C,)."""
    features: Array | None
    """Names of the features, strings (D,), where the file has them."""


def read_table(path: str | os.PathLike[str], label: str | None = None) -> Table:
    """Read samples with their labels.

    Parameters
    ----------
    path : path
        A .csv or an .npz file.
    label : str, optional
        Column of the labels in a .csv, by default ``"label"``.
    """
    if _is_npz(path):
        return Table(*read_labelled_npz(path, label), None)
    X, labels, features = _read_csv(path, DEFAULT_LABEL if label is None else label, labelled=True)
    _check_names(path, features, "the header")
    classes, y = _text_labels(path, labels)
    return Table(X, y, classes, np.array(features))


def read_labelled_npz(path: str | os.PathLike[str], label: str | None = None) -> tuple[Array, Array, Array]:
    """Return features, the class of each sample and the names of the classes of an .npz; `label` must be None."""
    if label is not None:
        raise ValueError(f"{path}: an .npz file has its labels in the member y; --label is for .csv files")
    arrays = read_npz(path, ("X", "y"))
    X = _npz_features(path, arrays)
    classes, y = _npz_labels(path, arrays, len(X))
    return X, y, classes


def read_features(path: str | os.PathLike[str], label: str | None = None,
                  features: Sequence[str] | None = None) -> Array:
    """Read samples without their labels; labels in the file are passed over.

    Parameters
    ----------
    path : path
        A .csv or an .npz file.
    label : str, optional
        Column of a .csv to pass over, by default ``"label"`` if there is such a column.
    features : sequence of str, optional
        Names of the columns of a .csv to read, in this order; by default all.

    Returns
    -------
    float64, (N, D)
    """
    if _is_npz(path):
        return _npz_features(path, read_npz(path, ("X",)))
    return _read_csv(path, label, labelled=False, wanted=features)[0]


def cast(X: Array, dtype: np.dtype[Any], path: str | os.PathLike[str]) -> Array:
    """Return features in the network's type; refuse those that are beyond it.

    Parameters
    ----------
    X : (N, D)
    dtype : numpy.dtype
    path : path
        Where they come from.
    """
    with np.errstate(over="ignore"):
        X = np.ascontiguousarray(X, dtype=dtype)
    if not np.isfinite(X).all():
        raise ValueError(f"{path}: the features are too large for {np.dtype(dtype)}")
    return X


def _check_names(path: str | os.PathLike[str], names: Sequence[str], what: str) -> None:
    """Refuse names that a model file could not keep."""
    try:
        check_text(names, what)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _is_npz(path: str | os.PathLike[str]) -> bool:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".csv", ".npz"):
        raise ValueError(f"{path}: data must be in a .csv or an .npz file; other tables need the extra table, and "
                         f"--optimizer adam")
    return suffix == ".npz"


# .npz


def _npz_features(path: str | os.PathLike[str], arrays: dict[str, Array]) -> Array:
    if "X" not in arrays:
        raise ValueError(f"{path}: there is no member X, which must hold the features")
    X = arrays["X"]
    if X.dtype.kind not in "biuf":
        raise ValueError(f"{path}: X must be numbers, got the type {X.dtype}")
    if X.ndim < 2:
        raise ValueError(f"{path}: X must have a row for each sample, got the shape {X.shape}")
    if X.size == 0:
        raise ValueError(f"{path}: X is empty, its shape is {X.shape}")
    with np.errstate(over="ignore"):  # a number beyond float64 becomes infinite, and is refused below
        X = np.ascontiguousarray(X.reshape(len(X), -1), dtype=np.float64)
    finite = np.isfinite(X).all(axis=1)
    if not finite.all():
        raise ValueError(f"{path}: X must be finite; row {finite.argmin()} (counted from 0) is not")
    return X


def _npz_labels(path: str | os.PathLike[str], arrays: dict[str, Array], samples: int) -> tuple[Array, Array]:
    """Return the names of the classes, and each sample's index into them."""
    if "y" not in arrays:
        raise ValueError(f"{path}: there is no member y, which must hold the labels")
    y = arrays["y"]
    if y.shape != (samples,):
        raise ValueError(f"{path}: y must have the shape {(samples,)}, one label for each row of X, got {y.shape}")
    if y.dtype.kind == "U":
        try:
            labels = set(y.tolist())
        except ValueError:
            raise ValueError(f"{path}: y holds text that is not Unicode") from None
        if "" in labels:
            raise ValueError(f"{path}: y holds an empty label")
        _check_names(path, sorted(labels), "y")
    elif y.dtype.kind in "biuf":
        if y.dtype.kind == "f" and not (np.isfinite(y) & (y == np.rint(y)) & (abs(y) < np.float64(2**63))).all():
            raise ValueError(f"{path}: y must be whole numbers or strings")
        if y.dtype.kind == "u" and y.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{path}: y holds numbers beyond int64")
        y = y.astype(np.int64)
    else:
        raise ValueError(f"{path}: y must be whole numbers or strings, got the type {y.dtype}")
    classes, indices = np.unique(y, return_inverse=True)
    return classes, indices.astype(np.int64)


# .csv


def _text_labels(path: str | os.PathLike[str], labels: list[str]) -> tuple[Array, Array]:
    """Return the names of the classes, as numbers if all are, and each sample's index into them."""
    names: list[Any] = sorted(set(labels))
    if all(map(_is_plain_integer, names)):  # so that 10 comes after 9
        names.sort(key=int)
        classes = np.array([int(name) for name in names], dtype=np.int64)
    else:
        _check_names(path, names, "the column of the labels")
        classes = np.array(names)
    index = {name: number for number, name in enumerate(names)}
    return classes, np.array([index[name] for name in labels], dtype=np.int64)


def _is_plain_integer(text: str) -> bool:
    """Whether `text` is an int64 and comes back the same from it, as 007 would not."""
    try:
        return len(text) <= 20 and str(int(text)) == text and -2**63 <= int(text) < 2**63
    except ValueError:
        return False


def _read_csv(path: str | os.PathLike[str], label: str | None, *, labelled: bool,
              wanted: Sequence[str] | None = None) -> tuple[Array, list[str], list[str]]:
    """Return features, labels (none unless `labelled`) and the names of the features."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            header = next((row for row in reader if not _is_blank(row)), None)
            if header is None:
                raise ValueError(f"{path} is empty: the first line must name the columns")
            header = [name.strip() for name in header]
            _check_header(path, reader.line_num, header)
            label_column, columns = _choose_columns(path, header, label, labelled, wanted)
            return _read_rows(path, reader, header, label_column if labelled else None, columns)
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path}, after line {reader.line_num}: not text in UTF-8") from None


def _is_blank(row: list[str]) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())


def _check_header(path: str | os.PathLike[str], line: int, header: list[str]) -> None:
    seen = set()
    for number, name in enumerate(header, 1):
        if not name:
            raise ValueError(f"{path}, line {line}, column {number}: the column has no name")
        if name.endswith("\0"):  # which NumPy's strings do not keep
            raise ValueError(f"{path}, line {line}, column {number}: the name of the column ends in a NUL character")
        if name in seen:
            raise ValueError(f"{path}, line {line}, column {number}: a second column named {name!r} "
                             f"(the first line must name the columns)")
        seen.add(name)


def _choose_columns(path: str | os.PathLike[str], header: list[str], label: str | None, labelled: bool,
                    wanted: Sequence[str] | None) -> tuple[int | None, list[int]]:
    """Return the column of the labels, if there is one, and those of the features."""
    position = {name: column for column, name in enumerate(header)}
    # Labels that are passed over need be there only if the user has named their column.
    if label not in position and (labelled or label is not None):
        hint = "name the column of the labels with --label" if labelled else "--label names a column to pass over"
        only = "; columns are separated by commas" if len(header) == 1 else ""
        raise ValueError(f"{path}: there is no column {label!r}; {hint} (the columns are {_listed(header)}{only})")
    label_column = position.get(DEFAULT_LABEL if label is None else label)
    if wanted is not None:
        missing = [name for name in wanted if name not in position]
        if missing:
            raise ValueError(f"{path}: the model needs {_listed(missing)}, and there is no such column")
        return label_column, [position[name] for name in wanted]
    columns = [column for column in range(len(header)) if column != label_column]
    if not columns:
        raise ValueError(f"{path}: there are no features, only the column {header[0]!r}")
    return label_column, columns


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def _read_rows(path: str | os.PathLike[str], reader: Any, header: list[str], label_column: int | None,
               columns: list[int]) -> tuple[Array, list[str], list[str]]:
    values = array("d")  # eight bytes a number, where a list of floats takes four times that
    lines = array("q")
    labels: list[str] = []
    line = reader.line_num + 1
    for row in reader:
        if _is_blank(row):
            line = reader.line_num + 1
            continue
        if len(row) != len(header):
            raise ValueError(f"{path}, line {line}: {len(row)} values, and the header names {len(header)} columns")
        cells = [row[column] for column in columns]
        try:
            values.extend(map(float, cells))
        except ValueError:
            _refuse_number(path, line, header, row, columns)
        if "_" in "".join(cells):  # Python reads 1_000 as a number, and nobody else does
            _refuse_number(path, line, header, row, columns)
        if label_column is not None:
            name = row[label_column].strip()
            if not name:
                raise ValueError(f"{path}, line {line}, column {header[label_column]!r}: the label is empty")
            if name.endswith("\0"):  # which NumPy's strings do not keep
                raise ValueError(f"{path}, line {line}, column {header[label_column]!r}: the label ends in a NUL "
                                 f"character")
            labels.append(name)
        lines.append(line)
        line = reader.line_num + 1
    if not lines:
        raise ValueError(f"{path}: there are no samples, only the header")
    X = np.array(values, dtype=np.float64).reshape(len(lines), len(columns))
    bad = np.argwhere(~np.isfinite(X))
    if len(bad):
        sample, feature = bad[0]
        raise ValueError(f"{path}, line {lines[sample]}, column {header[columns[feature]]!r}: "
                         f"{X[sample, feature]} is not a finite number")
    return X, labels, [header[column] for column in columns]


def _refuse_number(path: str | os.PathLike[str], line: int, header: list[str], row: list[str],
                   columns: list[int]) -> NoReturn:
    """Raise for the first cell of a row that is no number."""
    for column in columns:
        try:
            float(row[column])
            if "_" not in row[column]:
                continue
        except ValueError:
            pass
        text = row[column].strip()
        problem = f"{text[:40]!r} is not a number" if text else "the cell is empty"
        raise ValueError(f"{path}, line {line}, column {header[column]!r}: {problem}; every feature must be a number")
    raise AssertionError("every cell is a number")
