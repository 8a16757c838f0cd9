"""Damaged and forged files of models and checkpoints: each is refused with a ValueError, or what comes is valid.

In CI some thousands; as many as wanted by ``python -m tests.test_fuzz_files COUNT [SEED]``.
"""

import collections
import contextlib
import copy
import io
import json
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import fastnet
from fastnet import TwoLayerNet
from fastnet.cli.training.run_file import HISTORIES, read_run, write_run
from fastnet.files.models import StoredModel, save_model
from fastnet.sklearn import MLPClassifier, MLPRegressor
from fastnet.tables import TableModel
from fastnet.tables.columns import Columns
from fastnet.training import checkpoints

RUN = {"learning_rate": 0.1, "data": 5}
VALUES = [None, True, False, 0, 1, -1, 2, 3, 2**31, 2**53, 2**63, -2**63, 10**300, 10**400, 0.5, -0.0, 1e-320, 1e308,
          float("nan"), float("inf"), "", "x", "\0", "\ud800", "softmax", "TwoLayerNet", "sgd", "adam", "random_state",
          [], {}, [[]], {"tuple": [1]}, [0] * 1000, "y" * 100_000, {"generator": "RandomState", "state": {}}]
DTYPES = ["<f4", "<f8", ">f8", "<f2", "<i8", "u1", "?", "<c16", "<U3", "S3", "M8[s]", "V4", [("a", "<f8")]]


def bases(folder):
    """Files of every kind, as bytes, with their names, and what loads them."""
    random = np.random.RandomState(0)
    X, y = random.standard_normal((12, 3)), np.arange(12) % 3
    net = TwoLayerNet(3, 2, 3, std=1, dtype=np.float32, rng=0)
    progress = checkpoints.Progress(2, 0.1, {"loss_history": [1.0, 2.0], "train_acc_history": [0.5],
                                             "val_acc_history": [0.5]})
    stored = StoredModel({name: array.copy() for name, array in net.params.items()}, np.array(["a", "b", "c"]),
                         np.zeros(3), np.ones(3), "half", np.array(["x", "y", "z"]))
    columns = Columns(3, ("x", "y", "z"), (1,), {2: ("", "a")}, np.ones(3), np.zeros(4), np.ones(4))
    table = TableModel(columns, ((np.ones((4, 2)), np.ones(2)), (np.ones((2, 1)), np.ones(1))), output="logistic",
                       classes=np.array(["no", "yes"]), target="t")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier = MLPClassifier((2,), max_iter=2, random_state=0).fit(X, y)
        strings = MLPClassifier((2, 2), max_iter=2, solver="sgd", early_stopping=True, validation_fraction=0.3).fit(
            X, np.array(["no", "yes"] * 6))
        regressor = MLPRegressor(hidden_layer_sizes=(2,), max_iter=2, random_state=np.random.RandomState(1)).fit(
            X, X[:, :2])
    saves = {
        "network": net.save, "labelled": lambda path: save_model(path, stored), "table": table.save,
        "classifier": classifier.save, "strings": strings.save, "regressor": regressor.save,
        "new": MLPClassifier().save, "adam": write_adam_run,
        "run": lambda path: checkpoints.Checkpoints(path, 1, RUN, lambda: net.params, net._rng).write(progress)}
    result = []
    for kind, save in saves.items():
        for suffix in (".npz", ".safetensors"):
            save(folder / (kind + suffix))
            result.append((kind, suffix, (folder / (kind + suffix)).read_bytes()))
    return result


def adam_estimator():
    return MLPClassifier(hidden_layer_sizes=(2,), batch_size=5, random_state=0)


def write_adam_run(path):
    """The checkpoint of a training with Adam by the command line."""
    X, y = np.random.RandomState(0).standard_normal((12, 3)), np.arange(12) % 3
    estimator = adam_estimator().partial_fit(X, y, classes=np.arange(3))
    write_run(path, RUN, estimator, {name: [1.0] for name in HISTORIES},
              list(zip(estimator.coefs_, estimator.intercepts_, strict=True)))


def load(kind, path):
    """Load a file and use what comes."""
    if kind == "adam":
        estimator = adam_estimator()
        history, best = read_run(path, RUN, estimator)
        assert len(history["loss"]) == len(history["validation_score"])
        assert best is None or all(np.isfinite(part).all() for layer in best for part in layer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.predict(np.zeros((1, len(estimator.coefs_[0]))))
            go_on(estimator)
        return
    if kind == "run":
        net = TwoLayerNet(3, 2, 3, dtype=np.float32, rng=0)
        progress, restore = checkpoints.read_checkpoint(path, RUN, net.params, net._rng)
        restore()
        assert 0 <= progress.iteration == len(progress.history["loss_history"])
        assert np.isfinite(progress.learning_rate)
        net._rng.choice(5, 3)
        net._rng.standard_normal()
        return
    model = fastnet.load(path)
    if isinstance(model, TableModel):
        assert all(np.isfinite(array).all() for array in model.params.values())
        X = np.zeros((1, model.columns.count))
        assert model.columns.transform(X).shape == (1, model.sizes[0])
        with contextlib.suppress(ValueError), np.errstate(all="ignore"):  # a mean may be large, a scale small
            model.predict(X)
        "".join(map(str, [] if model.classes is None else model.classes.tolist())).encode()
        repr(model)
        model._repr_html_()
    elif isinstance(model, TwoLayerNet):
        assert 0 <= model.predict(np.zeros((1, len(model.params["W1"]))))[0] < model.params["W2"].shape[1]
    else:
        with warnings.catch_warnings():  # of names of features, and of numbers that grow
            warnings.simplefilter("ignore")
            if hasattr(model, "coefs_"):
                model.predict(np.zeros((1, len(model.coefs_[0]))))
                model._random_state.permutation(3)
            go_on(model)


def go_on(model):
    """Train an estimator further, in every way that there is; that may fail with a ValueError alone."""
    outputs, classes = getattr(model, "n_outputs_", 1), getattr(model, "classes_", np.arange(2))
    X = np.random.RandomState(0).standard_normal((20, getattr(model, "n_features_in_", 3)))
    if isinstance(model, MLPRegressor):
        y = np.ones((20, outputs))
    elif hasattr(model, "coefs_") and model._label_binarizer.y_type_ == "multilabel-indicator":
        y = np.arange(20 * outputs).reshape(20, outputs) % 2
    else:
        y = classes[np.arange(20) % len(classes)]
    first = {} if isinstance(model, MLPRegressor) or hasattr(model, "classes_") else {"classes": classes}
    model.set_params(warm_start=True, max_iter=2, verbose=False)
    partial = [] if model.solver == "lbfgs" else [model.partial_fit]
    for number, fit in enumerate([*partial, model.fit, *partial]):
        with contextlib.suppress(ValueError):
            fit(X, y, **(first if partial and not number else {}))


def mutated_bytes(content, random):
    """Bytes changed, cut, doubled or moved."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        if not data:
            break
        at, length = random.randint(len(data)), random.randint(1, 20)
        kind = random.randint(6)
        if kind == 0:
            data[at] ^= 1 << random.randint(8)
        elif kind == 1:
            data[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randint(256)])
        elif kind == 2:
            del data[at:at + length]
        elif kind == 3:
            data[at:at] = data[at:at + length]
        elif kind == 4:
            del data[at:]
        else:
            data[at:at + 4] = int(random.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1])).to_bytes(4, "little")
    return bytes(data)


def places(tree):
    """Every (container, key) in a tree of dicts and lists; of long lists the first few."""
    found = []
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree[:5])):
        found.append((tree, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def mutated_parts(content, suffix, random):
    """A well-formed file whose description or arrays are not what they were."""
    if suffix == ".npz":
        arrays = dict(np.load(io.BytesIO(content)))
        fields = json.loads(arrays.pop("fastnet").tobytes())
    else:
        length = int.from_bytes(content[:8], "little")
        fields = json.loads(json.loads(content[8:8 + length])["__metadata__"]["fastnet"])
        arrays = safetensors_numpy.load(content)
    for _ in range(random.randint(1, 3)):
        kind = random.randint(8)
        names = list(arrays)
        if kind < 4 or not names:
            tree, key = (found := places(fields))[random.randint(len(found))]
            if kind == 0 and isinstance(tree, dict):
                del tree[key]
            elif kind == 1 and isinstance(tree, dict):
                tree[f"{key}_"] = tree[key]
            else:
                tree[key] = copy.deepcopy(VALUES[random.randint(len(VALUES))])
            continue
        name = names[random.randint(len(names))]
        array = arrays[name]
        if kind == 4:
            del arrays[name]
        elif kind == 5:
            arrays[name] = np.zeros(random.randint(0, 4, random.randint(0, 4)), DTYPES[random.randint(len(DTYPES))])
        elif kind == 6 and array.size:
            array = array.copy()
            if array.dtype.kind == "f":
                with np.errstate(all="ignore"):
                    array.reshape(-1)[random.randint(array.size)] = random.choice([np.nan, np.inf, -1e38, 0, 1e-45])
            arrays[name] = array
        else:
            arrays[name] = [array.T, array.reshape(-1), array[:-1] if array.ndim else array,
                            np.zeros(array.shape)][random.randint(4)]
        if random.randint(4):
            fields["arrays"] = list(arrays)
    if suffix == ".safetensors":
        kept = {name: np.array(array, order="C") for name, array in arrays.items() if array.dtype.kind in "iuf"
                and array.dtype.isnative}
        return safetensors_numpy.save(kept, metadata={"fastnet": json.dumps(fields)})
    stream = io.BytesIO()
    save = np.savez if random.randint(4) else np.savez_compressed
    save(stream, fastnet=np.frombuffer(json.dumps(fields).encode(), np.uint8), **arrays)
    return stream.getvalue()


def mutated_archive(content, random):
    """An .npz whose members have been changed within, under right checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = random.randint(len(members))
    name, data = members[at]
    members[at] = (name, mutated_bytes(data, random))
    if not random.randint(5):
        members.insert(random.randint(len(members)), ("../../x.npy" if random.randint(2) else "x", b"x"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def fuzz(count, seed, report=lambda done: None):
    """Load so many mutated files; return how many were refused and how many were valid, for each kind."""
    random = np.random.RandomState(seed)
    outcomes = collections.Counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        files = bases(folder)
        for done in range(count):
            kind, suffix, content = files[random.randint(len(files))]
            way = random.randint(3)
            if way == 0:
                data = mutated_bytes(content, random)
            elif way == 1 or suffix == ".safetensors":
                data = mutated_parts(content, suffix, random)
            else:
                data = mutated_archive(content, random)
            path = folder / f"mutated{suffix}"
            path.write_bytes(data)
            try:
                load(kind, path)
                outcomes[kind, "valid"] += 1
            except ValueError as error:
                outcomes[kind, "refused" if str(path) in str(error) else "without the name of the file"] += 1
            except BaseException:
                kept = Path(tempfile.gettempdir()) / f"fastnet-fuzz-{seed}-{done}{suffix}"
                kept.write_bytes(data)
                print(f"seed {seed}, file {done} ({kind}), kept as {kept}", file=sys.stderr)
                raise
            report(done)
    return outcomes


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_mutated_files():
    seed = int(time.time())
    print(f"seed {seed}")
    outcomes = fuzz(2000, seed)
    assert sum(outcomes.values()) == 2000
    kinds = {kind for kind, _ in outcomes}
    assert len(kinds) == 9
    assert {what for _, what in outcomes} == {"refused", "valid"}
    assert sum(count for (_, what), count in outcomes.items() if what == "refused") > 500
    assert sum(count for (_, what), count in outcomes.items() if what == "valid") > 50


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Duplicate name")
    total, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    start = time.time()
    counts = fuzz(total, first, lambda done: done % 20_000 or print(f"{done} {time.time() - start:.0f} s", flush=True))
    for (base, what), number in sorted(counts.items()):
        print(f"{base:12}{what:10}{number}")
    print(f"{sum(counts.values())} files, no other outcome")
