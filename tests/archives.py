"""Files of fastnet, taken apart and put together again with something else in them."""

import json

import numpy as np


def taken_apart(path):
    """Return the description and the arrays of an .npz, which can be changed."""
    with np.load(path) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("fastnet").tobytes()), arrays


def put_together(path, fields, arrays):
    """Write an .npz of such parts, whether or not they fit together."""
    np.savez(path, fastnet=np.frombuffer(json.dumps(fields).encode(), np.uint8), **arrays)


def without_each(path):
    """Write the file without one of its fields and arrays; yield the name of that one, and go on with the next."""
    fields, arrays = taken_apart(path)
    for name in [*fields, *arrays]:
        rest = {key: array for key, array in arrays.items() if key != name}
        fewer = {key: value for key, value in fields.items() if key != name}
        if "arrays" in fewer:
            fewer["arrays"] = list(rest)
        put_together(path, fewer, rest)
        yield name
