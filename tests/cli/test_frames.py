import gzip
import io
import os
import sys
import threading

import numpy as np
import pandas as pd
import pytest

from fastnet.cli.inputs import frames
from fastnet.cli.inputs.frames import is_table, read_frame


@pytest.fixture
def file(tmp_path):
    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)
    return write


def listed(frame):
    return str({name: column.tolist() for name, column in frame.items()})


@pytest.mark.parametrize(("content", "expected"), [
    ("a,b\n1,2.5\n-3e1,\n", "{'a': [1.0, -30.0], 'b': [2.5, nan]}"),
    ("\ufeffa;b\r\n1;x\r\n2;y", "{'a': [1, 2], 'b': ['x', 'y']}"),
    ("a\tb\n1\t2\n", "{'a': [1], 'b': [2]}"), ("a|b\n1|2\n", "{'a': [1], 'b': [2]}"),
    ('"a,x";b\n1;2\n', "{'a,x': [1], 'b': [2]}"), ("\n a , b\n\n1, 2\n", "{'a': [1], 'b': [2]}"),
    ("a\n1\n?\nNA\n", "{'a': [1.0, nan, nan]}"), (",a\n0,1\n", "{'Unnamed: 0': [0], 'a': [1]}"),
    ("a,b\n1,true\n2,False\n", "{'a': [1, 2], 'b': [True, False]}"),
])
def test_text(file, content, expected):
    assert listed(read_frame(file(content))) == expected


def test_that_a_large_file_is_read_is_said(file, monkeypatch, capsys):
    path = file("a,b\n" + 3000 * "1,2\n")
    assert len(read_frame(path)) == 3000
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(frames, "_LARGE", 12_000)
    assert len(read_frame(path)) == 3000
    assert capsys.readouterr().err == f"fastnet: reading {path}, 0 MiB\n"


def test_labels_are_the_text_that_they_are(file):
    frame = read_frame(file("a,label\n1,007\n2,NA\n3,\n4,1.0\n"), "label")
    assert str(frame["label"].tolist()) == "['007', 'NA', nan, '1.0']"


def test_options(file):
    assert listed(read_frame(file("a;b\n1,5;2\n"), decimal=",")) == "{'a': [1.5], 'b': [2]}"
    assert listed(read_frame(file("a  b\n1   2\n"), separator="space")) == "{'a': [1], 'b': [2]}"
    assert listed(read_frame(file("a,x\tb\n1\t2\n"), separator="tab")) == "{'a,x': [1], 'b': [2]}"
    assert listed(read_frame(file("a\n1\n-999\n"), missing=["-999"])) == "{'a': [1.0, nan]}"


def test_compressed_and_parquet(tmp_path, file):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [True, False]})
    frame.to_parquet(tmp_path / "data.parquet")
    frame.to_csv(tmp_path / "data.tsv.xz", sep="\t", index=False)
    for name in ("data.parquet", "data.tsv.xz"):
        assert listed(read_frame(str(tmp_path / name))) == listed(frame)
    assert listed(read_frame(file(gzip.compress(b"a,b\n1,2\n"), "data.csv.gz"))) == "{'a': [1], 'b': [2]}"


def test_standard_input(tmp_path, monkeypatch):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    for content in (b"a;b\n1;x\n2;y\n", gzip.compress(b"a,b\n1,x\n2,y\n"), parquet.getvalue()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert listed(read_frame("-")) == listed(frame)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="no standard input"):
        read_frame("-")


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_a_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    writer = threading.Thread(target=(tmp_path / "pipe.csv").write_text, args=["a,b\n1,2\n"])
    writer.start()
    assert listed(read_frame(str(tmp_path / "pipe.csv"))) == "{'a': [1], 'b': [2]}"
    writer.join()


@pytest.mark.parametrize(("content", "message"), [
    ("", "is empty"), ("a,b\n", "only the header"), ("a,a\n1,2\n", "second column named 'a'"),
    ("a,,b\n1,2,3\n", "column 2: the column has no name"), ("a,b\n1,2,3\n", "more values than the header"),
    ("a,b\n1,2\n1,2,3,4\n", "line 3"), ('a,b\n1,"x\n', "EOF inside string"), (b"a,b\n1,\xff\n", "not text in UTF-8"),
    ("a,b\n1,2\n".encode("utf-16"), "not text in UTF-8"), ("a,b\0\n1,2\n", "NUL|null"),
])
def test_faults(file, content, message):
    with pytest.raises(ValueError, match=rf"(?s)data\.csv.*{message}"):
        read_frame(file(content))


@pytest.mark.parametrize(("content", "name", "message"), [
    (b"a,b\n1,2\n", "x.csv.gz", "not an intact gzip file"),
    (gzip.compress(np.random.RandomState(0).bytes(4000))[:-2000], "x.csv.gz", "not an intact gzip file|UTF-8"),
    (b"a,b\n1,2\n", "x.parquet", "not an intact Parquet file"), (b"", "x.parquet", "not an intact Parquet file"),
])
def test_damaged_files(file, content, name, message):
    with pytest.raises(ValueError, match=rf"(?s){name}.*({message})"):
        read_frame(file(content, name))


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_frame(str(tmp_path / "missing.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OSError, match="folder"):
        read_frame(str(tmp_path / "folder.csv"))


def test_names_of_tables():
    assert all(map(is_table, ["-", "a.csv", "A.CSV", "a.tsv.gz", "a.parquet", "a.txt.zst"]))
    assert not any(map(is_table, ["a.npz", "a", "a.parquet.gz", "a.xlsx", "csv"]))


def test_without_pandas(file, monkeypatch):
    path = file("a\n1\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"reading .*data.csv needs pandas.*pip install"):
        read_frame(path)
