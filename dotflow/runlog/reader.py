"""Reads the lines of a log, its own process's while they are written or a dead one's."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotflow.runlog import files, lines
from dotflow.runlog.segment import LATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from dotflow.runlog.segment import Segment

Fact = dict[str, Any]
"""A line as it was read: see `dotflow.runlog.lines`."""

SLICE = 64 * 1024
"""Bytes that are read at a time; a longer line is read whole."""

SIZE = "size"
"""Under this a fact has the bytes of its line."""

LONGEST = 64 * 2**20
"""Bytes of the longest line that is believed."""

LINE = 300
"""Bytes that a line in memory is taken for."""

_START = re.compile(rb'\{"f":"[a-z ]{3,20}",')
_MOST_STARTS = 16
_READER = b'{"f":"reader",'
_TO = b',"to":{'
_KEY = re.compile(rb'"([0-9a-f]{16})":"')
_decode = json.JSONDecoder().raw_decode


@dataclass
class SegmentReader:
    """Gives the lines of one file, in order; called by one thread.

    Attributes:
        path: The file; None of a log in memory.
        segment: The segment, of this process's own log.
        damaged: How many lines could not be read.
    """

    path: Path | None
    segment: Segment | None = None
    damaged: int = 0
    offset: int = 0
    _in_memory: int = field(default=0, repr=False)
    _looked_to: int = field(default=0, repr=False)

    def read(self, most: int = SLICE) -> list[Fact]:
        """The next lines, of about `most` bytes; none where nothing new is whole."""
        found = self._from_file(most)
        if not found and self.segment is not None:
            fresh = self.segment.read_memory(self, self._in_memory, max(1, most // LINE))
            self._in_memory += len(fresh)
            found = self._parsed(one for line in fresh if line for one in line.split(b"\n"))
        return found

    @property
    def unread(self) -> int:
        """About how many bytes there are that were not read; a torn end is not counted again."""
        looked_to = max(self.offset, self._looked_to)
        if self.segment is not None:
            in_memory = (len(self.segment.lines) - self._in_memory) * LINE
            return max(0, self.segment.file_size - looked_to) + in_memory
        if self.path is not None:
            with contextlib.suppress(OSError):
                return max(0, self.path.stat().st_size - looked_to)
        return 0

    def _from_file(self, most: int) -> list[Fact]:
        if self.path is None:
            return []
        size = most
        while True:
            try:
                data = self._data(self.path, size)
            except OSError:
                return []
            end = data.rfind(b"\n") + 1
            if end or len(data) < size or size > LONGEST:
                break
            size *= 4  # a line that is longer than a slice
        if not end and len(data) >= size:  # no line is that long: go on behind it
            self.damaged += 1
            self.offset += len(data)
            return []
        if not end:
            self._looked_to = self.offset + len(data)
        self.offset += end
        return self._parsed(data[:end].split(b"\n"))

    def _data(self, path: Path, size: int) -> bytes:
        if self.segment is not None:
            return self.segment.read_file(self.offset, size)
        return files.read_file(path, self.offset, size)

    def _parsed(self, texts: Iterable[bytes]) -> list[Fact]:
        found = []
        for text in texts:
            if not text or (self.segment is not None and text.startswith(LATE)):
                continue
            fact = parse(text)
            if fact is None:
                self.damaged += 1
                fact = _behind(text)
            if fact is not None:
                fact[SIZE] = len(text)
                found.append(fact)
        return found


def parse(line: bytes) -> Fact | None:
    """One line as a dict; None where it is damaged."""
    try:
        text = line.decode()
        fact, end = _decode(text)
    except (ValueError, RecursionError):
        return None
    is_whole = end == len(text) or text[end:].isspace()
    return fact if is_whole and isinstance(fact, dict) and _is_sound(fact) else None


def _is_sound(fact: Fact) -> bool:
    """Whether a line has what every reader needs: a damaged disk may have changed any byte."""
    kind = fact.get("f")
    if not isinstance(kind, str):
        return False
    if kind == "reader":
        return isinstance(fact.get("key"), str) and isinstance(fact.get("name"), str)
    if kind not in lines.KINDS:  # of another version, perhaps
        return True
    is_sound = type(fact.get("n")) is int and type(fact.get("r")) is int
    is_sound = is_sound and isinstance(fact.get("w"), str) and isinstance(fact.get("to"), dict)
    return is_sound and (kind not in lines.OF_TASKS or type(fact.get("t")) is int)


def _behind(text: bytes) -> Fact | None:
    """A whole line behind a torn one: another thread may have written before the newline came."""
    for count, start in enumerate(_START.finditer(text, 1)):
        fact = parse(text[start.start() :])
        if fact is not None or count > _MOST_STARTS:
            return fact
    return None


class NewerFormatError(OSError):
    """A log is in a format that this version does not know: it is left for one that does."""


def check_version(head: Fact, path: Path) -> None:
    """See to it that a file is in a format that this version knows.

    Args:
        head: Its first line.
        path: The file.

    Raises:
        NewerFormatError: A later version of dotflow wrote it.
    """
    version = head.get("v")
    if head["f"] == "log" and type(version) is int and version > lines.VERSION:
        raise NewerFormatError(f"{path.name} is from a later version of dotflow")


def dead_lines(
    segments: list[Path],
    breathe: Callable[[], None] | None = None,
    is_any_version: bool = False,
) -> tuple[list[Fact], int]:
    """All lines of a log whose owner is dead, and how many of them are damaged.

    Args:
        segments: Its files, in order.
        breathe: Called after each slice, to leave the interpreter to the work.
        is_any_version: Whether lines of a later version are taken too.

    Raises:
        NewerFormatError: A later version of dotflow wrote it.
    """
    found: list[Fact] = []
    damaged = 0
    for path in segments:
        reader = SegmentReader(path)
        while reader.unread:
            before = reader.offset
            portion = reader.read()
            if not before and portion and not is_any_version:
                check_version(portion[0], path)
            found += portion
            if breathe is not None:
                breathe()
            if reader.offset == before:  # the rest is a torn line
                damaged += 1
                break
        damaged += reader.damaged
    return found, damaged


def readers_of(segments: list[Path]) -> dict[str, str]:
    """The names of a log's readers by their keys; nothing else of the log is understood for it."""
    found: dict[str, str] = {}
    for path in segments:
        for text in _texts(path):
            fact = parse(text) if text.startswith(_READER) else None
            if fact is not None:
                found[fact["key"]] = fact["name"]
    return found


def destinations_of(segments: list[Path]) -> dict[str, str]:
    """The same, and a key for each name whose line is damaged, as the lines for it have it."""
    keys: set[str] = set()
    names: dict[str, str] = {}
    for path in segments:
        for text in _texts(path):
            if (at := text.rfind(_TO)) > 0:
                keys.update(key.decode() for key in _KEY.findall(text, at))
            elif text.startswith(_READER) and (fact := parse(text)) is not None:
                names[fact["key"]] = fact["name"]
    return {**{key: key for key in sorted(keys)}, **names}


def workflows_of(path: Path) -> set[str]:
    """The ids of the workflows that a file speaks of."""
    try:
        facts, _ = dead_lines([path])
    except NewerFormatError:
        return set()
    return {fact["w"] for fact in facts if fact["f"] in lines.KINDS}


def _texts(path: Path) -> Iterator[bytes]:
    """The lines of a file, unparsed."""
    offset, rest = 0, b""
    while True:
        try:
            data = files.read_file(path, offset, 2**20)
        except OSError:
            return
        if not data:
            return
        offset += len(data)
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
