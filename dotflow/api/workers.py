"""Several processes that serve dotflow-api from one listening socket, and who looks after them.

A worker learns on its standard input what it serves, and ends when that does: so none outlives the
process that started it, however that ends. On its standard output it says that it answers.
"""

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dotflow.api.database import can_be_shared

logger = logging.getLogger(__name__)

MOST = 64
"""Workers of one server."""

_LEAST_CONNECTIONS = 3  # one for requests, one for who listens, one to spare

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A worker has five seconds for the requests that are under way, and then for its connections.
_STOP_SECONDS = 15.0
_PATIENCE_SECONDS = 1.0
"""Signals within this time are one: a Ctrl-C often comes twice."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_SOUND_SECONDS = 60.0
"""One that has lived for so long is replaced at once; else each pause is twice the one before."""

_CODE = (
    "import json, sys; given = json.loads(sys.stdin.buffer.readline()); "
    "sys.path[:] = given.pop('path'); from dotflow.api.server import work; work(**given)"
)


def check_workers(database_url: str, count: int, connections: int) -> None:
    """Holds that so many processes can share the database.

    Args:
        database_url: As `create_app` takes it.
        count: How many processes shall serve it.
        connections: How many connections to it they have together.

    Raises:
        ValueError: They cannot; the message names the remedy.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} workers cannot serve: give a number from 1 to {MOST}")
    least = _LEAST_CONNECTIONS * count
    if connections < least:
        raise ValueError(
            f"{connections} connections are too few for {count} workers: give {least} or more "
            "(--connections), or fewer workers"
        )
    if count > 1 and not can_be_shared(database_url):
        raise ValueError(
            "SQLite lets one process write at a time, so several would wait for each other: give "
            "--database postgresql://USER:PASSWORD@HOST/DATABASE, or leave --workers away"
        )


class Workers:
    """Keeps so many workers alive until this process is told to end; the main thread's alone.

    A worker that ends is replaced. After SIGTERM or SIGINT each worker finishes its requests; at a
    second one, a second later, they end at once.

    Args:
        count: How many.
        listener: The socket that all of them accept connections from.
        given: What `dotflow.api.server.work` is called with, besides the socket.
        announce: Called once all of them answer.
    """

    def __init__(
        self,
        count: int,
        listener: socket.socket,
        given: Mapping[str, Any],
        announce: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._given = {**given, "listener": listener.fileno(), "path": sys.path}
        self._announce = announce
        self._selector = selectors.DefaultSelector()
        self._workers: set[_Worker] = set()
        self._due = [0.0] * count
        """When each of those that are to be started is."""
        self._silent = count
        """How many have not answered yet since the beginning."""
        self._pause = _FIRST_PAUSE
        self._signals: list[int] = []
        self._told_at = 0.0

    def run(self) -> None:
        """Returns after SIGINT or SIGTERM, which it passes on, when all have ended.

        Raises:
            RuntimeError: A worker did not come up; it has said why.
        """
        with self._selector, self._hearing_signals():
            try:
                while not self._signals:
                    self._start_those_due()
                    self._look(min(self._due, default=None))
            finally:
                self._stop()
        signal.raise_signal(self._signals[0])

    def _start_those_due(self) -> None:
        now = time.monotonic()
        for moment in [one for one in self._due if one <= now]:
            self._due.remove(moment)
            worker = _Worker(self._given)
            self._workers.add(worker)
            self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def _stop(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        until = time.monotonic() + _STOP_SECONDS
        while self._workers and len(self._signals) <= 1 and time.monotonic() < until:
            self._look(until)
        for worker in [*self._workers]:
            worker.process.kill()
            self._forget(worker)

    def _look(self, until: float | None) -> None:
        """Waits for a signal, or a word of a worker, at most to a moment."""
        wait = None if until is None else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(wait):
            worker: _Worker | None = key.data
            if worker is None:
                self._hear(os.read(key.fd, 1)[0])
            elif worker.hear():
                self._know_that_one_answers(worker)
            else:
                self._forget(worker)
                self._replace(worker)

    def _know_that_one_answers(self, worker: "_Worker") -> None:
        worker.has_answered = True
        if self._silent:
            self._silent -= 1
            if not self._silent:
                self._announce()

    def _hear(self, number: int) -> None:
        now = time.monotonic()
        if number in _SIGNALS and (not self._signals or now - self._told_at > _PATIENCE_SECONDS):
            self._signals.append(number)
            self._told_at = now

    def _forget(self, worker: "_Worker") -> None:
        self._selector.unregister(worker.channel)
        self._workers.discard(worker)
        worker.close()

    def _replace(self, worker: "_Worker") -> None:
        if self._signals:
            return
        if self._silent and not worker.has_answered:
            raise RuntimeError("a worker of dotflow-api did not come up: it has said why")
        now = time.monotonic()
        is_sound = now - worker.began > _SOUND_SECONDS
        pause = 0.0 if is_sound else self._pause
        self._pause = _FIRST_PAUSE if is_sound else min(2 * self._pause, _LONGEST_PAUSE)
        self._due.append(now + pause)
        words = "worker %d of dotflow-api ended (%s): another one takes its place in %.1f s"
        logger.warning(words, worker.process.pid, worker.how_it_ended(), pause)

    @contextlib.contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        """Has the selector hear of signals, each as a byte."""
        hears, says = socket.socketpair()
        with hears, says:
            says.setblocking(False)
            self._selector.register(hears, selectors.EVENT_READ)
            earlier = signal.set_wakeup_fd(says.fileno(), warn_on_full_buffer=False)
            before = {one: signal.signal(one, lambda *_: None) for one in _SIGNALS}
            try:
                yield
            finally:
                for one, handler in before.items():
                    signal.signal(one, handler)
                signal.set_wakeup_fd(earlier)


class _Worker:
    """One process; it has been told what to serve.

    Args:
        given: That; ``listener`` is the descriptor of the socket.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.channel, its_end = socket.socketpair()
        with its_end:
            self.process = subprocess.Popen(  # noqa: S603  # nothing of it comes from elsewhere
                [sys.executable, "-c", _CODE],
                stdin=its_end.fileno(),
                stdout=its_end.fileno(),
                pass_fds=[given["listener"]],
                # A terminal's Ctrl-C is for the process that looks after them.
                start_new_session=True,
            )
        self.began = time.monotonic()
        self.has_answered = False
        with contextlib.suppress(OSError):  # it has ended already: that is heard soon
            self.channel.sendall(json.dumps(given).encode() + b"\n")

    def hear(self) -> bytes:
        """Gives a byte once it answers, and nothing when it has ended."""
        with contextlib.suppress(ConnectionResetError):
            return self.channel.recv(1)
        return b""

    def close(self) -> None:
        """Returns when it has ended."""
        self.process.wait()
        self.channel.close()

    def how_it_ended(self) -> str:
        """Gives its exit status, or the signal that ended it, in words."""
        code = self.process.returncode
        return f"status {code}" if code >= 0 else signal.Signals(-code).name
