"""Calls that keep the interpreter's lock: they do what the system's do, on a local disk only."""

from __future__ import annotations

import errno
import os
import sys

import pytest
from support.run_logs import line, numbers, on_disk

from dotflow.runlog import segment

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.maxsize < 2**32, reason="only Linux has them, on 64 bits"
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "log"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield fd, path
    os.close(fd)


@pytest.fixture
def calls(file, monkeypatch):
    monkeypatch.setattr(segment, "_spent", 0.0)
    # Whatever the folder of the tests is on: the calls work, and wait where a disk is away.
    monkeypatch.setattr(segment, "_file_system", lambda _: min(segment.LOCAL))
    found = segment.calls_for(file[0])
    assert found is not None
    return found


def test_a_look_says_what_fstat_says(file, calls):
    fd, path = file
    os.write(fd, b"12345")
    found, expected = calls.look(fd), os.fstat(fd)
    for name in ("st_ino", "st_nlink", "st_size"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.st_dev == calls.device
    assert os.makedev(found.st_dev & 0xFFFFFFFF, found.st_dev >> 32) == expected.st_dev
    path.unlink()
    assert calls.look(fd).st_nlink == 0


def test_a_write_writes_at_the_end(file, calls):
    fd, path = file
    assert calls.write(fd, b"one\x00\n") == 5
    assert calls.write(fd, b"two\n") == 4
    assert path.read_bytes() == b"one\x00\ntwo\n"


@pytest.mark.parametrize("name", ["look", "write"])
def test_faults_are_those_of_the_system(calls, name):
    """What is closed raises an OSError with the system's number."""
    call = getattr(calls, name)
    with pytest.raises(OSError, match=rf"\[Errno {errno.EBADF}\]"):
        call(*([-1] if name == "look" else [-1, b"x"]))


def test_the_file_system_is_asked_for(file):
    """It has a number, and what is no file has none."""
    assert segment._file_system(file[0]) > 0
    with pytest.raises(OSError, match="fstatfs"):
        segment._file_system(-1)


@pytest.mark.parametrize("kind", [0x6969, 0xFF534D42, 0x65735546, 0x01021997])
def test_other_file_systems_let_others_in(file, monkeypatch, kind):
    """NFS, CIFS, FUSE, 9P: a call may wait for another machine."""
    monkeypatch.setattr(segment, "_file_system", lambda _: kind)
    assert segment.calls_for(file[0]) is None


def test_a_disk_that_holds_up_others_lets_them_in_again(file, calls, monkeypatch):
    """Once slow writes have taken too long together, they are the system's own."""
    fd, path = file
    monkeypatch.setattr(segment, "_spent", segment.PATIENCE * 1.01)
    written = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda *args: written.append(args) or real(*args))
    assert calls.write(fd, b"line\n") == 5
    assert written == [(fd, b"line\n")]
    assert path.read_bytes() == b"line\n"


def test_without_the_library_the_log_is_written_all_the_same(logs, monkeypatch):
    """A Python without `ctypes` has the system's calls."""
    monkeypatch.setattr(segment, "_made_calls", None)
    monkeypatch.setitem(sys.modules, "ctypes", None)
    log = logs().log
    log.append(line(1))
    log.append(line(2))
    assert numbers(on_disk()[0]) == [1, 2]
