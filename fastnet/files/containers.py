"""Files of fastnet: a description in JSON and arrays with names, in an .npz without pickles or in a .safetensors.

Nothing in a file is trusted. What is read here is intact, of a known format and kind, and made of numbers only; whether
the parts agree is for those to check who know what they are (:mod:`fastnet.files.models`,
:mod:`fastnet.training.checkpoints`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from .atomic import atomic_write
from .npz import read_open_npz
from .parsing import parse_json
from .regular import open_regular, size_of

__all__ = ["Contents", "FaultError", "check_format", "described", "read", "write"]

Array = np.ndarray[Any, Any]

_FORMAT = 2
_DESCRIPTION = "fastnet"
"""Name of the member, or of the entry in the metadata of a .safetensors, that holds the JSON."""
_DESCRIPTION_BYTES = 1 << 20
"""How long a description may be in a file that is shorter: it is written uncompressed."""
_DESCRIPTION_CONTAINERS = 1000
"""How many lists and objects there may be in a description; an estimator's has some dozens."""
_HEADER_CONTAINERS = 100_000
"""How many there may be in the header of a .safetensors, which has three for each array."""


class FaultError(ValueError):
    """What is wrong with the contents of a file, before it is known which file that is."""


class Contents(NamedTuple):
    """What is in a file."""

    kind: str
    """What the file describes."""
    fields: dict[str, Any]
    """Whatever JSON can say, by name."""
    arrays: dict[str, Array]
    """C-contiguous arrays of numbers in the byte order of this machine, by name."""

    def expect(self, fields: Collection[str], arrays: Collection[str]) -> None:
        """Raise FaultError unless there are just these fields and arrays."""
        for found, expected in ((self.fields, fields), (self.arrays, arrays)):
            missing = [name for name in expected if name not in found]
            if missing:
                raise FaultError(f"it lacks {', '.join(missing)}")
            unexpected = [name for name in found if name not in expected]
            if unexpected:
                raise FaultError(f"it holds {', '.join(map(repr, unexpected))}, which is not part of a {self.kind}")

    def array(self, name: str, shape: tuple[int, ...], dtype: Any, *, finite: bool = True) -> Array:
        """Return an array, or raise FaultError if its shape, its dtype or its numbers are not as they should be."""
        array = self.arrays[name]
        if array.shape != shape:
            raise FaultError(f"{name} must have the shape {shape}, got {array.shape}")
        if array.dtype != dtype:
            raise FaultError(f"{name} must be {np.dtype(dtype)}, got {array.dtype}")
        if finite and not np.isfinite(array).all():
            raise FaultError(f"{name} holds numbers that are not finite")
        return array

    def integer(self, name: str, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
        """Return a field, or raise FaultError if it is not an integer from `minimum` to `maximum`."""
        value = self.fields[name]
        if type(value) is not int or not minimum <= value <= maximum:
            raise FaultError(f"{name} must be an integer from {minimum} to {maximum}, got {value!r:.60}")
        return value

    def number(self, name: str) -> float:
        """Return a field, or raise FaultError if it is not a finite number."""
        value = self.fields[name]
        if type(value) not in (int, float) or not -1e308 < value < 1e308:
            raise FaultError(f"{name} must be a finite number, got {value!r:.60}")
        return float(value)

    def choice(self, name: str, options: Collection[Any]) -> Any:
        """Return a field, or raise FaultError if it is not one of `options`, in type and value."""
        value = self.fields[name]
        if not any(type(value) is type(option) and value == option for option in options):
            raise FaultError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r:.60}")
        return value


_OTHERS = {"csv": "tables", "h5": "Keras", "hdf5": "HDF5", "joblib": "joblib", "json": "JSON", "keras": "Keras",
           "npy": "single NumPy arrays", "onnx": "ONNX", "parquet": "tables", "pb": "TensorFlow", "pickle": "pickle",
           "pkl": "pickle", "pmml": "PMML", "pt": "PyTorch", "pth": "PyTorch", "tflite": "TensorFlow Lite"}
"""Endings of names that promise another format, and whose that is."""


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise what `write` would for a file of this name: better before the work than after it.

    Raises
    ------
    ValueError
        If the ending is another format's: what opens such files could not open this one.
    ImportError
        If the package safetensors is needed, and not installed.
    """
    ending = os.path.splitext(os.fsdecode(path))[1]
    if ending[1:].lower() in _OTHERS:
        raise ValueError(f"cannot write {os.fsdecode(path)}: the ending {ending} is that of "
                         f"{_OTHERS[ending[1:].lower()]}; fastnet writes .npz, or .safetensors")
    if _is_safetensors(path):
        _safetensors()


def write(path: str | os.PathLike[str], kind: str, fields: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a file, whole or not at all; its name tells which format, .safetensors or else .npz.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is as it was.
    ValueError
        If its name has the ending of another format.
    ImportError
        If the package safetensors is needed, and not installed.
    """
    check_format(path)
    text = json.dumps({"format": _FORMAT, "kind": kind, "arrays": list(arrays), **fields})
    if _is_safetensors(path):
        from_numpy = _safetensors().numpy.save
        whole = {name: np.array(array, order="C") for name, array in arrays.items()}
        content = from_numpy(whole, metadata={_DESCRIPTION: text})
        with atomic_write(path) as file:
            file.write(content)
        return
    description = np.frombuffer(text.encode(), np.uint8)
    with atomic_write(path) as file:
        members: dict[str, Any] = {_DESCRIPTION: description, **arrays}
        try:
            np.savez(file, **members)
        except ValueError as error:
            # NumPy closes the archive when a member ends early; that fails, and its error hides the reason.
            raise error.__context__ or error from None


def read(path: str | os.PathLike[str], kinds: Collection[str], what: str) -> Contents:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path
    kinds : collection of str
        The kinds that are welcome.
    what : str
        What the file should be, for messages: "a model".

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact file of these kinds; the message says what is wrong with it.
    ImportError
        If the package safetensors is needed, and not installed.
    """
    with open_regular(path) as file:
        arrays, text = (_read_safetensors if _is_safetensors(path) else _read_npz)(file, path)
        most = max(size_of(file), _DESCRIPTION_BYTES)
    try:
        fields = _description(text, most)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in kinds:
            raise FaultError(f"it holds {kind!r:.60}, not {' or '.join(map(repr, kinds))}")
        # Damage to the table of contents of an .npz can hide a member.
        names = fields.pop("arrays", None)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise FaultError("it does not say which arrays it holds")
        for found, expected, verb in ((arrays, names, "lacks"), (names, arrays, "should not hold")):
            missing = sorted(set(expected) - set(found))
            if missing:
                raise FaultError(f"it {verb} {', '.join(map(repr, missing))}"[:200])
        for name, array in arrays.items():
            if array.dtype.kind not in "iuf":
                raise FaultError(f"{name} must be an array of numbers, got {array.dtype}")
    except FaultError as error:
        raise described(error, path, what) from None
    return Contents(kind, fields, arrays)


def described(error: ValueError, path: str | os.PathLike[str], what: str) -> ValueError:
    """Return an error that names the file as well."""
    return ValueError(f"{path} is not {what} that fastnet can read: {error}")


def _description(text: memoryview | str | None, most: int) -> dict[str, Any]:
    if text is None:
        raise FaultError("it holds no description of its contents")
    if len(text) > most:
        raise FaultError(f"its description is longer than {most} bytes")
    try:
        fields = parse_json(text, _DESCRIPTION_CONTAINERS)
    except ValueError:  # no UTF-8, no JSON, absurdly long numbers, or lists in lists in lists
        raise FaultError("its description is no JSON that is written here") from None
    if not isinstance(fields, dict):
        raise FaultError("its description is no JSON object")
    number = fields.pop("format", None)
    if type(number) is not int:
        raise FaultError("it has no format number")
    if number != _FORMAT:
        raise FaultError(f"it has the format {number:.20g}, and this version of fastnet reads format {_FORMAT}"
                         if abs(number) < 10**15 else "its format number is absurd")
    return fields


def _read_npz(file: IO[bytes], path: str | os.PathLike[str]) -> tuple[dict[str, Array], memoryview | str | None]:
    arrays = read_open_npz(file, path)
    description = arrays.pop(_DESCRIPTION, None)
    if description is None or description.dtype != np.uint8 or description.ndim != 1:
        return arrays, None
    return arrays, description.data


def _is_safetensors(path: str | os.PathLike[str]) -> bool:
    return os.fsdecode(path).endswith(".safetensors")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("files in the .safetensors format need the package safetensors: pip install safetensors, "
                          "or choose a name that ends in .npz", name="safetensors") from None
    return safetensors


def _read_safetensors(file: IO[bytes],
                      path: str | os.PathLike[str]) -> tuple[dict[str, Array], memoryview | str | None]:
    library = _safetensors().numpy
    try:
        # In memory: the library would map the file, and who cuts it meanwhile would end the process.
        content = file.read(size_of(file))
        text = _metadata(content).get(_DESCRIPTION)
        loaded = library.load(content)
        del content
        arrays = {name: np.array(loaded.pop(name), order="C") for name in list(loaded)}
    except MemoryError:
        raise ValueError(f"{path}: too large for the memory of this machine") from None
    except Exception as error:  # the library has errors of its own, and NumPy lacks some of its types
        raise ValueError(f"{path} is not an intact .safetensors file ({error or type(error).__name__})") from None
    return arrays, text if isinstance(text, str) else None


def _metadata(content: bytes) -> dict[str, Any]:
    """The metadata in the header of a .safetensors, which the library gives of files only, not of bytes."""
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise ValueError("its header is longer than the file")
    header = parse_json(content[8:8 + length], _HEADER_CONTAINERS)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}
