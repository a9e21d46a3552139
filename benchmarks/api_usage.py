"""What a server, its database and the whole machine use meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import Self

from benchmarks.api_load import processor_of

if TYPE_CHECKING:
    from collections.abc import Iterable

FULL = 0.9
"""What is used so much, of what there is, has given way."""

BACKENDS = "SELECT pid, state, wait_event_type, wait_event FROM pg_stat_activity"


@dataclass(frozen=True)
class Usage:
    """Processors in use, each from 0 to 1 for one, and what the database waited for.

    Attributes:
        server: Of all its processes.
        worker: Of the one that used most.
        database: Of PostgreSQL's processes.
        clients: Of those who report.
        machine: Of all that there are, from 0 to 1.
        connections: How many the server had to the database, at most.
        waits: How often a busy connection was seen to wait, by what for, to how often one was seen.
    """

    server: float
    worker: float
    database: float
    clients: float
    machine: float
    connections: int
    waits: dict[str, float]

    @staticmethod
    def memory(processes: Iterable[int]) -> float:
        """MB that they hold, what they share counted once."""
        found = [Path(f"/proc/{one}/smaps_rollup").read_text("ascii") for one in processes]
        return sum(int(one.partition("\nPss:")[2].split()[0]) for one in found) / 1000

    def line(self) -> str:
        waits = ", ".join(f"{name} {share:.0%}" for name, share in self.waits.items())
        return (
            f"processors: server {self.server:.2f} (a worker {self.worker:.2f}), database "
            f"{self.database:.2f}, clients {self.clients:.2f}, machine {self.machine:.0%}; "
            f"{self.connections} connections, busy ones wait for: {waits or 'nothing'}"
        )

    def what_gives_way(self) -> str:
        """What was used up, in words."""
        ours = (self.server + self.database + self.clients) / (os.cpu_count() or 1)
        if self.machine > FULL > 1.5 * ours:
            return "other programs on this machine: it has to be quiet"
        if self.machine > FULL:
            return (
                f"the machine's processors (server {self.server:.2f}, database "
                f"{self.database:.2f}, clients {self.clients:.2f})"
            )
        if self.worker > FULL:
            return "a worker's processor"
        if self.waits:
            name, share = next(iter(self.waits.items()))
            return f"the database: {share:.0%} of what is under way waits for {name}"
        return "nothing that is measured here"


class Watch:
    """Looks at processes from its beginning to its end; a context manager.

    Args:
        processes: The server's; the first one only looks after the others, if there are others.
        url: The database's.
        seconds: How long the level lasts; the quarter before it is left out.
    """

    def __init__(self, processes: list[int], url: str, seconds: float) -> None:
        self._processes = processes
        self._url = url
        self._lead = seconds / 4
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._database: dict[int, list[float]] = {}
        self._waits: Counter[str] = Counter()
        self._seen = self._connections = 0
        self._begun = self._ended = (0.0, [0.0], 0.0, 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def usage(self, clients: float) -> Usage:
        """What was used; the clients say of themselves."""
        begun, each_begun, idle_begun, all_begun = self._begun
        ended, each_ended, idle_ended, all_ended = self._ended
        seconds = ended - begun
        each = [after - before for before, after in zip(each_begun, each_ended, strict=True)]
        database = sum(values[-1] - values[0] for values in self._database.values())
        return Usage(
            server=sum(each) / seconds,
            worker=max(each) / seconds,
            database=database / seconds,
            clients=clients,
            machine=1 - (idle_ended - idle_begun) / (all_ended - all_begun),
            connections=self._connections,
            waits={
                name: number / self._seen
                for name, number in self._waits.most_common(3)
                if number > self._seen / 20
            },
        )

    def _look(self) -> None:
        self._over.wait(self._lead)
        self._begun = self._now()
        if self._url.startswith("postgresql"):
            self._look_at_database()
        else:
            self._over.wait()
        self._ended = self._now()

    def _look_at_database(self) -> None:
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                backends = connection.execute(BACKENDS).fetchall()
                for process, state, kind, event in backends:
                    self._note(process, state, kind, event)
                busy = sum(1 for _, state, *_ in backends if state is not None)
                self._connections = max(self._connections, busy - 1)
                if self._over.wait(0.2):
                    return

    def _note(self, process: int, state: str | None, kind: str | None, event: str | None) -> None:
        try:
            used = processor_of(process)
        except FileNotFoundError:  # on another machine, or gone
            return
        # One that came later has used all that it used since.
        self._database.setdefault(process, [used if not self._seen else 0.0]).append(used)
        if state == "active" and process != os.getpid():
            self._seen += 1
            if kind is not None:
                self._waits[f"{kind}:{event}"] += 1

    def _now(self) -> tuple[float, list[float], float, float]:
        fields = Path("/proc/stat").read_text("ascii").partition("\n")[0].split()[1:9]
        ticks = [int(one) for one in fields]
        each = [processor_of(one) for one in self._processes]
        return time.perf_counter(), each, float(ticks[3] + ticks[4]), float(sum(ticks))


def size_of(url: str) -> int:
    """Bytes of the database on disk."""
    if not url.startswith("postgresql"):
        files = Path(url.partition("///")[2]).parent.glob(Path(url).name + "*")
        return sum(file.stat().st_size for file in files)
    import psycopg

    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert found is not None
    return int(found[0])
