"""What the machine is, and how fast its cores can multiply and add at most."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnet.llvm.target import ISA, lanes

_CHAINS = 24
"""Independent chains of multiply-adds, where there are registers for them: more than their latency needs."""


def cpu_name() -> str:
    """Name of the processor, as far as the system tells; virtual machines often leave the generation to its numbers."""
    said: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            said.setdefault(key.strip(), value.strip())
    if "model name" not in said:
        return platform.processor() or platform.machine()
    numbers = [f"{key.removeprefix('cpu ')} {said[key]}" for key in ("cpu family", "model") if key in said]
    return said["model name"] + (f" ({', '.join(numbers)})" if numbers else "")


def blas() -> str:
    """For which processor NumPy's OpenBLAS multiplies, as it tells; empty where there is none, or nobody can be asked.

    It is what NumPy is measured with: an OpenBLAS that takes a processor for an older one, or is told to by
    OPENBLAS_CORETYPE, may have vectors of half the width.
    """
    if importlib.util.find_spec("threadpoolctl") is None:
        return ""
    from threadpoolctl import threadpool_info

    found = {library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"}
    told = ", as OPENBLAS_CORETYPE says" if os.environ.get("OPENBLAS_CORETYPE") else ""
    return f"OpenBLAS for {' and '.join(sorted(found))}{told}" if found else ""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def description() -> str:
    """Return the processor, the cores, the system, and what NumPy takes the processor for, in a line."""
    return "; ".join(filter(None, [f"{cpu_name()}, {cores()} cores, {platform.system()}", blas()]))


def warn_if_busy() -> None:
    """Say on standard error that other programs have been running, if they have."""
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 1:
        print("This machine has been busy in the last minute. While other programs run, threads wait for one another "
              "and the figures are worth nothing.", file=sys.stderr)


def _chains_typing(typingctx: Any, start: Any, rounds: Any) -> Any:
    """Run `rounds` rounds of independent vector multiply-adds, all in registers; return something of the result."""
    vl = lanes(start.bitwidth // 8)
    count = min(_CHAINS, ISA.registers - 4)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        elem = context.get_data_type(start)
        vector = ir.VectorType(elem, vl)
        name = f"llvm.fmuladd.v{vl}f{start.bitwidth}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, 3 * [vector]), name)
        i32 = ir.IntType(32)
        single = builder.insert_element(ir.Constant(vector, ir.Undefined), args[0], ir.Constant(i32, 0))
        first = builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined),
                                       ir.Constant(ir.VectorType(i32, vl), [0] * vl))
        factor = ir.Constant(vector, [0.999] * vl)
        sums = [cgutils.alloca_once_value(builder, builder.fadd(first, ir.Constant(vector, [float(n)] * vl)))
                for n in range(count)]
        with cgutils.for_range(builder, args[1]):
            for place in sums:
                builder.store(builder.call(fma, [builder.load(place), factor, first]), place)
        total = builder.load(sums[0])
        for place in sums[1:]:
            total = builder.fadd(total, builder.load(place))
        return builder.extract_element(total, ir.Constant(i32, 0))

    return start(start, types.intp), codegen


_chains_typing.__name__ = _chains_typing.__qualname__ = "_chains"
_chains = intrinsic(_chains_typing)


@numba.njit(parallel=True)
def _multiply_add(start, rounds, threads, results):
    for t in prange(threads):
        results[t] = _chains(start, rounds)


def fma_peak(dtype: str, threads: int) -> float:
    """Return the multiply-adds that `threads` cores do at most, in GFLOP/s: the best of several looks."""
    scalar = np.dtype(dtype).type(0.5)
    results = np.zeros(threads, dtype)
    rounds = 200_000
    flops = 2 * threads * rounds * lanes(np.dtype(dtype).itemsize) * min(_CHAINS, ISA.registers - 4)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))  # others would be waited for, and may not get a core
    try:
        _multiply_add(scalar, 10, threads, results)
        looks = []
        for _ in range(9):
            start = time.perf_counter()
            _multiply_add(scalar, rounds, threads, results)
            looks.append(flops / (time.perf_counter() - start) / 1e9)
    finally:
        numba.set_num_threads(before)
    return max(looks)
