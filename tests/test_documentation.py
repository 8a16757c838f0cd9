"""The README and docs/: every block of code runs, and the site that is made of them holds together, also in a browser.

Blocks need what the tests need. The site needs the extra `docs`, and the browser playwright and a Chromium; where they
are missing these tests are skipped, or fail if FASTNET_DOCS=required. FASTNET_SITE names a folder with a site that is
built already.
"""

import functools
import http.server
import importlib
import importlib.util
import inspect
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import fastnet
from fastnet.cli import command_line
from tests.conftest import COMPILED

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEXTS = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
         ROOT / "bench" / "README.md", *PAGES]

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+|:::+)(?P<language>[^\n]*)\n(?P<code>.*?)"
                   r"^(?P=indent)(?P=fence) *$", re.MULTILINE | re.DOTALL)

PYTHON = ("python", "{code-cell} ipython3")
"""The second are cells of the tutorials, which are run where the site is built."""

NOT_RUN = ("", "text", "csv", "json", "toml", "yaml", "dockerfile", "ini")
"""Blocks that show something: what is printed, a part of a file. No language is what Markdown has for that."""


def blocks_of(path):
    """Language, number of the first line and text of each block of a file."""
    text = path.read_text()
    for found in FENCE.finditer(text):
        yield found["language"].strip(), text.count("\n", 0, found.start("code")) + 1, found["code"]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


# ---- blocks ----------------------------------------------------------------------------------------------------------


def test_there_are_blocks():
    languages = [language for path in TEXTS for language, _, _ in blocks_of(path)]
    assert sum(language in PYTHON for language in languages) > 30
    assert "shell" in languages


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_block_is_of_a_kind_that_is_known_here(path):
    for language, line, _ in blocks_of(path):
        known = language in (*PYTHON, "shell", *NOT_RUN) or re.match(r"\{(?!code-cell)", language)
        assert known, f"{name_of(path)}, line {line}: how is {language!r} tested?"


PRELUDE = """
import sys, types
from fastnet import TwoLayerNet, reference
from fastnet.datasets import load_digits
X, y = load_digits()
X, y, X_val, y_val = X[:1400], y[:1400], X[1400:], y[1400:]
net = TwoLayerNet(64, 100, 10, std=1e-1)
class Yours(reference.TwoLayerNet):
    pass
sys.modules["my_course"] = types.ModuleType("my_course")
sys.modules["my_course"].TwoLayerNet = Yours
del sys, types, reference, load_digits, Yours
"""
"""What the README's reader has: data, a network, and a class of his own. Each of its blocks is read by itself."""

RUNNER = """
import json, shlex, subprocess, sys
from pathlib import Path

prelude, blocks = json.loads(Path(sys.argv[1]).read_text())
names = {"__name__": "__main__"}
for title, language, code in blocks:
    print("---", title, flush=True)
    first = code.split()[:3]
    if first[0] == 3 * '"' + "usage:":  # a program: kept for commands that call it
        compile(code, title, "exec")
        Path(first[2]).write_text(code)
        continue
    if language == "shell":
        for line in code.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["fastnet"]:
                subprocess.run([sys.executable, "-m", *words], check=True)
        continue
    exec(prelude, names)
    exec(compile(code, title, "exec"), names)
"""
"""Runs the blocks of a file, one after the other."""


@pytest.mark.skipif(not COMPILED, reason="trainings take minutes in plain Python")
@pytest.mark.parametrize("path", [path for path in TEXTS if any(lang == "python" for lang, _, _ in blocks_of(path))],
                         ids=name_of)
def test_blocks_run(path, tmp_path):
    for module in ("matplotlib", "sklearn"):
        pytest.importorskip(module)
    readme = path.name == "README.md"
    blocks = []
    for language, line, code in blocks_of(path):
        if language == "python" or (language == "shell" and not readme):
            code = code.replace("100_000", "2_000") if readme else code  # the same, in less time
            blocks.append((f"{name_of(path)}, block at line {line}", language, code))
    (tmp_path / "blocks.json").write_text(json.dumps([PRELUDE if readme else "", blocks]))
    (tmp_path / "folder").mkdir()
    environment = {**os.environ, "MPLBACKEND": "agg",
                   "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run([sys.executable, "-c", RUNNER, tmp_path / "blocks.json"], cwd=tmp_path / "folder", text=True,
                          env=environment, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def commands_of(code):
    """The words of each command of a shell block, without variables, comments and redirections."""
    for line in code.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\|\||;", re.sub(r"(^|\s)#.*", "", line)):
            words = shlex.split(command)
            while words and re.fullmatch(r"\w+=.*", words[0]):
                del words[0]
            if words:
                yield words[:next((number for number, word in enumerate(words) if word.startswith((">", "|", "<"))),
                                  len(words))]


def check_pip(words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        for names in re.findall(r"^\.\[(.*)\]$", word):
            assert set(names.split(",")) <= set(extras)
        assert word != "fastnet", "the name on the package index is another project's"


def check_program(words):
    """Of `python FILE OPTIONS` or `python -m MODULE`."""
    if words[0] == "-m":
        return check(words[1:]) if words[1] in CHECKS else importlib.util.find_spec(words[1]) is not None or \
            pytest.fail(f"no module {words[1]}")
    source = (ROOT / words[0]).read_text()
    for word in words[1:]:
        assert not word.startswith("--") or f'"{word.partition("=")[0]}"' in source, word
    return None


def check_pytest(words):
    for word in words:
        if "/" in word or word in ("tests", "bench"):
            assert (ROOT / word.partition("::")[0]).exists(), word


def check_fastnet(words):
    if words[-1] not in ("--help", "--version"):  # which end the process
        command_line._parser().parse_args(words)


CHECKS = {"fastnet": check_fastnet, "pip": check_pip, "python": check_program, "python3": check_program,
          "pytest": check_pytest,
          **dict.fromkeys(("venv", "sphinx-build", "playwright", "pre-commit", "curl", ".ci/run"), lambda words: None)}


def check(words):
    program = words[0].removeprefix(".venv/bin/")
    assert program in CHECKS, f"how is {program} checked?"
    CHECKS[program](words[1:])


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_commands_have_the_options_that_are_shown(path, capsys):
    for language, line, code in blocks_of(path):
        if language == "shell":
            for words in commands_of(code):
                try:
                    check(words)
                except Exception as error:
                    raise AssertionError(f"{name_of(path)}, line {line}: {shlex.join(words)}: {error}") from error


def test_a_wrong_option_is_seen():
    with pytest.raises(ValueError, match="--nowhere"):
        check(["fastnet", "train", "data.csv", "--nowhere"])
    with pytest.raises(AssertionError):
        check(["python", "bench/peers.py", "--nowhere"])
    with pytest.raises(AssertionError):
        check(["pip", "install", "-e", ".[nowhere]"])
    with pytest.raises(AssertionError):
        check(["pip", "install", "fastnet"])


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_to_files_lead_somewhere(path):
    text = FENCE.sub("", path.read_text())
    for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", text):
        assert (path.parent / target).exists() or target.endswith("two_layer_net.ipynb"), target


# ---- the site --------------------------------------------------------------------------------------------------------


def missing(what):
    """Skip, or fail where all of it has to be there."""
    (pytest.fail if os.environ.get("FASTNET_DOCS") == "required" else pytest.skip)(what)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built by the documented command."""
    if given := os.environ.get("FASTNET_SITE"):
        return Path(given)
    absent = [module for module in ("sphinx", "pydata_sphinx_theme", "numpydoc", "myst_nb", "ipykernel", "matplotlib",
                                    "sklearn") if importlib.util.find_spec(module) is None]
    if absent:
        missing(f'not installed: {", ".join(absent)} (pip install -e ".[docs]")')
    if not COMPILED:
        missing("the tutorials would take minutes in plain Python")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html", "-d", out / "doctrees",
                           DOCS, out / "html"], cwd=ROOT, text=True, capture_output=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    return out / "html"


class Page(HTMLParser):
    """What a page points to, and what can be pointed to in it."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded, self.images = set(), [], [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon", "modulepreload"):
            self.loaded.append(given["href"])
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "img":
            self.images.append(given)


@pytest.fixture(scope="session")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def test_every_page_is_there(site, pages):
    for path in PAGES:
        assert (site / path.relative_to(DOCS)).with_suffix(".html") in pages
    assert site / "tutorials" / "two_layer_net.html" in pages


def test_links_within_the_site_lead_somewhere(site, pages):
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("http", "https"), link
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].ids if target in pages else set()
            if not target.exists() or (known and parts.fragment and unquote(parts.fragment) not in known):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert not wrong


def test_nothing_is_loaded_from_another_host(site, pages):
    for path, page in pages.items():
        for source in page.loaded:
            assert not urlsplit(source).netloc, f"{path}: {source}"
            assert source.startswith("data:") or (path.parent / unquote(urlsplit(source).path)).exists(), source
        for image in page.images:
            assert image.get("alt"), f"{path}: an image without words"


def test_the_search_knows_the_class(site):
    index = (site / "searchindex.js").read_text()
    assert "TwoLayerNet" in index
    assert "twolayernet" in index


INSIDE = {"fastnet.cs231n.compiled", "fastnet.dlfs.network"}
"""Modules of these folders that are no one's to import."""


def public_modules():
    yield from ("fastnet", "fastnet.kernels", "fastnet.reference", "fastnet.sklearn", "fastnet.dask",
                "fastnet.datasets", "fastnet.storage")
    for package in ("fastnet.cs231n", "fastnet.dlfs"):
        folder = importlib.import_module(package)
        for found in pkgutil.walk_packages(folder.__path__, f"{package}."):
            if found.name not in INSIDE and hasattr(importlib.import_module(found.name), "__all__"):
                yield found.name


def test_every_public_name_is_in_the_reference(site):
    pytest.importorskip("sklearn")
    content = (site / "objects.inv").read_bytes()
    known = {line.split(" ")[0] for line in zlib.decompress(content.split(b"\n", 4)[4]).decode().splitlines()}
    for name in public_modules():
        module = importlib.import_module(name)
        for public in module.__all__:
            value = getattr(module, public)
            if not inspect.ismodule(value) and public != "__version__":
                home = f"{getattr(value, '__module__', name)}.{public}"
                assert known & {f"{name}.{public}", home, f"fastnet.{public}"}, f"{name}.{public}"


def test_every_option_of_the_command_line_is_in_the_reference(site):
    text = re.sub(r"<[^>]*>", "", (site / "reference" / "command_line.html").read_text())
    for action in command_line._parser()._actions:
        for name, command in (getattr(action, "choices", None) or {}).items():
            assert f"usage: fastnet {name}" in text
            for option in command._actions:
                assert all(flag in text for flag in option.option_strings)


def test_notebooks_have_been_run(site):
    for path in (site / "tutorials").glob("*.html"):
        if path.stem != "index":
            assert "cell_output" in path.read_text(), path


# ---- in a browser ----------------------------------------------------------------------------------------------------

BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
WIDTHS, SCHEMES = (400, 1280), ("light", "dark")


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        missing("playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)), None)
        try:
            found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            missing(f"no Chromium to be had (playwright install chromium, or one of {', '.join(BROWSERS)}): {error}")
        yield found
        found.close()


@pytest.fixture(scope="session")
def address(site):
    """The site, served to this machine."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_in_a_browser(browser, address, site, pages, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    view, said = context.new_page(), []
    view.on("console", lambda message: message.type in ("error", "warning") and said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("response", lambda response: response.status < 400 or said.append(f"{response.status}: {response.url}"))
    view.on("request", lambda request: request.url.startswith((address, "data:")) or said.append(request.url))
    for path in pages:
        name = path.relative_to(site).as_posix()
        view.goto(f"{address}/{name}", wait_until="load")
        assert not said, f"{name}: {said}"
        assert view.evaluate("document.documentElement.dataset.theme") == scheme
        assert view.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the window"
        assert view.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)"), name
        colors = view.evaluate("[...document.querySelectorAll('svg.drawing text:not(.small)')].map(t => "
                               "getComputedStyle(t).fill === getComputedStyle(document.body).color)")
        assert all(colors), f"{name}: a drawing does not take the colours of the page"
    context.close()


def test_the_search_finds_the_class(browser, address):
    view = browser.new_page()
    view.goto(f"{address}/search.html?q=TwoLayerNet")
    view.wait_for_selector("#search-results li a", timeout=20_000)
    view.wait_for_timeout(500)
    links = view.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    assert any("reference/fastnet.html#fastnet.TwoLayerNet" in link for link in links), links
    view.close()


def test_versions_agree(site):
    assert f"fastnet {fastnet.__version__}" in (site / "index.html").read_text()
