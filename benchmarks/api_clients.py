"""Very many runs that report at once: each has a connection of its own, as each process has.

A run sends what its next task has to say when the time for that has come, whether the server is
fast or not, and in order: what is late delays the rest of the run. The time that a call takes is
counted from the moment that it was due.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.api_load import begin_run, begin_task, end_of_run, ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.connection import Connection

TASKS = 20
MOST_SECONDS = 60.0
"""How long an answer is waited for, as dotflow does not; then the call is made again."""

Said = list[tuple[str, str, Any]]


@dataclass
class Sample:
    """What a process of clients saw in some seconds."""

    reports: int = 0
    seconds: float = 0.0
    late: list[float] = field(default_factory=list)
    """Seconds from when a call was due to its answer."""
    refused: int = 0
    """Answers of 503, and connections that ended or did not come to be."""
    processor: float = 0.0
    ended: int = 0
    """Runs that have ended since the beginning."""


class Clients:
    """One process's runs.

    Args:
        address: Host and port of the server.
        way: "bulk": what a run has to say goes in one call; "single": one by one.
        count: How many runs there are at once.
    """

    def __init__(self, address: tuple[str, int], way: str, count: int) -> None:
        self._address = address
        self._way = way
        self._count = count
        self._pause = 1.0
        self._changed = asyncio.Event()
        self._ends = False
        self._sample = Sample()
        self._over = 0

    async def serve(self, pipe: Connection) -> None:
        """Runs until the pipe says None; it says how long a run pauses, and for how many seconds.

        Args:
            pipe: It is answered with a Sample each time.
        """
        loop = asyncio.get_running_loop()
        pause, seconds = await loop.run_in_executor(None, pipe.recv)
        self._pause = pause
        runs = [asyncio.create_task(self._run_on()) for _ in range(self._count)]
        while True:
            # What is left of the pace before is not counted.
            await asyncio.sleep(seconds / 4)
            self._sample, begin, used = Sample(), time.perf_counter(), time.process_time()
            await asyncio.sleep(seconds)
            sample, self._sample = self._sample, Sample()
            sample.seconds = time.perf_counter() - begin
            sample.processor = time.process_time() - used
            sample.ended = self._over
            pipe.send(sample)
            said = await loop.run_in_executor(None, pipe.recv)
            if said is None:
                break
            self._pause, seconds = said
            self._wake()
        self._ends = True
        self._wake()
        await asyncio.gather(*runs)
        pipe.send(self._over)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run_on(self) -> None:
        caller = Caller(self._address)
        due = await self._rest(self._any_time())
        while not self._ends:
            rest: Said = []
            for reports in a_run():
                if self._ends:  # all that it has still to say goes at once
                    rest += reports
                    continue
                await self._report(caller, reports, due)
                due = await self._rest(due + self._pause)
            if rest:
                await self._send(caller, in_bulk(rest))
            self._over += 1
        caller.close()

    async def _rest(self, due: float) -> float:
        """Waits until something is due, and gives when that was: a new pace makes that another."""
        while not self._ends:
            try:
                left = max(0.0, due - time.perf_counter())
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                return due
            due = self._any_time()
        return due

    def _any_time(self) -> float:
        return time.perf_counter() + random.random() * self._pause

    async def _report(self, caller: Caller, reports: Said, due: float) -> None:
        for request in in_bulk(reports) if self._way == "bulk" else one_by_one(reports):
            await self._send(caller, [request])
            self._sample.late.append(time.perf_counter() - due)
        self._sample.reports += len(reports)

    async def _send(self, caller: Caller, requests: Iterable[bytes]) -> None:
        for request in requests:
            while not await caller.is_taken(request):
                self._sample.refused += 1
                await asyncio.sleep(1 + random.random())


class Caller:
    """Calls over one connection, which is made anew where it ended."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._writer: asyncio.StreamWriter | None = None
        self._reader = asyncio.StreamReader()

    async def is_taken(self, request: bytes) -> bool:
        """Whether a request was answered, other than that it be made later.

        Raises:
            RuntimeError: It was refused for good: what this sends is wrong.
        """
        try:
            status, body = await asyncio.wait_for(self._call(request), MOST_SECONDS)
        except (OSError, EOFError, asyncio.TimeoutError):
            self.close()
            return False
        if status == 503:
            return False
        if status >= 300 or b'"status":4' in body or b'"status":5' in body:
            raise RuntimeError(f"{status}: {body[:500]!r}")
        return True

    async def _call(self, request: bytes) -> tuple[int, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        return int(head[9:12]), await self._reader.readexactly(size)

    def close(self) -> None:
        """Ends the connection."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def a_run() -> Iterator[Said]:
    """What a run says, step by step: a task that ends and the one that begins go together."""
    run = uuid4().hex
    waiting: Said = [begin_run(run, TASKS)]
    for number in range(1, TASKS + 1):
        yield [*waiting, begin_task(run, number)]
        waiting = [("PATCH", f"/workflows/{run}/tasks/{number}", ended())]
    yield [*waiting, ("PATCH", f"/workflows/{run}", end_of_run())]


def in_bulk(reports: Said) -> Iterator[bytes]:
    """One request for all of them."""
    items = []
    for method, path, (body, times) in reports:
        call = {"method": method, "path": path, "times": times, "body": body}
        items.append({**call, "idempotency_key": uuid4().hex})
    yield request_of("POST", "/bulk", {"items": items})


def one_by_one(reports: Said) -> Iterator[bytes]:
    """A request for each."""
    for method, path, (body, times) in reports:
        headers = {"Idempotency-Key": uuid4().hex, "Dotflow-Times": json.dumps(times)}
        yield request_of(method, path, body, headers)


def request_of(method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> bytes:
    content = json.dumps(body).encode()
    fields = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": len(content),
        **(headers or {}),
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def serve(address: tuple[str, int], way: str, count: int, pipe: Connection) -> None:
    """A process's whole work."""
    asyncio.run(Clients(address, way, count).serve(pipe))
