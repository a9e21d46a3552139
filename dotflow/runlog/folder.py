"""The folder of the run logs: where it is, and that it is private and on a disk of this machine."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

FOLDER = "runlog"
LOG = ".log"
PRIVATE = 0o700

_SEGMENT = re.compile(r"(?P<id>[0-9a-f]{32})-(?P<segment>\d{6,18})\.[a-z]+")

NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph-fuse", "fuse.gcsfuse",
    "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "smb3", "smbfs",
})  # fmt: skip
"""File systems whose disk is another machine's: a write there may hang as long as the network."""

OUTBOX, ANYWHERE = "DOTFLOW_OUTBOX", "network"
"""The variable, and the value with which such a disk is taken: there may be no other that lasts."""

MOUNTS = "/proc/self/mountinfo"
_FIELDS = 5  # up to the mount point

NOWHERE = Path(os.devnull) / FOLDER
"""A folder that can never be made: what is there where none can be found."""

_found: dict[str | None, Path] = {}


def state_dir() -> Path:
    """Where dotflow keeps its state: DOTFLOW_STATE_DIR, else the user's folder for it.

    It is made absolute where it is first asked for: a step may change the working folder.

    Raises:
        OSError: There is no such folder to be found.
    """
    given = os.environ.get("DOTFLOW_STATE_DIR") or None
    known = _found.get(given)
    if known is None:
        try:
            known = _found[given] = _absolute(given)
        except Exception as error:
            # Without a HOME and an entry in passwd each release of each library fails in its way.
            raise OSError(f"no folder for the state was found: {error}") from error
    return known


def _absolute(given: str | None) -> Path:
    if given is None:
        from platformdirs import user_state_path  # it takes its time

        found = user_state_path("dotflow", appauthor=False)
    else:
        found = Path(given).expanduser()
    if str(found).startswith("~"):
        raise OSError("there is no home")
    return Path(os.path.abspath(found))  # noqa: PTH100 - resolve() would ask the disk for links


def folder() -> Path:
    """Where run logs are kept; one that can never be made where none was found."""
    try:
        return state_dir() / FOLDER
    except OSError:
        return NOWHERE


def named_state() -> str:
    """The path of the state folder, or that there is none."""
    found = folder()
    return "none: this user has no home" if found == NOWHERE else str(found.parent)


def segments_in(place: Path, end: str, start: str = "") -> list[tuple[str, int, Path]]:
    """The files of logs in a folder: each one's log, its number, and where it is.

    Args:
        place: The folder.
        end: How the names of the files end.
        start: How they begin.
    """
    try:
        names = os.listdir(place)  # noqa: PTH208 - names are enough
    except OSError:
        return []
    wanted = (name for name in names if name.endswith(end) and name.startswith(start))
    matches = map(_SEGMENT.fullmatch, wanted)
    return [(one["id"], int(one["segment"]), place / one[0]) for one in matches if one]


def make_folder(name: str = FOLDER) -> Path:
    """Make a folder of the state where it is not there; private to the user, on a local disk.

    Args:
        name: Its name; that of the run logs without one.

    Raises:
        OSError: It cannot be found or made, it is somebody else's, or its disk another machine's.
    """
    made = state_dir() / name
    _check_is_near(made, None)  # before the disk is asked for anything
    _make(made)
    found = made.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(f"{made} is no folder")
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        raise PermissionError(f"{made} belongs to another user")
    if stat.S_IMODE(found.st_mode) != PRIVATE:  # made by hand, perhaps, or under an odd umask
        made.chmod(PRIVATE)
    _check_is_near(made, found.st_dev)
    return made


def _make(path: Path) -> None:
    """Make a folder and those above it, each private whatever the umask is."""
    try:
        path.mkdir(PRIVATE)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make(path.parent)
        path.mkdir(PRIVATE, exist_ok=True)
    path.chmod(PRIVATE)


def _check_is_near(path: Path, device: int | None) -> None:
    if os.environ.get(OUTBOX, "").strip().lower() == ANYWHERE:
        return
    kind = file_system(path, device)
    if kind in NETWORK:
        raise OSError(
            f"{path} is on a network disk ({kind}), which may hold up the work: "
            f"{OUTBOX}={ANYWHERE} takes it all the same"
        )


def file_system(path: Path, device: int | None = None) -> str:
    """The kind of the file system that a path is on; empty where the system does not say.

    Args:
        path: An absolute path, which is not looked at.
        device: The number of its device: it finds the file system also behind a link.
    """
    number = "" if device is None else f"{os.major(device)}:{os.minor(device)}"
    best, kind = "", ""
    try:
        with open(MOUNTS, encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123
            for line in mounts:
                left, _, right = line.partition(" - ")
                fields, of = left.split(), right.partition(" ")[0]
                if len(fields) < _FIELDS:
                    continue
                if fields[2] == number:
                    return of
                point = fields[4].replace("\\040", " ")
                is_above = point == "/" or f"{path}/".startswith(f"{point}/")
                if is_above and len(point) >= len(best):
                    best, kind = point, of
    except OSError:
        return ""
    return kind
