"""The folder of what outlives a process: private, shared by many, and full of surprises."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.outbox_contract import drain, task_post, workflow_post
from support.processes import files_of_ours, left_by

from dotflow.delivery import dead_letters, state
from dotflow.delivery import outbox as outbox_module
from dotflow.delivery.outbox import Outbox

NAME = "a destination"


@pytest.fixture
def complaints(monkeypatch, caplog):
    """The warnings so far; the one line a process may be said again."""
    monkeypatch.setattr(outbox_module, "_complained", set())
    return lambda: [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


@pytest.fixture
def outbox():
    outbox = Outbox(NAME)
    yield outbox
    outbox.close()


def works(outbox):
    """Whether an outbox takes and gives."""
    assert outbox.put(workflow_post())
    return len(drain(outbox)) == 1


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def no_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_all_is_private_whatever_the_umask(outbox, no_umask):
    """Nobody else can read the folder or any file in it, also those that were not made by us."""
    outbox.put(workflow_post())
    outbox.put(task_post(1))
    left_by(NAME, task_post(2, "other"), refused=1)
    outbox.care()
    files = files_of_ours(state.state_dir())
    assert any(b"other" in one.read_bytes() for one in files)
    assert {mode(one) for one in files} == {0o600}
    assert {mode(one.parent) for one in files} == {0o700}
    assert len(dead_letters.all_letters()) == 1


def test_a_folder_that_was_open_is_closed(outbox):
    """A folder that others could read is private from the first report on."""
    state.outbox_dir().mkdir(parents=True, mode=0o755)
    state.outbox_dir().chmod(0o755)
    outbox.put(workflow_post())
    assert mode(state.outbox_dir()) == 0o700


@pytest.mark.parametrize("place", ["/dev/null/x", "file/below", "read-only/state"])
def test_where_nothing_can_be_written_reports_stay_in_memory(
    outbox, monkeypatch, complaints, tmp_path, place
):
    """There is one warning that names the remedy, and the run goes on."""
    (tmp_path / "file").write_text("")
    (tmp_path / "read-only").mkdir()
    (tmp_path / "read-only").chmod(0o500)
    if place.startswith("read-only") and os.access(tmp_path / "read-only", os.W_OK):
        pytest.skip("root may write everywhere")
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / place))
    assert works(outbox)
    other = Outbox("another destination")
    assert works(other)
    other.close()
    outbox.care()
    assert outbox.place is None
    assert len(complaints()) == 1
    assert "DOTFLOW_STATE_DIR" in complaints()[0]
    assert dead_letters.all_letters() == []


def test_where_no_locks_are_to_be_had(outbox, monkeypatch, complaints):
    """A disk without locks (some of the network) cannot tell whose a file is: memory it is."""

    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(state.fcntl, "flock", flock)
    assert works(outbox)
    outbox.care()
    assert outbox.place is None
    assert len(complaints()) == 1


def test_what_cannot_be_asked_about_locks_is_left_alone(outbox, monkeypatch):
    """A look for what others left raises nothing where the folder is not to be had."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", "/dev/null")
    outbox.care()
    assert state.spools() == []
    with state.alone():
        pass


def test_foreign_files_are_left_alone(outbox):
    """What is not ours in the folder is neither read nor deleted."""
    folder = state.make_outbox_dir()
    foreign = ["notes.txt", "x.sqlite3", "0123456789abcdef-1-zz.sqlite3", "a.lock", ".hidden"]
    for name in foreign:
        (folder / name).write_bytes(b"mine")
    (folder / "dir.sqlite3").mkdir()
    assert works(outbox)
    outbox.care()
    outbox.close()
    for name in foreign:
        assert (folder / name).read_bytes() == b"mine"


def test_a_stale_lock_is_in_nobodys_way(outbox):
    """A lock without a file, and a file without a lock, are what a kill may leave."""
    [path] = left_by(NAME, task_post(1))
    path.with_suffix(".lock").unlink()
    path.with_name("0123456789abcdef-00000009-00000000.lock").write_bytes(b"")
    outbox.care()
    assert [one.task for one in drain(outbox)] == [1]
    outbox.close()
    assert state.spools() == []


def test_a_folder_that_is_deleted_under_us(outbox):
    """Reports go on where somebody cleans up while the process lives."""
    outbox.put(task_post(1))
    for one in state.outbox_dir().iterdir():
        one.unlink()
    state.outbox_dir().rmdir()
    outbox.put(task_post(2))
    outbox.care()
    assert len(drain(outbox)) == 2
    assert outbox.close() == 0


def test_generations_grow():
    """Who starts later has the higher generation, whatever the clock says."""
    left_by(NAME, task_post(1))
    left_by(NAME, task_post(2))
    third = state.Spool.create(NAME)
    assert [state.Spool(path, -1).generation for path in state.spools(NAME)] == [1, 2, 3]
    assert state.is_owned(third.path)
    third.delete()


def test_one_who_looks_waits_for_another(monkeypatch):
    """Two that look at once do so one after the other; one that hangs is not waited for long."""
    monkeypatch.setattr(state, "PATIENCE", 0.05)
    order = []
    entered, leave = threading.Event(), threading.Event()
    state.make_outbox_dir()

    def hang():
        with state.alone():
            order.append("first")
            entered.set()
            leave.wait()
        order.append("first gone")

    thread = threading.Thread(target=hang)
    thread.start()
    entered.wait()
    with state.alone():
        order.append("second")
    monkeypatch.setattr(state, "PATIENCE", 60)
    leave.set()
    with state.alone():
        thread.join()
    assert order == ["first", "second", "first gone"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_holds_no_lock_of_its_parent():
    """A child that outlives its parent does not keep what that left from being delivered."""
    script = (
        "import os, sys, time\n"
        "from dotflow.delivery import state\n"
        "from dotflow.delivery.outbox import Outbox\n"
        "from dotflow.delivery.message import Kind, Message\n"
        "taken = state.Spool.create('a destination')\n"  # an outbox does not know of it yet
        "outbox = Outbox('a destination')\n"
        "outbox.put(Message(Kind.TASK_POST, 'w', 1, b'{}'))\n"
        "if not os.fork():\n"
        "    outbox.after_fork()\n"
        "    sys.stdout.write('ready'); sys.stdout.flush()\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.read(5) == b"ready"
    process.wait()
    assert [state.is_owned(path) for path in state.spools()] == [False, False]
    with contextlib.closing(process.stdin), contextlib.closing(process.stdout):
        pass


def test_the_users_folder_is_the_default(monkeypatch):
    """Without DOTFLOW_STATE_DIR the state is where the system wants it; ~ is the user's home."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", "~/flows")
    assert state.state_dir() == Path.home() / "flows"
    monkeypatch.delenv("DOTFLOW_STATE_DIR")
    assert state.state_dir().name == "dotflow"
