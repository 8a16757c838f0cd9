"""What a round of `fastnet.dask` costs besides its training, and from which size on more workers beat one.

    python bench/dask_rounds.py [--workers 1 2 4] [--parts 1 2 4 8] [--repeats N] [--json FILE] [--markdown FILE]
    python bench/dask_rounds.py --hosts 1gbit    # besides: each worker on a host of its own (Linux, as root)
    python bench/dask_rounds.py --moments        # what becomes of the moments of Adam: accuracies on the digits

A round is timed as the difference of a long and a short fit, with a step for each partition. What was found with few
workers makes a model of seven costs (least squares, none of them below zero), which says what 8, 64 and 512 would take;
its error where something was measured is printed beside. `--hosts` makes network namespaces, joined by a bridge, whose
links let through as much as is said (tc's token bucket), so many milliseconds later (bench/wire.py): `--delay` is that
of one link, one way; from a worker to another there are two.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from statistics import mean, median
from typing import Any
from unittest import mock

import numpy as np
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import description, warn_if_busy
from bench.timing import publish, with_path

NETWORKS = {"16-8-3": (16, 8, 3), "784-128-10": (784, 128, 10)}
"""Inputs, hidden units and classes."""

BATCH = 32
FEW, MANY = 3, 13
"""Rounds of the short and of the long fit."""

SIMULATED = (1, 2, 4, 8, 64, 512)

COSTS = ("a round", "a task", "a hop", "a byte from the client and back", "a byte of a replica's", "a byte sent to all",
         "a byte of a merge")


def parameters(sizes: tuple[int, ...]) -> int:
    """Bytes that travel: parameters in float64, and the two moments of Adam."""
    return 3 * 8 * sum((rows + 1) * columns for rows, columns in itertools.pairwise(sizes))


def counts(workers: int, parts: int, size: int) -> list[float]:
    """How often a round pays each of `COSTS`: parameters go to all workers, averages come together pairwise."""
    levels = math.ceil(math.log2(workers))
    return [1, 2 * parts, levels, size, math.ceil(parts / workers) * size, (workers - 1) * size, levels * size]


def data(sizes: tuple[int, ...], parts: int) -> tuple[Any, Any]:
    """A minibatch of random samples for each partition."""
    import dask.array as da

    random = np.random.RandomState(0)
    X, y = random.standard_normal((parts * BATCH, sizes[0])), np.arange(parts * BATCH) % sizes[-1]
    return da.from_array(X, chunks=(BATCH, -1)), da.from_array(y, chunks=BATCH)


def seconds_of_a_round(client: Any, sizes: tuple[int, ...], parts: int) -> float:
    """What a round takes, with a step in it."""
    from fastnet.dask import MLPClassifier

    X, y = data(sizes, parts)
    took = []
    for rounds in (FEW, MANY):
        model = MLPClassifier(sizes[1:-1], max_iter=rounds, batch_size=BATCH, random_state=0, client=client, tol=0,
                              n_iter_no_change=rounds)
        start = time.perf_counter()
        model.fit(X, y)
        took.append(time.perf_counter() - start)
    return (took[1] - took[0]) / (MANY - FEW)


def seconds_of_a_step(sizes: tuple[int, ...]) -> float:
    """What a step takes on one core."""
    import fastnet
    from fastnet.sklearn import MLPClassifier

    fastnet.set_num_threads(1)
    random = np.random.RandomState(0)
    X, y = random.standard_normal((100 * BATCH, sizes[0])), np.arange(100 * BATCH) % sizes[-1]
    took = []
    for epochs in (1, 1, 6):
        model = MLPClassifier(sizes[1:-1], max_iter=epochs, batch_size=BATCH, random_state=0, tol=0,
                              n_iter_no_change=epochs)
        start = time.perf_counter()
        model.fit(X, y)
        took.append(time.perf_counter() - start)
    return (took[2] - took[1]) / 500


@contextlib.contextmanager
def local(workers: int) -> Iterator[Any]:
    """A client of processes on this machine, with a thread each."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0",
                      silence_logs=50) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@dataclasses.dataclass(frozen=True)
class Network:
    """What joins the hosts."""

    rate: str
    """As tc has it."""
    delay: float
    """Milliseconds that a link takes, one way: from a worker to the scheduler, that is, or to the bridge."""

    def __str__(self) -> str:
        return f"hosts, {self.rate}, {self.delay:g} ms"


@contextlib.contextmanager
def hosts(workers: int, network: Network) -> Iterator[Any]:
    """A client of workers in network namespaces, each with an address and a link of its own."""
    from distributed import Client

    bridge, folder, processes = "fnbr", tempfile.mkdtemp(), []
    environment = {**os.environ, "PYTHONPATH": with_path(Path(__file__).resolve().parent.parent)}

    def start(where: list[str], *words: str) -> None:
        processes.append(subprocess.Popen([*where, sys.executable, "-m", *words], env=environment, cwd=folder,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def lay_wire(outer: str, inner: str, name: str) -> None:
        wire = subprocess.Popen([sys.executable, str(Path(__file__).with_name("wire.py")), outer, inner,
                                 str(network.delay), name], stdout=subprocess.PIPE)
        processes.append(wire)
        assert wire.stdout is not None
        with wire.stdout:
            if not wire.stdout.readline():
                raise OSError("there is no wire")

    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", "10.77.0.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        start([], "distributed.cli.dask_scheduler", "--host", "10.77.0.1", "--port", "8797", "--no-dashboard")
        for number in range(workers):
            name, outer, inner = f"fnhost{number}", f"fno{number}", f"fni{number}"
            ip("netns", "add", name)
            lay_wire(outer, inner, name)
            ip("link", "set", outer, "master", bridge)
            ip("link", "set", outer, "up")
            within = ["ip", "netns", "exec", name]
            for words in (["ip", "addr", "add", f"10.77.0.{number + 2}/24", "dev", inner],
                          ["ip", "link", "set", inner, "up"], ["ip", "link", "set", "lo", "up"]):
                subprocess.run([*within, *words], check=True)
            for where, link in (([], outer), (within, inner)):  # both directions
                subprocess.run([*where, "tc", "qdisc", "add", "dev", link, "root", "tbf", "rate", network.rate, "burst",
                                "256kb", "latency", "50ms"], check=True)
            start(within, "distributed.cli.dask_worker", "tcp://10.77.0.1:8797", "--host", f"10.77.0.{number + 2}",
                  "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", folder)
        with Client("tcp://10.77.0.1:8797", set_as_default=False, timeout=60) as client:
            client.wait_for_workers(workers, timeout=120)
            yield client
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for number in range(workers):
            subprocess.run(["ip", "netns", "del", f"fnhost{number}"], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "del", bridge], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def collect(workers: list[int], parts: list[int], repeats: int, network: Network | None) -> list[dict[str, Any]]:
    """The medians of rounds, for each number of workers and of partitions."""
    rows = []
    for where in [None, *([network] if network else [])]:
        for count in workers:
            with (hosts(count, where) if where else local(count)) as client:
                for name, sizes in NETWORKS.items():
                    seconds_of_a_round(client, sizes, max(parts))  # loads what is compiled
                    looks: dict[int, list[float]] = {number: [] for number in parts if number >= count}
                    for _ in range(repeats):
                        for number, found in looks.items():
                            found.append(seconds_of_a_round(client, sizes, number))
                    rows += [{"where": str(where or "LocalCluster"), "workers": count,
                              "network": name, "parts": number, "seconds": median(found)}
                             for number, found in looks.items()]
            print(f"{where or 'local'}, {count} workers: done", file=sys.stderr)
    return rows


def model_of(rows: list[dict[str, Any]]) -> list[float]:
    """The seconds of each of `COSTS`, by least squares of relative errors."""
    table = np.array([counts(row["workers"], row["parts"], parameters(NETWORKS[row["network"]])) for row in rows])
    seconds = np.array([row["seconds"] for row in rows])
    scale = table.max(axis=0)
    scale[scale == 0] = 1
    found: list[float] = (nnls(table / scale / seconds[:, np.newaxis], np.ones(len(rows)))[0] / scale).tolist()
    return found


def round_seconds(costs: list[float], workers: int, parts: int, size: int) -> float:
    """What the model says that a round takes, without its steps."""
    return float(np.dot(costs, counts(workers, parts, size)))


def speedup(costs: list[float], size: int, step: float, steps: float, workers: int) -> float:
    """How many times as fast an epoch of so many steps is, shared by so many workers with a partition each."""
    one = round_seconds(costs, 1, 1, size) + steps * step
    return one / (round_seconds(costs, workers, workers, size) + steps / workers * step)


def break_even(costs: list[float], size: int, step: float, workers: int) -> float:
    """Steps of an epoch, in all partitions together, from which on so many workers beat one."""
    more = round_seconds(costs, workers, workers, size) - round_seconds(costs, 1, 1, size)
    return max(more, 0.0) / step / (1 - 1 / workers)


def error(found: dict[str, Any], where: str) -> float:
    """By how much the model is wrong where something was measured, relatively; the median."""
    return median(abs(round_seconds(found["costs"][where], row["workers"], row["parts"],
                                    parameters(NETWORKS[row["network"]])) / row["seconds"] - 1)
                  for row in found["rounds"] if row["where"] == where)


def report(found: dict[str, Any]) -> str:
    """The tables in Markdown: what was measured beside the model, then what the model says."""
    lines = ["| where | network | workers | partitions | a round, ms | the model, ms |", "|---|---|--:|--:|--:|--:|"]
    for row in found["rounds"]:
        told = round_seconds(found["costs"][row["where"]], row["workers"], row["parts"],
                             parameters(NETWORKS[row["network"]]))
        lines.append(f"| {row['where']} | {row['network']} | {row['workers']} | {row['parts']} | "
                     f"{1e3 * row['seconds']:.1f} | {1e3 * told:.1f} |")
    lines += ["", "| where | network | workers | a round by the model, ms | steps a replica needs for it to be a tenth "
              "| steps an epoch has to have for these workers to beat one |", "|---|---|--:|--:|--:|--:|"]
    for where, costs in found["costs"].items():
        for name, step in found["steps"].items():
            size = parameters(NETWORKS[name])
            for workers in SIMULATED:
                seconds = round_seconds(costs, workers, workers, size)
                even = f"{break_even(costs, size, step, workers):,.0f}" if workers > 1 else ""
                lines.append(f"| {where} | {name} | {workers} | {1e3 * seconds:.0f} | {9 * seconds / step:,.0f} | "
                             f"{even} |")
    wrong = ", ".join(f"{where}: {error(found, where):.0%}" for where in found["costs"])
    return "\n".join([*lines, "", f"Median error of the model where something was measured: {wrong}."])


def curves(found: dict[str, Any]) -> list[tuple[str, list[tuple[int, float]]]]:
    """Of the larger network, how many times as fast epochs of several lengths are, by the number of workers."""
    name = list(NETWORKS)[-1]
    where = list(found["costs"])[-1]
    step, size = found["steps"][name], parameters(NETWORKS[name])
    return [(f"{steps:,} steps", [(2**power, speedup(found["costs"][where], size, step, steps, 2**power))
                                  for power in range(10)]) for steps in (1_000, 10_000, 100_000, 1_000_000)]


def moments() -> str:
    """Accuracies on digits that nobody has trained with, of three seeds, by what becomes of Adam's moments."""
    from fastnet.datasets import load_digits
    from fastnet.sklearn import MLPClassifier, averaging, replicas

    X, y = load_digits()
    X, marks = X / X.max(), (10, 25, 50, 100, 200)
    lines = ["| partitions | a round | moments | " + " | ".join(f"{mark} epochs" for mark in marks) + " |",
             "|--:|---|---|" + len(marks) * "--:|"]

    def accuracies(parts: int, sync: int | None, kept: str, seed: int) -> list[float]:
        order = np.random.RandomState(seed).permutation(len(X))
        train, test = order[:1437], order[1437:]
        begun = averaging.begun(MLPClassifier(max_iter=marks[-1], n_iter_no_change=marks[-1], random_state=seed),
                               np.zeros((30, X.shape[1])), np.repeat(np.arange(10), 3))
        model, generators = replicas.model_of(begun), averaging.generators(begun, parts)
        shards = [replicas.shard_of(model, number, X[part], y[part], None, generators[number], parts)
                  for number, part in enumerate(np.array_split(train, parts))]
        count = parameters((X.shape[1], 100, 10)) // 24
        own: dict[int, replicas.Partial] = {}

        def take_round(state: replicas.State, busy: list[int]) -> replicas.Partial:
            for place in busy:
                begins = state
                if kept == "reset" or (kept == "local" and place in own):
                    behind = own[place].buffer[count:] if kept == "local" else 0 * state.buffer[count:]
                    steps = own[place].steps if kept == "local" else 0
                    begins = dataclasses.replace(state, buffer=np.concatenate([state.buffer[:count], behind]),
                                                 counters={**state.counters, "t": steps})
                own[place] = replicas.train(begins, shards[place])
            return reduce(replicas.average, [own[place] for place in busy])

        scores, judge = [], averaging.AveragedRun.judge

        def judged(run: Any, validation: Any) -> None:
            judge(run, validation)
            if begun.n_iter_ in marks:
                run.store()
                scores.append(float((begun.predict(X[test]) == y[test]).mean()))

        with mock.patch.object(averaging.AveragedRun, "judge", judged):
            averaging.fit_replicas(begun, [(len(shard.used), shard.steps) for shard in shards], sync, 0.0, take_round,
                                  lambda _state: 0.0)
        return scores

    for parts, sync in ((1, None), (2, None), (4, None), (8, None), (4, 1)):
        for kept in ("averaged", "local", "reset") if parts > 1 else ("averaged",):
            runs = [accuracies(parts, sync, kept, seed) for seed in range(3)]
            cells = " | ".join(f"{mean(scores):.3f}" for scores in zip(*runs, strict=True))
            lines.append(f"| {parts} | {'an epoch' if sync is None else 'a step'} | {kept} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=3, help="times through all numbers of partitions (default: 3)")
    parser.add_argument("--hosts", metavar="RATE", help="measure on hosts of their own as well: 1gbit, say")
    parser.add_argument("--delay", type=float, default=0.25, metavar="MILLISECONDS",
                        help="of a link of --hosts, one way (default: 0.25)")
    parser.add_argument("--moments", action="store_true", help="print what becomes of Adam's moments instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to FILE as well")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.moments:
        print(moments())
        return
    warn_if_busy()
    rows = collect(options.workers, options.parts, options.repeats,
                   Network(options.hosts, options.delay) if options.hosts else None)
    places = dict.fromkeys(row["where"] for row in rows)
    found = {"machine": description(), "rounds": rows,
             "costs": {place: model_of([row for row in rows if row["where"] == place]) for place in places},
             "steps": {name: seconds_of_a_step(sizes) for name, sizes in NETWORKS.items()}}
    publish(report(found), found, options)


if __name__ == "__main__":
    main()
