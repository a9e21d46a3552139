"""What is in the folder of the run logs, and under which names."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from dotflow.runlog import history
from dotflow.runlog.folder import (
    FOLDER,
    LOG,
    file_system,
    folder,
    make_folder,
    segments_in,
    state_dir,
)
from dotflow.runlog.life import LOCK, LifeSign, is_alive, pid_of
from dotflow.runlog.ownfile import OwnFile, lock, read_file, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "FOLDER", "LOCK", "LOG", "LifeSign", "OwnFile", "alone", "delete", "delete_log", "file_system",
    "folder", "is_alive", "last_seen", "lock", "log_path", "logs", "make_folder", "pid_of",
    "read_file", "reader_key", "receipts_path", "segments_in", "segments_of", "state_dir",
    "write_all",
]  # fmt: skip

RECEIPTS, CLAIMS = ".receipts", ".claims"
ADOPTION = "adoption.lock"

PATIENCE = 2.0
"""Seconds to wait for another process that takes over what was left."""

_HEAD = 4096


def logs() -> dict[str, list[Path]]:
    """The segments that are there, in order, by the log's id."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for log, number, path in segments_in(folder(), LOG):
        found.setdefault(log, []).append((number, path))
    return {log: [path for _, path in sorted(parts)] for log, parts in found.items()}


def segments_of(log: str) -> list[Path]:
    """The segments of one log that are there, in order."""
    found = segments_in(folder(), LOG, f"{log}-")
    return [path for _, _, path in sorted(found)]


def log_path(log: str, segment: int) -> Path:
    """The file of a segment."""
    return folder() / f"{log}-{segment:06d}{LOG}"


def receipts_path(segment: Path, reader: str) -> Path:
    """The file of a reader's receipts beside a segment."""
    return segment.with_name(f"{segment.stem}.{reader}{RECEIPTS}")


def claims_path(log: str, reader: str) -> Path:
    """The file of the claims on what a log says to a reader."""
    return folder() / f"{log}.{reader}{CLAIMS}"


def reader_key(name: str) -> str:
    """What stands for a reader's name in lines and in names of files: 16 hex digits."""
    import hashlib  # here, for OpenSSL comes with it

    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]


def last_seen(log: str, segments: list[Path]) -> float:
    """When the owner of a log last wrote or gave a sign of life; seconds since the epoch.

    It is no time to come, and none before the log began, wherever the clock was set meanwhile.
    """
    now = time.time()
    began = _began(segments)
    times = [] if began is None or began > now else [began]
    for path in (folder() / f"{log}{LOCK}", *segments):
        with contextlib.suppress(OSError):
            times.append(path.lstat().st_mtime)
    return min(max(times, default=now), now)


def _began(segments: list[Path]) -> float | None:
    """When the head of a log says that it began."""
    try:
        head = json.loads(read_file(segments[0], 0, _HEAD).partition(b"\n")[0])
        return float(head["at"]) / 1e9
    except (OSError, ValueError, LookupError, TypeError, RecursionError, OverflowError):
        return None


def delete_log(log: str) -> None:
    """Delete all that is there of a log whose owner is dead, or keep it; the lock last."""
    place = folder()
    with contextlib.suppress(OSError):
        for name in os.listdir(place):  # noqa: PTH208 - names are enough
            if name.startswith(log) and name != f"{log}{LOCK}":
                with contextlib.suppress(OSError):  # whatever is there under our name
                    delete(place / name)
        (place / f"{log}{LOCK}").unlink(missing_ok=True)


def delete(path: Path, is_hurried: bool = False) -> None:
    """Delete a file of a log; the history has its lines, if its process wanted that.

    Args:
        path: The file.
        is_hurried: Whether somebody waits for it.

    Raises:
        OSError: It cannot be deleted.
    """
    if path.suffix == LOG:
        history.keep(path, is_hurried)
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Have no other process take over anything meanwhile; not at any price, if one hangs."""
    held = None
    with contextlib.suppress(OSError):
        held = OwnFile(folder() / ADOPTION)
        lock(held.fd, PATIENCE)
    try:
        yield
    finally:
        if held is not None:
            held.close()
