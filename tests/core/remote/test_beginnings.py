"""The FIFO in which a worker of this machine tells that a step began."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dotflow.core.remote import beginnings
from dotflow.core.remote.beginnings import Beginning, Beginnings


def test_what_is_told_is_heard_and_nothing_is_left(tmp_path, monkeypatch):
    """Also what a killed process has left is gone; a FIFO that somebody reads stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    beginnings._sweep.cache_clear()
    left, read = (tmp_path / f"dotflow-began-{name}" for name in ("left", "read"))
    for folder in (left, read):
        folder.mkdir()
        os.mkfifo(folder / "began")
        os.utime(folder, (1, 1))
    reader = os.open(read / "began", os.O_RDONLY | os.O_NONBLOCK)

    heard = []
    one = Beginnings(lambda *told: heard.append(told))
    path = one.path
    told = Beginning(123, "a host", 7)
    assert beginnings.tell(path, 5, told)
    assert beginnings.is_heard(path)
    one.catch_up()
    assert heard == [(5, told)]
    one.close()
    assert not beginnings.tell(path, 6, told)
    assert not beginnings.is_heard(path)
    assert list(tmp_path.iterdir()) == [read]
    os.close(reader)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """Nothing is heard before the end then, and nothing fails."""
    monkeypatch.setattr(tempfile, "tempdir", str(Path(tmp_path, "missing")))
    one = Beginnings(lambda *_: None)
    assert one.path == ""
    one.catch_up()
    one.close()
