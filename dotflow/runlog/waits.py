"""What a destination waits for, in a file of its own: for people, and in other processes too."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.runlog import files

if TYPE_CHECKING:
    from pathlib import Path

END = ".wait"

SAME = 600.0
"""Seconds within which what another process saw is the same trouble as what this one sees."""

AT_MOST_EVERY = 1.0
"""Seconds between two notes that say the same."""

WELL_FOR = 10.0
"""Seconds for which it is not looked again whether another process has left a note."""

_MOST_WORDS = 400


class Wait(NamedTuple):
    """Why a destination takes nothing; times are seconds since the epoch.

    Attributes:
        why: What happened at the last try, with the server's words.
        since: Since when nothing is taken.
        tried_at: When it was tried last.
        until: Until when the server asked to wait; None where it asked for nothing.
        mend: The variable that a person has to mend; None where time may mend it.
        pid: The process that tried.
    """

    why: str
    since: float
    tried_at: float
    until: float | None = None
    mend: str | None = None
    pid: int = 0


class Waits:
    """Notes what a destination waits for, as one process sees it; called by its thread.

    Args:
        key: The key of the destination's reader.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._said: Wait | None = None
        self._well_until = float("-inf")

    def note(self, why: str, after: float | None = None, mend: str | None = None) -> None:
        """Take note that nothing is taken; a disk that is full costs the note alone.

        Args:
            why: What happened, with the server's words; without what is secret.
            after: Seconds that the server asked to wait.
            mend: The variable that a person has to mend.
        """
        now = time.time()
        why = why[:_MOST_WORDS]
        said = self._said
        if said is not None and said.why == why and 0 <= now - said.tried_at < AT_MOST_EVERY:
            return
        before = said or read(self._key)
        is_same = before is not None and 0 <= now - before.tried_at < SAME
        since = before.since if before is not None and is_same else now
        until = now + after if after else None
        self._said = Wait(why, since, now, until, mend, os.getpid())
        with contextlib.suppress(OSError):
            self._write(self._said)

    def taken(self) -> None:
        """Take note that it took something: what a process noted that is dead by now goes too."""
        now = time.monotonic()
        if self._said is not None or now >= self._well_until:
            self._said, self._well_until = None, now + WELL_FOR
            forget(self._key)

    def over(self) -> None:
        """Take note that nothing waits here; what other processes have noted stays."""
        if self._said is not None:
            self._said = None
            forget(self._key)

    def _write(self, wait: Wait) -> None:
        path = _path(self._key)
        is_in_memory = os.environ.get("DOTFLOW_OUTBOX", "").strip().lower() == "memory"
        if is_in_memory or not path.parent.is_dir():
            return
        aside = path.with_name(f"{path.name}-{os.getpid()}")
        aside.unlink(missing_ok=True)
        file = files.OwnFile(aside, is_new=True)
        try:
            if file.is_open():  # else a step has closed all descriptors meanwhile
                files.write_all(file.fd, json.dumps(wait._asdict()).encode())
                os.replace(aside, path)  # noqa: PTH105 - one call, which may replace another
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        finally:
            file.close()


def read(key: str) -> Wait | None:
    """What a destination waits for; None where nothing is known, or it waits for nothing."""
    try:
        said: dict[str, Any] = json.loads(files.read_file(_path(key)))
        return Wait(
            str(said["why"]), float(said["since"]), float(said["tried_at"]),
            None if said["until"] is None else float(said["until"]),
            None if said["mend"] is None else str(said["mend"]), int(said["pid"]),
        )  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def forget(key: str) -> None:
    """Forget what a destination waited for."""
    with contextlib.suppress(OSError):
        _path(key).unlink(missing_ok=True)


def _path(key: str) -> Path:
    return files.folder() / f"{key}{END}"
