import dataclasses
import io
import json
import os
import re
import stat
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import safetensors
from numpy.lib import format as npy
from safetensors import numpy as safetensors_numpy

import fastnet
from fastnet.files import containers
from fastnet.files.atomic import atomic_write
from fastnet.files.models import StoredModel, load_model, save_model
from fastnet.training import checkpoints

from ..conftest import within_seconds

D, H, C = 4, 3, 2


def make_model(dtype=np.float32, **changes):
    random = np.random.RandomState(5)
    params = {"W1": random.randn(D, H), "b1": random.randn(H), "W2": random.randn(H, C), "b2": random.randn(C)}
    fields = {"params": {name: array.astype(dtype) for name, array in params.items()},
              "classes": np.array(["no", "yes"]), "mean": random.randn(D), "scale": np.ones(D), "l2": "half",
              "features": np.array(["a", "b", "c", "d"])}
    return StoredModel(**(fields | changes))


def members(model):
    """Arrays in the model's file, but for the description."""
    optional = {"mean": model.mean, "scale": model.scale}
    return {**model.params, **{name: array for name, array in optional.items() if array is not None}}


def fields(model):
    """What the description of the model's file says."""
    return {"format": 2, "kind": "labelled TwoLayerNet", "l2": model.l2, "classes": model.classes.tolist(),
            "features": None if model.features is None else model.features.tolist()}


def write(path, model, save=np.savez, **changes):
    """Write a model's file with other arrays or fields; None leaves one out, and ... makes a field null."""
    arrays, description = members(model), fields(model)
    for name, value in changes.items():
        if isinstance(value, np.ndarray) or name in arrays:
            arrays[name] = value
        else:
            description[name] = value
    arrays = {name: array for name, array in arrays.items() if array is not None}
    description = {"arrays": list(arrays)} | {name: value for name, value in description.items()
                                              if value is not None or name == "features"}
    text = json.dumps({name: None if value is ... else value for name, value in description.items()})
    save(path, fastnet=np.frombuffer(text.encode(), np.uint8),
         **arrays)


def assert_same(ours, theirs):
    assert fields(ours) == fields(theirs)
    assert ours.classes.dtype == theirs.classes.dtype
    ours, theirs = members(ours), members(theirs)
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        assert array.tobytes() == theirs[name].tobytes(), name


@pytest.mark.parametrize("model", [
    make_model(), make_model(np.float64, l2="full"), make_model(mean=None, scale=None, features=None),
    make_model(classes=np.array([-7, 2**40])), make_model(classes=np.array(["日本", "x\ny"])),
])
@pytest.mark.parametrize("name", ["model", "model.safetensors"])
def test_comes_back_the_same(tmp_path, model, name):
    save_model(tmp_path / name, model)
    assert_same(load_model(tmp_path / name), model)
    loaded = fastnet.load(tmp_path / name)  # files of older versions, as the model that a table gives
    assert loaded.classes.tolist() == model.classes.tolist()
    assert all(loaded.params[key].tobytes() == array.tobytes() for key, array in model.params.items())
    X = np.arange(3 * D).reshape(3, D) / 3
    assert loaded.columns.transform(X).tobytes() == np.asarray(model.transform(X), np.float64).tobytes()
    assert loaded.columns.names == (None if model.features is None else tuple(model.features.tolist()))


def test_a_fortran_ordered_parameter_comes_back_the_same(tmp_path):
    model = make_model()
    model.params["W1"] = np.asfortranarray(model.params["W1"])
    save_model(tmp_path / "model", model)
    assert_same(load_model(tmp_path / "model"), model)


def test_another_byte_order_is_read(tmp_path):
    model = make_model()
    write(tmp_path / "model.npz", model, **{name: array.astype(array.dtype.newbyteorder("S"))
                                            for name, array in members(model).items()})
    assert_same(load_model(tmp_path / "model.npz"), model)


def test_transform():
    X = np.arange(8.0).reshape(2, 4)
    model = make_model(mean=np.array([0.0, 1, 2, 3]), scale=np.array([1.0, 1, 1, 4]))
    assert model.transform(X).tolist() == [[0, 0, 0, 0], [4, 4, 4, 1]]
    assert make_model(mean=None, scale=None).transform(X) is X
    assert model.sizes == (D, H, C)


# Writing


def test_an_existing_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(b"old")
    save_model(path, make_model())
    load_model(path)
    assert os.listdir(tmp_path) == ["model.npz"]


def test_a_failure_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    save_model(path, make_model())
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(containers.np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(path, make_model(np.float64))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.npz"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX's")
def test_permissions_follow_the_umask_and_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "model.npz")
    umask = os.umask(0o027)
    try:
        save_model(tmp_path / "link", make_model())
    finally:
        os.umask(umask)
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "real" / "model.npz").stat().st_mode) == 0o640


def test_what_cannot_be_written_to(tmp_path):
    with pytest.raises(ValueError, match="not a regular file"):
        save_model(tmp_path, make_model())
    with pytest.raises(FileNotFoundError, match="no folder"):
        save_model(tmp_path / "missing" / "model.npz", make_model())
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no such device")
def test_a_device_is_not_replaced():
    with pytest.raises(ValueError, match="not a regular file"), atomic_write("/dev/null"):
        pass
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


# What a model may be


@pytest.mark.parametrize(("changes", "message"), [
    ({"classes": np.array(["a"])}, "classes must have the shape"),
    ({"classes": np.array(["a", "a"])}, "twice"),
    ({"classes": np.array([1.0, 2.0])}, "classes must be strings or int64"),
    ({"features": np.array([1, 2, 3, 4])}, "features must be strings"),
    ({"features": np.array(["a", "b", "c", "c"])}, "twice"),
    ({"features": np.array(["a"])}, "features must have the shape"),
    ({"classes": np.array(["a", "b\ud800"])}, "classes holds text that is not Unicode"),
    ({"features": np.array(["\udfff", "b", "c", "d"])}, "features holds text that is not Unicode"),
    ({"mean": None}, "belong together"),
    ({"scale": None}, "belong together"),
    ({"scale": np.array([1.0, 1, 0, 1])}, "above 0"),
    ({"scale": np.array([1.0, 1, np.nan, 1])}, "not finite"),
    ({"mean": np.full(D, np.inf)}, "not finite"),
    ({"mean": np.zeros(D + 1)}, "mean must have the shape"),
    ({"mean": np.zeros(D, np.float32)}, "mean must be float64"),
    ({"l2": "quarter"}, "l2 must be"),
])
def test_parts_that_do_not_agree(changes, message):
    with pytest.raises(ValueError, match=message):
        make_model(**changes)


@pytest.mark.parametrize(("name", "array", "message"), [
    ("W1", np.zeros((0, H), np.float32), "must have inputs"),
    ("W1", np.zeros(H, np.float32), "two dimensions"),
    ("W1", np.zeros((D, H), np.float16), "float32 or float64"),
    ("W1", np.zeros((D, H), np.int64), "float32 or float64"),
    ("W1", np.zeros((D, H), np.float64), "b1 must be float64"),
    ("W1", np.full((D, H), np.nan, np.float32), "not finite"),
    ("b1", np.zeros((1, H), np.float32), "b1 must have the shape"),
    ("W2", np.zeros((H + 1, C), np.float32), "W2 must have the shape"),
    ("b2", np.zeros(C + 1, np.float32), "b2 must have the shape"),
])
def test_parameters_that_do_not_agree(name, array, message):
    params = make_model().params
    with pytest.raises(ValueError, match=message):
        make_model(params=params | {name: array})
    with pytest.raises(ValueError, match="parameters"):
        make_model(params={key: params[key] for key in params if key != name})


# Files that are no models


@pytest.mark.parametrize(("changes", "message"), [
    ({"W1": None}, "lacks W1"),
    ({"classes": None, "l2": None}, "lacks l2, classes"),
    ({"format": None}, "no format number"),
    ({"format": [2]}, "no format number"),
    ({"format": "2"}, "no format number"),
    ({"format": True}, "no format number"),
    ({"format": 1}, "format 1.*reads format 2"),
    ({"format": 10**400}, "absurd"),
    ({"kind": "MLPClassifier"}, "holds 'MLPClassifier'"),
    ({"kind": ["TwoLayerNet"]}, "holds"),
    ({"kind": "TwoLayerNet"}, "'classes'"),
    ({"extra": np.zeros(1)}, "'extra'"),
    ({"extra": 1}, "'extra'"),
    ({"arrays": 1}, "which arrays"),
    ({"arrays": ["W1", "b1", "W2", "b2", "mean", "scale", "x"]}, "lacks 'x'"),
    ({"arrays": ["W1", "b1", "W2", "b2"]}, "should not hold 'mean', 'scale'"),
    ({"l2": 1}, "l2 must be"),
    ({"l2": ...}, "l2 must be"),
    ({"b2": np.zeros(C + 1, np.float32)}, "b2 must have the shape"),
    ({"W1": np.array([None])}, "Python objects"),
    ({"W1": np.zeros((D, H), complex)}, "W1 must be an array of numbers"),
    ({"b1": np.zeros(H, [("x", "f4")])}, "b1 must be an array of numbers"),
    ({"mean": None}, "belong together"),
    ({"mean": np.zeros(0)}, "mean must have the shape"),
    ({"features": ["a"]}, "features must have the shape"),
    ({"features": [1, 2, 3, 4]}, "features must be strings"),
    ({"classes": ...}, "classes must be a list"),
    ({"classes": []}, "classes must be a list"),
    ({"classes": ["a", 1]}, "classes must be a list"),
    ({"classes": [True, False]}, "classes must be a list"),
    ({"classes": [1, 2**63]}, "classes must be a list"),
    ({"classes": [[1], [2]]}, "classes must be a list"),
    ({"classes": ["a", "b\0"]}, "classes holds text that ends in a NUL"),
    ({"classes": ["a", "\ud800"]}, "not Unicode"),
    ({"classes": ["x" * 100_000, *"y" * 100_000]}, "too long"),
])
def test_wrong_members(tmp_path, changes, message):
    path = tmp_path / "model.npz"
    write(path, make_model(), **changes)
    with pytest.raises(ValueError, match=f"model.npz.*{message}"):
        load_model(path)


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format": ' + b"9" * 5000 + b"}"])
def test_descriptions_that_are_none(tmp_path, text):
    np.savez(tmp_path / "model.npz", fastnet=np.frombuffer(text, np.uint8), **members(make_model()))
    with pytest.raises(ValueError, match=r"model\.npz.*(description|format)"):
        load_model(tmp_path / "model.npz")


BOMBS = {
    "many lists": '{"format": 2, "kind": "TwoLayerNet", "arrays": [], "x": [' + "[]," * 300_000 + "[]]}",
    "many objects": '{"format": 2, "kind": "TwoLayerNet", "arrays": [], "x": [' + "{}," * 300_000 + "{}]}",
    "deep": '{"format": 2, "x": ' + "[" * 16 + "]" * 16 + "}",
    "long": '{"format": 2, "x": [' + "0.1," * 3_000_000 + "1]}",
}


@pytest.mark.parametrize("load", [
    fastnet.load, load_model, fastnet.TwoLayerNet.load,
    lambda path: checkpoints.read_checkpoint(path, {}, {}, np.random.RandomState(0))], ids=range(4))
@pytest.mark.parametrize("bomb", BOMBS)
def test_descriptions_that_would_become_many_objects(tmp_path, bomb, load):
    description = np.frombuffer(BOMBS[bomb].encode(), np.uint8)
    np.savez_compressed(tmp_path / "model.npz", fastnet=description)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"model\.npz.*its description is (no JSON that|longer than)"):
            load(tmp_path / "model.npz")
        assert tracemalloc.get_traced_memory()[1] < 5 * len(description) + 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bomb", ["many lists", "many objects", "deep"])
def test_the_same_in_safetensors(tmp_path, bomb):
    path = tmp_path / "model.safetensors"
    safetensors_numpy.save_file({"W1": np.ones(3)}, path, {"fastnet": BOMBS[bomb]})
    with pytest.raises(ValueError, match=r"model\.safetensors.*its description is no JSON that"):
        load_model(path)
    tensor = '"W1":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":' + BOMBS[bomb] + "}"
    header = f'{{"__metadata__":{{"fastnet":"{{}}"}},{tensor}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"1")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"model\.safetensors.*(lists and objects|no format number)"):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(header) + 10**5
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("description", [None, np.zeros(3), np.zeros((1, 2), np.uint8)])
def test_no_description(tmp_path, description):
    given = {} if description is None else {"fastnet": description}
    np.savez(tmp_path / "model.npz", **given, **members(make_model()))
    with pytest.raises(ValueError, match=r"model\.npz.*no description"):
        load_model(tmp_path / "model.npz")


def test_safetensors_of_others_and_damaged_ones(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors_numpy.save_file({"weight": np.ones(3)}, path)
    with pytest.raises(ValueError, match="no description"):
        load_model(path)
    save_model(path, make_model())
    content = path.read_bytes()
    for damaged in (b"", content[:100], content[:-1], b"\xff" * 100, content.replace(b'"F32"', b'"I32"', 1),
                    content.replace(b'"F32"', b'"F64"', 1)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            load_model(path)
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("length", [0, 4, 8, 40, 10**6])
def test_a_safetensors_that_is_cut_while_it_is_read(tmp_path, monkeypatch, length):
    """It is not mapped, for then this would end the process."""
    path = tmp_path / "model.safetensors"
    save_model(path, make_model())
    size, mapped = path.stat().st_size, []

    def cut(file):
        os.truncate(path, min(length, size - 1))
        return size

    monkeypatch.setattr(containers, "size_of", cut)
    monkeypatch.setattr(safetensors, "safe_open", lambda *args: mapped.append(args))
    with pytest.raises(ValueError, match=r"model\.safetensors is not an intact"):
        load_model(path)
    assert not mapped
    assert path.stat().st_size < size


@pytest.mark.skipif(os.name != "posix", reason="devices and pipes are POSIX's")
@pytest.mark.parametrize("kind", ["device", "pipe"])
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind, suffix):
    path = tmp_path / f"link.{suffix}"
    if kind == "pipe":
        os.mkfifo(tmp_path / "pipe")
    path.symlink_to(tmp_path / "pipe" if kind == "pipe" else "/dev/zero")
    readers = [fastnet.load, load_model, fastnet.TwoLayerNet.load,
               lambda path: checkpoints.read_checkpoint(path, {}, {}, np.random.RandomState(0))]
    for read in readers:
        with pytest.raises(ValueError, match=rf"link\.{suffix} is not a regular file"):
            within_seconds(20, read, path)


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    names = [".model.npz.0123456789ab.tmp", ".model.npz.cafecafecafe.tmp", ".other.npz.0123456789ab.tmp",
             "model.npz.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    for name in names[:1] + names[2:]:
        os.utime(tmp_path / name, (0, 0))
    save_model(tmp_path / "model.npz", make_model())
    assert sorted(os.listdir(tmp_path)) == sorted([*names[1:], "model.npz"])


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "model.npz")
    (tmp_path / "folder.safetensors").mkdir()
    for folder in (tmp_path, tmp_path / "folder.safetensors"):
        with pytest.raises(OSError, match=re.escape(folder.name)):
            load_model(folder)


def npy_bytes(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_members(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents:
            archive.writestr(name, content)


@pytest.mark.parametrize("contents", [
    [],
    [("W1.npy", b"")],
    [("W1.npy", b"\x93NUMPY")],
    [("W1.npy", b"no array at all")],
    [("W1.txt", npy_bytes(np.zeros(3)))],
    [("W1.npy", npy_bytes(np.zeros(3))[:-1])],
    [("W1.npy", npy_bytes(np.zeros(3)) + b"more")],
    [("W1.npy", npy_bytes(np.zeros(3)).replace(b"(3,)", b"(-3,)"))],
    [("W1.npy", npy_bytes(np.zeros(3)).replace(b"<f8", b"|V0"))],
    [("W1.npy", npy_bytes(np.zeros(3)).replace(b"\x93NUMPY\x01", b"\x93NUMPY\x03"))],
])
def test_members_that_are_no_arrays(tmp_path, contents):
    path = tmp_path / "model.npz"
    write_members(path, contents)
    with pytest.raises(ValueError, match=r"model\.npz"):
        load_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice(tmp_path):
    path = tmp_path / "model.npz"
    write_members(path, [("W1.npy", npy_bytes(np.zeros(3)))] * 2)
    with pytest.raises(ValueError, match="unexpected member"):
        load_model(path)


def test_a_header_that_promises_gigabytes_allocates_nothing(tmp_path):
    path = tmp_path / "model.npz"
    content = npy_bytes(np.zeros(1000))
    head, data = content[:128], content[128:]
    lying = head.replace(b"'shape': (1000,), }" + b" " * 9, b"'shape': (9000000000,), }   ")
    assert len(lying) == len(head)
    assert lying != head
    write_members(path, [("W1.npy", lying + data)])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="does not have the size that its header says"):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_a_recorded_size_that_the_file_cannot_hold(tmp_path):
    path = tmp_path / "model.npz"
    write_members(path, [("W1.npy", npy_bytes(np.zeros(3)))])
    content = path.read_bytes()
    size = len(npy_bytes(np.zeros(3))).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (2**31).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="larger than the file can hold"):
        load_model(path)


def write_nested(path, count, size):
    """Write an .npz of arrays that lie within each other: each is of all bytes that follow its header."""
    body, infos = bytes(size), []
    for number in range(count):
        stream = io.BytesIO()
        npy.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (len(body),)})
        body = stream.getvalue() + body
        info = zipfile.ZipInfo(f"a{number}.npy")
        info.CRC, info.file_size, info.compress_size, info.header_offset = zlib.crc32(body), len(body), len(body), 0
        body = info.FileHeader() + body
        infos.append((info, len(body)))
    with zipfile.ZipFile(path, "w") as archive:
        archive.fp.write(body)
        for info, following in infos:
            info.header_offset = len(body) - following
            archive.filelist.append(info)
        archive.start_dir, archive._didModify = len(body), True


def test_members_that_overlap(tmp_path):
    path = tmp_path / "model.npz"
    write_nested(path, 1, 10_000)
    assert np.load(path)["a0"].shape == (10_000,)  # a file like any other
    write_nested(path, 50, 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"model\.npz: its members are recorded as larger than the file can hold"):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_an_unusual_compression(tmp_path):
    path = tmp_path / "model.npz"
    write_members(path, [("W1.npy", npy_bytes(np.zeros(3)))], zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="NumPy does not write"):
        load_model(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_found_or_harmless(tmp_path, compressed):
    """Checksums cover all arrays: either the file is refused, or the model is what it was."""
    path = tmp_path / "model.npz"
    model = make_model()
    write(path, model, np.savez_compressed if compressed else np.savez)
    content = path.read_bytes()
    random = np.random.RandomState(11)
    damaged = [content[:length] for length in random.randint(0, len(content), 100)]
    for _ in range(1000):
        bytes_ = bytearray(content)
        for position in random.randint(0, len(content), random.randint(1, 4)):
            bytes_[position] = random.randint(256)
        damaged.append(bytes(bytes_))
    for data in damaged:
        path.write_bytes(data)
        try:
            loaded = load_model(path)
        except ValueError:
            continue
        assert_same(loaded, model)


def test_a_model_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_model().l2 = "full"


# The archive says once more that it cannot be closed, when it is freed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_ends_the_writing_is_raised_as_it_is(tmp_path, monkeypatch):
    class TimeLimit(Exception):  # noqa: N818
        pass

    def interrupted(*args, **options):
        raise TimeLimit

    net = fastnet.TwoLayerNet(3, 4, 2, rng=0)
    path = tmp_path / "net.npz"
    net.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(zipfile._ZipWriteFile, "close", interrupted)  # so that the archive cannot be closed, either
    with pytest.raises(TimeLimit):
        net.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["net.npz"]
