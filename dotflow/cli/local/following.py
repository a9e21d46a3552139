"""Follows a run log, a live one too, and says what it says as calls to a dotflow-api.

Nothing is taken from the log's owner: no lock, no receipt, no claim. A file that its owner deletes
meanwhile is read to its end all the same.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from dotflow.delivery.dead.adopted import ends_owed
from dotflow.delivery.fold.bodies import Source
from dotflow.delivery.fold.records import OF_TASKS
from dotflow.delivery.fold.references import References
from dotflow.delivery.order.unit import Unit
from dotflow.logging import logger
from dotflow.otel.attributes import WORKFLOW_ID
from dotflow.runlog import files, history, lines
from dotflow.runlog.carrying import CARRIED
from dotflow.runlog.lines import OTEL
from dotflow.runlog.ownfile import opened_to_read
from dotflow.runlog.reader import SLICE, SegmentReader, dead_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dotflow.delivery.message import Message
    from dotflow.runlog.reader import Fact

MOST = 500
MOST_BYTES = 8 * 2**20
"""How many messages are made at a time, and how large they are together, but for the last one."""

KEY = "page"
"""Stands for the page among the readers of a log."""

_OF_RUNS = frozenset({lines.RUN_BEGAN, lines.RUN_ENDED})
_KEPT = ("f", "n", "t", "at", "w", "r", "retries", lines.OWING)

Name = tuple[str, int]
"""A run in a log: the workflow's id, and the run's number."""


class FollowedLog:
    """The runs that one log tells of; one thread calls it.

    Args:
        log: The log's id.
        known: The workflows that are known from whatever log: a further run opens them again.

    Attributes:
        is_over: Whether nothing more will come of it.
    """

    def __init__(self, log: str, known: set[str]) -> None:
        self.id = log
        self.is_over = False
        self._known = known
        self._files: dict[int, _HeldFile] = {}
        self._results = References()
        self._units: dict[Name, Unit] = {}
        self._open: dict[Name, list[Fact]] = {}
        self._begun: set[Name] = set()
        self._traces: dict[str, str] = {}
        self._last = 0

    def hold(self, segments: Mapping[int, Path]) -> None:
        """Open files that are new, so that they can be read when their owner has deleted them."""
        for number in sorted(segments.keys() - self._files.keys()):
            with contextlib.suppress(OSError):  # it is gone, or too many are open: see next time
                self._files[number] = _HeldFile(segments[number])

    def news(self, segments: Mapping[int, Path], is_alive: bool) -> Iterator[list[Message]]:
        """The calls that say what is new, in portions; each is taken for made when the next comes.

        Args:
            segments: The files that it has now, by their numbers; the history may have taken one
                over that is known already.
            is_alive: Whether its owner was alive before they were looked for.
        """
        self.hold(segments)
        for _, file in sorted(self._files.items()):
            while facts := file.read():
                yield from self._told(facts, file)
        if not is_alive:
            yield from self._told(self._owed(list(segments.values())), None)
            self.close()

    def close(self) -> None:
        """Release the files."""
        self.is_over = True
        for file in self._files.values():
            file.close()

    def _told(self, facts: list[Fact], file: _HeldFile | None) -> Iterator[list[Message]]:
        touched: dict[Name, Unit] = {}
        for fact in facts:
            self._take(fact, file, touched)
        for name, unit in touched.items():
            while said := _portion(unit):
                yield [message for _, message in said]
                for key, message in said:
                    unit.note(key, message.kind, message.n)
            if unit.is_complete:
                del self._units[name]

    def _take(self, fact: Fact, file: _HeldFile | None, touched: dict[Name, Unit]) -> None:
        """Fold a line in; one that a damaged disk has changed is passed over."""
        try:
            self._fold(fact, file, touched)
        except Exception as error:  # noqa: BLE001 - any value may be of any type
            logger.debug("A line of %s is passed over: %r", self.id, error)

    def _fold(self, fact: Fact, file: _HeldFile | None, touched: dict[Name, Unit]) -> None:
        kind = fact["f"]
        if kind == lines.SPAN:
            self._learn_trace(fact)
        if kind not in OF_TASKS | _OF_RUNS or not fact.get("r"):
            return  # a workflow is here when its run begins, and a task when it does
        if file is not None:
            self._results.resolve(fact, file.facts)
        self._last = max(self._last, int(fact["n"]))
        name = fact["w"], int(fact["r"])
        if kind == lines.RUN_BEGAN and name in self._begun:
            return  # said again in the next file, for whoever reads that alone
        unit = self._units.get(name)
        if unit is None:
            source = Source(str(fact.get(CARRIED) or self.id), name[1], name[0], OTEL)
            unit = self._units[name] = Unit(source, Counter())
        if kind == lines.RUN_BEGAN:
            self._begins(fact, name)
        self._keep(name, fact)
        unit.take(fact, 0)
        touched[name] = unit

    def _begins(self, fact: Fact, name: Name) -> None:
        """Have a run say all that is known of it, whoever it was to be reported to."""
        workflow = fact["w"]
        fact.setdefault("title", fact.get("name"))
        if fact.get("trace_id") is None:
            fact["trace_id"] = self._traces.pop(workflow, None)
        fact["known"] = workflow in self._known
        fact["again"] = fact["known"] or bool(fact.get("again") or fact.get("resumed"))
        self._known.add(workflow)
        self._begun.add(name)

    def _learn_trace(self, fact: Fact) -> None:
        """Learn in which trace a run is that is reported as spans alone."""
        said = fact["said"]
        workflow = said["attributes"].get(WORKFLOW_ID)
        if workflow is not None and said["end"] is None:
            self._traces[workflow] = said["context"][0]

    def _keep(self, name: Name, fact: Fact) -> None:
        """Keep what tells which ends are owed if the owner dies."""
        if fact["f"] == lines.RUN_ENDED:
            self._open.pop(name, None)
            return
        lean: dict[str, Any] = {one: fact[one] for one in _KEPT if one in fact}
        self._open.setdefault(name, []).append({**lean, "to": {KEY: OTEL}})

    def _owed(self, segments: list[Path]) -> list[Fact]:
        """The ends that the dead owner owes, of the inner runs first."""
        last_seen = files.last_seen(self.id, segments)
        found: list[Fact] = []
        for name in reversed(list(self._open)):
            facts = sorted(self._open[name], key=lambda fact: int(fact["n"]))
            with contextlib.suppress(Exception):  # any value may be of any type
                owed = ends_owed(facts, last_seen, (), self._last)
                self._last = max([self._last, *(one["n"] for one in owed)])
                found += owed
        return found


def _portion(unit: Unit) -> list[tuple[int | None, Message]]:
    """The next messages of a run, as many as may be in memory at once.

    There are none of what a damaged disk has changed, nor of what would come after it.
    """
    found: list[tuple[int | None, Message]] = []
    size = 0
    try:
        for key, message in unit.in_bulk(MOST):
            found.append((key, message))
            size += message.size
            if size > MOST_BYTES:
                break
    except Exception as error:  # noqa: BLE001 - any value may be of any type
        logger.debug("A run of %s cannot be shown to its end: %r", unit.source.log, error)
    return found


class _HeldFile(SegmentReader):
    """A file that can be read to its end when it has no name any more."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._is_masked = history.is_masked(path)
        with opened_to_read(path) as fd:
            self._fd = os.dup(fd)

    def _data(self, path: Path, size: int) -> bytes:  # noqa: ARG002 - the name may be gone
        return os.pread(self._fd, size, self.offset)

    def facts(self) -> list[Fact]:
        """All facts of the file, if it is there still."""
        return [] if self.path is None else dead_lines([self.path])[0]

    def read(self, most: int = SLICE) -> list[Fact]:
        """The next lines, without the credentials that they name."""
        found = super().read(most)
        return found if self._is_masked else [history.masked(fact) for fact in found]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.path = None
