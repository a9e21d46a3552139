"""Writes files, and never over what somebody has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FilesChangedError(Exception):
    """Files are there already with another text; nothing was written."""


@dataclass
class Written:
    """What came of it, as paths relative to the folder."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)


def write(folder: Path, files: dict[str, str], *, force: bool = False) -> Written:
    """Write all files, or none where one is there with another text.

    Args:
        folder: Where; it is made if it is not there.
        files: The texts by their paths, relative to the folder.
        force: Write over what is there.

    Raises:
        FilesChangedError: Files have another text, and are not to be written over.
        OSError: Something cannot be read or written.
    """
    written = Written()
    for path, text in files.items():
        target = folder / path
        if not target.exists():
            written.new.append(path)
        elif target.read_bytes() == text.encode():
            written.same.append(path)
        else:
            written.changed.append(path)
    if written.changed and not force:
        raise FilesChangedError(
            f"{folder} has {', '.join(written.changed)} with another text already, and nothing was "
            "written: give '--force' to write over it, or another '--out'"
        )
    for path in (*written.new, *written.changed):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files[path].encode())
    return written
