"""The layers of the code, read from the syntax trees: a module imports only from those above it."""

import ast
from pathlib import Path

import pytest

import fastnet

PACKAGE = Path(fastnet.__file__).parent

LAYERS = [
    "reference", "progress", "memory", "caching", "codegen", "compiling", "views", "stacks", "simd", "team",
    "regions", "exponential", "draws", "threads", "blocks", "activations", "heads", "optimizers", "kernels", "sparse",
    "steps", "inference", "checks", "network", "workspace", "interrupts",
    "atomic", "regular", "npz", "parsing", "containers", "storage", "generators", "checkpoints", "training", "model",
    "saving", "diagnosis", "verification", "datasets", "__init__", "tables", "plots", "demo", "cli", "__main__",
]


def imports_of(module):
    """Names of the modules of the package that `module` imports, at its top or inside a function."""
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = node.module or ""
            yield from [base] if base else [alias.name if (PACKAGE / f"{alias.name}.py").exists() else "__init__"
                                            for alias in node.names]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "fastnet" for name in names), f"{module}: import relatively"


# In fastnet/sklearn:
ADAPTER = ["private", "stochastic", "storage", "estimators", "patch", "warm", "convert", "__init__", "__main__"]


def test_the_adapter_is_on_top():
    assert sorted(path.stem for path in (PACKAGE / "sklearn").glob("*.py")) == sorted(ADAPTER)
    for module in ADAPTER:
        tree = ast.parse((PACKAGE / "sklearn" / f"{module}.py").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        within = {node.module or alias.name for node in imports if node.level == 1 for alias in node.names}
        assert within <= {*ADAPTER[:ADAPTER.index(module)], "patch_sklearn"}
        assert {node.module for node in imports if node.level == 2} <= {*LAYERS[:LAYERS.index("training")], None}


def test_every_module_has_its_place():
    assert sorted(path.stem for path in PACKAGE.glob("*.py")) == sorted(LAYERS)


@pytest.mark.parametrize("module", LAYERS)
def test_modules_import_only_from_above(module):
    below = LAYERS[LAYERS.index(module):]
    # The reference's `progress` is looked up only when a bar is asked for.
    # What needs scikit-learn is looked up only when it is asked for, too.
    allowed = {("reference", "progress"), ("model", "sklearn.convert"), ("saving", "sklearn"),
               ("__init__", "sklearn.patch")}
    wrong = {name for name in imports_of(module)
             if (name in below or name.startswith("sklearn")) and (module, name) not in allowed}
    assert not wrong


@pytest.mark.parametrize("module", LAYERS)
def test_llvm_is_spoken_in_few_files_only(module):
    source = (PACKAGE / f"{module}.py").read_text()
    speaks = "llvmlite.ir" in source or "from llvmlite import ir" in source
    assert speaks == (module in ("codegen", "exponential", "stacks", "simd", "team", "regions"))


def test_the_reference_needs_numpy_only():
    tree = ast.parse((PACKAGE / "reference.py").read_text())
    tops = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    tops |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert tops == {"__future__", "collections.abc", "typing", "numpy"}
