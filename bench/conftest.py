"""Benchmarks are timed where that was asked for; a run of all tests, slow ones too, executes each of them once."""

import pytest


def pytest_configure(config):
    # Median and spread, and few columns: what a comparison at a glance needs.
    if config.getoption("benchmark_columns", None) is None:
        config.option.benchmark_columns = ["median", "iqr", "min", "rounds"]


ASKED_FOR_BY = ("only", "enable", "save", "autosave", "json", "compare")


def asked_for(config):
    return any(config.getoption(f"benchmark_{option}") for option in ASKED_FOR_BY)


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.nodeid.startswith("bench/") and not asked_for(config):
            item.add_marker("slow")


@pytest.fixture
def benchmark(benchmark, request):
    # Not by --benchmark-disable in the project's options: with it --benchmark-only is an error.
    if not asked_for(request.config):
        benchmark.disabled = True
    return benchmark
