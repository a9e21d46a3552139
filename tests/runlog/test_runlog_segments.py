"""Files follow one another, and go when every reader is done with them."""

from __future__ import annotations

import itertools
import threading

import pytest
from support.run_logs import KEY, line, numbers, on_disk

from dotflow.runlog import files, segment, writer
from dotflow.runlog.receipts import Receipts
from dotflow.runlog.writer import RunLog

OTHER = "another destination"


def paths():
    return [path for segments in files.logs().values() for path in segments]


def test_nothing_is_lost_by_rolls_while_four_threads_append(logs, monkeypatch):
    """Each line is read once, though files are finished, read and deleted all the time."""
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 2000)
    one = logs()
    over = threading.Event()
    written = []

    def work(first):
        for n in itertools.count(first, 4):
            if over.is_set():
                break
            over.wait(0.0002)
            one.log.append(line(n))
            written.append(n)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    found = []
    while any(thread.is_alive() for thread in threads):
        if one.log.segments and one.log.segments[-1].number > 25:
            over.set()
        one.log.roll()
        found += one.read()
        one.finish()
    found += one.read()
    one.finish()
    assert sorted(numbers(found)) == sorted(written)
    assert len(paths()) < 5


def test_a_late_append_goes_to_the_next_file(logs):
    """Who took hold of a file before another followed it writes to the one that is there."""
    one = logs()
    one.log.append(line(1))
    first = one.log.segments[-1]
    one.log._made()
    with pytest.raises(segment.LostFileError):
        first.append(line(2))
    assert first.is_quiet
    one.log.append(line(2))
    assert numbers(one.read()) == [1, 2]


def test_a_file_goes_when_two_readers_are_done_with_it(logs, monkeypatch):
    """Not before the second is, and with the receipts of both."""
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 1)
    one = logs("a destination", OTHER)
    one.log.append(line(1))
    first = one.log.segments[-1].path
    for key in one.keys:
        Receipts(first, key).write([{"k": "said"}])
    one.log.roll()
    for key in one.keys:
        assert first.exists()
        assert numbers(one.read(key)) == [1]
        one.finish(key)
    assert [path.name for path in files.folder().iterdir() if first.stem in path.name] == []
    assert len(one.log.segments) == 1


def test_the_last_file_stays(logs):
    """The file that takes lines is nobody's to delete, whoever is done."""
    one = logs()
    one.log.append(line(1))
    one.log.done(one.log.segments[-1], KEY)
    assert len(paths()) == 1


@pytest.mark.parametrize("is_for_it", [False, True])
def test_one_that_has_left_keeps_what_is_for_it(logs, monkeypatch, is_for_it):
    """A reader that has ended holds up only files with lines for it, which the next sends."""
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 1)
    one = logs("a destination", OTHER)
    one.log.leave(one.keys[1])
    to = {one.keys[1]: "default"} if is_for_it else {KEY: "default"}
    one.log.append(line(1).replace(b'"to":{', b'"to":{"%s":"default",' % next(iter(to)).encode()))
    one.log.roll()
    one.read()
    one.finish()
    assert len(one.log.segments) == (2 if is_for_it else 1)


def test_small_files_follow_when_nothing_goes_on(logs, monkeypatch):
    """An idle log begins another file earlier."""
    monkeypatch.setattr(writer, "IDLE_BYTES", 100)
    one = logs()
    one.log.append(line(1))
    one.log.roll()
    assert len(one.log.segments) == 1
    one.log.roll(is_idle=True)
    assert len(one.log.segments) == 2


def test_a_close_deletes_what_is_done_and_leaves_the_rest():
    """What every reader is done with is gone, the lock too; else all of it is there."""
    for is_done in (True, False):
        log = RunLog()
        log.read_by(KEY, "a destination")
        log.append(line(1))
        if is_done:
            log.done(log.segments[-1], KEY)
        log.leave(KEY)
        assert len(list(files.folder().iterdir())) == (0 if is_done else 2)
        assert log.segments == []


def test_a_closed_log_begins_again(logs):
    """What is reported after the end is in a file too, under another id."""
    one = logs()
    one.log.append(line(1))
    before = one.log.id
    one.log.close()
    one.log.append(line(2))
    assert one.log.id != before
    assert sorted(numbers(on_disk()[0])) == [1, 2]


def test_memory_by_name(logs, monkeypatch):
    """With DOTFLOW_OUTBOX=memory there is no file, no folder and no line about it."""
    monkeypatch.setenv("DOTFLOW_OUTBOX", "memory")
    one = logs()
    one.log.append(line(1))
    one.log.beat()
    assert numbers(one.read()) == [1]
    assert not one.log.is_durable
    assert not files.folder().exists()


def test_memory_is_freed_when_all_readers_have_read(logs, monkeypatch):
    """What two readers have read is kept no longer, what one has not read is."""
    monkeypatch.setenv("DOTFLOW_OUTBOX", "memory")
    one = logs("a destination", OTHER)

    def held():
        return sum(kept is not None for kept in one.log.segments[-1].lines)

    for n in range(1, 1001):
        one.log.append(line(n))
    assert len(one.read(one.keys[0])) == 1000
    assert held() == 1001
    assert len(one.read(one.keys[1])) == 1000
    assert len(one.read(one.keys[0])) == 0
    assert held() == 0
    one.log.append(line(1001))
    assert [numbers(one.read(key)) for key in one.keys] == [[1001], [1001]]


def test_memory_rolls_too(logs, monkeypatch):
    """Of a long log in memory not even the places of old lines stay."""
    monkeypatch.setenv("DOTFLOW_OUTBOX", "memory")
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 10_000)
    one = logs()
    found = []
    for n in range(2000):
        one.log.append(line(n))
        if not n % 10:
            one.log.roll()
            found += one.read()
            one.finish()
    found += one.read()
    assert numbers(found) == list(range(2000))
    assert len(one.log.segments) < 3
    assert len(one.log.segments[-1].lines) < 300


def test_a_reader_that_comes_later_is_named(logs):
    """Its name is in the file that is there, and at the head of the next."""
    one = logs()
    one.log.append(line(1))
    key = files.reader_key(OTHER)
    one.log.read_by(key, OTHER)
    one.log._made()
    assert [key.encode() in path.read_bytes() for path in paths()] == [True, True]
