"""What Python can hold in the place of an array, a number, an integer or parameters: the pool of hostile.py.

Each function returns a `Value`: what it is, whether a call with it has to succeed, and the thing itself. The same
generator state makes the same again, independent of the first: one for fastnet, one for the reference.
"""

import contextlib
import datetime
import os
import tempfile
import types
import warnings
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

try:
    import pandas as pd
except ImportError:
    pd = None
try:
    import scipy.sparse as sparse
except ImportError:
    sparse = None

GOOD, BAD, ODD, HUGE = "good", "bad", "odd", "huge"
"""The call has to succeed; has to fail; may do either; has to fail, and memory may be what it fails for."""

ENORMOUS = 2**40
"""Elements that no machine has the memory for: an allocation fails at once."""


# The arguments of kernels as letters: N, D, H, C for sides of matrices; "y" for N labels, "a" for a number.
KERNELS = {
    "affine_forward": ("ND", "DH", "H"), "relu": ("NH",), "relu_mask": ("NH", "NH"), "softmax": ("NC",),
    "softmax_cross_entropy": ("NC", "y"), "propagate_delta": ("NC", "HC", "NH"), "weight_gradient": ("ND", "NH"),
    "bias_gradient": ("NH",), "sum_of_squares": ("DH",), "axpy": ("a", "N", "N"), "all_finite": ("N",)}


class Value(NamedTuple):
    name: str
    verdict: str
    value: Any


def by_name(groups):
    """Verdict and function for each name, from a dict of the names of each verdict."""
    return {name: (verdict, make) for verdict, makes in groups.items() for name, make in makes.items()}


class OwnError(Exception):
    """Raised by hostile objects: whoever calls has to see it."""


# ---- objects that lie ------------------------------------------------------------------------------------------------


class Liar:
    """Something that NumPy makes an array of: another one each time, with an effect. What it gave is in `given`."""

    def __init__(self, *arrays, effect=None):
        self._arrays, self._effect, self.given = arrays, effect, []

    def __array__(self, dtype=None, copy=None):
        array = self._arrays[min(len(self.given), len(self._arrays) - 1)]
        self.given.append(array)
        if self._effect is not None:
            self._effect()
        return array

    def __repr__(self):
        return "a liar"


class Raising:
    def __array__(self, dtype=None, copy=None):
        raise OwnError

    __float__ = __index__ = __array__


class WrongKind:
    """Whose special methods return what they must not."""

    def __array__(self, dtype=None, copy=None):
        return "no array"

    def __float__(self):
        return "no float"

    def __index__(self):
        return 1.5


class Unprintable:
    def __repr__(self):
        raise RuntimeError("unprintable")


class Wordy:
    def __repr__(self):
        return "word " * 100_000


class Changing(list):
    """A list of other lengths each time."""

    def __len__(self):
        self.asked = getattr(self, "asked", 0) + 1
        return super().__len__() - self.asked % 2


class Index:
    def __init__(self, value):
        self._value = value

    def __index__(self):
        return self._value

    def __float__(self):
        return float(self._value)


class Odd(np.ndarray):
    """A subclass with a will of its own."""

    def __array_finalize__(self, other):
        self.mine = 1

    def __getitem__(self, index):
        raise OwnError

    def __eq__(self, other):
        raise OwnError

    __hash__ = None

    def reshape(self, *shape):
        raise OwnError


class OddDict(dict):
    """Whose items are other ones each time."""

    def __getitem__(self, name):
        array = super().__getitem__(name)
        return array.copy() if isinstance(array, np.ndarray) else array

    def get(self, name, default=None):
        return self[name] if name in self else default  # noqa: SIM401


NONSENSE = {
    "None": lambda: None,
    "dict": lambda: {"a": 1},
    "set": lambda: {1, 2},
    "object": object,
    "class": lambda: int,
    "function": lambda: len,
    "Ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "generator": lambda: (i for i in range(3)),
    "str": lambda: "1.5",
    "bytes": lambda: b"15",
    "bytearray": lambda: bytearray(b"15"),
    "memoryview of text": lambda: memoryview(b"15"),
    "module": lambda: os,
    "date": lambda: datetime.date(2000, 1, 1),
    "unprintable": Unprintable,
    "wordy": Wordy,
    "wrong kind": WrongKind,
    "masked constant": lambda: np.ma.masked,
    "datetime64": lambda: np.datetime64("2000-01-01"),
    "timedelta64": lambda: np.timedelta64(1, "s"),
    "namespace": lambda: types.SimpleNamespace(shape=(3, 4), dtype=float),
    "exception": lambda: ValueError("mine"),
    "np.str_": lambda: np.str_("1"),
    "long str": lambda: "1" * 100_000,
    "complex": lambda: 1j,
    "np.complex128": lambda: np.complex128(1 + 2j),
    "np.complex64": lambda: np.complex64(1),
    "dtype": lambda: np.dtype(float),
    "0-d text": lambda: np.array("1"),
    "0-d object": lambda: np.array(None),
    "0-d complex": lambda: np.array(1 + 0j),
    "void": lambda: np.zeros((), "f8,i4")[()],
}


def nonsense(random):
    name = pick(random, list(NONSENSE))
    return Value(name, BAD, NONSENSE[name]())


def pick(random, options):
    return options[random.randint(len(options))]


# ---- arrays of features ----------------------------------------------------------------------------------------------


def with_value(array, random, value):
    array = np.array(array)
    array.flat[random.randint(array.size)] = value
    return array


def strided(array):
    wide = np.full([3 * side for side in array.shape], -7, array.dtype)
    view = wide[tuple(slice(1, None, 3) for _ in array.shape)]
    view[...] = array
    return view


def misaligned(array):
    raw = np.frombuffer(bytearray(b"x" + array.tobytes()), np.uint8)[1:]
    return raw.view(array.dtype).reshape(array.shape)


def overlapping(shape):
    """Each row is the one before, one element further."""
    return np.lib.stride_tricks.as_strided(np.arange(sum(shape), dtype=float), shape, (8, 8))


def frozen(array):
    array = array.copy()
    array.setflags(write=False)
    return array


def as_memmap(array, mode="r"):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(array.tobytes())
    try:
        return np.memmap(file.name, array.dtype, mode, shape=array.shape)
    finally:
        os.unlink(file.name)


def as_field(array):
    records = np.zeros(array.shape, [("a", "u1"), ("b", array.dtype)])
    records["b"] = array
    return records["b"]


def quietly(function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


# From a matrix of numbers, the generator and the model: what is given instead.
FEATURES = by_name({
    GOOD: {
        "plain": lambda A, *_: A,
        "Fortran": lambda A, *_: np.asfortranarray(A),
        "strided": lambda A, *_: strided(A),
        "reversed": lambda A, *_: A[::-1, ::-1],
        "one row for all": lambda A, *_: np.broadcast_to(A[0], A.shape),
        "one number for all": lambda A, *_: np.broadcast_to(A[0, 0], A.shape),
        "overlapping rows": lambda A, *_: overlapping(A.shape),
        "read-only": lambda A, *_: frozen(A),
        "misaligned": lambda A, *_: misaligned(A),
        "big-endian": lambda A, *_: A.astype(">f8"),
        "big-endian integers": lambda A, *_: np.rint(A).astype(">i2"),
        "float16": lambda A, *_: A.astype(np.float16),
        "float32": lambda A, *_: A.astype(np.float32),
        "long double": lambda A, *_: A.astype(np.longdouble),
        "int8": lambda A, *_: np.rint(A).astype(np.int8),
        "uint64": lambda A, *_: np.rint(A * A).astype(np.uint64),
        "bool": lambda A, *_: A > 0,
        "list": lambda A, *_: A.tolist(),
        "tuple of arrays": lambda A, *_: tuple(A),
        "matrix": lambda A, *_: quietly(np.matrix, A),
        "unmasked": lambda A, *_: np.ma.masked_array(A),
        "mask of none": lambda A, *_: np.ma.masked_array(A, mask=False),
        "memmap": lambda A, *_: as_memmap(A),
        "field": lambda A, *_: as_field(A),
        "images": lambda A, *_: A.reshape(len(A), 1, -1, 1),
        "many dimensions": lambda A, *_: A.reshape(A.shape + (1,) * 30),
        "zeros": lambda A, *_: A * -0.0,
        "subnormal": lambda A, *_: A * 5e-320,
        "subclass": lambda A, *_: A.view(Odd),
        "memoryview": lambda A, *_: memoryview(A),
        "an object with an array": lambda A, *_: Liar(A),
        "one that changes values": lambda A, *_: Liar(A, A + 1, A - 1),
    },
    ODD: {
        "one that changes shape": lambda A, *_: Liar(A, np.ones((len(A) + 3, A.shape[1] + 1))),
        "one that becomes text": lambda A, *_: Liar(A, A.astype(str)),
        "large": lambda A, *_: A * 1e200,
        "larger than float32": lambda A, *_: A * 1e39,
        "largest": lambda A, *_: A * 0 + 1.7e308,
        "weights of the model": lambda A, random, net: net.params["W1"],
        "transposed weights": lambda A, random, net: net.params["W2"].T,
        "changing list": lambda A, *_: Changing(A.tolist()),
        "list of changing lists": lambda A, *_: [Changing(row) for row in A.tolist()],
    },
    BAD: {
        "one dimension": lambda A, *_: A[0],
        "no dimension": lambda A, *_: A[0, 0],
        "a number": lambda *_: 3.0,
        "no samples": lambda A, *_: A[:0],
        "no features": lambda A, *_: A[:, :0],
        "an empty list": lambda *_: [],
        "empty but long": lambda *_: np.zeros((0, 2**20, 2**20)),
        "long but empty": lambda *_: np.zeros((2**20, 0, 2**20)),
        "too many features": lambda A, *_: np.hstack([A, A]),
        "too few features": lambda A, *_: np.ones((len(A), A.shape[1] - 1)),
        "NaN": lambda A, random, *_: with_value(A, random, np.nan),
        "inf": lambda A, random, *_: with_value(A, random, np.inf),
        "-inf": lambda A, random, *_: with_value(A, random, -np.inf),
        "NaN in a list": lambda A, random, *_: with_value(A, random, np.nan).tolist(),
        "signalling NaN": lambda A, random, *_: with_value(A.view(np.int64), random, 0x7FF0000000000001).view(float),
        "complex": lambda A, *_: A + 1j,
        "text": lambda A, *_: A.astype(str),
        "bytes": lambda A, *_: A.astype("S8"),
        "objects": lambda A, *_: A.astype(object),
        "decimals": lambda A, *_: [[Decimal(value) for value in row] for row in A.tolist()],
        "dates": lambda A, *_: np.rint(A).astype("M8[s]"),
        "durations": lambda A, *_: np.rint(A).astype("m8[s]"),
        "records": lambda A, *_: np.zeros(A.shape, "f8,i4"),
        "voids": lambda A, *_: np.zeros(A.shape, "V8"),
        "ragged": lambda *_: [[1.0, 2.0, 3.0], [4.0]],
        "a deep list": lambda *_: deep_list(70),
        "a list of nonsense": lambda A, *_: [[object() for _ in row] for row in A],
        "masked": lambda A, *_: np.ma.masked_array(A, mask=np.arange(A.size).reshape(A.shape) == 0),
        "wide": lambda A, *_: np.broadcast_to(0.5, (len(A), ENORMOUS)),
        "huge complex": lambda A, *_: np.broadcast_to(0.5j, (ENORMOUS, A.shape[1])),
        "raising": lambda *_: Raising(),
        "nonsense": lambda A, random, *_: nonsense(random).value,
    },
    HUGE: {
        "huge": lambda A, *_: np.broadcast_to(A[0], (ENORMOUS, A.shape[1])),
        "huge by rows": lambda A, *_: np.broadcast_to(0.5, (2**33 + 5, A.shape[1])),
    },
})
if pd is not None:
    FEATURES["DataFrame"] = GOOD, lambda A, *_: pd.DataFrame(A)
    FEATURES["DataFrame of several kinds"] = GOOD, lambda A, *_: pd.DataFrame(A).astype({0: np.float32})
    FEATURES["DataFrame with text"] = BAD, lambda A, *_: pd.DataFrame(A.astype(str))
    FEATURES["DataFrame with NA"] = BAD, lambda A, *_: pd.DataFrame([[pd.NA] * A.shape[1]] * len(A))
    FEATURES["Series"] = BAD, lambda A, *_: pd.Series(A[0])
if sparse is not None:
    FEATURES["sparse"] = BAD, lambda A, *_: sparse.csr_matrix(A)


def deep_list(depth):
    result = 1.0
    for _ in range(depth):
        result = [result]
    return result


def features(random, samples, width, net, hostile):
    A = random.standard_normal((samples, width))
    name = pick(random, list(FEATURES)) if hostile else "plain"
    verdict, make = FEATURES[name]
    return Value(name, verdict, make(A, random, net))


# ---- labels ----------------------------------------------------------------------------------------------------------

LABELS = by_name({
    GOOD: {
        "plain": lambda y, *_: y,
        "int8": lambda y, *_: y.astype(np.int8),
        "uint64": lambda y, *_: y.astype(np.uint64),
        "list": lambda y, *_: y.tolist(),
        "floats": lambda y, *_: y.astype(float),
        "float16": lambda y, *_: y.astype("f2"),
        "long double": lambda y, *_: y.astype(np.longdouble),
        "big-endian": lambda y, *_: y.astype(">i4"),
        "reversed": lambda y, *_: y[::-1],
        "one for all": lambda y, *_: np.broadcast_to(y[0], y.shape),
        "strided": lambda y, *_: strided(y),
        "misaligned": lambda y, *_: misaligned(y),
        "read-only": lambda y, *_: frozen(y),
        "memmap": lambda y, *_: as_memmap(y),
        "field": lambda y, *_: as_field(y),
        "bool": lambda y, *_: np.zeros(len(y), bool),
        "unmasked": lambda y, *_: np.ma.masked_array(y),
        "subclass": lambda y, *_: y.view(Odd),
        "-0.0": lambda y, *_: -0.0 * y,
        "changing": lambda y, random, C: Liar(y, (y + 1) % C, y * 0),
    },
    ODD: {
        "range": lambda y, *_: range(len(y)),
        "changing to wrong ones": lambda y, *_: Liar(y, y + 1000),
        "changing length": lambda y, *_: Liar(y, np.append(y, 0)),
        "changing list": lambda y, *_: Changing(y.tolist()),
    },
    BAD: {
        "-1": lambda y, random, *_: with_value(y, random, -1),
        "C": lambda y, random, C: with_value(y, random, C),
        "2**31": lambda y, random, *_: with_value(y, random, 2**31),
        "2**32": lambda y, random, *_: with_value(y, random, 2**32),
        "2**63 - 1": lambda y, random, *_: with_value(y, random, 2**63 - 1),
        "-2**63": lambda y, random, *_: with_value(y, random, -2**63),
        "2**63": lambda y, random, *_: with_value(y.astype(np.uint64), random, 2**63),
        "2**64 - 1": lambda y, random, *_: with_value(y.astype(np.uint64), random, 2**64 - 1),
        "2**64": lambda y, *_: [2**64, *y[1:].tolist()],
        "1e30": lambda y, *_: y + 1e30,
        "0.5": lambda y, random, *_: with_value(y.astype(float), random, 0.5),
        "NaN": lambda y, random, *_: with_value(y.astype(float), random, np.nan),
        "inf": lambda y, random, *_: with_value(y.astype(float), random, np.inf),
        "too short": lambda y, *_: y[:-1],
        "too long": lambda y, *_: np.append(y, 0),
        "a column": lambda y, *_: y[:, None],
        "a row": lambda y, *_: y[None],
        "a number": lambda *_: 1,
        "text": lambda y, *_: y.astype(str),
        "complex": lambda y, *_: y + 0j,
        "objects": lambda y, *_: y.astype(object),
        "dates": lambda y, *_: y.astype("M8[s]"),
        "records": lambda y, *_: np.zeros(len(y), "i8,i8"),
        "masked": lambda y, *_: np.ma.masked_array(y, mask=np.arange(len(y)) == 0),
        "huge": lambda *_: np.broadcast_to(0, (ENORMOUS,)),
        "huge text": lambda *_: np.broadcast_to("a", (ENORMOUS,)),
        "raising": lambda *_: Raising(),
        "nonsense": lambda y, random, *_: nonsense(random).value,
    },
})
if pd is not None:
    LABELS["Series"] = GOOD, lambda y, *_: pd.Series(y, index=range(len(y), 0, -1))
    LABELS["categories"] = ODD, lambda y, *_: pd.Series(y).astype("category")
    LABELS["nullable"] = ODD, lambda y, *_: pd.Series(y, dtype="Int64")
    LABELS["NA"] = BAD, lambda y, *_: pd.Series([pd.NA] * len(y), dtype="Int64")


def labels(random, samples, classes, hostile):
    y = random.randint(classes, size=samples)
    name = pick(random, list(LABELS)) if hostile else "plain"
    if name == "nonsense":
        value = nonsense(random)
        return value._replace(verdict=ODD) if value.name == "None" else value  # None is no labels
    verdict, make = LABELS[name]
    return Value(name, verdict, make(y, random, classes))


# ---- numbers ---------------------------------------------------------------------------------------------------------

NUMBERS = by_name({
    GOOD: {
        "0": lambda: 0,
        "-0.0": lambda: -0.0,
        "True": lambda: True,
        "0.1": lambda: 0.1,
        "float32": lambda: np.float32(0.1),
        "float16": lambda: np.float16(0.1),
        "long double": lambda: np.longdouble(0.1),
        "int8": lambda: np.int8(1),
        "0-d": lambda: np.array(0.1),
        "bool_": lambda: np.True_,
        "Decimal": lambda: Decimal("0.1"),
        "Fraction": lambda: Fraction(1, 7),
        "subnormal": lambda: 5e-324,
        "Index": lambda: Index(1),
        "big-endian": lambda: np.array(0.1, ">f8"),
    },
    ODD: {
        "1e308": lambda: 1e308,
        "-0.1": lambda: -0.1,
        "-1": lambda: -1,
        "1e30": lambda: 1e30,
        "liar": lambda: Liar(np.array(0.1), np.array(np.nan)),
    },
    BAD: {
        "nan": lambda: float("nan"),
        "inf": lambda: float("inf"),
        "-inf": lambda: -np.inf,
        "10**400": lambda: 10**400,
        "float32 nan": lambda: np.float32("nan"),
        "long double 1e400": lambda: np.longdouble("1e400"),
        "Decimal NaN": lambda: Decimal("NaN"),
        "Decimal sNaN": lambda: Decimal("sNaN"),
        "Decimal inf": lambda: Decimal("Infinity"),
        "Decimal 1e400": lambda: Decimal("1e400"),
        "Fraction 10**400": lambda: Fraction(10**400),
        "1-d": lambda: np.array([0.1]),
        "list": lambda: [0.1],
        "ragged": lambda: [[0.1], 0.1],
        "raising": Raising,
    },
})

INTEGERS = by_name({
    GOOD: {
        "1": lambda: 1,
        "2": lambda: 2,
        "3": lambda: 3,
        "True": lambda: True,
        "int8": lambda: np.int8(2),
        "uint64": lambda: np.uint64(2),
        "0-d": lambda: np.array(2),
        "big-endian": lambda: np.array(2, ">i8"),
        "Index": lambda: Index(2),
    },
    ODD: {
        "0": lambda: 0,
        "bool_": lambda: np.True_,
    },
    BAD: {
        "-1": lambda: -1,
        "-2**63": lambda: -2**63,
        "2**63": lambda: 2**63,
        "10**400": lambda: 10**400,
        "uint64 2**63": lambda: np.uint64(2**63),
        "1.0": lambda: 1.0,
        "2.5": lambda: 2.5,
        "nan": lambda: float("nan"),
        "float64": lambda: np.float64(2),
        "Decimal": lambda: Decimal(2),
        "Fraction": lambda: Fraction(2),
        "1-d": lambda: np.array([2]),
        "list": lambda: [2],
        "0-d float": lambda: np.array(2.0),
        "raising": Raising,
        "lying index": WrongKind,
    },
    HUGE: {
        "2**40": lambda: ENORMOUS,
        "2**62": lambda: 2**62,
        "2**63 - 1": lambda: 2**63 - 1,
    },
})


def number(random, hostile):
    return _scalar(random, NUMBERS, hostile, Value("0.1", GOOD, 0.1))


def integer(random, hostile, good):
    return _scalar(random, INTEGERS, hostile, Value(str(good), GOOD, good))


def _scalar(random, pool, hostile, plain):
    if not hostile:
        return plain
    if random.randint(4) == 0:
        return nonsense(random)
    name = pick(random, list(pool))
    verdict, make = pool[name]
    return Value(name, verdict, make())


# ---- parameters ------------------------------------------------------------------------------------------------------


def _some(random):
    return pick(random, ["W1", "b1", "W2", "b2"])


def _change(function):
    def spoil(params, random):
        name = _some(random)
        params[name] = function(params[name])
        return params
    return spoil


def _change_all(function):
    return lambda params, random: {name: function(array) for name, array in params.items()}


def _without(params, random):
    del params[_some(random)]
    return params


def _tied(params, random):
    params["b2"] = params["W2"][0]
    return params


def _overlapping(params, random):
    W1, W2 = params["W1"], params["W2"]
    memory = random.standard_normal(W1.size + W2.size)
    params["W1"] = memory[:W1.size].reshape(W1.shape)
    params["W2"] = memory[W1.size // 2:W1.size // 2 + W2.size].reshape(W2.shape)
    return params


def _hidden(params, random):
    D, C = params["W1"].shape[0], params["W2"].shape[1]
    return {"W1": random.standard_normal((D, 7)), "b1": np.zeros(7), "W2": random.standard_normal((7, C)),
            "b2": params["b2"]}


# For the scores, and for training: whether it is good.
PARAMS = {
    "Fortran": (GOOD, GOOD, _change_all(np.asfortranarray)),
    "strided": (GOOD, GOOD, _change_all(strided)),
    "misaligned": (GOOD, GOOD, _change_all(misaligned)),
    "big-endian": (GOOD, GOOD, _change_all( lambda array: array.astype(array.dtype.newbyteorder()))),
    "float32": (GOOD, GOOD, _change(lambda array: array.astype(np.float32))),
    "float64": (GOOD, GOOD, _change(lambda array: array.astype(np.float64))),
    "float16": (GOOD, GOOD, _change(lambda array: array.astype(np.float16))),
    "long double": (GOOD, GOOD, _change(lambda array: array.astype(np.longdouble))),
    "field": (GOOD, GOOD, _change(as_field)),
    "tied": (GOOD, GOOD, _tied),
    "overlapping": (GOOD, GOOD, _overlapping),
    "memmap": (GOOD, GOOD, _change_all(lambda array: as_memmap(array, "c"))),
    "bias rows": (GOOD, GOOD, lambda params, random: {**params, "b1": params["b1"][None], "b2": params["b2"][None]}),
    "more keys": (GOOD, GOOD, lambda params, random: {**params, "W9": "mine", 3: None}),
    "another order": (GOOD, GOOD, lambda params, random: dict(reversed(params.items()))),
    "other hidden units": (GOOD, GOOD, _hidden),
    "subclass": (GOOD, ODD, _change(lambda array: array.view(Odd))),
    "integers": (GOOD, BAD, _change(lambda array: np.rint(array).astype(int))),
    "read-only": (GOOD, BAD, _change(frozen)),
    "one number": (GOOD, BAD, _change(lambda array: np.broadcast_to(array.reshape(-1)[0], array.shape))),
    "odd dict": (GOOD, ODD, lambda params, random: OddDict(params)),
    "mapping": (GOOD, GOOD, lambda params, random: types.MappingProxyType(params)),
    "matrix": (GOOD, ODD, lambda params, random: {**params, "W1": quietly(np.matrix, params["W1"])}),
    "masked": (ODD, ODD, _change(lambda array: np.ma.masked_array(array, mask=array > 0))),
    "NaN": (ODD, ODD, _change(lambda array: array * np.nan)),
    "inf": (ODD, ODD, _change(lambda array: array / 0.0)),
    "large": (ODD, ODD, _change(lambda array: array * 1e30)),
    "subnormal": (ODD, ODD, _change( lambda array: array * 1e-320)),
    "a list": (BAD, BAD, _change(lambda array: array.tolist())),
    "None": (BAD, BAD, _change(lambda array: None)),
    "complex": (BAD, BAD, _change(lambda array: array + 0j)),
    "text": (BAD, BAD, _change( lambda array: array.astype(str))),
    "objects": (BAD, BAD, _change(lambda array: array.astype(object))),
    "bool": (BAD, BAD, _change( lambda array: array > 0)),
    "records": (BAD, BAD, _change(lambda array: np.zeros(array.shape, "f8,f8"))),
    "missing": (BAD, BAD, _without),
    "longer": (BAD, BAD, _change(lambda array: np.concatenate([array, array, array]))),
    "empty": (BAD, BAD, _change(lambda array: array[:0])),
    "0-d": (BAD, BAD, _change(lambda array: np.array(1.0))),
    "3-d": (BAD, BAD, _change(lambda array: array.reshape((1, 1, *array.shape)))),
    "no dict": (BAD, BAD, lambda params, random: pick(random, [None, list(params.items()), "W1", 3, params.keys()])),
    "huge": (HUGE, HUGE, _change(lambda array: np.broadcast_to(0.5, (ENORMOUS, 3)))),
    "liar": (BAD, BAD, _change(lambda array: Liar(array))),
}


def spoil(random, net):
    """Change the parameters of a model; return name and verdicts for the scores and for training."""
    name = pick(random, list(PARAMS))
    scores, training, change = PARAMS[name]
    with np.errstate(all="ignore"):
        net.params = change(dict(net.params), random)
    return name, scores, training


# ---- effects ---------------------------------------------------------------------------------------------------------


def _reshape(array, shape):
    with warnings.catch_warnings(), contextlib.suppress(ValueError, AttributeError):
        warnings.simplefilter("ignore")  # newer NumPys do not like it
        array.shape = shape


def _retype(array, dtype):
    with warnings.catch_warnings(), contextlib.suppress(ValueError, AttributeError):
        warnings.simplefilter("ignore")
        array.dtype = dtype


EFFECTS = {
    "W1 turned in place": lambda net: _reshape(net.params["W1"], net.params["W1"].shape[::-1]),
    "W1 one row": lambda net: _reshape(net.params["W1"], (1, -1)),
    "W1 one column": lambda net: _reshape(net.params["W1"], (-1, 1)),
    "W1 a vector": lambda net: _reshape(net.params["W1"], (-1,)),
    "W2 turned in place": lambda net: _reshape(net.params["W2"], net.params["W2"].shape[::-1]),
    "W2 one row": lambda net: _reshape(net.params["W2"], (1, -1)),
    "W2 one column": lambda net: _reshape(net.params["W2"], (-1, 1)),
    "b1 a column": lambda net: _reshape(net.params["b1"], (-1, 1)),
    "W1 of another dtype": lambda net: _retype(net.params["W1"], np.int64),
    "W1 of bytes": lambda net: _retype(net.params["W1"], np.uint8),
    "W2 of float32": lambda net: _retype(net.params["W2"], np.float32),
    "W1 replaced by less": lambda net: net.params.update(W1=net.params["W1"][:1].copy()),
    "W2 replaced by less": lambda net: net.params.update(W2=net.params["W2"][:, :1].copy(), b2=np.zeros(1)),
    "others": lambda net: net.params.update(W1=np.ones((2, 2)), b1=np.ones(2), W2=np.ones((2, 2)), b2=np.ones(2)),
    "params gone": lambda net: net.params.clear(), "params None": lambda net: setattr(net, "params", None),
    "read-only": lambda net: [array.setflags(write=False) for array in net.params.values()],
    "NaN": lambda net: net.params["W1"].fill(np.nan), "seed": lambda net: np.random.seed(0),
    "predict within": lambda net: net.predict(np.ones((2, net.params["W1"].shape[0]))),
    "train within": lambda net: net.train(np.ones((2, net.params["W1"].shape[0])), [0, 0],
                                          np.ones((2, net.params["W1"].shape[0])), [0, 0], num_iters=1, batch_size=2),
    "raise": lambda net: (_ for _ in ()).throw(OwnError),
}


def effect(random, net):
    """Return the name of something that happens to a model while its arguments are looked at, and how it happens."""
    name = pick(random, list(EFFECTS))
    return name, lambda: EFFECTS[name](net)
