"""Read arrays from an .npz file that may be damaged, or made to do damage.

Nothing is unpickled, and no array is allocated before its header has been held against the bytes that are there.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from .regular import open_regular, size_of

__all__ = ["read_npz", "read_open_npz"]

Array = np.ndarray[Any, Any]

_SUFFIX = ".npy"
_DEFLATE_MOST = 1032
"""Deflate cannot compress by more than this."""


def read_npz(path: str | os.PathLike[str], names: Collection[str] | None = None) -> dict[str, Array]:
    """Return the arrays of an .npz file, in the byte order of this machine.

    Parameters
    ----------
    path : path
        The file.
    names : collection of str, optional
        Read only these members, as far as they are there; by default all.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact .npz file, or holds Python objects.
    """
    with open_regular(path) as file:
        return read_open_npz(file, path, names)


def read_open_npz(file: IO[bytes], path: str | os.PathLike[str],
                  names: Collection[str] | None = None) -> dict[str, Array]:
    """Do the same for a file that `open_regular` has opened; `path` is for messages."""
    try:
        return _read_members(file, names)
    except _FaultError as error:
        raise ValueError(f"{path}: {error}") from None
    except MemoryError:
        raise ValueError(f"{path}: too large for the memory of this machine") from None
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds of exceptions over damaged files
        raise ValueError(f"{path} is not an intact .npz file ({error or type(error).__name__})") from None


class _FaultError(Exception):
    """A fault in the file, in words that need no further explanation."""


def _read_members(file: IO[bytes], names: Collection[str] | None) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(file) as archive:
        # Members that overlap would make more of each byte than compression can. Python looks for that from 3.13 on.
        if sum(info.compress_size for info in archive.infolist()) > size_of(file):
            raise _FaultError("its members are recorded as larger than the file can hold")
        for info in archive.infolist():
            name = info.filename.removesuffix(_SUFFIX)
            if names is not None and name not in names:
                continue
            if name in arrays or not info.filename.endswith(_SUFFIX):
                raise _FaultError(f"unexpected member {info.filename!r}")
            _check_size(info)
            with archive.open(info) as member:
                _check_header(member, info, name)
            with archive.open(info) as member:
                array = npy.read_array(member, allow_pickle=False)
                member.read(1)  # up to the end: only there does zipfile compare the checksum
            arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    return arrays


def _check_size(info: zipfile.ZipInfo) -> None:
    """Refuse a recorded size that the compressed bytes cannot hold."""
    most = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DEFLATE_MOST}.get(info.compress_type)
    if most is None:
        raise _FaultError(f"member {info.filename!r} is compressed in a way that NumPy does not write")
    if info.file_size > most * info.compress_size:
        raise _FaultError(f"member {info.filename!r} is recorded as larger than the file can hold")


def _check_header(member: IO[bytes], info: zipfile.ZipInfo, name: str) -> None:
    """Refuse Python objects, and a shape that does not fit the recorded size."""
    version = npy.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(member)
    else:  # 3.0 differs in the names of fields alone, and fields are not read here
        raise _FaultError(f"member {name!r} has the .npy format {version[0]}.{version[1]}, which is not read here")
    if dtype.hasobject:
        raise _FaultError(f"member {name!r} holds Python objects; save it as numbers or strings")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != info.file_size - member.tell():
        raise _FaultError(f"member {name!r} does not have the size that its header says")
