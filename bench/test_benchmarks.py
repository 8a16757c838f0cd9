"""Every comparison of the registry as a pytest-benchmark; see README.md for the commands."""

import time

import pytest

from bench.registry import CASES, COMPARISONS, DTYPES, IMPLEMENTATIONS


# The lowest parameter varies slowest: all of fastnet runs before all of NumPy. Their thread pools (numba's and
# OpenBLAS's) wait for work by spinning, and would take the processor from each other.
@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_benchmark(benchmark, comparison, case, dtype, implementation):
    compared, sizes = COMPARISONS[comparison], CASES[case]
    compared.verify(sizes, dtype)  # runs both sides, so whatever compiles has done so
    benchmark.group = f"{comparison} {case} {dtype}"
    if compared.multiply_adds:
        benchmark.extra_info["multiply_adds"] = compared.multiply_adds(sizes)
    if benchmark.enabled:
        time.sleep(0.1)  # by then the other side's threads, which the check has woken, sleep again
    function = compared.functions[implementation]
    if compared.rounds is None:
        benchmark(function, *compared.make(implementation, sizes, dtype))
    else:
        benchmark.pedantic(function, setup=lambda: (compared.make(implementation, sizes, dtype), {}),
                           rounds=compared.rounds, warmup_rounds=1)
