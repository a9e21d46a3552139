"""An append is one write: at any instant, from anywhere, and never into what is not ours."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from multiprocessing import Pipe
from pathlib import Path

import pytest
from support.processes import dies
from support.run_logs import KEY, NAME, began, ended, line, numbers, on_disk

from dotflow.runlog import files, segment
from dotflow.runlog.writer import RunLog

PER_THREAD = 2000


def test_threads_and_a_handler_at_two_kilohertz(logs):
    """Of four threads and a signal handler that interrupts them no line is torn, and none lost."""
    log = logs().log
    handled = itertools.count(1_000_000)
    written = []

    depth = []

    def handle(*_):
        if len(depth) > 20:  # on a busy machine each would interrupt the one before
            return
        depth.append(None)
        number = next(handled)
        log.append(line(number))
        written.append(number)
        depth.pop()

    def work(first):
        for n in range(first, first + PER_THREAD):
            log.append(line(n, text="x" * (n % 700)))

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        threads = [threading.Thread(target=work, args=(at * PER_THREAD,)) for at in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            log.append(line(next(handled)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    facts, damaged = on_disk()
    assert damaged == 0
    assert sorted(numbers(facts)) == [*range(4 * PER_THREAD), *range(1_000_000, next(handled))]
    assert len(written) > 5


@pytest.fixture
def lets_others_in(monkeypatch):
    """A log whose calls let other threads in, as on a file system of another machine."""
    monkeypatch.setattr(segment, "calls_for", lambda _fd: None)


def test_a_handler_within_the_making_of_a_file(logs, monkeypatch):
    """A handler that appends while the first file is being made makes one of its own."""
    log = logs().log
    real = files.LifeSign.__init__
    calls = []

    def interrupted(self, path):
        calls.append(path)
        if len(calls) == 1:
            log.append(line(2))
        real(self, path)
        if len(calls) == 2:
            log.append(line(3))

    monkeypatch.setattr(files.LifeSign, "__init__", interrupted)
    log.append(line(1))
    log.append(line(4))
    assert sorted(numbers(on_disk()[0])) == [1, 2, 3, 4]
    assert log.is_durable
    assert [one.is_final for one in log.segments[:-1]] == [True] * (len(log.segments) - 1)


def test_finalizers_and_callbacks_append_within_an_append(logs):
    """A `__del__` and a weakref callback may append while another append is under way."""
    log = logs().log
    log.append(line(1))

    class Reports:
        def __del__(self):
            log.append(line(3))

    one = Reports()
    kept = weakref.ref(one, lambda _: log.append(line(4)))
    one.itself = one
    del one
    made = log.segments[-1]
    calls = made._calls

    def write(fd, data):
        made._calls = calls
        gc.collect()
        return calls.write(fd, data)

    made._calls = calls._replace(write=write)
    log.append(line(2))
    assert kept() is None
    assert sorted(numbers(on_disk()[0])) == [1, 2, 3, 4]


@pytest.mark.slow
def test_forks_while_threads_append_and_make_files(logs):
    """A child begins a log of its own, whatever its parent's threads are doing; nothing hangs."""
    log = logs().log
    over = threading.Event()

    def work(first):
        for n in itertools.count(first, 2):
            if over.is_set():
                break
            log.append(line(n))
            over.wait(0.0005)
            if not n % 50 and len(log.segments) < 100:
                with log._making:
                    log._made()

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    codes = []
    for number in range(40):
        pid = os.fork()
        if not pid:
            signal.alarm(60)
            try:
                log.append(line(1, workflow=f"child {number}"))
                os._exit(0 if log.segments[-1].path and len(log.segments) == 1 else 3)
            finally:
                os._exit(4)
        codes.append(os.waitpid(pid, 0)[1])
    over.set()
    for thread in threads:
        thread.join()
    facts, damaged = on_disk()
    assert codes == [0] * 40
    assert damaged == 0
    assert {fact["w"] for fact in facts} == {"w", *(f"child {number}" for number in range(40))}
    parents = sorted(fact["n"] for fact in facts if fact["w"] == "w")
    assert len(parents) == len(set(parents))


def close_all(log):
    os.closerange(3, 1024)


def close_and_open(log):
    """What a step does that closes everything and goes on with files of its own."""
    lowest = min(segment._file.fd for segment in log.segments)
    os.closerange(3, 1024)
    opened = []
    while not opened or opened[-1] < lowest + 4:
        opened.append(os.open("theirs.txt", os.O_RDWR | os.O_CREAT | os.O_APPEND))


def truncate(log):
    os.truncate(log.segments[-1].path, 0)


def delete(log):
    log.segments[-1].path.unlink()


def delete_folder(log):
    for path in files.folder().iterdir():
        path.unlink()
    files.folder().rmdir()


HARMS = [close_all, close_and_open, truncate, delete, delete_folder]


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_that_is_lost_in_mid_run(harm):
    """Nothing goes to what is not ours; there is one line, and a file where the run goes on."""

    def work(say):
        said = []
        log = RunLog()
        log.read_by(KEY, NAME)
        log._complaints._once = lambda about, *_: said.append(about)
        log.append(began())
        log.append(line(2))
        harm(log)
        log.append(line(3))
        log.append(line(4))
        log.beat()
        Path("said").write_text(f"{said} {len(log.segments)} {files.is_alive(log.id)}")

    child = os.fork()
    if not child:
        signal.alarm(20)
        work(None)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert Path("said").read_text() == "['lost'] 2 True"
    facts, damaged = on_disk()
    assert damaged == 0
    began_again = [fact for fact in facts if fact["f"] == "run began" and "carried" in fact]
    assert len(began_again) == 1
    assert set(numbers(facts)) >= {1, 3, 4}
    theirs = Path("theirs.txt")
    assert not theirs.exists() or theirs.read_bytes() == b""


def test_a_run_that_has_ended_is_not_carried(logs):
    """Only what is under way begins again in another file."""
    log = logs().log
    log.append(began(1, "over"))
    log.append(line(2, "run ended", workflow="over", run=1))
    log.append(began(3, "open", plan=[[1, "x" * 100_000, "g"]]))
    log.segments[-1].path.unlink()
    log.append(line(4))
    facts, _ = on_disk()
    again = [fact for fact in facts if "carried" in fact]
    assert [(fact["w"], "plan" in fact) for fact in again] == [("open", False)]


def test_what_is_overwritten_costs_what_was_overwritten(logs):
    """A file that another program writes over goes on; the damaged lines are counted."""
    log = logs().log
    for n in range(1, 101):
        log.append(line(n))
    with log.segments[-1].path.open("r+b") as file:
        file.seek(3000)
        file.write(b"\x00noise\n" * 100)
    log.append(line(101))
    facts, damaged = on_disk()
    assert damaged
    assert numbers(facts)[-1] == 101
    assert len(facts) > 80


def test_no_file_of_others_is_closed():
    """Closing a log whose numbers have become another's leaves that one open."""

    def work(say):
        log = RunLog()
        log.append(line(1))
        ours = log.segments[-1]._file.fd
        os.close(ours)
        theirs = os.open("theirs.txt", os.O_RDWR | os.O_CREAT)
        os.dup2(theirs, ours)
        log.close()
        say(os.fstat(ours).st_ino == os.fstat(theirs).st_ino)

    assert dies(work) == [True]


CLOSES_EVERYTHING = """
import os
from support.run_logs import KEY, NAME, line
from dotflow.runlog import files, segment
from dotflow.runlog.writer import RunLog

log = RunLog()
log.read_by(KEY, NAME)
log.append(line(1))
for _ in range(2):
    pid = os.fork()
    if not pid:
        os.closerange(3, 1024)
        if not os.fork():
            log.append(line(9, workflow="grandchild"))
        os._exit(0)
    os.waitpid(pid, 0)
assert files.is_alive(log.id)
log.append(line(2))
assert len(log.segments) == 1
"""


def test_a_child_that_closes_everything():
    """Its parent's log and lock are untouched by it."""
    # In an interpreter of its own: a library of this one may end a child that closes its files.
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", CLOSES_EVERYTHING], env={**os.environ, "PYTHONPATH": tests},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 60
    while len(facts := on_disk()[0]) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted((fact["w"], fact["n"]) for fact in facts) == [
        ("grandchild", 9), ("grandchild", 9), ("w", 1), ("w", 2),
    ]  # fmt: skip


def test_a_handler_that_forks_within_an_append(logs, lets_others_in, monkeypatch):
    """The child does not write its parent's line a second time."""
    log = logs().log
    log.append(line(1))
    real = os.fstat
    read_end, write_end = Pipe(duplex=False)
    child = []

    def fork_first(fd):
        monkeypatch.setattr(os, "fstat", real)
        child.append(os.fork())
        return real(fd)

    monkeypatch.setattr(os, "fstat", fork_first)
    log.append(line(2))
    if not child[0]:
        write_end.send(len(log.segments))
        os._exit(0)
    os.waitpid(child[0], 0)
    assert read_end.recv() == 0
    assert numbers(on_disk()[0]) == [1, 2]


def test_what_a_step_forked_has_no_word_in_the_run(logs):
    """A child's lines about a run that was under way as it was forked are not kept, others are."""
    log = logs().log
    log.append(began(1))
    log.append(began(2, "over"))
    log.append(ended(3, 2, "over"))
    pid = os.fork()
    if not pid:
        log.append(line(4))
        log.append(ended(5, 1))
        log.append(began(6, "its own"))
        log.append(line(7, workflow="its own", run=6))
        os._exit(0)
    os.waitpid(pid, 0)
    assert sorted(numbers(on_disk()[0])) == [1, 2, 3, 6, 7]


def test_a_file_that_was_deleted_is_read_to_its_end(logs):
    """What was written, and not read, before a folder was removed is read from the open file."""
    one = logs()
    one.log.append(began())
    one.log.append(line(2))
    delete_folder(one.log)
    one.log.append(line(3))
    assert set(numbers(one.read())) == {1, 2, 3}


def test_a_file_that_nobody_holds_takes_no_descriptor():
    """A program that makes one after another does not run out of descriptors."""
    place = files.make_folder()
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        files.OwnFile(place / "one.lock")
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_file_that_is_opened_again_under_its_old_number():
    """Who held it before it was closed by a step does not close it for who holds it now."""
    path = files.make_folder() / "one.lock"
    first = files.OwnFile(path)
    number = first.fd
    os.close(number)
    second = files.OwnFile(path)
    assert second.fd == number
    first.close()
    assert second.is_open()
    del first
    assert second.is_open()
    second.close()
    assert not second.is_open()
