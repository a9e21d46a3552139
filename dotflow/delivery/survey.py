"""What waits in the user's run logs, seen from outside: nothing is taken from its owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dotflow.delivery import earlier
from dotflow.delivery.adopted import AdoptedLog, is_done
from dotflow.delivery.server_ids import ServerIds
from dotflow.delivery.waiting import Waiting
from dotflow.runlog import files
from dotflow.runlog.reader import NewerFormatError, readers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


OTLP = "OTLP "
"""How the names of OTLP endpoints begin."""

SpansLeft = Callable[[str, "list[Path]", str], int]
"""Called with a log's id, its files, and the key of an OTLP endpoint."""


def survey(spans_left: SpansLeft | None = None) -> list[Waiting]:
    """What waits, file by file, also of the version before; unreadable ones are left out.

    Args:
        spans_left: Counts the spans of a log that wait for an OTLP endpoint.
    """
    logs = files.logs()
    found = [one for log, segments in logs.items() for one in _look(log, segments, spans_left)]
    return [*earlier.left(), *found]


def _look(log: str, segments: list[Path], spans_left: SpansLeft | None) -> Iterator[Waiting]:
    try:
        readers = readers_of(segments)
        size = sum(path.stat().st_size for path in segments)
        oldest = min(path.stat().st_mtime for path in segments)
    except OSError:
        return
    is_owned = files.is_alive(log)
    for key, name in readers.items():
        count = spans_left if name.startswith(OTLP) else _pending
        try:
            is_over = count is None or is_done(segments, key)
            pending = 0 if count is None or is_over else count(log, segments, key)
        except NewerFormatError:
            continue
        yield Waiting(name, pending, size if pending else 0, oldest if pending else None, is_owned)


def _pending(log: str, segments: list[Path], key: str) -> int:
    found = AdoptedLog(log, segments, key)
    units = [unit for one in list(found.workflows) for unit in found.take_over(one, ServerIds())]
    return sum(unit.pending for unit in units)
