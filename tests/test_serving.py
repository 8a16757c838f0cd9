"""docs/serving.md: its service answers at once, its commands exist, and its variables are those that numba reads."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import fastnet
from fastnet.cli import command_line
from fastnet.datasets import load_digits

from .conftest import COMPILED

PAGE = (Path(__file__).parents[1] / "docs" / "serving.md").read_text()


def blocks(language):
    """The code of the page in a language, without the indentation of lists."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    return ["".join(line.removeprefix(indent) for line in code.splitlines(keepends=True)) for indent, code in found]


@pytest.fixture
def post(tmp_path):
    """Start the page's service with a network trained on the digits; post to it."""
    X, y = load_digits()
    net = fastnet.TwoLayerNet(64, 20, 10, std=0.1, rng=0)
    net.train(X, y, X[:9], y[:9], learning_rate=0.5, num_iters=20 if COMPILED else 2, batch_size=50)
    net.predict_proba(X[:1])  # what `fastnet warmup` compiles
    net.save(tmp_path / "model.npz")
    [service] = blocks("python")
    # A port that is free, and said by the system. Nobody else than this machine may ask.
    changed = service.replace('(("", int(sys.argv[2]) if len(sys.argv) > 2 else 8000), Handler)',
                              '(("127.0.0.1", 0), Handler)').replace('print("ready"', "print(server.server_port")
    assert "127.0.0.1" in changed
    assert "server_port" in changed
    (tmp_path / "serve.py").write_text(changed)
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-W", "error", tmp_path / "serve.py", tmp_path / "model.npz"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        port = process.stdout.readline().strip()
        print(f"ready after {time.perf_counter() - start:.2f} s")

        def post(body, path="/predict"):
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body.encode(), method="POST")
            try:
                with opener.open(request, timeout=60) as response:
                    return response.status, json.load(response)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)

        post.net, post.X = net, X
        yield post
    finally:
        process.kill()
        process.communicate()


def test_the_service_answers_its_first_request_within_half_a_second(post):
    rows = json.dumps({"rows": post.X[:3].tolist()})
    start = time.perf_counter()
    status, answer = post(rows)
    seconds = time.perf_counter() - start
    print(f"the first answer after {seconds:.4f} s")
    assert status == 200
    assert answer["labels"] == post.net.predict(post.X[:3]).tolist()
    assert np.allclose(answer["probabilities"], post.net.predict_proba(post.X[:3]), rtol=0, atol=1e-12)
    assert seconds < 0.5
    for body in ("", "{", "[1]", '{"rows": 3}', '{"rows": [[1, 2]]}', '{"rows": [["x"]]}',
                 json.dumps({"rows": [[float("nan")] * 64]})):
        status, answer = post(body)
        assert (status, list(answer)) == (400, ["error"]), body
    assert post(rows, "/other")[0] == 400
    assert post(rows)[0] == 200


def test_the_commands_of_the_page_exist():
    [container] = [block for block in blocks("dockerfile") if block.startswith("FROM")]
    commands = re.findall(r"^RUN (fastnet .*)$", container, re.MULTILINE) + re.findall(r"`(fastnet [^`\n]+)`", PAGE)
    assert len(commands) >= 3
    for command in commands:
        arguments = command_line._parser().parse_args(shlex.split(command)[1:])
        assert arguments.command is not None
    user, number = re.search(r"useradd .*--uid (\d+) (\w+)", container).groups()[::-1]
    assert f"USER {number}" in container
    assert f"NUMBA_CACHE_DIR=/home/{user}/" in container
    assert container.index("USER") < container.index("RUN fastnet warmup")


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_one_processor_for_all_has_files_of_its_own(run_python, tmp_path):
    """Compiled for the page's processor, by two processes of which the second loads."""
    [chosen] = [block for block in blocks("dockerfile") if "NUMBA_CPU_NAME" in block]
    environment = dict(re.findall(r"^ENV (\w+)=(\S+)$", chosen, re.MULTILINE))
    assert sorted(environment) == ["NUMBA_CPU_FEATURES", "NUMBA_CPU_NAME"]
    if "avx2" not in Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else True:
        pytest.skip("this processor is older, or of another kind")
    script = """
import numpy as np
from fastnet import kernels
from fastnet.llvm import target
kernels.all_finite(np.ones(9))
print(target.ISA.vector_bytes, sum(kernels.all_finite.stats.cache_hits.values()))
"""
    said = [run_python(script, **environment, NUMBA_CACHE_DIR=str(tmp_path)).split() for _ in range(2)]
    assert said == [["32", "0"], ["32", "1"]]
