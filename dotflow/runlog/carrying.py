"""What goes on in another file: the runs that are under way when a file, or its lock, is lost."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from dotflow.runlog import files, lines
from dotflow.runlog.claims import Claims
from dotflow.runlog.reader import workflows_of
from dotflow.runlog.receipts import Receipts, read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BEGAN, _ENDED = (f'{{"f":"{kind}"'.encode() for kind in (lines.RUN_BEGAN, lines.RUN_ENDED))

MOST_RUNS = 10_000
"""Runs under way that are known; of more the oldest is taken for one whose end never came."""

LONGEST = 64 * 1024
"""Bytes of a line that is kept with its plan."""


CARRIED = "carried"
"""The field of a line that repeats what another log said: that log's id."""


class OpenRuns:
    """How each run that is under way began."""

    def __init__(self) -> None:
        self._began: dict[bytes, bytes] = {}
        self._logs: dict[bytes, str] = {}

    def note(self, line: bytes) -> None:
        """Take note of a line if it begins or ends a run; takes no lock."""
        run = name_of(line)
        if line.startswith(_ENDED):
            self._began.pop(run, None)
            self._logs.pop(run, None)
        if not line.startswith(_BEGAN):
            return
        self._began[run] = line if len(line) <= LONGEST else _without_plan(line)
        if len(self._began) > MOST_RUNS:
            with contextlib.suppress(StopIteration, RuntimeError):
                self._began.pop(next(iter(self._began)), None)

    def names(self) -> frozenset[bytes]:
        """How lines name the runs that are under way (see `name_of`)."""
        return frozenset(self._began)

    def began_in(self, log: str) -> None:
        """Learn in which log those began of which that is not known yet."""
        for run in list(self._began):
            self._logs.setdefault(run, log)

    def carried(self, log: str) -> list[bytes]:
        """The lines that say so again; each names the log that its run began in.

        Args:
            log: The log of those of which no other is known.
        """
        found = []
        for run, line in list(self._began.items()):
            mark = f',"carried":"{self._logs.get(run, log)}"}}\n'.encode()
            found.append(line[: line.rfind(b"}")] + mark)
        return found

    def carry_receipts(self, before: list[Path], after: Path, readers: Iterable[str]) -> None:
        """Repeat beside another file what was said of the runs that are under way.

        Args:
            before: The files they were in.
            after: The file in which they go on.
            readers: The keys of the readers.
        """
        open_runs = {_run(run) for run in list(self._began)}
        for reader in readers:
            found = [one for path in before for one in read_receipts(path, reader)]
            receipts = Receipts(after, reader)
            receipts.write(one for one in found if (one.get("w"), one.get("r")) in open_runs)
            receipts.close()

    def clear(self) -> None:
        """Forget all runs."""
        self._began.clear()
        self._logs.clear()


def name_of(line: bytes) -> bytes:
    """The end of a line: its workflow, its run, and who it is for."""
    # Quotes within a string are escaped, so this is where the run is named.
    return line[line.rfind(b',"w":"') :]


def _run(tail: bytes) -> tuple[Any, Any]:
    said = json.loads(b"{" + tail[1:])
    return said["w"], said["r"]


def _without_plan(line: bytes) -> bytes:
    said = json.loads(line)
    said.pop("plan", None)
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def claim(log: str, paths: list[Path], readers: Iterable[str], by: str) -> None:
    """Claim all that a log speaks of, so that nobody ends what is not at its end.

    Args:
        log: The log that others may take for a dead one's.
        paths: Its files.
        readers: The keys of its readers.
        by: The id of the log that goes on.
    """
    workflows = sorted({one for path in paths for one in workflows_of(path)})
    with files.alone():
        for reader in readers:
            with contextlib.suppress(OSError):
                Claims(log, reader).claim(workflows, by)


def speaks_to(path: Path | None, readers: Iterable[str]) -> bool:
    """Whether a file has lines for any of some readers."""
    if path is None:
        return False
    try:
        text = files.read_file(path)
    except OSError:
        return True
    return any(f'"{reader}":'.encode() in text for reader in readers)
