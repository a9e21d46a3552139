"""Tries the state folder, and looks at what waits in it."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import TYPE_CHECKING

from dotflow.cli import waiting
from dotflow.cli.doctor.trying import Result, Trial
from dotflow.cli.errors import CommandError
from dotflow.runlog import files
from dotflow.runlog.folder import named_state

if TYPE_CHECKING:
    from dotflow.cli.doctor.report import Report
    from dotflow.cli.waiting import Entry

SIZE = 2**16
"""Bytes that are written to see whether there is room."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

VARIABLE = "DOTFLOW_STATE_DIR"


def is_in_memory() -> bool:
    """Whether nothing is kept on the disk."""
    return os.environ.get("DOTFLOW_OUTBOX", "").strip().lower() == "memory"


def trial() -> Trial:
    """How the state folder is tried."""
    return Trial(f"state folder {named_state()}", "state", _written)


def _written() -> Result:
    """Write as much as a short run does, and take it back."""
    try:
        made = files.make_folder()
        with tempfile.TemporaryFile(dir=made, prefix="doctor-") as file:
            file.write(b"\0" * SIZE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Result(problem=f"cannot be written: {_why(error)}", remedy=_remedy(error))
    return Result("a test file was written, and deleted")


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _remedy(error: OSError) -> str:
    if error.errno in FULL:
        return f"make room on its disk, or set {VARIABLE} to a folder on another"
    return (
        f"set {VARIABLE} to a folder of this user's, on a disk of this machine, that can be "
        "written; without one, reports not delivered when a process ends are lost"
    )


def look_at_outbox(report: Report) -> None:
    """Say what waits, since when, and what to do about it."""
    try:
        letters = waiting.all_letters()
    except CommandError as error:
        report.fault("outbox", str(error), "dotflow outbox drop --all")
        letters = []
    found = waiting.entries(letters)
    named = waiting.named_by_environment(found.values())
    for entry in found.values():
        if entry.is_any or entry.letters:
            _tell(report, entry, entry.name in named)


def _tell(report: Report, entry: Entry, is_named: bool) -> None:
    what, *more = waiting.lines_of(entry, is_named)
    words = [what.removeprefix(f"{entry.name}: "), *(line.strip() for line in more)]
    if entry.letters:
        words.append(
            "dotflow outbox status shows the dead letters, dotflow outbox retry sends them"
        )
    about = f"outbox for {entry.name}"
    if entry.left or entry.problems or entry.letters:
        report.fault(about, "; ".join(words[:-1]), words[-1])
    else:
        report.note(about, "; ".join(words))
