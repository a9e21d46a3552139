"""What the run logs of a user may take on disk: their bytes, and for how long."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from dotflow.logging import logger
from dotflow.process.variables import warn
from dotflow.runlog import files, lateness, waits

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 2**30
"""Bytes of all run logs together; DOTFLOW_OUTBOX_MAX_BYTES."""

MAX_AGE = 30 * 86_400.0
"""Seconds after which what a dead process left is given up."""

LEFTOVER_AGE = 3600.0
"""Seconds after which a lock, receipts or claims without a log are deleted."""

EVERY = 300.0
"""Seconds between two looks."""


class Deleted(NamedTuple):
    """What was given up: how many logs, of how many bytes."""

    logs: int = 0
    bytes: int = 0


class _Kept(NamedTuple):
    last: float
    bytes: int
    log: str


def max_bytes() -> int:
    """Bytes that may wait: DOTFLOW_OUTBOX_MAX_BYTES, 1 GB by default."""
    given = os.environ.get("DOTFLOW_OUTBOX_MAX_BYTES", "").strip()
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if given:
        warn(
            f"DOTFLOW_OUTBOX_MAX_BYTES is {given!r}: it must be a whole number of bytes above 0; "
            f"{MAX_BYTES} is used."
        )
    return MAX_BYTES


_next_look = float("-inf")


def tidy(own: Iterable[str] = (), at_once: bool = False) -> Deleted:
    """Keep the folder within its limits; called by a reader's thread, every now and then.

    Over them the log that was left longest ago goes, never one of a living process.

    Args:
        own: The ids of this process's logs.
        at_once: Look also where that was done a moment ago.
    """
    global _next_look  # noqa: PLW0603 - one a process
    now = time.monotonic()
    if now < _next_look and not at_once:
        return Deleted()
    _next_look = now + EVERY
    if not files.folder().is_dir():
        return Deleted()
    with files.alone():
        deleted = _give_up(_by_log(), set(own))
        _sweep()
    if deleted.logs:
        logger.warning(
            "Run logs of %d dead processes (%d bytes) were deleted: they were over the limit of "
            "%d bytes or %d days, and could not be delivered.",
            deleted.logs, deleted.bytes, max_bytes(), int(MAX_AGE / 86_400),
        )  # fmt: skip
    return deleted


def _by_log() -> list[_Kept]:
    """Each log with its last modification and its bytes, the oldest first."""
    sizes: dict[str, tuple[float, int]] = {}
    with contextlib.suppress(OSError), os.scandir(files.folder()) as found:
        for entry in found:
            log, _, rest = entry.name.replace(".", "-", 1).partition("-")
            if len(log) != 32 or not rest or entry.name.endswith(files.LOCK):  # noqa: PLR2004
                continue
            with contextlib.suppress(OSError):
                stat = entry.stat(follow_symlinks=False)
                last, size = sizes.get(log, (0.0, 0))
                sizes[log] = max(last, stat.st_mtime), size + stat.st_size
    return sorted(_Kept(last, size, log) for log, (last, size) in sizes.items())


def _give_up(kept: list[_Kept], own: set[str]) -> Deleted:
    total, limit, now = sum(one.bytes for one in kept), max_bytes(), time.time()
    deleted = Deleted()
    with_files = set(files.logs())
    for one in kept:
        is_old = now - one.last > MAX_AGE
        if total <= limit and not is_old:
            continue
        if one.log in own or one.log not in with_files or files.is_alive(one.log):
            continue
        files.delete_log(one.log)
        total -= one.bytes
        deleted = Deleted(deleted.logs + 1, deleted.bytes + one.bytes)
    return deleted


def _sweep() -> None:
    """Delete what a kill may leave behind of a log that was delivered."""
    known = set(files.logs())
    with contextlib.suppress(OSError), os.scandir(files.folder()) as found:
        for entry in found:
            # Of a destination, and not of a log.
            if waits.END in entry.name or entry.name.endswith(lateness.LATE):
                _delete_if_old(entry, MAX_AGE)
                continue
            log, _, end = entry.name.partition(".")
            log = log.partition("-")[0]
            if len(log) != 32 or log in known or not _is_ours(end):  # noqa: PLR2004
                continue
            if not files.is_alive(log):
                _delete_if_old(entry, LEFTOVER_AGE)


def _delete_if_old(entry: os.DirEntry[str], seconds: float) -> None:
    with contextlib.suppress(OSError):
        if time.time() - entry.stat(follow_symlinks=False).st_mtime > seconds:
            os.unlink(entry.path)  # noqa: PTH108 - there is no Path


def _is_ours(end: str) -> bool:
    return f".{end}".endswith((files.LOCK, files.RECEIPTS, files.CLAIMS))
