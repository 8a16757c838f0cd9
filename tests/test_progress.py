import io
import sys

import numpy as np
import pytest

from fastnet import TwoLayerNet
from fastnet.progress import progress_bar


@pytest.fixture(params=["tqdm", "plain"])
def either(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    else:
        pytest.importorskip("tqdm")
    return request.param


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)


@pytest.mark.parametrize("items", [[], [7], list(range(25))])
def test_gives_the_same_items(either, items):
    assert list(progress_bar(items)) == items
    assert list(progress_bar(iter(items))) == items


def test_writes_to_standard_error_alone(either, capsys):
    list(progress_bar(range(20), description="work"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "work: " in err
    assert "20/20" in err


def test_an_exception_in_the_loop_comes_through(either):
    def loop():
        for item in progress_bar(range(5)):
            if item == 2:
                raise ValueError("in the loop")

    with pytest.raises(ValueError, match="in the loop"):
        loop()


@pytest.mark.parametrize(("total", "lines"), [(1, 1), (3, 3), (10, 10), (11, 10), (99, 10), (1000, 10)])
def test_plain_lines_are_few_and_the_last_is_the_end(plain, capsys, total, lines):
    list(progress_bar(range(total)))
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == lines
    assert printed[-1].startswith(f"{total}/{total} (100 %)")


def test_plain_lines_of_an_unknown_total(plain, capsys):
    list(progress_bar(iter(range(1000))))
    printed = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in printed] == [str(2**power) for power in range(10)]


def test_a_given_total_stands_in_for_a_length(plain, capsys):
    list(progress_bar(iter(range(4)), total=4))
    assert "4/4" in capsys.readouterr().err


class Closed(io.StringIO):
    def __init__(self):
        super().__init__()
        self.close()


@pytest.mark.parametrize("stream", [None, Closed()], ids=["none", "closed"])
def test_nothing_is_shown_where_there_is_no_standard_error(either, capsys, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar(range(20), description="work")) == list(range(20))
    assert list(progress_bar(iter(range(3)))) == [0, 1, 2]
    X, y = np.eye(4), np.array([0, 1, 0, 1])
    net = TwoLayerNet(4, 2, 2, rng=0)
    assert len(net.train(X, y, X, y, num_iters=3, batch_size=2, progress=True)["loss_history"]) == 3
    monkeypatch.undo()
    assert capsys.readouterr() == ("", "")
