"""The order of the folders, read from the syntax trees: a file imports only from what stands above it."""

import ast
import graphlib
from pathlib import Path

import pytest

import fastnet

PACKAGE = Path(fastnet.__file__).parent

ORDER = ["reference", "progress", "notebook", "aliases", "tuning", "jit", "llvm", "parallel", "blocks", "kernels",
         "checks", "stored", "engine", "network", "files", "storage", "training", "sklearn", "dask", "keywords",
         "model", "tables", "saving", "datasets", "cs231n", "dlfs", "verification", "__init__", "cli", "__main__"]
"""Folders, and the files on the ground floor."""

LATER = {("reference", "progress"), ("model", "sklearn"), ("saving", "sklearn"), ("sklearn", "__init__")}
"""What is looked up only when it is asked for. `python -m fastnet.sklearn` is on top of the whole package."""

LLVM = {"jit/libraries", "llvm/atomics", "llvm/bits", "llvm/clock", "llvm/conversion", "llvm/exponential",
        "llvm/process_numbers", "llvm/stacks", "llvm/structs", "llvm/subnormals", "llvm/tile", "parallel/regions"}
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


NUMBA, SKLEARN = Path("jit/numba_internals"), Path("sklearn/private")
"""The files that know what is private to others."""

PUBLIC = {"numba": {"config", "prange", "typeof", "types"},
          "numba.extending": {"infer_getattr", "intrinsic", "lower_getattr_generic", "models", "overload",
                              "register_jitable", "register_model"},
          "llvmlite": {"ir"}, "llvmlite.binding": {"get_host_cpu_name"}}
"""What is imported from numba and llvmlite, besides these themselves and llvmlite.binding: what they document."""

OTHERS = {"_getframe", "_current_frames", "_rand", "_bit_generator"}
"""What is private to Python and NumPy."""


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_what_is_private_to_others_is_imported_in_two_files_only(module):
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in imported:
            top, _, rest = name.partition(".")
            if top in ("numba", "llvmlite") and module != NUMBA:
                folder, _, last = name.rpartition(".")
                assert name in ("numba", "llvmlite", "llvmlite.binding") or last in PUBLIC.get(folder, ()), name
            if top == "sklearn" and module != SKLEARN:
                assert not any(part.startswith("_") for part in rest.split(".")), name


def attributes_of(module):
    """Attributes of one underscore in a file: those that it asks for, and those of its own."""
    asked, own = set(), set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Attribute):
            asked.add(node.attr)
            if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self":
                own.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return tuple({name for name in names if name.startswith("_") and not name.endswith("__")} for names in (asked, own))


def test_attributes_that_are_private_to_others_are_known_in_two_files_only():
    ours = set().union(*(attributes_of(module)[1] for module in MODULES if module != NUMBA))
    sklearn = {node.value for node in ast.walk(tree_of(SKLEARN)) if isinstance(node, ast.Constant)}
    for module in MODULES:
        if module not in (NUMBA, SKLEARN):
            foreign = attributes_of(module)[0] - ours - OTHERS
            assert foreign <= (sklearn if module.parts[0] == "sklearn" else set()), module


def test_numbas_inside_is_below_all():
    assert list(imports_of(NUMBA)) == []


def test_the_reference_needs_numpy_only():
    tree = tree_of(Path("reference"))
    tops = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    tops |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert tops == {"__future__", "collections.abc", "typing", "numpy"}
