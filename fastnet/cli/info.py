"""``fastnet info``: versions, the processor, and how it is used."""

from __future__ import annotations

import platform
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite.binding import get_host_cpu_name
from numba import config

from .. import __version__
from ..jit import decorators
from ..llvm import target
from ..parallel import threads
from .output import print_lines

__all__ = ["run_info"]


def run_info() -> None:
    """Print versions, the processor and how it is used."""
    settings: Any = config  # its attributes come from the environment, where type checkers do not see them
    isa = target.ISA
    lanes = {name: target.lanes(np.dtype(name).itemsize) for name in ("float32", "float64")}
    tiles = ", ".join(f"{isa.max_rows} x {isa.max_vectors * count} {name}" for name, count in lanes.items())
    cache = decorators.cache_directory()
    host = get_host_cpu_name()
    chosen = f"{settings.CPU_NAME} (NUMBA_CPU_NAME; the machine's is {host})" if settings.CPU_NAME else host
    print_lines((
        ("fastnet", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("numpy", np.__version__),
        ("numba", numba.__version__ + (", compiling nothing (NUMBA_DISABLE_JIT)" if settings.DISABLE_JIT else "")),
        ("llvmlite", llvmlite.__version__),
        ("processor", chosen),
        ("vectors", f"{isa.name}, {isa.registers} registers of {isa.vector_bytes} bytes: "
                    + ", ".join(f"{count} {name}" for name, count in lanes.items())),
        ("tiles", f"up to {isa.max_rows} rows x {isa.max_vectors} vectors: {tiles}"),
        ("threads", f"{threads.get_num_threads()} of {settings.NUMBA_NUM_THREADS}, "
                    f"layer {threads.threading_layer()}"),
        ("cache", cache or "none: no folder that only this user can write to, so each process compiles anew"),
    ))
