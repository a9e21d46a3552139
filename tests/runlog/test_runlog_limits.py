"""What run logs may take on disk, and for how long."""

from __future__ import annotations

import os
import time

import pytest
from support.processes import dies
from support.run_logs import KEY, NAME, line

from dotflow.process.at_exit import flush_timeout
from dotflow.runlog import files, limits
from dotflow.runlog.receipts import Receipts
from dotflow.runlog.writer import RunLog

DAY = 86_400


def left(age, size=2000):
    """A log that a killed process left some days ago: its id."""

    def work(say):
        log = RunLog()
        log.read_by(KEY, NAME)
        log.append(line(1, text="x" * size))
        Receipts(log.segments[-1].path, KEY).write([{"k": "sending"}])
        say(log.id)

    log = dies(work)[0]
    for path in files.folder().iterdir():
        if path.name.startswith(log):
            os.utime(path, (time.time() - age * DAY,) * 2)
    return log


def of(log):
    return [path.name for path in files.folder().iterdir() if path.name.startswith(log)]


def test_nothing_goes_within_the_limits(warnings):
    """What is young and little stays."""
    log = left(29)
    assert limits.tidy(at_once=True) == (0, 0)
    assert len(of(log)) == 3
    assert warnings() == []


def test_the_oldest_dead_log_goes_first(monkeypatch, warnings):
    """Over the limit as many go as are needed, with all their files; that is one line."""
    old, young, oldest = left(2), left(1), left(3)
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", "5000")
    deleted = limits.tidy(at_once=True)
    assert (deleted.logs, of(oldest), len(of(old)), len(of(young))) == (1, [], 3, 3)
    assert 2000 < deleted.bytes < 3000
    assert len(warnings()) == 1
    assert f"1 dead processes ({deleted.bytes} bytes)" in warnings()[0]


def test_what_is_too_old_goes(warnings):
    """After thirty days what nobody could deliver is given up."""
    old, young = left(31), left(29)
    assert limits.tidy(at_once=True).logs == 1
    assert (of(old), len(of(young))) == ([], 3)
    assert len(warnings()) == 1


def test_no_log_of_the_living_goes(logs, monkeypatch):
    """However much it is: its process sees to its own limit."""
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", "1")
    one = logs()
    one.log.append(line(1))
    dead = left(0)
    assert limits.tidy(own=[dead], at_once=True).logs == 0
    assert limits.tidy(at_once=True).logs == 1
    assert files.is_alive(one.log.id)
    assert len(of(one.log.id)) == 2


def test_what_a_kill_left_of_a_delivered_log_goes():
    """Locks, receipts and claims without a log are deleted after a while; nothing else is."""
    place = files.make_folder()
    log = "a" * 32
    names = [f"{log}.lock", f"{log}-000001.{KEY}.receipts", f"{log}.{KEY}.claims"]
    others = ["adoption.lock", "call-01.lock", "notes.txt", f"{'b' * 32}.lock"]
    for name in [*names, *others]:
        (place / name).write_bytes(b"")
        age = 0 if name.startswith("b") else 2 * limits.LEFTOVER_AGE
        os.utime(place / name, (time.time() - age,) * 2)
    limits.tidy(at_once=True)
    assert sorted(path.name for path in place.iterdir()) == sorted(others)


def test_it_looks_every_few_minutes():
    """A look that was a moment ago is not repeated; without a folder there is nothing to see."""
    assert limits.tidy(at_once=True) == (0, 0)
    left(31)
    assert limits.tidy() == (0, 0)
    assert limits.tidy(at_once=True).logs == 1


@pytest.mark.parametrize(
    ("given", "bytes_"), [("", 2**30), ("77", 77), ("x", 2**30), ("-1", 2**30), ("0", 2**30)]
)
def test_the_limit_of_the_environment(monkeypatch, given, bytes_):
    """DOTFLOW_OUTBOX_MAX_BYTES is a number of bytes; what is none is not believed."""
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", given)
    assert limits.max_bytes() == bytes_


def test_a_value_that_is_wrong_is_told_of_once(monkeypatch, caplog, logs):
    """Who mistypes a variable of the outbox reads which one, and what it may be."""
    monkeypatch.setenv("DOTFLOW_OUTBOX", "memry")
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", "1GB")
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "5s")
    one = logs()
    one.log.append(line(1))
    assert one.log.is_durable
    assert (limits.max_bytes(), limits.max_bytes()) == (2**30, 2**30)
    assert (flush_timeout(), flush_timeout()) == (5, 5)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [one.partition(":")[0] for one in said] == [
        "DOTFLOW_OUTBOX is 'memry'",
        "DOTFLOW_OUTBOX_MAX_BYTES is '1GB'",
        "DOTFLOW_FLUSH_TIMEOUT is '5s'",
    ]
    assert "'memory' or 'network'" in said[0]
