"""``python -m fastnet.sklearn script.py [arguments]``: run a script with fastnet's estimators in scikit-learn."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from . import patch_sklearn


def main() -> int:
    """Run the script that the command line names; return the exit status for a wrong command line."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: python -m fastnet.sklearn script.py [arguments]\n\n"
              "Run a script, unchanged, with fastnet's MLPClassifier and MLPRegressor in the place of scikit-learn's.",
              file=sys.stdout if len(sys.argv) > 1 else sys.stderr)
        return 0 if len(sys.argv) > 1 else 2
    script = Path(sys.argv[1])
    if not script.exists():
        print(f"python -m fastnet.sklearn: there is no file {script}", file=sys.stderr)
        return 2
    patch_sklearn()
    sys.argv = sys.argv[1:]
    sys.path[0] = str(script.resolve().parent)  # as Python does when it runs a script
    module = ModuleType("__main__")
    module.__file__ = str(script.absolute())
    # The second name is what multiprocessing has for the main module, as it was when it was imported.
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    exec(compile(script.read_bytes(), str(script), "exec"), vars(module))
    return 0


if __name__ == "__main__":
    sys.exit(main())
