"""Steps on a Dask cluster: `start(mode="parallel", executor=Client("tcp://..."))`."""

from __future__ import annotations

import asyncio
import threading
import uuid
import weakref
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from distributed import Client, KilledWorker, get_worker
from distributed.cfexecutor import ClientExecutor

from dotflow.abc.executor import TaskExecutor
from dotflow.executors.dask_claims import (
    BEGAN,
    ENDED,
    NAME,
    Claims,
    NotRun,
    OtherVersion,
    run_claimed,
)
from dotflow.logging import logger
from dotflow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_LEAST_IN_FLIGHT = 1000

_PATIENCE = 10.0
"""Seconds for the scheduler to answer."""

_MOST_TRIES = 5
"""How often a step is sent: Dask gives one up too whose workers another step has killed."""

_LONGEST_NAME = 100
"""Characters of a task's name in its key, which Dask's pages show."""

_INSTALL = f"install dotflow[dask]=={__version__}"


class WorkerLost(RuntimeError):
    """The worker of a step is gone, and nobody knows how far it came; it is not run again."""


class SchedulerLost(ConnectionError):
    """The scheduler of the cluster is gone, and with it each step that was there."""


class ClusterUnfit(RuntimeError):
    """Steps cannot run on this cluster as it is; the message says what to do."""


class _Flight(Future[Any]):
    """A step that was given to the cluster."""

    def __init__(
        self, call: Callable[[Any], Any], job: bytes, name: str, started: Callable[[int], None]
    ) -> None:
        super().__init__()
        self.load = (call, job)
        self.name = name[:_LONGEST_NAME]
        self.started = started
        self.has_begun = False
        self.key = ""
        self.remote: Any = None

    def settle(self, answer: Any, error: BaseException | None = None) -> None:
        """Say how it ended, if that is not said already."""
        with suppress(InvalidStateError):
            if error is None:
                self.set_result(answer)
            else:
                self.set_exception(error)


class _Connection:
    """What a client's connection to its scheduler has for steps: set up once.

    Args:
        client: The client.

    Raises:
        ClusterUnfit: Steps cannot run on its cluster.

    Attributes:
        flights: Steps that are under way, by their keys.
        most_in_flight: How many of them there may be.
    """

    def __init__(self, client: Client) -> None:
        self._comm = weakref.ref(client.scheduler_comm)
        self.flights: weakref.WeakValueDictionary[str, _Flight] = weakref.WeakValueDictionary()
        # Before anything is sent: a worker without dotflow dies of what it cannot read.
        unfit = _unfit(client.get_versions(packages=["dotflow"]))
        if unfit is not None:
            raise unfit
        client.register_plugin(Claims())
        client.subscribe_topic(NAME, self._hear)
        threads = list(client.nthreads().values())
        _warn_of(threads)
        self.most_in_flight = max(_AT_LEAST_IN_FLIGHT, 4 * sum(threads))

    def is_of(self, client: Client) -> bool:
        """Whether it is the connection that the client has now."""
        return self._comm() is client.scheduler_comm

    def _hear(self, event: tuple[float, tuple[str, str, Any]]) -> None:
        """Take what the scheduler tells of a step; called in the loop of the client."""
        what, key, about = event[1]
        flight = self.flights.get(key)
        if flight is None:
            return
        if what == BEGAN:
            flight.has_begun = True
            flight.started(about)
            return
        if what == ENDED:
            flight.settle(about)
        else:
            flight.settle(None, WorkerLost(f"the worker {about} is gone"))
        flight.remote.release()


_connections: weakref.WeakKeyDictionary[Client, _Connection] = weakref.WeakKeyDictionary()
_connections_lock = threading.Lock()


def _connection_of(client: Client) -> _Connection:
    with _connections_lock:
        known = _connections.get(client)
        if known is None or not known.is_of(client):
            known = _connections[client] = _Connection(client)
        return known


class DaskExecutor(TaskExecutor):
    """Runs steps on the workers of a Dask cluster, each at most once.

    A worker that dies is one Failed task, and nobody else's; what a worker has not begun runs on
    another one. Start workers with one thread each (`--nthreads 1`).

    Args:
        executor: A `distributed.Client` that is not asynchronous, or its `get_executor()`. Whoever
            made it closes it.
        **options: What `Client.submit` takes as well: `workers`, `allow_other_workers`,
            `resources`, `priority`.

    Raises:
        ClusterUnfit: The client, or its cluster, cannot run steps.
    """

    def __init__(self, executor: Client | ClientExecutor, **options: Any) -> None:
        client = executor
        if isinstance(executor, ClientExecutor):
            client, options = executor._client, {**executor._kwargs, **options}
        _check_client(client)
        self._client: Client = client
        # Neither is for a step: each is another one, and runs once.
        self._options = {name: options[name] for name in options if name not in ("pure", "retries")}
        self._is_lost = False
        if client.status != "running":
            raise self._lost()
        connection = _connection_of(client)
        self._flights, self.most_in_flight = connection.flights, connection.most_in_flight

    def submit(
        self,
        call: Callable[[Any], Any],
        job: Any,
        name: str,
        started: Callable[[int], None],
    ) -> Future[Any]:
        """Have the cluster call it.

        Raises:
            SchedulerLost: The cluster is gone, or the client was closed.
        """
        if self._is_lost or self._client.status != "running":
            raise self._lost()
        flight = _Flight(call, job, name, started)
        self._send(flight)
        self._client.loop.add_callback(self._follow, flight)
        return flight

    def is_worker_lost(self, error: BaseException) -> bool:
        """Whether an exception means that the worker, or the scheduler, is gone."""
        return isinstance(error, (WorkerLost, SchedulerLost))

    def cancel(self, future: Future[Any]) -> bool:
        """Take a step back, if no worker has begun it; the scheduler is asked, for seconds."""
        assert isinstance(future, _Flight)  # noqa: S101
        if future.done() or future.has_begun or self._is_lost:
            return False
        loop = self._client.loop.asyncio_loop
        try:
            asked = asyncio.run_coroutine_threadsafe(self._has_begun(future), loop)
            if asked.result(2 * _PATIENCE):
                return False
        except Exception:  # noqa: BLE001 - the client is closed, or hears nothing
            return False
        future.cancel()
        self.release(future)
        return True

    def release(self, future: Future[Any]) -> None:
        """Have the cluster forget the result, which would be made anew if its worker died."""
        assert isinstance(future, _Flight)  # noqa: S101
        self._flights.pop(future.key, None)
        if future.remote is not None:
            future.remote.release()

    def _send(self, flight: _Flight) -> None:
        self._flights.pop(flight.key, None)
        # Of no other step, of this run or another: Dask runs the same key only once.
        flight.key = f"dotflow-{flight.name}-{uuid.uuid4().hex}"
        self._flights[flight.key] = flight
        flight.remote = self._client.submit(
            run_claimed, *flight.load, __version__, key=flight.key, pure=False, **self._options
        )

    async def _follow(self, flight: _Flight) -> None:
        """Settle a flight once Dask has its end; in the loop of the client."""
        try:
            answer, error = await self._end(flight), None
        except BaseException as raised:  # noqa: BLE001 - whatever it is, who waits must hear it
            answer, error = None, raised
        flight.settle(answer, error)
        self.release(flight)

    async def _end(self, flight: _Flight) -> Any:
        """What a step has answered; None if that is told already."""
        for _ in range(_MOST_TRIES):
            try:
                return await flight.remote
            except BaseException as said:  # a step's own errors are in its answer
                if flight.done():
                    raise
                meaning = await self._meaning(flight, said)
            if meaning is not None:
                raise meaning
            flight.remote.release()
            self._send(flight)
        raise WorkerLost("each worker that was to run it died before it began; see their logs")

    async def _meaning(self, flight: _Flight, error: BaseException) -> BaseException | None:
        """What an exception says of a step; None if it never began, and may be sent again."""
        if flight.remote.status == "cancelled":
            reason = getattr(error, "reason", "")  # the client may be connected anew by now
            if self._client.status != "running" or reason == "scheduler-connection-lost":
                return self._lost()
            began = await self._has_begun(flight)
            told = "the cluster was told to cancel it"
            return WorkerLost(told) if began else CancelledError(told)
        if isinstance(error, KilledWorker):
            if await self._has_begun(flight):
                return WorkerLost(f"the worker {error.last_worker.address} is gone")
            return _unfit(await self._client.get_versions(packages=["dotflow"]))
        return _told_by_worker(error)

    async def _has_begun(self, flight: _Flight) -> bool:
        """Whether a worker has begun a step; if not, none does from now on."""
        if flight.has_begun:
            return True
        try:
            return not await self._withdraw(flight)
        except Exception as error:  # noqa: BLE001 - who knows? Then it may have begun
            logger.debug("The scheduler was not heard on %r: %r", flight.key, error)
            return True

    async def _withdraw(self, flight: _Flight) -> bool:
        client = self._client
        asked = client.scheduler.dotflow_withdraw(key=flight.key, client=client.id)
        return bool(await asyncio.wait_for(asked, _PATIENCE))

    def _lost(self) -> SchedulerLost:
        self._is_lost = True
        return SchedulerLost(
            "the connection to Dask's scheduler is lost; what ran there is not known. "
            "See that the scheduler runs, and start again with a new Client."
        )


def _check_client(client: Any) -> None:
    """See that a run can wait for what a client does.

    Raises:
        ClusterUnfit: It cannot; the message says what to give.
    """
    if not isinstance(client, Client):
        raise ClusterUnfit(
            f"The executor is a {type(client).__name__} of Dask's: "
            "give a distributed.Client of it, as Client(cluster) is."
        )
    if client.asynchronous:
        raise ClusterUnfit(
            "The Dask client is asynchronous, and a run is not: "
            "make one with Client(address), without asynchronous=True, outside of a coroutine."
        )
    with suppress(ValueError):  # this is no worker
        if get_worker().scheduler.address == client.scheduler.address:
            raise ClusterUnfit(
                "A step on a Dask worker starts a workflow on the same cluster, where it could "
                'wait for ever for a free worker: start that one with mode="sequential".'
            )


def _warn_of(threads: list[int]) -> None:
    """Say what is unwise about the workers, which have so many threads each."""
    if not threads:
        logger.warning("The Dask cluster has no worker: steps wait until one has come.")
    elif max(threads) > 1:
        logger.warning(
            "Workers of the Dask cluster run up to %d steps at a time in one process: if one dies, "
            "each of these steps fails. Start them with --nthreads 1.", max(threads),
        )  # fmt: skip


def _told_by_worker(error: BaseException) -> BaseException:
    if isinstance(error, NotRun):
        return WorkerLost(str(error))
    if isinstance(error, OtherVersion):
        return ClusterUnfit(f"{error}, and here is {__version__}: {_INSTALL} on the workers.")
    if isinstance(error, ModuleNotFoundError):
        return ClusterUnfit(f"A Dask worker cannot import {error.name}: {_INSTALL} there.")
    return error


def _unfit(versions: dict[str, Any]) -> ClusterUnfit | None:
    """What is wrong with the dotflow of a cluster, as Dask tells its versions."""
    scheduler = {"scheduler": versions["scheduler"]} if versions.get("scheduler") else {}
    workers = {f"worker {address}": has for address, has in versions["workers"].items()}
    for who, has in {**scheduler, **workers}.items():
        version = has["packages"].get("dotflow")
        if version != __version__:
            has_what = f"dotflow {version}, and here is {__version__}" if version else "no dotflow"
            return ClusterUnfit(
                f"Dask's {who} has {has_what}: {_INSTALL} where the scheduler and the workers run."
            )
    return None
