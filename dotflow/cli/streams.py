"""Standard streams that whatever is printed can be written to.

A reader that has seen enough (`| head -1`) fails no command and no step, and neither does a stream
that is closed, or one that cannot say each character.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

ERRORS = "dotflow"
"""The name of how characters are written that an encoding does not have."""

PLAIN = {
    "…": "~", "━": "=", "╍": "-", "—": "-", "│": "|", "─": "-", "µ": "u",
    "✓": "+", "✗": "x", "↻": "~", "▸": ">", "‖": "=", "○": "o", "·": ".",
}  # fmt: skip
"""What stands for a character that our own pages have; as wide as that."""


class BearingFile(io.FileIO):
    """A file descriptor; what nobody reads any more is written nowhere."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.name = name

    def write(self, data: Buffer, /) -> int:
        """Write, as far as somebody reads."""
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(data).nbytes


def bear_all() -> None:
    """Have standard output and standard error take whatever is written to them.

    For a program's very beginning: what was taken as a stream before is as it was.
    """
    codecs.register_error(ERRORS, _said_otherwise)
    _open_closed_ones()
    sys.stdout = _bearing(sys.stdout, 1)
    sys.stderr = _bearing(sys.stderr, 2)


def _open_closed_ones() -> None:
    """Put the null device where no file is, or the next one that is opened would be there."""
    opened = 0
    while opened < 2:  # noqa: PLR2004 - the lowest that is free is what is opened
        opened = os.open(os.devnull, os.O_RDWR)
    if opened > 2:  # noqa: PLR2004
        os.close(opened)


def _bearing(stream: object, descriptor: int) -> io.TextIOWrapper:
    known = stream if isinstance(stream, io.TextIOWrapper) else None
    if known is not None:
        known.flush()
    encoding = "utf-8" if known is None else known.encoding
    is_unicode = codecs.lookup(encoding).name.startswith("utf")
    name = f"<{'stdout' if descriptor == 1 else 'stderr'}>"
    return io.TextIOWrapper(
        io.BufferedWriter(BearingFile(descriptor, name)),
        encoding=encoding,
        errors="backslashreplace" if is_unicode else ERRORS,
        line_buffering=known is not None and known.line_buffering,
        write_through=known is not None and known.write_through,
    )


def _said_otherwise(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    said = "".join(PLAIN.get(one) or _escaped(one) for one in missing)
    return said, error.end


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")
