"""The folder of what outlives a process: private files, each of one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_state_path

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where outboxes stay in memory
    fcntl = None  # type: ignore[assignment]

FOLDER = "outbox"
SUFFIX = ".sqlite3"
ALONE = "adoption.lock"
PATIENCE = 2.0
"""Seconds to wait for another process that looks for what was left."""

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite may write beside a database."""

_NAME = re.compile(r"(?P<key>[0-9a-f]{16})-(?P<generation>\d{8,})-[0-9a-f]{8}")


def state_dir() -> Path:
    """Where dotflow keeps its state: DOTFLOW_STATE_DIR, else the user's folder for it."""
    given = os.environ.get("DOTFLOW_STATE_DIR")
    return Path(given).expanduser() if given else user_state_path("dotflow", appauthor=False)


def outbox_dir() -> Path:
    """Where outboxes are kept."""
    return state_dir() / FOLDER


def make_outbox_dir() -> Path:
    """The folder of the outboxes, made where it is not there; private to the user.

    Raises:
        OSError: It cannot be made.
    """
    folder = outbox_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made by an earlier version or by hand, perhaps.
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def make_private(path: Path) -> None:
    """Make a file that only the user can read; SQLite gives those beside it the same rights.

    Raises:
        OSError: It is there already, or cannot be made.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


class Spool:
    """A database file that belongs to whoever holds the lock of the file beside it.

    The kernel lets go of the lock when its holder ends, in whatever way.

    Args:
        path: The database.
        lock: The descriptor of the locked file.

    Attributes:
        path: The database.
        generation: Whose it was, and how that compares: an earlier process has a lower one.
        last_seen: When an earlier owner last gave a sign of life: seconds since the epoch.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.generation = _generation(path)
        self._lock: int | None = lock
        # Before anything is opened here: of one that was taken it is its dead owner's.
        self.last_seen = last_seen(path)

    @classmethod
    def create(cls, name: str) -> Spool:
        """Make one for a destination, younger than all that are there.

        Raises:
            OSError: The disk cannot be written.
        """
        if fcntl is None:
            raise OSError("this system has no locks that end with their process")
        folder, key = make_outbox_dir(), _key(name)
        generation = 1 + max((_generation(path) for path in _databases(folder, key)), default=0)
        while True:
            path = folder / f"{key}-{generation:08d}-{os.urandom(4).hex()}{SUFFIX}"
            lock = _lock(path)
            if lock is not None:
                break
        try:
            make_private(path)
        except OSError:
            _lock_file(path).unlink(missing_ok=True)
            _unlock(lock)
            raise
        return cls(path, lock)

    @classmethod
    def take(cls, path: Path) -> Spool | None:
        """Take the one that a dead process left; None where its owner lives, or it is gone."""
        lock = _lock(path)
        if lock is None:
            return None
        spool = cls(path, lock)
        if not path.exists():
            spool.delete()
            return None
        return spool

    def beat(self) -> None:
        """Give a sign of life."""
        with contextlib.suppress(OSError):
            os.utime(_lock_file(self.path))

    def release(self) -> None:
        """Leave it to whoever comes."""
        lock, self._lock = self._lock, None
        if lock is not None:
            _unlock(lock)

    def delete(self) -> None:
        """Delete it, and the lock last: while that is held nobody takes what is half gone."""
        with contextlib.suppress(OSError):
            for end in ("", *BESIDE):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            _lock_file(self.path).unlink(missing_ok=True)
        self.release()


def spools(name: str | None = None) -> list[Path]:
    """The databases that are there, for one destination or all, the oldest first."""
    folder = outbox_dir()
    return sorted(_databases(folder, None if name is None else _key(name)), key=_generation)


def orphans(name: str) -> Iterator[Spool]:
    """Take what dead processes left for a destination, one by one, the oldest first."""
    for path in spools(name) if fcntl is not None else []:
        try:
            spool = Spool.take(path)
        except OSError:
            continue
        if spool is not None:
            yield spool


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Have no other process look for what was left meanwhile; not at any price, if one hangs."""
    lock = None
    with contextlib.suppress(OSError):
        lock = os.open(outbox_dir() / ALONE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        _held.add(lock)
        _wait_for(lock)
    try:
        yield
    finally:
        if lock is not None:
            _unlock(lock)


def _wait_for(lock: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while fcntl is not None and time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # noqa: PERF203 - to try again is the point
            time.sleep(0.005)
        else:
            return


def is_owned(path: Path) -> bool:
    """Whether a living process owns a database."""
    try:
        lock = os.open(_lock_file(path), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def last_seen(path: Path) -> float:
    """When the owner of a database last wrote it or gave a sign of life; epoch seconds."""
    times = [0.0]
    for one in (_lock_file(path), path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            times.append(one.stat().st_mtime)
    return max(times)


def _key(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]


def _databases(folder: Path, key: str | None) -> list[Path]:
    try:
        names = [one for one in os.listdir(folder) if one.endswith(SUFFIX)]  # noqa: PTH208 - names are enough
    except OSError:
        return []
    found = ((one, _NAME.fullmatch(one[: -len(SUFFIX)])) for one in names)
    return [folder / one for one, match in found if match and key in (None, match["key"])]


def _generation(path: Path) -> int:
    match = _NAME.fullmatch(path.stem)
    return int(match["generation"]) if match else 0


def _lock_file(path: Path) -> Path:
    return path.with_suffix(".lock")


def _lock(path: Path) -> int | None:
    """Lock the file beside a database; None where somebody else has it, or just deleted it.

    Raises:
        OSError: It cannot be made, or there are no locks on this disk.
    """
    file = _lock_file(path)
    lock = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    _held.add(lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == file.stat().st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        _unlock(lock)
        raise
    _unlock(lock)
    return None


_held: set[int] = set()


def _unlock(lock: int) -> None:
    """Close a descriptor of this process; one that a child inherited is closed already."""
    if lock in _held:
        _held.remove(lock)
        os.close(lock)


def _let_go_in_child() -> None:
    """A lock is held until all have closed it: a child must not outlive its parent with one."""
    while _held:
        _unlock(next(iter(_held)))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
