"""The folder and its files: private, of this user, of this machine, and nothing else."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import files_of_ours
from support.run_logs import KEY, line, numbers, on_disk

from dotflow.runlog import files, folder, ownfile
from dotflow.runlog.claims import Claims
from dotflow.runlog.reader import SegmentReader
from dotflow.runlog.receipts import Receipts, read_receipts

REFUSED = "no regular file|another file|another user|Errno"

is_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")


def works(one, warnings):
    """Whether a log keeps lines in memory, and has said so once."""
    one.log.append(line(1))
    one.log.append(line(2))
    assert numbers(one.read()) == [1, 2]
    assert not one.log.is_durable
    assert len(warnings()) == 1
    return "DOTFLOW_STATE_DIR" in warnings()[0]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o277, 0o777])
def test_all_is_private_under_any_umask(logs, umask, monkeypatch, tmp_path):
    """Folders are 0700 and files 0600, those above the folder too."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / "a" / "b"))
    before = os.umask(umask)
    try:
        one = logs()
        one.log.append(line(1))
        path = one.log.segments[-1].path
        Receipts(path, KEY).write([{"k": "said"}])
        Claims(one.log.id, KEY).claim(["w"], "f" * 32)
        with files.alone():
            pass
    finally:
        os.umask(before)
    found = files_of_ours(tmp_path / "a")
    assert len(found) == 5
    assert {stat.S_IMODE(one.stat().st_mode) for one in found} == {0o600}
    places = [tmp_path / "a", tmp_path / "a" / "b", files.folder()]
    assert {stat.S_IMODE(one.stat().st_mode) for one in places} == {0o700}


def test_a_folder_that_was_open_is_closed(logs):
    """A folder that others could read is private from the first line on."""
    files.folder().mkdir(parents=True)
    files.folder().chmod(0o755)
    logs().log.append(line(1))
    assert stat.S_IMODE(files.folder().stat().st_mode) == 0o700


@pytest.mark.parametrize("place", ["/dev/null/x", "file/below", "/proc/nothing"])
def test_where_nothing_can_be_written_lines_are_in_memory(
    logs, monkeypatch, warnings, tmp_path, place
):
    """There is one warning that names the remedy, and the run goes on."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / place))
    one = logs()
    assert works(one, warnings)
    one.log.beat()
    assert one.log.claimant() is None
    assert files.logs() == {}
    with files.alone():
        pass
    assert len(warnings()) == 1


def plant(path, kind):
    """Put something else where a file or a folder of ours is expected."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        path.symlink_to(Path("elsewhere").absolute())
        Path("elsewhere").write_bytes(b"theirs")
    elif kind == "hard link":
        Path("elsewhere").write_bytes(b"theirs")
        path.hardlink_to("elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        one = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket may not be long
        one.bind(path.name)
        os.chdir(here)
        one.close()
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"theirs")
        os.chown(path, 12345, 12345)


KINDS = ["link", "hard link", "fifo", "socket", "folder", pytest.param("foreign", marks=is_root)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["log", "lock"])
def test_something_else_where_the_log_or_its_lock_belongs(logs, warnings, kind, name):
    """It is refused with one line, nothing hangs, and what is there stays as it is."""
    one = logs()
    ours = files.log_path(one.log.id, 1) if name == "log" else (
        files.folder() / f"{one.log.id}{files.LOCK}"
    )  # fmt: skip
    plant(ours, kind)
    if name == "lock":  # it is only met where somebody knew the id before
        assert files.is_alive(one.log.id) is False
        with pytest.raises(OSError, match=REFUSED):
            ownfile.OwnFile(ours)
        assert not kind.endswith("link") or Path("elsewhere").read_bytes() == b"theirs"
        return
    works(one, warnings)
    assert not kind.endswith("link") or Path("elsewhere").read_bytes() == b"theirs"


@pytest.mark.parametrize("kind", KINDS)
def test_something_else_where_receipts_or_claims_belong(logs, warnings, kind):
    """They are not written, nothing hangs, and who looks for them finds none."""
    one = logs()
    one.log.append(line(1))
    path = one.log.segments[-1].path
    plant(files.receipts_path(path, KEY), kind)
    receipts = Receipts(path, KEY)
    assert [receipts.write([{"k": "said"}]) for _ in range(2)] == [False, False]
    assert len(warnings()) == 1
    assert read_receipts(path, KEY) == []
    Path("elsewhere").unlink(missing_ok=True)
    plant(files.claims_path(one.log.id, KEY), kind)
    with pytest.raises(OSError, match=REFUSED):
        Claims(one.log.id, KEY).claim(["w"], "f" * 32)
    assert Claims(one.log.id, KEY).owner("w") is None


@pytest.mark.parametrize("kind", [one for one in KINDS if one != "hard link"])
def test_something_else_among_the_logs(kind):
    """A look at what others left raises nothing, hangs on nothing and believes nothing of it."""
    path = files.log_path("a" * 32, 1)
    plant(path, kind)
    assert files.is_alive("a" * 32) is False
    assert SegmentReader(path).read() == []
    assert on_disk()[0] == []
    assert files.last_seen("a" * 32, [path]) > 0


def test_a_link_in_place_of_the_folder(logs, warnings, tmp_path):
    """Nothing is written behind a link that somebody planted."""
    (tmp_path / "behind").mkdir()
    files.folder().parent.mkdir(parents=True)
    files.folder().symlink_to(tmp_path / "behind")
    works(logs(), warnings)
    assert list((tmp_path / "behind").iterdir()) == []


@is_root
def test_a_folder_of_somebody_else(logs, warnings):
    """Nothing is written where somebody else could put it aside."""
    files.folder().mkdir(parents=True)
    os.chown(files.folder(), 12345, 12345)
    works(logs(), warnings)
    assert list(files.folder().iterdir()) == []


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_a_network_disk(logs, warnings, monkeypatch, tmp_path, kind):
    """A disk of another machine's is not used, and not even asked; there is one line."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"22 1 0:9999 / {tmp_path}/far rw - {kind} server:/x rw\nodd\n")
    monkeypatch.setattr(folder, "MOUNTS", str(mounts))
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / "far"))
    works(logs(), warnings)
    assert f"network disk ({kind})" in warnings()[0]
    assert not (tmp_path / "far").exists()


def test_a_network_disk_that_is_asked_for(logs, warnings, monkeypatch, tmp_path):
    """There may be no other that outlives a container: whoever says so has it taken."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"22 1 0:9999 / {tmp_path}/far rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(folder, "MOUNTS", str(mounts))
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / "far"))
    monkeypatch.setenv("DOTFLOW_OUTBOX", "network")
    one = logs()
    one.log.append(line(1))
    assert warnings() == []
    assert numbers(on_disk()[0]) == [1]


def test_a_network_disk_behind_a_link(logs, warnings, monkeypatch, tmp_path):
    """The device of the folder tells, also where its path does not."""
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mounts"
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts.write_text(f"21 1 0:1 / / rw - ext4 x rw\n22 1 {number} / /far rw shared:1 - nfs s rw\n")
    monkeypatch.setattr(folder, "MOUNTS", str(mounts))
    works(logs(), warnings)


def test_disks_of_this_machine(tmp_path):
    """What the system says of a real path is read; where it says nothing, nothing is refused."""
    assert files.file_system(Path("/proc")) == "proc"
    assert files.file_system(tmp_path) not in folder.NETWORK


def test_a_relative_folder_is_where_it_was_first_asked_for(logs, monkeypatch, tmp_path):
    """A step that changes the working folder does not move the log."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", f"state-{os.getpid()}")
    one = logs()
    one.log.append(line(1))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    one.log.segments[-1].path.unlink()
    one.log.append(line(2))
    assert numbers(on_disk()[0]) == [2]
    assert list(Path.cwd().iterdir()) == []
    assert len(files_of_ours(tmp_path / f"state-{os.getpid()}")) == 2


HOMELESS = """
import os, pwd
def nobody(uid): raise KeyError("uid not found")
pwd.getpwuid = nobody
for name in ("HOME", "DOTFLOW_STATE_DIR", "XDG_STATE_HOME"):
    os.environ.pop(name, None)
from dotflow.runlog import files
from dotflow.runlog.writer import RunLog
log = RunLog()
log.append(b'{"f":"x"}\\n')
log.append(b'{"f":"x"}\\n')
print(log.is_durable, files.logs(), files.folder().is_dir(), len(log.segments[-1].lines))
"""


def test_without_a_home():
    """A user without a home has reports in memory, one line, and no folder named "~"."""
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "{}", "False", "3"]
    assert done.stderr.count("\n") == 1
    assert "no folder for the state was found" in done.stderr
    assert list(Path.cwd().iterdir()) == []


def test_foreign_names_are_left_alone(logs):
    """What does not have the name of a file of ours is no log."""
    logs().log.append(line(1))
    for name in ["notes.txt", "0-000001.log", f"{'a' * 32}-1.log", f"{'g' * 32}-000001.log"]:
        (files.folder() / name).write_bytes(b"mine")
    assert len(files.logs()) == 1
