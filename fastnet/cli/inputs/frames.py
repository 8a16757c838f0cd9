"""Read tables as pandas does: text with any separator, compressed or not, Parquet, standard input.

What is read here is a data frame whose columns have names, each once.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, BinaryIO

from ...files.models import check_text
from ...progress import tell

__all__ = ["SUFFIXES", "has_pandas", "is_table", "pandas", "read_frame"]

_TEXT = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
_PARQUET = (".parquet", ".pq")
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
SUFFIXES = "a .csv, .tsv, .txt or .parquet (.csv and the like also with .gz), or an .npz"
"""What data may be in, for messages."""

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_SEPARATORS = ",;\t|"
_NAMED = {"tab": "\t", "\\t": "\t", "space": r"\s+", "comma": ",", "semicolon": ";"}
_SNIFFED = 1 << 16
_MARKS = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "-NaN", "NULL", "null", "None", "<NA>", "#N/A", "#NA", "?")
"""What stands for a missing value, besides nothing."""

Frame = Any


def has_pandas() -> bool:
    """Whether pandas is installed."""
    try:
        import pandas  # noqa: F401
    except ImportError:
        return False
    return True


def pandas(why: str) -> Any:
    """Return pandas; `why` says what needs it, where it is not installed."""
    try:
        import pandas
    except ImportError:
        raise ImportError(f'{why} needs pandas, and it is not installed: pip install pandas pyarrow scikit-learn',
                          name="pandas") from None
    return pandas


def is_table(path: str) -> bool:
    """Whether a name is one of tables that pandas reads, or that of standard input."""
    stem = os.fspath(path).lower()
    if path == "-":
        return True
    name, ending = os.path.splitext(stem)
    if ending in _COMPRESSED:
        ending = os.path.splitext(name)[1]
        return ending in _TEXT
    return ending in _TEXT + _PARQUET


_LARGE = 1 << 26
"""Bytes, from which on it is said that a file is being read: that takes seconds."""


def read_frame(path: str, label: str | None = None, separator: str | None = None, decimal: str = ".",
               missing: Sequence[str] = ()) -> Frame:
    """Read a table.

    Parameters
    ----------
    path : str
        The name of a file, or "-" for standard input.
    label : str, optional
        A column whose values are kept as the text that they are, "007" and "NA" too.
    separator : str, optional
        What is between two columns; by default whatever the first line has the most of. "tab" and "space" (any number
        of them) are names.
    decimal : str
        The decimal point.
    missing : sequence of str
        Further texts that stand for a missing value.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no such table, or empty; the message says what is wrong.
    ImportError
        If pandas, or pyarrow for Parquet, is not installed.
    """
    pd = pandas(f"reading {'standard input' if path == '-' else path}")
    shown = "standard input" if path == "-" else path
    if path != "-" and os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder")
    source, compression, parquet = _opened(path)
    try:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        if size >= _LARGE:
            tell(f"fastnet: reading {shown}, {size / 2**20:.0f} MiB")
        if parquet:
            frame = _parquet(pd, source, shown)
        else:
            separator = _NAMED.get(separator or "", separator)
            frame = _text(pd, source, compression, shown, label, separator, decimal, missing)
    finally:
        source.close()
    frame.columns = [str(name) for name in frame.columns]
    twice = [name for name, times in Counter(frame.columns).items() if times > 1]
    if twice:
        raise ValueError(f"{shown}: a second column named {twice[0]!r} (the first line must name the columns)")
    try:
        check_text(list(frame.columns), "the header")
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None
    if not len(frame):
        raise ValueError(f"{shown}: there are no samples, only the header")
    return frame


def _opened(path: str) -> tuple[BinaryIO, str | None, bool]:
    """A file that can be read twice, how it is compressed, and whether it is Parquet."""
    if path == "-":
        if sys.stdin is None:
            raise ValueError("there is no standard input to read data from")
        content = sys.stdin.buffer.read()
        compression = next((name for magic, name in _MAGIC.items() if content.startswith(magic)), None)
        return io.BytesIO(content), compression, content.startswith(b"PAR1")
    ending = os.path.splitext(path)[1].lower()
    source: BinaryIO = open(path, "rb")  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):  # a pipe, which gives what it has once
        with source:
            source = io.BytesIO(source.read())
    return source, _COMPRESSED.get(ending), ending in _PARQUET


def _parquet(pd: Any, source: BinaryIO, shown: str) -> Frame:
    try:
        return pd.read_parquet(source, engine="pyarrow")
    except ImportError:
        raise ImportError(f'reading {shown} needs pyarrow, and it is not installed: pip install pyarrow',
                          name="pyarrow") from None
    except Exception as error:  # pyarrow has a dozen kinds
        raise ValueError(f"{shown} is not an intact Parquet file ({error})") from None


def _text(pd: Any, source: BinaryIO, compression: str | None, shown: str, label: str | None, separator: str | None,
          decimal: str, missing: Sequence[str]) -> Frame:
    options: dict[str, Any] = {"compression": compression, "encoding": "utf-8-sig", "skipinitialspace": True}
    try:
        if separator is None:
            first = pd.read_csv(source, sep="\0", header=None, nrows=1, dtype=str, quoting=3, keep_default_na=False,
                                na_filter=False, **options)
            separator = _most_frequent(str(first.iloc[0, 0]))
            source.seek(0)
        options["sep"] = separator
        header = pd.read_csv(source, header=None, nrows=1, dtype=str, keep_default_na=False, na_filter=False, **options)
        source.seek(0)
        names = [str(name).strip() for name in header.iloc[0]]
        for number, name in enumerate(names, 1):
            if not name and number > 1:
                raise ValueError(f"{shown}, column {number}: the column has no name")
        if not names[0]:
            names[0] = "Unnamed: 0"  # what pandas writes of an index
        if len(set(names)) < len(names):
            name = next(name for name, times in Counter(names).items() if times > 1)
            raise ValueError(f"{shown}: a second column named {name!r} (the first line must name the columns)")
        marks = {name: [""] if name == label else [*_MARKS, *missing] for name in names}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(source, header=0, names=names, index_col=False, decimal=decimal, low_memory=False,
                               keep_default_na=False, na_values=marks, dtype={label: str} if label in names else None,
                               **options)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{shown} is empty: the first line must name the columns") from None
    except pd.errors.ParserWarning:
        raise ValueError(f"{shown}: there are rows with more values than the header names columns") from None
    except pd.errors.ParserError as error:
        raise ValueError(f"{shown}: {str(error).removeprefix('Error tokenizing data. C error: ')}") from None
    except UnicodeError:
        raise ValueError(f"{shown}: not text in UTF-8") from None
    except (EOFError, OSError) as error:
        if compression is None:
            raise
        raise ValueError(f"{shown} is not an intact {compression} file ({error})") from None


def _most_frequent(line: str) -> str:
    """The separator that a header has the most of, outside of quotes; a comma where it has none."""
    outside = "".join(line.split('"')[::2])
    best = max(_SEPARATORS, key=outside.count)
    return best if best in outside else ","
