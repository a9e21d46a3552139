"""The history: files of the run log that nobody needs any more, kept for people to look at.

It is in a folder of its own: what is there is never taken over, never sent, and waits for nobody.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dotflow.logging import logger
from dotflow.runlog.folder import LOG, NOWHERE, make_folder, segments_in, state_dir
from dotflow.runlog.life import LOCK
from dotflow.runlog.ownfile import OwnFile, opened_to_read, read_file, write_all
from dotflow.utils.masking import has_stem, masked_name
from dotflow.utils.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dotflow.runlog.texts import Texts

FOLDER = "history"
VARIABLE = "DOTFLOW_HISTORY"
ALLOWED = "a size as 64MB, or 'off'"
FIELD = "history"
"""In the head of a log: how many bytes of history its process wants."""

OURS = 16 * 2**20
"""Bytes that our own commands keep where the environment says nothing."""

COPY = ".copy"
"""How the name of a file ends while it is written; one that a kill has left is of no use."""

COPY_AGE = 3600.0
"""Seconds after which such a file is deleted."""

SLICE = 64 * 1024
"""Bytes that are copied at a time."""

HEAD = 4096

_SIZE = later(r"(\d{1,12})\s*(b|k|kb|kib|m|mb|mib|g|gb|gib)?")
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_NONE = ("", "0", "off", "no", "false")

_VALUES = frozenset({
    "initial", "previous", "current", "error", "said", "cut_initial", "cut_previous", "cut_current",
})  # fmt: skip
_NAMES = frozenset({"name", "title", "group"})
_ABOUT_LOGS = (b'{"f":"log"', b'{"f":"reader"')

_default = 0


@contextlib.contextmanager
def by_default(size: int = OURS) -> Iterator[None]:
    """Have this process keep so many bytes of the runs within, if the environment says nothing."""
    global _default  # noqa: PLW0603 - a process is a command of ours, or it is not
    before, _default = _default, size
    try:
        yield
    finally:
        _default = before


def wanted() -> int:
    """How many bytes of history this process wants: DOTFLOW_HISTORY; 0 for none."""
    given = os.environ.get(VARIABLE)
    return _default if given is None else _bytes(given)


@lru_cache(maxsize=16)
def _bytes(given: str) -> int:
    size = size_of(given)
    if size is None:
        logger.warning("%s is %r: it must be %s; no history is kept.", VARIABLE, given, ALLOWED)
    return size or 0


def size_of(text: str) -> int | None:
    """The bytes that a text as "64MB" means; 0 for none, None where it is no size."""
    text = text.strip().lower()
    if text in _NONE:
        return 0
    found = _SIZE.fullmatch(text)
    return None if found is None else int(found[1]) * _UNITS[(found[2] or "")[:1]]


def folder() -> Path:
    """Where files are kept; a folder that can never be made where none was found."""
    try:
        return state_dir() / FOLDER
    except OSError:
        return NOWHERE


def kept() -> list[tuple[str, int, Path]]:
    """The files that are kept: each one's log, its number there, and where it is."""
    return segments_in(folder(), LOG)


def is_masked(path: Path) -> bool:
    """Whether a file is one of the history, and masked."""
    return path.parent == folder()


# Files that come.


def keep(path: Path, is_hurried: bool = False) -> None:
    """Keep a file of a log if its process wanted that, masked; it is the caller's to delete.

    Args:
        path: The file, which nobody writes to any more.
        is_hurried: Whether somebody waits for it; else the interpreter is left to the work.
    """
    try:
        limit = _wanted_by(path)
        if limit:
            _copy(path, is_hurried)
            _trim(limit)
    except OSError as error:
        logger.info("%s is not kept in the history: %s", path.name, error)


def _wanted_by(path: Path) -> int:
    """How many bytes of history the process of a file wants."""
    try:
        size = json.loads(read_file(path, 0, HEAD).partition(b"\n")[0])[FIELD]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0
    return size if isinstance(size, int) else 0


def _copy(path: Path, is_hurried: bool) -> None:
    made = make_folder(FOLDER)
    copy = made / f"{path.stem}-{os.getpid()}-{threading.get_ident()}{COPY}"
    copy.unlink(missing_ok=True)
    file = OwnFile(copy, is_new=True)
    try:
        says_something = False
        with opened_to_read(path) as fd:
            modified = os.fstat(fd).st_mtime
            for portion in _portions(fd):
                began = time.perf_counter()
                whole, is_any = _masked_portion(portion)
                write_all(file.fd, whole)
                says_something |= is_any
                if not is_hurried:
                    time.sleep(2 * (time.perf_counter() - began))
        if says_something:
            seen = max(modified, _last_sign(path))
            os.utime(copy, (seen, seen))
            copy.rename(made / path.name)
    finally:
        file.close()
        copy.unlink(missing_ok=True)


def _last_sign(path: Path) -> float:
    """When the owner of a log last gave a sign of life; 0 where its lock is gone."""
    lock = path.with_name(path.name.partition("-")[0] + LOCK)
    try:
        return lock.lstat().st_mtime
    except OSError:
        return 0.0


def _portions(fd: int) -> Iterator[bytes]:
    """The lines of a file, some at a time; what is behind the last newline is torn."""
    offset, rest = 0, b""
    while data := os.pread(fd, SLICE, offset):
        offset += len(data)
        whole, newline, rest = (rest + data).rpartition(b"\n")
        if newline:
            yield whole + newline


# What it says.


def _masked_portion(portion: bytes) -> tuple[bytes, bool]:
    """Some lines, masked, and whether any of them is about a run."""
    texts = portion.split(b"\n")
    is_any = any(text and not text.startswith(_ABOUT_LOGS) for text in texts)
    if has_stem(portion.decode(errors="replace").casefold()):
        portion = b"\n".join(map(_masked_line, texts))
    return portion, is_any


def _masked_line(text: bytes) -> bytes:
    if text.startswith(_ABOUT_LOGS) or not has_stem(text.decode(errors="replace").casefold()):
        return text
    try:
        fact = json.loads(text)
        said = masked(fact)
    except (ValueError, AttributeError, RecursionError):
        return b""  # a torn line, that nobody can read, may name anything
    return text if said == fact else json.dumps(said, separators=(",", ":")).encode()


def masked(fact: dict[str, Any]) -> dict[str, Any]:
    """A line without the credentials that it names, whatever its destinations may see of them."""
    return {key: _masked_value(key, value) for key, value in fact.items()}


def _masked_value(key: str, value: Any) -> Any:
    if key in _NAMES and isinstance(value, str):
        return masked_name(value)
    if key == "plan" and isinstance(value, list):
        return [
            [masked_name(part) if isinstance(part, str) else part for part in task]
            for task in value
            if isinstance(task, list)
        ]
    return json.loads(_texts().of("current", value)) if key in _VALUES else value


@lru_cache(maxsize=1)
def _texts() -> Texts:
    from dotflow.runlog.texts import Texts  # here, for most programs keep no history

    return Texts(whole_values=False)


# Files that go.


def _trim(limit: int) -> None:
    """Delete the oldest files until the others are within a limit, and what a kill has left."""
    found: list[tuple[float, int, str]] = []
    with os.scandir(folder()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                stat = entry.stat(follow_symlinks=False)
                if entry.name.endswith(LOG):
                    found.append((stat.st_mtime, stat.st_size, entry.path))
                elif entry.name.endswith(COPY) and time.time() - stat.st_ctime > COPY_AGE:
                    os.unlink(entry.path)  # noqa: PTH108 - there is no Path
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        total -= size
