"""The tasks of a fit, by their names, and how the client asks for them.

Every task is pure, and a round begins with parameters that the client has sent: what a lost worker had is computed once
more from the round's own parameters and the shard, never from the rounds before. The scheduler forgets each round when
the next one is asked for. Keys begin with what the dashboard shows: ``fastnet-shard``, ``fastnet-round``,
``fastnet-average``, ``fastnet-score``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
from dask.delayed import Delayed, delayed
from distributed import CancelledError, Client, KilledWorker, futures_of, get_worker
from distributed.comm import CommClosedError, get_address_host

from ..parallel.threads import using_threads
from ..sklearn import replicas
from ..sklearn.replicas import Partial, Shard, State

__all__ = ["Cluster", "Crowd", "crowd_of", "same", "threads"]


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Who shares the cores of a machine: that decides on threads, which decide on no bit."""

    workers: dict[str, int]
    """How many workers each host has."""
    shards: int
    """How many shards a worker has, as far as they are spread evenly."""


def crowd_of(client: Client, parts: int) -> Crowd:
    """Return the crowd of a cluster, as it is now, for so many partitions."""
    addresses = list(client.scheduler_info(n_workers=-1)["workers"])
    return Crowd(dict(Counter(map(get_address_host, addresses))), -(-parts // max(len(addresses), 1)))


def threads(crowd: Crowd) -> int | None:
    """Return how many threads a task may use in the worker that has called; None outside of one."""
    try:
        worker = get_worker()
    except ValueError:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = min(worker.state.nthreads, cores // crowd.workers.get(get_address_host(worker.address), 1))
    return max(1, most // min(worker.state.nthreads, crowd.shards))


def same(value: Any) -> Any:
    """Return what came: for what the client sends once, and many tasks need."""
    return value


def _train(state: State, shard: Shard, crowd: Crowd) -> Partial:
    with using_threads(threads(crowd)), _named(shard.part):
        return replicas.train(state, shard)


def _score(state: State, shard: Shard, crowd: Crowd) -> Any:
    with using_threads(threads(crowd)), _named(shard.part):
        return replicas.of_validation(state, shard)


@contextlib.contextmanager
def _named(part: int) -> Iterator[None]:
    try:
        yield
    except (ValueError, ZeroDivisionError) as error:
        raise type(error)(f"partition {part}: {error}") from error


class Cluster:
    """The tasks of one fit on a cluster; nothing of them is left when its `with` ends."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._token = uuid.uuid4().hex
        self._held: list[Any] = []
        self._rounds = self._scores = 0
        self._crowd = Crowd({}, 1)
        self._shards: Sequence[Delayed] = ()
        self._parts: Sequence[int] = ()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exception: object) -> None:
        held, self._held, self._shards = self._held, [], ()
        # What nobody holds is dropped, at work or not. To cancel it trips the scheduler (distributed 2026.8) where a
        # task depends on it that nobody holds, as rounds do, and the scheduler then drops the client.
        for future in held:
            with contextlib.suppress(Exception):
                future.release()

    def task(self, function: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
        """Return a task with a name, which nobody has asked for yet."""
        result: Delayed = delayed(function, pure=False)(*arguments, dask_key_name=f"fastnet-{name}-{self._token}")
        return result

    def persist(self, tasks: Sequence[Delayed]) -> list[Delayed]:
        """Have the results of tasks made, and kept where they are until the end."""
        found: list[Delayed] = list(self._client.persist(list(tasks)))
        self._held += futures_of(found)
        return found

    def release(self, tasks: Sequence[Delayed]) -> None:
        """Let go of what has been kept."""
        gone = futures_of(list(tasks))
        keys = {future.key for future in gone}
        self._held = [future for future in self._held if future.key not in keys]
        for future in gone:
            future.release()

    def results(self, tasks: Sequence[Delayed]) -> list[Any]:
        """Return the results of tasks, in their order.

        Raises
        ------
        RuntimeError
            If they do not come: somebody has cancelled them, a task has killed too many workers, or the scheduler is
            gone. What a task has raised is raised as it is.
        """
        # The parameters are in the graph on purpose: a worker that has them may be lost.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
            futures = self._client.compute(list(tasks))
        self._held += futures
        try:
            found: list[Any] = self._client.gather(futures)
        except KilledWorker as error:
            raise RuntimeError(f"a task of the fit has lost its worker again and again, and is given up: {error}. The "
                               f"estimator is as it was.") from error
        except (CancelledError, CommClosedError) as error:
            raise RuntimeError(f"the fit was cancelled, its data are lost, or the scheduler is gone "
                               f"({type(error).__name__}: {error}). The estimator is as it was.") from error
        del self._held[-len(futures):]
        for future in futures:
            future.release()
        return found

    def begin(self, shards: Sequence[Delayed], parts: Sequence[int]) -> None:
        """Take note of the shards, and of the numbers of their partitions."""
        self._shards, self._parts = shards, parts
        self._crowd = crowd_of(self._client, len(parts))

    def take_round(self, state: State, busy: Sequence[int]) -> Partial:
        """Train replicas on these shards, and return their average."""
        self._rounds += 1
        number = self._rounds
        sent = self.task(same, state, name=f"parameters-{number}")
        level = [self.task(_train, sent, self._shards[place], self._crowd,
                           name=f"round-{number}-part-{self._parts[place]}") for place in busy]
        depth = 0
        while len(level) > 1:  # neighbours in the order of the partitions, wherever they are
            pairs = [self.task(replicas.average, level[at], level[at + 1], name=f"average-{number}-{depth}-{at}")
                     for at in range(0, len(level) - 1, 2)]
            level = [*pairs, *level[2 * len(pairs):]]
            depth += 1
        return self.results(level)[0]

    def score(self, state: State) -> float:
        """Return what the validation data of all shards say of the parameters."""
        self._scores += 1
        sent = self.task(same, state, name=f"parameters-{self._rounds}-{self._scores}")
        tallies = self.results([self.task(_score, sent, shard, self._crowd,
                                          name=f"score-{self._scores}-part-{part}")
                                for shard, part in zip(self._shards, self._parts, strict=True)])
        return replicas.judged([found for found in tallies if found is not None])
