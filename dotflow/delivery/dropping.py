"""Deletes what waits for a destination that is gone: not what a living process sees to."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

from dotflow.delivery import dead_letters
from dotflow.delivery.dead import earlier_disk as disk
from dotflow.delivery.dead.adopted import AdoptedLog
from dotflow.delivery.dead.earlier_file import EarlierFile
from dotflow.delivery.survey import SPANS, living_owner
from dotflow.delivery.waiting import OTLP
from dotflow.runlog import files, waits
from dotflow.runlog.claims import Claims
from dotflow.runlog.reader import NewerFormatError, destinations_of
from dotflow.runlog.receipts import DONE, Receipt, Receipts, is_done

if TYPE_CHECKING:
    from pathlib import Path


_KEY = re.compile("[0-9a-f]{16}")


def drop(name: str) -> None:
    """Delete all that waits for a destination, its dead letters too.

    What a living process has written, or has taken over, stays: that one goes on to send it.

    Args:
        name: What people call the destination; its key, where a name is not known.

    Raises:
        sqlite3.Error: The file of dead letters is busy, or cannot be written.
    """
    key = name if _KEY.fullmatch(name) else files.reader_key(name)
    with files.alone():
        for log, segments in files.logs().items():
            if not files.is_alive(log) and key in destinations_of(segments):
                _drop_log(log, segments, key, is_otlp=name.startswith(OTLP))
    for path in disk.paths(key):
        _drop_earlier(path)
    dead_letters.remove([one for one in dead_letters.all_letters() if one.destination == name])
    waits.forget(key)


def _drop_log(log: str, segments: list[Path], key: str, is_otlp: bool) -> None:
    """Say that a reader needs nothing of a log but what a living process has taken over."""
    claims = Claims(log, key)
    if is_otlp:
        theirs, ours = {SPANS} if living_owner(claims, SPANS) else set(), set[str]()
    else:
        workflows = _workflows(log, segments, key)
        theirs = {one for one in workflows if living_owner(claims, one)}
        ours = workflows - theirs
    said: list[Receipt] = [{"k": DONE, "w": one} for one in sorted(ours)] if theirs else []
    receipts = Receipts(segments[-1], key)
    receipts.write(said if theirs else [{"k": DONE}])
    receipts.close()
    if all(is_done(segments, one) for one in destinations_of(segments)):
        for path in segments:
            files.delete(path)
        files.delete_log(log)


def _workflows(log: str, segments: list[Path], key: str) -> set[str]:
    try:
        return AdoptedLog(log, segments, key).workflows
    except NewerFormatError:
        return set()


def _drop_earlier(path: Path) -> None:
    """Delete a file of the version before, also one that cannot be read."""
    try:
        found = EarlierFile.take(path, is_shared=False)
        if found is None:
            return
        with disk.opened(path, "ro") as connection:
            found.owe_removal([row.number for row in disk.rows(connection)])
        found.close()
    except (sqlite3.Error, ValueError):
        if not disk.is_owned(path):
            for end in disk.BESIDE:
                path.with_name(path.name + end).unlink(missing_ok=True)
            path.with_suffix(disk.LOCK).unlink(missing_ok=True)
