"""What a destination waits for, noted for other processes."""

from __future__ import annotations

import json
import os
import time

import pytest

from dotflow.runlog import files, limits, waits
from dotflow.runlog.waits import Waits, read

KEY = "0123456789abcdef"


@pytest.fixture(autouse=True)
def folder():
    return files.make_folder()


def test_what_is_noted_is_read():
    """Why, since when, until when, what to mend, and whose word it is."""
    before = time.time()
    Waits(KEY).note("401 no", after=60.0, mend="TOKEN")
    found = read(KEY)
    assert (found.why, found.mend, found.pid) == ("401 no", "TOKEN", os.getpid())
    assert before <= found.since == found.tried_at <= time.time()
    assert found.until == pytest.approx(found.tried_at + 60)
    assert read("another key") is None


def test_the_beginning_stays(monkeypatch):
    """Another answer, and another process, are the same trouble while they come soon."""
    first = Waits(KEY)
    first.note("away")
    began = read(KEY).since
    first.note("busy")
    Waits(KEY).note("refused")
    assert (read(KEY).since, read(KEY).why) == (began, "refused")
    monkeypatch.setattr(waits, "SAME", -1.0)
    Waits(KEY).note("refused again")
    assert read(KEY).since > began


def test_the_same_again_is_not_written_each_time():
    """A burst of failures is one note."""
    found = Waits(KEY)
    found.note("away")
    before = (files.folder() / f"{KEY}.wait").stat().st_ino
    for _ in range(50):
        found.note("away")
    assert (files.folder() / f"{KEY}.wait").stat().st_ino == before


def test_it_is_over_when_something_is_taken():
    """A success ends it, also what a dead process has noted; who is idle ends its own."""
    Waits(KEY).note("away")
    other = Waits(KEY)
    other.over()
    assert read(KEY) is not None
    other.taken()
    assert read(KEY) is None
    other.note("away")
    other.over()
    assert read(KEY) is None


def test_no_file_where_none_is_wanted(monkeypatch, tmp_path):
    """In memory, and without a folder, nothing is written, and nothing raises."""
    monkeypatch.setenv("DOTFLOW_OUTBOX", "memory")
    Waits(KEY).note("away")
    assert read(KEY) is None
    monkeypatch.delenv("DOTFLOW_OUTBOX")
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / "nowhere"))
    Waits(KEY).note("away")
    assert not (tmp_path / "nowhere").exists()


def test_it_is_private_and_whole():
    """Nobody else can read it, and no part of one is ever there."""
    Waits(KEY).note("away" * 1000)
    [path] = files.folder().iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(path.read_text())["why"]) <= 400


@pytest.mark.parametrize("text", ["", "[]", "{", '{"why": "x"}', '{"since": "yesterday"}'])
def test_a_damaged_note_is_none(text):
    """It is passed over, and written anew."""
    path = files.folder() / f"{KEY}.wait"
    path.write_text(text)
    assert read(KEY) is None
    Waits(KEY).note("away")
    assert read(KEY).why == "away"


def test_old_notes_go():
    """Of a destination that nobody has tried for a month."""
    Waits(KEY).note("away")
    Waits("f" * 16).note("away")
    old = time.time() - limits.MAX_AGE - 60
    os.utime(files.folder() / f"{KEY}.wait", (old, old))
    limits.tidy(at_once=True)
    assert read(KEY) is None
    assert read("f" * 16) is not None
