import io
import re
import sys
import time

import numpy as np
import pytest

from fastnet import TwoLayerNet, progress
from fastnet.progress import Bar, progress_bar


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
    assert [line.split()[0] for line in printed] == [*(str(2**power) for power in range(10)), "1000"]


def test_a_given_total_stands_in_for_a_length(plain, capsys):
    list(progress_bar(iter(range(4)), total=4))
    assert "4/4" in capsys.readouterr().err


def test_figures_rate_and_time_left(either, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_BETWEEN", 0)
    figures = {}
    with Bar(100, description="work", unit="box", figures=lambda: figures) as bar:
        for done in range(1, 41):
            figures |= {"loss": 2 / done, "val_acc": done / 100}
            bar.update(done)
    err = capsys.readouterr().err.replace("\r", "\n")
    (line,) = [line for line in err.splitlines() if " 20/100" in line or "20/100 (" in line]
    assert "loss=0.1, val_acc=0.2" in line
    assert "box/s" in line
    assert ("left" if either == "plain" else "<00:00") in line
    assert "40/100" in err.splitlines()[-1]  # it ends where it came to
    assert err.endswith("\n")


def test_what_was_done_before_is_not_in_the_rate(either, capsys):
    with Bar(100, initial=90) as bar:
        time.sleep(0.05)
        bar.update(91)
        bar.update(92)
    last = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert "92/100" in last
    rate = re.search(r"([\d.]+) ?it/s", last)
    assert float(rate[1]) <= 2 / 0.05


def test_it_is_drawn_a_few_times_a_second(capsys):
    tqdm = pytest.importorskip("tqdm")
    made = []
    start = time.perf_counter()
    with Bar(10**6, figures=lambda: made.append(1) or {}) as bar:
        for done in range(1, 10**5):
            bar.update(done)
    seconds = time.perf_counter() - start
    assert len(made) <= seconds / progress._BETWEEN + 2
    assert not tqdm.tqdm._instances


UNKNOWN_SIZE = """
import os, pty, sys
code = "from fastnet.progress import Bar\\nwith Bar(3, figures=lambda: dict(loss=1)) as bar: bar.update(3)"
pid, terminal = pty.fork()  # of 0 x 0 characters
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-c", code])
try:
    while data := os.read(terminal, 9999):
        print(data)
except OSError:  # the other end is closed
    pass
assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_of_unknown_size(run_python):
    pytest.importorskip("tqdm")
    assert "3/3" in run_python(UNKNOWN_SIZE)


def test_a_line_a_minute_at_least(plain, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    with Bar(10**6) as bar:
        for done in range(1, 10):
            now[0] += 25
            bar.update(done)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("/")[0] for line in lines] == ["3", "6", "9"]
    assert lines[0].endswith(", 6944:25:25 h left")


@pytest.mark.parametrize("fault", ["made", "drawn", "figures", "closed"])
def test_faults_of_a_bar_stay_in_it(capsys, monkeypatch, fault):
    auto = pytest.importorskip("tqdm.auto")

    close = auto.tqdm.close

    def fail(*args, **options):
        if fault == "closed":
            monkeypatch.setattr(auto.tqdm, "close", close)  # it is called again when the bar is forgotten
        raise OSError("no terminal")

    monkeypatch.setattr(progress, "_BETWEEN", 0)
    if fault != "figures":
        monkeypatch.setattr(auto.tqdm, {"made": "__init__", "drawn": "update", "closed": "close"}[fault], fail)
    with Bar(3, figures=fail if fault == "figures" else dict) as bar:
        for done in (1, 2, 3):
            bar.update(done)
    assert ("3/3 (100 %)" in capsys.readouterr().err) == (fault == "made")  # in plain lines then


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
