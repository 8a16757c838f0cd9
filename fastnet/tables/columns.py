"""The columns of a table and what a network sees of them.

Numbers with what is missing filled in and on one scale, categories as zeros and ones.

Nothing here needs pandas: a data frame is whatever has `columns` and gives a column by its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.containers import Contents, FaultError
from ..files.models import check_text
from .values import MISSING, as_array, not_finite, numbers, texts, truths

__all__ = ["Columns", "column_names", "is_frame"]

Array = NDArray[Any]


def is_frame(X: Any) -> bool:
    """Whether X is a table whose columns have names."""
    return not isinstance(X, np.ndarray) and hasattr(X, "columns") and hasattr(X, "__getitem__")


def column_names(frame: Any) -> list[str]:
    """Return the names of the columns of a data frame as text.

    Raises
    ------
    ValueError
        If two columns have one name.
    """
    names = [str(name) for name in frame.columns]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"the table has {twice[0]!r} as the name of two columns")
    return names


@dataclass(frozen=True, eq=False)
class Columns:
    """What a network is told of each column; creating one checks that its parts agree."""

    count: int
    """How many columns there are."""
    names: tuple[str, ...] | None
    """Their names, or None where the data are arrays."""
    booleans: tuple[int, ...]
    """Places of the columns that are true or false."""
    categories: dict[int, tuple[str, ...]]
    """For the place of each column of categories their names, sorted. `MISSING` is one where values may be missing."""
    fill: Array
    """What takes the place of a missing number, or truth; NaN where none may be missing: float64 (count,)."""
    mean: Array
    """Subtracted from each column that the network sees, float64 (width,)."""
    scale: Array
    """Each is divided by this after that, float64 (width,), above 0."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise FaultError("there must be a column")
        if self.names is not None:
            if len(self.names) != self.count:
                raise FaultError(f"there are {len(self.names)} names for {self.count} columns")
            check_text(self.names, "the names of the columns")
            if len(set(self.names)) != self.count:
                raise FaultError("two columns have one name")
        places = [*self.booleans, *self.categories]
        if len(set(places)) != len(places) or not all(0 <= place < self.count for place in places):
            raise FaultError(f"booleans and categories must be in different columns from 0 to {self.count - 1}")
        for names in self.categories.values():
            if not names or list(names) != sorted(set(names)):
                raise FaultError("the categories of a column must be sorted, each once")
            check_text(names, "the names of categories")
        for name, size in (("fill", self.count), ("mean", self.width), ("scale", self.width)):
            array = getattr(self, name)
            if array.shape != (size,) or array.dtype != np.float64 or np.isinf(array).any() or (
                    name != "fill" and np.isnan(array).any()):
                raise FaultError(f"{name} must be {size} finite numbers in float64")
        if self.scale.min() <= 0:
            raise FaultError("scale must be above 0")

    @property
    def width(self) -> int:
        """How many numbers a network sees of each sample."""
        return self.count + sum(len(names) - 1 for names in self.categories.values())

    def name_of(self, place: int) -> str:
        """What to call a column in a message."""
        return str(place) if self.names is None else repr(self.names[place])

    # Making one

    @classmethod
    def of_numbers(cls, count: int, names: Sequence[str] | None = None, mean: Array | None = None,
                   scale: Array | None = None) -> Columns:
        """Return columns that are all numbers, none of which may be missing; by default as they are."""
        return cls(count, None if names is None else tuple(names), (), {}, np.full(count, np.nan),
                   np.zeros(count) if mean is None else mean, np.ones(count) if scale is None else scale)

    def filled_from(self, X: Any) -> Columns:
        """Return the same columns, with what these samples say of missing values: the median, or the more frequent."""
        fill = np.zeros(self.count)
        _, column = self._reader(X)
        for place in range(self.count):
            if place in self.categories:
                continue
            values = (truths if place in self.booleans else numbers)(column(place), self.name_of(place))
            known = values[~np.isnan(values)]
            if len(known):
                fill[place] = np.median(known) if place not in self.booleans else float(known.mean() >= 0.5)
        return replace(self, fill=fill)

    def standardized_from(self, X: Any) -> Columns:
        """Return the same columns, with numbers brought to mean 0 and standard deviation 1 on these samples.

        Categories and booleans stay 0 and 1: a rare one would become a large number. A constant is only shifted.

        Raises
        ------
        ValueError
            If there are numbers so large that their deviation is none.
        """
        plain = replace(self, mean=np.zeros(self.width), scale=np.ones(self.width))
        values = plain.transform(X)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = values.mean(axis=0), values.std(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError("the features are too large to standardize")
        # Compared directly, as rounding leaves a constant column with a tiny deviation. One can also underflow to 0.
        scale[(values.min(axis=0) == values.max(axis=0)) | (scale == 0)] = 1
        for place, columns in self._spans():
            if place in self.booleans or place in self.categories:
                mean[columns], scale[columns] = 0, 1
        return replace(self, mean=mean, scale=scale)

    # Using one

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return what a network sees of samples, (N, width).

        Parameters
        ----------
        X : data frame, or array_like (N, count)
            Columns are found by their names where both have names; otherwise they count in their order.

        Raises
        ------
        TypeError, ValueError
            If it has not the columns, or a value is not what its column holds; the message says where.
        """
        if not self.booleans and not self.categories and isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
            result = self._array(X).astype(np.float64)  # in one go: images have thousands of columns
            if np.isinf(result).any():
                row, place = np.argwhere(np.isinf(result))[0]
                raise not_finite(self.name_of(place), row, result[row, place])
            missing = np.isnan(result)
            if missing.any():
                result = np.where(missing, self.fill, result)
                if np.isnan(result).any():
                    row, place = np.argwhere(np.isnan(result))[0]
                    raise self._missing(place, row)
        else:
            result = self._by_columns(X)
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is found by who converts it
            result -= self.mean
            result /= self.scale
        return result

    def _by_columns(self, X: Any) -> NDArray[np.float64]:
        samples, column = self._reader(X)
        result = np.empty((samples, self.width))
        for place, columns in self._spans():
            if place in self.categories:
                index = {name: number for number, name in enumerate(self.categories[place])}
                found = np.array([index.get(text, -1) for text in texts(column(place))])
                result[:, columns] = found[:, np.newaxis] == np.arange(len(index))
            else:
                read = truths if place in self.booleans else numbers
                values = read(column(place), self.name_of(place))
                values = np.where(np.isnan(values), self.fill[place], values)
                if np.isnan(values).any():
                    raise self._missing(place, int(np.isnan(values).argmax()))
                result[:, columns.start] = values
        return result

    def _missing(self, place: int, row: int) -> ValueError:
        return ValueError(f"column {self.name_of(place)}, row {row + 1}: there is no value, and the model was trained "
                          f"without learning what to put in its place")

    def unknown(self, X: Any) -> dict[str, list[str]]:
        """Return the categories of these samples that the training has not seen, for each column that has some."""
        _, column = self._reader(X)
        result = {}
        for place, names in self.categories.items():
            new = set(texts(column(place))) - set(names) - {MISSING}
            if new:
                result[self.name_of(place)] = sorted(new)
        return result

    def _spans(self) -> list[tuple[int, slice]]:
        """For each column its place, and which columns of what the network sees are made of it."""
        spans, start = [], 0
        for place in range(self.count):
            stop = start + len(self.categories.get(place, (0,)))
            spans.append((place, slice(start, stop)))
            start = stop
        return spans

    def _reader(self, X: Any) -> tuple[int, Callable[[int], Array]]:
        """How many samples there are, and what gives the column at a place of these columns."""
        if is_frame(X):
            names = column_names(X)
            keys = list(X.columns)
            if self.names is not None:
                missing = [name for name in self.names if name not in set(names)]
                if missing:
                    shown = ", ".join(map(repr, missing[:8])) + (" ..." if len(missing) > 8 else "")
                    raise ValueError(f"the model needs {shown}, and there is no such column")
                known = dict(zip(names, keys, strict=True))
                keys = [known[name] for name in self.names]
            self._check_count(len(keys))
            samples = len(X)
            return self._some(samples), lambda place: as_array(X[keys[place]])
        array = self._array(X)
        return self._some(len(array)), lambda place: array[:, place]

    def _array(self, X: Any) -> Array:
        """X as an array (N, count)."""
        X = np.asarray(X)
        if X.dtype.kind not in "biufOUS":
            raise TypeError(f"X must hold numbers or text, got the dtype {X.dtype}")
        if X.ndim < 2:
            raise ValueError(f"X must have a row for each sample and a column for each feature, got the shape "
                             f"{X.shape}" + ("; a single sample is X.reshape(1, -1)" if X.ndim == 1 else ""))
        if X.size == 0:
            raise ValueError(f"X must have at least one sample and one feature, got the shape {X.shape}")
        X = X.reshape(len(X), -1)
        self._check_count(X.shape[1])
        return X

    def _check_count(self, given: int) -> None:
        if given != self.count:
            names = "" if self.names is None else f" ({', '.join(self.names[:8])}{', ...' if self.count > 8 else ''})"
            raise ValueError(f"X must have the {self.count} features that the model was trained on{names}, got {given}")

    @staticmethod
    def _some(samples: int) -> int:
        if samples == 0:
            raise ValueError("X must have at least one sample")
        return samples

    # In files

    def described(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return fields and arrays that hold all of it."""
        places = sorted(self.categories)
        fields = {"columns": None if self.names is None else list(self.names), "booleans": list(self.booleans),
                  "categorical": places, "category_counts": [len(self.categories[place]) for place in places],
                  "categories": [name for place in places for name in self.categories[place]]}
        return fields, {"fill": self.fill, "mean": self.mean, "scale": self.scale}

    FIELDS = ("columns", "booleans", "categorical", "category_counts", "categories")
    ARRAYS = ("fill", "mean", "scale")

    @classmethod
    def restored(cls, contents: Contents) -> Columns:
        """Return the columns that a file describes.

        Raises
        ------
        ValueError
            If it describes none.
        """
        fields = contents.fields
        for name in cls.FIELDS:
            if not isinstance(fields[name], list) and not (name == "columns" and fields[name] is None):
                raise FaultError(f"{name} must be a list")
        for name in ("columns", "categories"):
            if not all(isinstance(part, str) for part in fields[name] or ()):
                raise FaultError(f"{name} must be strings")
        fill = contents.arrays["fill"]
        for name, least in (("booleans", 0), ("categorical", 0), ("category_counts", 1)):
            if not all(type(part) is int and least <= part < 2**31 for part in fields[name]):
                raise FaultError(f"{name} must be integers from {least} on")
        places, counts, flat = fields["categorical"], fields["category_counts"], fields["categories"]
        if len(places) != len(counts) or len(set(places)) != len(places) or sum(counts) != len(flat):
            raise FaultError("categorical, category_counts and categories do not agree")
        ends = np.cumsum([0, *counts]).tolist()
        categories = {place: tuple(flat[start:stop])
                      for place, start, stop in zip(places, ends, ends[1:], strict=False)}
        names = fields["columns"]
        return cls(fill.size, None if names is None else tuple(names), tuple(fields["booleans"]), categories, fill,
                   contents.arrays["mean"], contents.arrays["scale"])
