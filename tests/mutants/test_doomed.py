"""The helpers that the suites stand on fail where they would find out nothing."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.processes import dies, files_of_ours

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def children():
    """The processes whose parent is this one, where Linux can say it."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            words = path.read_text().rpartition(")")[2].split()
            found |= {path.parent.name} if words[1] == str(os.getpid()) else set()
    return found


def count(say):
    for number in range(5):
        say(number)


def never_ends(say):
    count(say)
    time.sleep(60)


def test_a_process_dies_at_a_point_of_its_progress():
    """What it said until then is known; its death waits for no more than that."""
    assert dies(never_ends, after=3) == [0, 1, 2]
    assert dies(never_ends, after=0) == []
    assert dies(count) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("end", [lambda _: os._exit(0), lambda _: os.kill(os.getpid(), 9)])
def test_who_ends_by_himself_is_not_killed(end):
    """A process that is gone before its point is a failure, in whatever way it went."""
    with pytest.raises(AssertionError, match="ended by itself"):
        dies(end)


def test_who_raises_is_not_killed(capfd):
    """A fault in what a process does is a failure, and is shown."""
    with pytest.raises(AssertionError, match="ended by itself"):
        dies(lambda say: say(1 / 0), after=1)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_point_that_is_never_reached():
    """A process whose work is done too soon is a failure, and is gone all the same."""
    before = children()  # other tests may have left some, such as a server of forks
    with pytest.raises(AssertionError, match="done after 5 points"):
        dies(count, after=6)
    assert children() <= before


def test_no_file_is_a_failure(tmp_path):
    """Where there is no file to look into, nothing can be said of files; folders are none."""
    (tmp_path / "a" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(AssertionError, match="no file"):
        files_of_ours(tmp_path)
    (tmp_path / "a" / "folder" / "some.log").write_text("")
    assert [one.name for one in files_of_ours(tmp_path)] == ["some.log"]
