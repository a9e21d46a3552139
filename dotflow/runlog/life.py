"""Signs of life: whether the process that owns a log lives, whoever has locked what."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from dotflow.runlog import ownfile
from dotflow.runlog.folder import folder, make_folder
from dotflow.runlog.ownfile import OwnFile

if TYPE_CHECKING:
    from pathlib import Path

LOCK = ".lock"

PATIENCE = 0.2
"""Seconds that a lock of ours may be held by somebody who only looks."""

_MOST = 4096
_SPACE, _BOOT = "/proc/self/ns/pid", "/proc/sys/kernel/random/boot_id"


class LifeSign:
    """A locked file that says that the owner of a log lives; the kernel lets go at its end.

    It names the process too: a lock alone can be lost to a step that closes all descriptors, and
    can be held by a backup, or by a child that inherited it.

    Args:
        path: The file.

    Raises:
        OSError: The file cannot be made or locked.
    """

    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path, is_new=True)
        try:
            self._sign()
        except BaseException:
            self._file.close()
            raise

    def _sign(self) -> None:
        if not ownfile.lock(self._file.fd, PATIENCE):
            raise OSError(f"{self._file.path} cannot be locked")
        with contextlib.suppress(OSError):  # on a full disk the lock alone has to do
            if not os.fstat(self._file.fd).st_size:
                ownfile.write_all(self._file.fd, json.dumps(who()).encode() + b"\n")

    def beat(self) -> bool:
        """Give a sign of life; False where the lock is not ours any more."""
        if not self._file.is_open():
            return False
        with contextlib.suppress(OSError):
            os.utime(self._file.fd)
        return True

    def renew(self) -> bool:
        """Lock the same file again, after the descriptor was lost; whether that worked."""
        try:
            make_folder()
            self._file.close()
            self._file = OwnFile(self._file.path)
            self._sign()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go: what is left is the next process's, though this one may live on."""
        if self._file.process == os.getpid() and self._file.is_open():
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fd, 0)
        self._file.close()


def let_go(log: str) -> None:
    """Let go of a log whose lock somebody else has."""
    with contextlib.suppress(OSError):
        file = OwnFile(folder() / f"{log}{LOCK}")
        os.ftruncate(file.fd, 0)
        file.close()


def is_alive(log: str) -> bool:
    """Whether the owner of a log lives."""
    path = folder() / f"{log}{LOCK}"
    try:
        with ownfile.opened_to_read(path) as fd:
            lives = _lives(_parsed(os.pread(fd, _MOST, 0)))
            return ownfile.is_locked(fd) if lives is None else lives
    except OSError:
        return _lives(_head_of(log)) is True  # somebody may have deleted the lock alone


def pid_of(log: str) -> int | None:
    """The number of the process that owns a log; None where its lock does not say."""
    with contextlib.suppress(OSError):
        pid = _parsed(ownfile.read_file(folder() / f"{log}{LOCK}", 0, _MOST)).get("pid")
        return pid if isinstance(pid, int) else None
    return None


def _head_of(log: str) -> dict[str, Any]:
    """What the first line of a log says."""
    with contextlib.suppress(OSError):
        for path in folder().glob(f"{log}-*.log"):
            return _parsed(ownfile.read_file(path, 0, _MOST).partition(b"\n")[0])
    return {}


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# Which process it is.


def who() -> dict[str, Any]:
    """What tells this process from every other one, also from a later one with its number."""
    pid = os.getpid()
    return {"pid": pid, "start": _start(pid), "space": _read_link(), "boot": _boot()}


def is_of_another_boot(said: dict[str, Any]) -> bool:
    """Whether a process ran before the machine was started anew.

    Args:
        said: What `who` gave in that process.
    """
    return bool(said.get("boot")) and said["boot"] != _boot()


def _lives(said: dict[str, Any]) -> bool | None:
    """Whether a process lives; None where it cannot be told from here."""
    pid, start = said.get("pid"), said.get("start")
    if not isinstance(pid, int) or not isinstance(start, int):
        return None
    if not said.get("space") or said["space"] != _read_link() or said.get("boot") != _boot():
        return None
    return _start(pid) == start


def _start(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None of one that is not there."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs as much again
            fields = file.read().rpartition(b")")[2].split()
        is_over = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1  # nobody has waited for it
        return None if is_over else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _read_link() -> str:
    try:
        return os.readlink(_SPACE)  # noqa: PTH115 - a text, not a path
    except OSError:
        return ""


def _boot() -> str:
    global _boot_id  # noqa: PLW0603 - it is read once
    if _boot_id is None:
        try:
            # As bytes: a codec that is loaded now may be loaded by a handler in the midst of it.
            with open(_BOOT, "rb") as file:  # noqa: PTH123
                _boot_id = file.read().strip().decode()
        except OSError:
            _boot_id = ""
    return _boot_id


_boot_id: str | None = None
