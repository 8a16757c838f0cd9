"""Benchmarks are timed where that was asked for; an ordinary test run executes each of them once."""

import pytest


def pytest_configure(config):
    # Median and spread, and few columns: what a comparison at a glance needs.
    if config.getoption("benchmark_columns", None) is None:
        config.option.benchmark_columns = ["median", "iqr", "min", "rounds"]


ASKED_FOR_BY = ("only", "enable", "save", "autosave", "json", "compare")


@pytest.fixture
def benchmark(benchmark, request):
    # Not by --benchmark-disable in the project's options: with it --benchmark-only is an error.
    if not any(request.config.getoption(f"benchmark_{option}") for option in ASKED_FOR_BY):
        benchmark.disabled = True
    return benchmark
