"""Who lives: seen through lost locks, locks of others, forks, and clocks that are set."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe

import pytest
from support.processes import dies
from support.run_logs import KEY, NAME, ReadLog, began, line, numbers, on_disk

from dotflow.runlog import files, life
from dotflow.runlog.claims import Claims
from dotflow.runlog.reader import dead_lines
from dotflow.runlog.receipts import Receipts, read_receipts
from dotflow.runlog.writer import RunLog


def lock_path(log):
    return files.folder() / f"{log}{files.LOCK}"


def left(*more):
    """A log of a process that was killed: its id."""

    def work(say):
        log = RunLog()
        log.read_by(KEY, NAME)
        log.append(began())
        for one in more:
            log.append(one)
        say(log.id)

    return dies(work)[0]


class Holder:
    """Another process that holds a lock on a file."""

    def __init__(self, path, how):
        script = (
            f"import fcntl, sys; f = open({str(path)!r}); fcntl.flock(f, {how}); "
            "print('x', flush=True); sys.stdin.read()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout.read(1) == b"x"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()


def test_the_living_and_the_dead(logs):
    """A process lives until it is killed; one that has closed its log leaves it to others."""
    one = logs()
    one.log.append(line(1))
    assert files.is_alive(one.log.id)
    assert not files.is_alive(left())
    assert not files.is_alive("0" * 32)
    log = one.log.id
    one.close()
    assert log in files.logs()
    assert not files.is_alive(log)


@pytest.mark.parametrize("how", [fcntl.LOCK_SH, fcntl.LOCK_EX])
def test_a_lock_of_a_backup_makes_nobody_alive_or_dead(logs, how):
    """Another program's lock on our files changes nothing, and is not waited for."""
    one = logs()
    one.log.append(line(1))
    dead = left()
    with Holder(lock_path(dead), int(how)), Holder(one.log.segments[-1].path, int(how)):
        before = time.monotonic()
        assert not files.is_alive(dead)
        assert files.is_alive(one.log.id)
        one.log.append(line(2))
        one.log.beat()
        assert time.monotonic() - before < 30
    assert numbers(one.read()) == [1, 2]


def test_a_child_keeps_no_dead_parent_alive():
    """A child that outlives its parent, also one that inherited the lock itself, is not it."""
    read_end, write_end = Pipe(duplex=False)
    pid = os.fork()
    if not pid:
        log = RunLog()
        log.read_by(KEY, NAME)
        log.append(began())
        kept = os.dup(log._identity._sign._file.fd)  # as a fork that tells nobody would
        if not os.fork():
            signal.alarm(30)
            write_end.send((log.id, os.getpid(), kept))
            signal.pause()
        signal.pause()
    before, child, _ = read_end.recv()
    parent_log = next(iter(files.logs()))
    assert files.is_alive(parent_log)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with lock_path(parent_log).open() as held, pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the child holds it still
    assert not files.is_alive(parent_log)
    assert before != parent_log
    os.kill(child, signal.SIGKILL)


def test_one_that_nobody_has_waited_for_is_dead():
    """A process that was killed is dead, though its parent has not asked for its end."""
    read_end, write_end = Pipe(duplex=False)
    pid = os.fork()
    if not pid:
        log = RunLog()
        log.append(began())
        write_end.send(log.id)
        os.kill(os.getpid(), signal.SIGKILL)
    log = read_end.recv()
    deadline = time.monotonic() + 60
    while files.is_alive(log) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not files.is_alive(log)
    os.waitpid(pid, 0)


def test_a_number_that_another_process_has_now():
    """The number of a dead process, given to another, does not make it live."""
    log = left()
    said = json.loads(lock_path(log).read_bytes())
    assert said["pid"] != os.getpid()
    lock_path(log).write_text(json.dumps({**said, "pid": os.getpid()}))
    assert not files.is_alive(log)
    lock_path(log).write_text(json.dumps(life.who()))
    assert files.is_alive(log)


def test_a_process_that_cannot_be_seen_is_known_by_its_lock(logs, monkeypatch):
    """From another container, or without /proc, only the lock tells."""
    one = logs()
    one.log.append(line(1))
    dead = left()
    monkeypatch.setattr(life, "_read_link", lambda: "another space")
    assert files.is_alive(one.log.id)
    assert not files.is_alive(dead)


def test_a_lock_that_somebody_deleted(logs):
    """The head of the log tells then; and the next sign of life makes the lock anew."""
    one = logs()
    one.log.append(line(1))
    dead = left()
    for log in (one.log.id, dead):
        lock_path(log).unlink()
    assert files.is_alive(one.log.id)
    assert not files.is_alive(dead)
    one.log.beat()
    assert lock_path(one.log.id).exists()
    assert len(one.log.segments) == 1


def lose_lock(log):
    """What `os.closerange` does to the lock."""
    os.close(log._identity._sign._file.fd)


def test_a_lock_that_is_lost_is_taken_again(logs):
    """Nothing else changes."""
    one = logs()
    one.log.append(line(1))
    log = one.log.id
    lose_lock(one.log)
    one.log.beat()
    assert one.log.id == log
    with lock_path(log).open() as held, pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_that_somebody_has_taken_meanwhile(logs):
    """The log goes on under another id, with its runs, what was said of them, and their claims."""
    one = logs()
    one.log.append(began(1, "open"))
    one.log.append(began(2, "over"))
    one.log.append(line(3, "run ended", "over", 2))
    before, path = one.log.id, one.log.segments[-1].path
    said = [{"k": "said", "w": "open", "r": 1, "n": 1}, {"k": "said", "w": "over", "r": 2, "n": 2}]
    Receipts(path, KEY).write(said)
    lose_lock(one.log)
    with Holder(lock_path(before), int(fcntl.LOCK_EX)):
        one.log.beat()
        one.log.append(line(4, workflow="open"))
    after = one.log.id
    assert after != before
    assert [segment.log for segment in one.log.segments] == [before, after]
    assert len({segment.number for segment in one.log.segments}) == 2
    facts, _ = dead_lines([one.log.segments[-1].path])
    facts = [fact for fact in facts if "w" in fact]
    assert [(fact["w"], fact["n"], fact.get("carried")) for fact in facts] == [
        ("open", 1, before), ("open", 4, None),
    ]  # fmt: skip
    assert read_receipts(one.log.segments[-1].path, KEY) == said[:1]
    assert {one: Claims(before, KEY).owner(one) for one in ("open", "over")} == {
        "open": after, "over": after,
    }  # fmt: skip
    assert files.is_alive(before)
    one.log.done(one.log.segments[0], KEY)
    assert list(files.logs()) == [after]
    assert not lock_path(before).exists()


def test_all_that_is_left_under_former_ids_is_left_to_others(logs):
    """A close lets go of each id that the log had."""
    one = logs()
    one.log.append(began())
    before = one.log.id
    lose_lock(one.log)
    with Holder(lock_path(before), int(fcntl.LOCK_EX)):
        one.log.beat()
    after = one.log.id
    one.close()
    assert set(files.logs()) == {before, after}
    assert not files.is_alive(before)
    assert not files.is_alive(after)


YEAR = 365 * 86_400


@pytest.mark.parametrize("shift", [0, YEAR, -YEAR, -60 * YEAR])
def test_last_seen_where_the_clock_was_set(logs, shift):
    """It is no time to come, and none before the log began."""
    log = left()
    [segments] = [found for one, found in files.logs().items() if one == log]
    now = time.time()
    for path in (lock_path(log), *segments):
        os.utime(path, (max(0, now + shift), max(0, now + shift)))
    assert now - 60 < files.last_seen(log, segments) <= time.time()


def test_last_seen_of_nothing():
    """Of a log whose files are gone it is now."""
    before = time.time()
    assert before <= files.last_seen("0" * 32, []) <= time.time()


def test_a_spawned_child_has_a_log_of_its_own(logs, tmp_path):
    """It shares the folder, and nothing else."""
    one = logs()
    one.log.append(line(1))
    script = (
        'from dotflow.runlog.writer import run_log as r; r.append(b\'{"f":"x"}\\n\'); print(r.id)'
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert set(files.logs()) == {one.log.id, done.stdout.strip()}


@pytest.mark.slow
def test_fifty_processes_in_one_folder():
    """Each starts, and looks at all the others, with few calls of the system for each."""
    children = []
    for _ in range(50):
        read_end, write_end = Pipe(duplex=False)
        pid = os.fork()
        if not pid:
            signal.alarm(60)
            log = ReadLog().log
            log.append(began())
            write_end.send(log.id)
            signal.pause()
        children.append((pid, read_end))
    ids = {read_end.recv() for _, read_end in children}
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
    try:
        found = files.logs()
        alive = {log for log in found if files.is_alive(log)}
        count = len(opened)
        before = time.process_time()
        for log in found:
            files.is_alive(log)
        spent = time.process_time() - before
    finally:
        for pid, _ in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert alive == ids
    assert count <= 2 * 50 + 3  # the lock, and what the system says of its process
    assert spent < 0.5
    assert not any(files.is_alive(log) for log in ids)
    assert len(on_disk()[0]) == 50
