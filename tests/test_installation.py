"""The distribution is called otherwise than the package: its names and versions agree, and a namesake is noticed."""

import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import fastnet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_one_name():
    assert PROJECT["name"] == "fastnet-numba"
    extras = PROJECT["optional-dependencies"]
    name, listed = re.fullmatch(r"([\w-]+)\[(.*)\]", extras["all"][0]).groups()
    assert name == PROJECT["name"]
    assert {*listed.split(",")} == {*extras} - {"all"}
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "fastnet").rglob("*.py")):
        wrong = re.findall(r"pip install [\"']?fastnet(?:\[.*?\])?(?![\w-])", path.read_text())
        assert not wrong, f"{path}: on the package index, fastnet is another project: {wrong}"


@pytest.mark.skipif(sys.platform == "win32" or not (ROOT / ".ci").is_dir(), reason="scripts of bash, in the repository")
def test_the_oldest_of_everything_is_known():
    done = subprocess.run([ROOT / ".ci" / "versions", "constraints"], text=True, capture_output=True, check=True)
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    names = [re.match(r"[\w-]+", one)[0] for one in needed]
    assert [line.partition("==")[0] for line in done.stdout.splitlines()] == [*names, "pyparsing"]


def test_one_version():
    heading = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert heading == cited == fastnet.__version__


def test_another_distribution_of_the_name_is_noticed(tmp_path):
    for name in ("fastnet_numba-0.1.0.dist-info", "fastnets-1.0.dist-info", "fastnet", "numpy-2.0.dist-info"):
        (tmp_path / name).mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastnet._notice_another_fastnet(str(tmp_path))
        fastnet._notice_another_fastnet(str(tmp_path / "archive.zip"))
    (tmp_path / "fastnet-1.0.0.dist-info").mkdir()
    with pytest.warns(RuntimeWarning, match=r"fastnet-1\.0\.0\.dist-info: another distribution.*pip uninstall both"):
        fastnet._notice_another_fastnet(str(tmp_path))


@pytest.fixture
def installed(tmp_path):
    """A folder of packages with this one and the name of the other; run Python with it."""
    shutil.copytree(ROOT / "fastnet", tmp_path / "fastnet", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fastnet-1.0.0.dist-info").mkdir()

    def run(*arguments):
        # Without what else says where fastnet is; the folder is the first in which Python looks.
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    run.init = tmp_path / "fastnet" / "__init__.py"
    return run


def test_an_import_says_so(installed):
    done = installed("-c", "import fastnet")
    assert done.returncode == 0
    assert done.stderr.count("RuntimeWarning") == 1
    assert "pip uninstall both" in done.stderr


def test_the_command_line_says_so_where_the_other_one_has_won(installed):
    installed.init.write_text("")
    done = installed("-m", "fastnet", "info")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: fastnet/__init__.py is not that of fastnet-numba")
