"""How the site is built: ``sphinx-build -W --keep-going -n -b html docs OUT``, from the project's folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

# Compiled functions have no signature that autodoc can read; their twins in plain Python have. Only this process is
# without compilation: notebooks run in processes of their own.
_given = os.environ.get("NUMBA_DISABLE_JIT")
os.environ["NUMBA_DISABLE_JIT"] = "1"
for _name in ("fastnet.kernels", "fastnet.sklearn", "fastnet.model", "fastnet.cs231n.solver",
              "fastnet.dlfs.common.trainer"):
    import_module(_name)
if _given is None:
    del os.environ["NUMBA_DISABLE_JIT"]
else:
    os.environ["NUMBA_DISABLE_JIT"] = _given
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")

import fastnet  # noqa: E402

# The first tutorial is kept in examples/, where the README and its test have it.
_NOTEBOOK = ROOT / "examples" / "two_layer_net.ipynb"
shutil.copyfile(_NOTEBOOK, ROOT / "docs" / "tutorials" / _NOTEBOOK.name)

project = "fastnet"
author = "the authors of fastnet"
copyright = author  # noqa: A001
version = release = fastnet.__version__
extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb", "fastnet_docs"]
exclude_patterns = ["_ext", "drawings"]
nitpicky = True
default_role = "code"
toc_object_entries_show_parents = "hide"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# What docstrings point to and no page is about: the folders inside, which architecture.md describes.
_INSIDE = ("blocks|checks|cli|cs231n.compiled|engine|files|jit|llvm|network|parallel|sklearn.averaging|"
           "sklearn.replicas|stored|training|tuning|verification")
nitpick_ignore_regex = [("py:.*", rf"fastnet\.({_INSIDE})(\..*)?")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 240
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # would be loaded from another host

html_theme = "pydata_sphinx_theme"
html_title = f"fastnet {version}"
html_static_path = ["_static"]
html_css_files = ["fastnet.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"index": [], "start": [], "benchmarks": [], "changelog": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "fastnet"},
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

TAKEN = {"security": "SECURITY.md", "changelog": "CHANGELOG.md"}
"""Pages that are files of the project's folder."""


def take(app, docname: str, source: list[str]) -> None:
    """Put these files into their pages; a link leads to a page where there is one, else to the file."""
    text = source[0]
    if docname in TAKEN:
        app.env.note_dependency(str(ROOT / TAKEN[docname]))
        text = re.sub(r"\]\((?!\w+:|#)", "](../", (ROOT / TAKEN[docname]).read_text())
    for page, name in TAKEN.items():
        text = text.replace(f"](../{name}", f"]({page}.md")
    source[0] = text.replace("](../docs/", "](")


def own_words(app, what: str, name: str, value: object, options: object, lines: list[str]) -> None:  # noqa: ARG001
    """Of the estimators' docstrings, what is not scikit-learn's own."""
    for number, line in enumerate(lines):
        if "All else is as scikit-learn documents it:" in line:
            lines[number:] = [line.replace(" it:", f" it, and as ``help({name.rsplit('.')[-1]})`` shows."), ""]
            return


def setup(app) -> None:
    """Connect both."""
    app.connect("source-read", take)
    app.connect("autodoc-process-docstring", own_words, priority=100)
