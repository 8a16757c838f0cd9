"""The order of the folders, read from the syntax trees: a file imports only from what stands above it."""

import ast
import graphlib
from pathlib import Path

import pytest

import fastnet

PACKAGE = Path(fastnet.__file__).parent

ORDER = ["reference", "progress", "aliases", "tuning", "jit", "llvm", "parallel", "blocks", "kernels", "checks",
         "engine", "network", "files", "storage", "training", "sklearn", "model", "saving", "verification", "datasets",
         "__init__", "cli", "__main__"]
"""Folders, and the files on the ground floor."""

LATER = {("reference", "progress"), ("model", "sklearn"), ("saving", "sklearn"), ("sklearn", "__init__")}
"""What is looked up only when it is asked for. `python -m fastnet.sklearn` is on top of the whole package."""

LLVM = {"jit/libraries", "llvm/atomics", "llvm/exponential", "llvm/stacks", "llvm/subnormals", "llvm/tile",
        "parallel/regions"}
"""The files that build LLVM IR."""

MODULES = sorted(path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))


def tree_of(module):
    return ast.parse((PACKAGE / module).with_suffix(".py").read_text())


def imports_of(module):
    """The modules of the package that `module` imports, at its top or inside a function, as paths below it."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = module.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            if (PACKAGE / folder).with_suffix(".py").exists():
                yield folder
            else:
                files = {alias.name for alias in node.names if (PACKAGE / folder / f"{alias.name}.py").exists()}
                yield from (folder / name for name in files)
                others = {alias.name for alias in node.names} - files
                if any(not (PACKAGE / folder / name).is_dir() for name in others):
                    yield folder / "__init__"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "fastnet" for name in names), f"{module}: import relatively"


def test_every_folder_has_its_place():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert sorted(ORDER) == sorted(folders | {path.stem for path in PACKAGE.glob("*.py")})


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_files_import_only_from_above(module):
    place = module.parts[0]
    above = set(ORDER[:ORDER.index(place)])
    wrong = {str(other) for other in imports_of(module)
             if other.parts[0] != place and other.parts[0] not in above and (place, other.parts[0]) not in LATER}
    assert not wrong


def test_no_file_imports_itself_by_way_of_others():
    graph = {module: set(imports_of(module)) for module in MODULES}
    for module in MODULES:  # what LATER has is looked up when everything is there
        graph[module] -= {other for other in graph[module] if (module.parts[0], other.parts[0]) in LATER}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_llvm_is_spoken_in_few_files_only(module):
    source = (PACKAGE / module).with_suffix(".py").read_text()
    speaks = "llvmlite.ir" in source or "from llvmlite import ir" in source
    assert speaks == (str(module.as_posix()) in LLVM)


def test_the_reference_needs_numpy_only():
    tree = tree_of(Path("reference"))
    tops = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    tops |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert tops == {"__future__", "collections.abc", "typing", "numpy"}
