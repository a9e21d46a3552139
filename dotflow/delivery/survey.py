"""What waits in the user's run logs, seen from outside: nothing is taken from its owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from dotflow.delivery.dead import earlier
from dotflow.delivery.dead.adopted import AdoptedLog
from dotflow.delivery.order.server_ids import ServerIds
from dotflow.delivery.waiting import OTLP, Waiting
from dotflow.runlog import files
from dotflow.runlog.claims import Claims
from dotflow.runlog.reader import (
    Fact,
    NewerFormatError,
    check_version,
    dead_lines,
    destinations_of,
)
from dotflow.runlog.receipts import is_done

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["OTLP", "SPANS", "living_owner", "names", "survey"]

SPANS = "spans"
"""What is claimed of a log by who sends its spans."""


class Lines:
    """The lines of one log: read once for all its readers, if one of them needs any.

    Args:
        segments: Its files, in order.
    """

    def __init__(self, segments: list[Path]) -> None:
        self.segments = segments

    @cached_property
    def found(self) -> tuple[list[Fact], int]:
        """All of them, and how many are damaged."""
        return dead_lines(self.segments, is_any_version=True)

    def understood(self) -> tuple[list[Fact], int]:
        """The same.

        Raises:
            NewerFormatError: A later version of dotflow wrote it.
        """
        for fact in self.found[0]:
            check_version(fact, self.segments[0])
        return self.found


SpansLeft = Callable[[Lines, str, "float | None"], int]
"""Called with a log's lines, the key of an OTLP endpoint, and when the log's process was last seen;
None while it lives."""


def survey(spans_left: SpansLeft | None = None) -> list[Waiting]:
    """What waits, file by file, also of the version before.

    Args:
        spans_left: Counts the spans of a log that wait for an OTLP endpoint.
    """
    logs = files.logs()
    found = [one for log, segments in logs.items() for one in _look(log, segments, spans_left)]
    return [*earlier.left(), *found]


def names() -> set[str]:
    """The names of the destinations that anything may wait for; nothing is counted for it."""
    found = {name for paths in files.logs().values() for name in destinations_of(paths).values()}
    return found | {one.destination for one in earlier.left()}


def _look(log: str, segments: list[Path], spans_left: SpansLeft | None) -> Iterator[Waiting]:
    try:
        readers = destinations_of(segments)
        size = sum(path.stat().st_size for path in segments)
        oldest = min(path.stat().st_mtime for path in segments)
    except OSError:
        return
    is_alive = files.is_alive(log)
    pid = files.pid_of(log) if is_alive else None
    found = Lines(segments)
    for key, name in readers.items():
        try:
            if is_done(segments, key):
                yield Waiting(name, 0, 0, None, is_alive)
                continue
            if name.startswith(OTLP):
                by_owner = _spans_by_owner(log, found, key, is_alive, spans_left)
            else:
                by_owner = _messages_by_owner(log, found, key, is_alive)
        except NewerFormatError as error:
            yield Waiting(name, 0, size, oldest, is_alive, files.pid_of(log), str(error))
            continue
        for owner, pending in by_owner.items() or [(None, 0)]:
            is_any = pending > 0
            yield Waiting(
                name, pending, size if is_any else 0, oldest if is_any else None,
                is_alive or owner is not None,
                files.pid_of(owner) if owner is not None and not is_alive else pid,
            )  # fmt: skip


def _spans_by_owner(
    log: str, found: Lines, key: str, is_alive: bool, spans_left: SpansLeft | None
) -> dict[str | None, int]:
    if spans_left is None:
        return {}
    last_seen = None if is_alive else files.last_seen(log, found.segments)
    return {living_owner(Claims(log, key), SPANS): spans_left(found, key, last_seen)}


def _messages_by_owner(log: str, lines: Lines, key: str, is_alive: bool) -> dict[str | None, int]:
    """How many messages wait, by the living process that has taken them over."""
    known = lines.understood()
    found = AdoptedLog(log, lines.segments, key, is_dead=not is_alive, known=known)
    claims = Claims(log, key)
    counts: Counter[str | None] = Counter()
    for workflow in list(found.workflows):
        pending = sum(unit.pending for unit in found.take_over(workflow, ServerIds()))
        if pending:
            counts[None if is_alive else living_owner(claims, workflow)] += pending
    return counts


def living_owner(claims: Claims, workflow: str) -> str | None:
    """The log of the living process that has claimed a workflow; None where there is none."""
    owner = claims.owner(workflow)
    return owner if owner is not None and files.is_alive(owner) else None
