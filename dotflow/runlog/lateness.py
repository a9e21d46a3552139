"""Destinations that were late a moment ago: the end of a run in a worker does not wait for them.

It is told from process to process, for a worker may be a new one for each run.
"""

from __future__ import annotations

import contextlib
import os
import time

from dotflow.runlog import files

LATE = ".late"

PAUSE = 60.0
"""Seconds in which a destination that was late is not waited for."""

_late: dict[str, float] = {}


def is_late(key: str) -> bool:
    """Whether a destination was late within the last minute."""
    if time.monotonic() < _late.get(key, 0.0):
        return True
    path = files.folder() / f"{key}{LATE}"
    try:
        if abs(time.time() - path.lstat().st_mtime) < PAUSE:
            return True
        path.unlink()
    except OSError:
        pass
    return False


def note(key: str) -> None:
    """Learn that a destination is late."""
    _late[key] = time.monotonic() + PAUSE
    with contextlib.suppress(OSError):
        path = files.folder() / f"{key}{LATE}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.utime(fd)
        finally:
            os.close(fd)
