"""Whether dead processes have left something for a destination."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dotflow.runlog import files
from dotflow.runlog.claims import Claims
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from pathlib import Path

AGAIN = 30.0
"""Seconds until a log that was tried, and is still there, is tried again."""

_HEAD = 4096
"""Bytes of a log in which it names its readers."""

_tried: dict[tuple[str, str], float] = {}
_claims: dict[tuple[str, str], Claims] = {}


def are_there(key: str) -> bool:
    """Whether there are logs of dead processes that name a reader, and that nobody else sees to.

    One that was tried just now does not count.

    Args:
        key: The reader's key.
    """
    logs, now = files.logs(), time.monotonic()
    found = False
    for log, segments in logs.items():
        is_new = now >= _tried.get((log, key), 0.0)
        if is_new and log != run_log.id and not files.is_alive(log) and _waits(log, segments, key):
            _tried[log, key] = now + AGAIN
            found = True
    for known in (_tried, _claims):
        for one in [one for one in known if one[0] not in logs]:
            del known[one]
    return found


def _waits(log: str, segments: list[Path], key: str) -> bool:
    """Whether a dead log names a reader, and no other process that lives has it."""
    if not _names(segments[0], key):
        return False
    claims = _claims.get((log, key))
    if claims is None:
        claims = _claims[log, key] = Claims(log, key)
    else:
        claims.look()
    return not claims.are_others(run_log.id)


def _names(path: Path, key: str) -> bool:
    try:
        return key.encode() in files.read_file(path, 0, _HEAD)
    except OSError:
        return False
