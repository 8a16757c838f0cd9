import os

import numpy as np
import pytest

from fastnet.cli.inputs.tables import cast, read_features, read_table

from ..conftest import within_seconds


@pytest.fixture
def csv_file(tmp_path):
    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path
    return write


@pytest.fixture
def npz_file(tmp_path):
    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path
    return write


# .csv


@pytest.mark.parametrize("content", [
    "a,b,label\n1,2.5,x\n-3e1,4,y\n",
    "\ufeffa,b,label\n1,2.5,x\n-3e1,4,y\n",  # a byte order mark
    "a,b,label\r\n1,2.5,x\r\n-3e1,4,y",  # Windows, and no end of line at the end
    '\n"a", b ,label\n\n"1", 2.5,"x"\n  \n-3e1,4 , y \n\n',  # blank lines, quotes and spaces
])
def test_csv(csv_file, content):
    X, y, classes, features = read_table(csv_file(content))
    assert X.tolist() == [[1, 2.5], [-30, 4]]
    assert X.dtype == np.float64
    assert classes.tolist() == ["x", "y"]
    assert y.tolist() == [0, 1]
    assert y.dtype == np.int64
    assert features.tolist() == ["a", "b"]


def test_csv_label_column_by_name(csv_file):
    X, y, classes, features = read_table(csv_file("kind,a\nß,1\n日本,2\nß,3\n"), label="kind")
    assert X.tolist() == [[1], [2], [3]]
    assert classes.tolist() == ["ß", "日本"]
    assert y.tolist() == [0, 1, 0]
    assert features.tolist() == ["a"]


@pytest.mark.parametrize(("labels", "classes"), [
    (["10", "9", "-1"], [-1, 9, 10]),
    (["10", "9", "09"], ["09", "10", "9"]),
    (["10", "9", "9.0"], ["10", "9", "9.0"]),
    (["1", "1_0"], ["1", "1_0"]),
    (["1", str(2**63)], ["1", str(2**63)]),
    (["nan", "True"], ["True", "nan"]),
])
def test_csv_labels_are_numbers_only_if_nothing_is_lost(csv_file, labels, classes):
    table = read_table(csv_file("a,label\n" + "".join(f"1,{label}\n" for label in labels)))
    assert table.classes.tolist() == classes
    assert [str(name) for name in table.classes[table.y]] == labels


def test_csv_quoted_label_with_comma_and_newline(csv_file):
    table = read_table(csv_file('a,label\n1,"x, y"\n2,"u\nv"\n'))
    assert set(table.classes) == {"x, y", "u\nv"}


@pytest.mark.parametrize(("content", "message"), [
    ("", "empty"),
    ("\n\n", "empty"),
    ("a,label\n", "no samples"),
    ("a,label\n\n", "no samples"),
    ("a,b\n1,2\n", r"no column 'label'.*--label.*'a', 'b'"),
    ("label\nx\n", "no features"),
    ("a,a,label\n1,2,x\n", "line 1, column 2.*second column named 'a'"),
    ("a,,label\n1,2,x\n", "line 1, column 2.*no name"),
    ("a,label\n1,x\n\n2\n", "line 4: 1 values.*2 columns"),
    ("a,label\n1,x,3\n", "line 2: 3 values.*2 columns"),
    ("a,label\n1,x\nq,y\n", "line 3, column 'a': 'q' is not a number"),
    ("a,label\n1_0,x\n", "line 2, column 'a': '1_0' is not a number"),
    ("a,b,label\n1,2,x\n1, ,x\n", "line 3, column 'b': the cell is empty"),
    ("a,label\n1,x\nnan,y\n", "line 3, column 'a': nan is not a finite number"),
    ("a,label\n\n1,x\n-Infinity,y\n", "line 4, column 'a': -inf is not a finite number"),
    ("a,label\n1e999,x\n", "line 2, column 'a': inf is not a finite number"),
    ("a,label\n1,x\n2, \n", "line 3, column 'label': the label is empty"),
    ('a,label\n1,"x\ny"\nq,z\n', "line 4, column 'a': 'q'"),
    ('a,label\n1,"x\n', ", line 2: "),
    ('a,label\n1,"x"y\n', ", line 2: "),
    (b"a,label\n1,\xff\n", "not text in UTF-8"),
    ("a,label\n1,x\n".encode("utf-16"), "not text in UTF-8"),
    (b"a,label\n1\x00,x\n", "line 2"),
    ("a,label\n" + "1" * 200_000 + ",x\n", "line 2"),
    ("a,label\n1,x\n2,y\0 \n", "line 3, column 'label': the label ends in a NUL"),
    ("\na,b\0,label\n1,2,x\n", "line 2, column 2: the name of the column ends in a NUL"),
])
def test_csv_faults_say_where(csv_file, content, message):
    with pytest.raises(ValueError, match=rf"(?s)data\.csv.*{message}"):
        read_table(csv_file(content))


def test_csv_features(csv_file):
    path = csv_file("id,b,a,label\nq,2,1,\nr,4,3,\n")
    assert read_features(path, features=["a", "b"]).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match="column 'id': 'q' is not a number"):
        read_features(path)
    with pytest.raises(ValueError, match="needs 'c'"):
        read_features(path, features=["a", "c"])
    with pytest.raises(ValueError, match="no column 'kind'"):
        read_features(path, label="kind", features=["a"])


def test_csv_features_pass_over_the_label(csv_file):
    assert read_features(csv_file("a,label\n1,x\n")).tolist() == [[1]]
    assert read_features(csv_file("a,kind\n1,x\n"), label="kind").tolist() == [[1]]
    assert read_features(csv_file("a,b\n1,2\n")).tolist() == [[1, 2]]


# .npz


@pytest.mark.parametrize(("y", "classes", "indices"), [
    (np.array([3, 1, 3]), [1, 3], [1, 0, 1]),
    (np.array([3, 1, 3], ">u2"), [1, 3], [1, 0, 1]),
    (np.array([3.0, -1.0, 3.0], np.float16), [-1, 3], [1, 0, 1]),
    (np.array([True, False, True]), [0, 1], [1, 0, 1]),
    (np.array(["b", "a", "b"]), ["a", "b"], [1, 0, 1]),
    (np.array(["b", "é", "b"], ">U3"), ["b", "é"], [0, 1, 0]),
])
def test_npz(npz_file, y, classes, indices):
    table = read_table(npz_file(X=np.arange(6).reshape(3, 2), y=y, other=np.zeros(1)))
    assert table.X.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert table.X.dtype == np.float64
    assert table.classes.tolist() == classes
    assert table.classes.dtype.kind in "iU"
    assert table.y.tolist() == indices
    assert table.y.dtype == np.int64
    assert table.features is None


@pytest.mark.parametrize("X", [
    np.arange(12).reshape(3, 2, 2), np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(12, dtype=">f4").reshape(3, 4), np.arange(12, dtype=np.float16).reshape(3, 4, 1),
])
def test_npz_features_are_flattened(npz_file, X):
    assert read_features(npz_file(X=X)).tolist() == np.arange(12).reshape(3, 4).tolist()


def test_compressed_npz(tmp_path):
    with open(tmp_path / "DATA.NPZ", "wb") as file:
        np.savez_compressed(file, X=np.zeros((1000, 100)), y=np.arange(1000) % 2)
    assert read_table(tmp_path / "DATA.NPZ").X.shape == (1000, 100)


GOOD_X = np.ones((3, 2))
GOOD_Y = np.array([0, 1, 0])


@pytest.mark.parametrize(("arrays", "message"), [
    ({"y": GOOD_Y}, "no member X"),
    ({"X": GOOD_X}, "no member y"),
    ({"X": np.array([[1, None]] * 3), "y": GOOD_Y}, "Python objects"),
    ({"X": np.array([["1", "2"]] * 3), "y": GOOD_Y}, "X must be numbers"),
    ({"X": GOOD_X * 1j, "y": GOOD_Y}, "X must be numbers"),
    ({"X": np.zeros(3), "y": GOOD_Y}, "row for each sample"),
    ({"X": np.array(3), "y": GOOD_Y}, "row for each sample"),
    ({"X": np.zeros((0, 2)), "y": GOOD_Y[:0]}, "empty"),
    ({"X": np.zeros((3, 0)), "y": GOOD_Y}, "empty"),
    ({"X": np.array([[1, 2], [3, np.nan], [1, 2]]), "y": GOOD_Y}, "row 1 "),
    ({"X": GOOD_X, "y": GOOD_Y[:2]}, "shape"),
    ({"X": GOOD_X, "y": GOOD_Y[:, None]}, "shape"),
    ({"X": GOOD_X, "y": np.array([0, 1.5, 0])}, "whole numbers"),
    ({"X": GOOD_X, "y": np.array([0, np.nan, 0])}, "whole numbers"),
    ({"X": GOOD_X, "y": np.array([0, 1e30, 0])}, "whole numbers"),
    ({"X": GOOD_X, "y": np.array([0, 2**64 - 1, 0], np.uint64)}, "int64"),
    ({"X": GOOD_X, "y": np.array(["a", "", "b"])}, "empty label"),
    ({"X": GOOD_X, "y": np.array(["a", "\0", "b"])}, "empty label"),
    ({"X": GOOD_X, "y": np.array(["a", "\ud800", "b"])}, "y holds text that is not Unicode"),
    ({"X": np.ones((3000, 1)), "y": np.array(["x" * 2000, *map(str, range(2999))])}, "y holds text that is too long"),
    ({"X": GOOD_X, "y": np.array([b"a", b"b", b"c"])}, "whole numbers or strings"),
    ({"X": GOOD_X, "y": np.array(["a", None, "b"])}, "Python objects"),
])
def test_npz_faults(npz_file, arrays, message):
    with pytest.raises(ValueError, match=f"data.npz.*{message}"):
        read_table(npz_file(**arrays))


def test_npz_takes_no_label(npz_file):
    with pytest.raises(ValueError, match="--label is for"):
        read_table(npz_file(X=GOOD_X, y=GOOD_Y), label="kind")


# Both


def test_wrong_kind_of_file(csv_file):
    with pytest.raises(ValueError, match=r"\.csv or an \.npz"):
        read_table(csv_file("a,label\n1,x\n", "data.txt"))
    with pytest.raises(ValueError, match=r"not an intact \.npz"):
        read_table(csv_file("a,label\n1,x\n", "data.npz"))
    with pytest.raises(ValueError, match=r"not an intact \.npz"):
        read_table(csv_file("", "data.npz"))


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_missing_file_and_folder(tmp_path, suffix):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / f"missing{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(OSError, match="folder"):
        read_table(tmp_path / f"folder{suffix}")


@pytest.mark.skipif(os.name != "posix", reason="devices and pipes are POSIX's")
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind):
    if kind == "pipe":
        os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.npz").symlink_to(tmp_path / "pipe" if kind == "pipe" else "/dev/zero")
    for read in (read_table, read_features):
        with pytest.raises(ValueError, match=r"link\.npz is not a regular file"):
            within_seconds(20, read, tmp_path / "link.npz")


def test_cast():
    X = cast(np.array([[1.0, -2.0]]), np.dtype(np.float32), "data.csv")
    assert (X.dtype, X.tolist()) == (np.float32, [[1, -2]])
    with pytest.raises(ValueError, match=r"data\.csv: the features are too large for float32"):
        cast(np.array([[1.0, 1e39]]), np.dtype(np.float32), "data.csv")
