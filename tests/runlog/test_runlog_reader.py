"""Readers of torn, damaged, duplicated and short files: no whole line is lost, nothing raises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.run_logs import KEY, began, ended, line, numbers

from dotflow.runlog import files, reader
from dotflow.runlog.claims import Claims
from dotflow.runlog.reader import SegmentReader, dead_lines, parse, readers_of, workflows_of
from dotflow.runlog.receipts import Receipts, read_receipts

PATH = Path("one.log")
HEAD = b'{"f":"log","v":1}\n{"f":"reader","key":"k","name":"a name"}\n'
TEXTS = ["", "x" * 300, "\u2028\x85\x0b\x0c\x1c\r", 'a"b\\', '{"f":"task ended","n":1}', "\ud800"]
GOOD = [HEAD, began(1), *(line(n, text=TEXTS[n % len(TEXTS)]) for n in range(2, 30)), ended(30, 1)]


def read_all(path, most=reader.SLICE):
    """All that a reader gives, in as many portions as it wants, and its damaged lines."""
    one = SegmentReader(path)
    found = []
    for _ in range(10_000):
        before = one.offset
        found += one.read(most)
        if one.offset == before:
            return found, one.damaged
    raise AssertionError("a reader that never ends")


def whole(data):
    """The facts of the lines of a file that are as they were written, by another way of reading."""
    good = {text.rstrip(b"\n") for one in GOOD for text in one.split(b"\n") if text}
    *texts, _ = data.split(b"\n")
    return [json.loads(text) | {reader.SIZE: len(text)} for text in texts if text in good]


DAMAGES = st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.integers(1, 400)),
    st.tuples(st.just("put"), st.floats(0, 1), st.binary(min_size=1, max_size=60)),
    st.tuples(st.just("again"), st.floats(0, 1), st.integers(1, 400)),
    st.tuples(st.just("zero"), st.floats(0, 1), st.integers(1, 400)),
    st.tuples(st.just("end"), st.floats(0, 1), st.just(0)),
)


def damaged(data, damages):
    """A file after all that happened to it."""
    for kind, place, how in damages:
        at = int(place * len(data))
        if kind == "flip" and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ how]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at] + data[at + how :]
        elif kind == "put":
            data = data[:at] + how + data[at:]
        elif kind == "again":
            data = data[:at] + data[at : at + how] * 2 + data[at + how :]
        elif kind == "zero":
            data = data[:at] + b"\0" * how + data[at + how :]
        elif kind == "end":
            data = data[:at]
    return data


fuzzed = settings(
    max_examples=300, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def contains(found, expected):
    """Whether all that is expected is found, in that order."""
    rest = iter(found)
    return all(any(one == fact for one in rest) for fact in expected)


@pytest.mark.slow
@fuzzed
@given(st.lists(DAMAGES, max_size=6), st.sampled_from([16, 300, 4096, reader.SLICE]))
def test_no_damage_costs_a_whole_line(damages, most):
    """Whatever happened to a file, each line of it that is whole is read, in order."""
    data = damaged(b"".join(GOOD), damages)
    PATH.write_bytes(data)
    found, bad = read_all(PATH, most)
    assert contains(found, whole(data))
    assert all(isinstance(fact["f"], str) for fact in found)
    if not damages:
        assert bad == 0
        assert len(found) == 32
    assert dead_lines([PATH])[0] == found
    assert set(readers_of([PATH])) == {fact["key"] for fact in found if fact["f"] == "reader"}
    assert workflows_of(PATH) == {fact["w"] for fact in found if "n" in fact and "w" in fact}


@pytest.mark.slow
@fuzzed
@given(st.lists(DAMAGES, max_size=6))
def test_no_damage_to_receipts_or_claims_raises(damages):
    """What is whole of receipts and claims is read; the rest is passed over."""
    said = [{"k": "said", "w": "w", "r": 1, "m": "p", "n": n, "key": "x"} for n in range(1, 20)]
    texts = [f"{json.dumps(one)}\n".encode() for one in said]
    data = damaged(b"".join(texts), damages)
    segment = Path("one.log").absolute()
    files.receipts_path(segment, KEY).write_bytes(data)
    found = read_receipts(segment, KEY)
    assert contains(found, [json.loads(one) for one in data.split(b"\n") if one + b"\n" in texts])
    claims = [{"w": f"w{n}", "by": "f" * 32, "nested": bool(n % 2)} for n in range(1, 20)]
    texts = [f"{json.dumps(one)}\n".encode() for one in claims]
    data = damaged(b"".join(texts), damages)
    files.make_folder()
    files.claims_path("a" * 32, KEY).write_bytes(data)
    kept = Claims("a" * 32, KEY)
    for one in data.split(b"\n")[:-1]:  # who did not come to write the newline has died of it
        if one + b"\n" in texts:
            assert kept.owner(json.loads(one)["w"]) is not None


@pytest.mark.slow
@fuzzed
@given(st.lists(st.integers(1, 400), max_size=30), st.sampled_from([40, reader.SLICE]))
def test_a_live_file_is_read_up_to_its_last_newline(portions, most):
    """However a file grows, each line is read once, when it is whole."""
    data = b"".join(GOOD)
    PATH.write_bytes(b"")
    one = SegmentReader(PATH)
    found, at = [], 0
    for size in [*portions, len(data)]:
        with PATH.open("ab") as file:
            file.write(data[at : at + size])
        at += size
        while facts := one.read(most):
            found += facts
        assert len(found) == data[:at].count(b"\n")
    assert (found, one.damaged, one.unread) == (whole(data), 0, 0)


def test_a_whole_line_behind_a_torn_one():
    """A line that another thread wrote right behind a torn one is read, once."""
    torn = line(7, context={"f": "x", "n": 1})[:-40]
    PATH.write_bytes(line(1) + torn + line(2, context={"f": "task ended", "n": 9}) + line(3))
    found, bad = read_all(PATH)
    assert numbers(found) == [1, 2, 3]
    assert bad == 1


def test_what_stands_in_a_damaged_line_is_no_line():
    """A value that looks like a fact does not become one when its line is damaged."""
    PATH.write_bytes(line(1, context=json.loads(line(66)))[1:] + b'{"f":"task ended","n":"x"}\n')
    assert read_all(PATH) == ([], 2)


@pytest.mark.parametrize(
    "text",
    [b"[]", b"1", b'{"f":1}', b"[" * 100_000, b'{"f":"task began","n":true,"r":1}', b"\xff",
     b'{"f":"x","y":' + b"9" * 5000 + b"}", b'{"f":"reader"}', '{"f":"x"}'.encode("utf-16")],
)  # fmt: skip
def test_what_is_no_line(text):
    """What is JSON, and no line of ours, is damaged."""
    assert parse(text) is None


def test_a_line_of_another_version_is_left_to_its_reader():
    """A kind that this version does not know is no damage."""
    assert parse(b'{"f":"of next year"}') == {"f": "of next year"}


def test_a_torn_end_is_not_waited_for():
    """Of a file that ends within a line nothing is left to read, until the line goes on."""
    torn = line(2)
    PATH.write_bytes(line(1) + torn[:30])
    one = SegmentReader(PATH)
    assert numbers(one.read()) == [1]
    assert (one.read(), one.unread) == ([], 0)
    with PATH.open("ab") as file:
        file.write(torn[30:])
    assert one.unread
    assert numbers(one.read()) == [2]


def test_a_log_of_a_later_version():
    """It is not understood, and so not taken over: who reads it as a dead one's is told."""
    PATH.write_bytes(HEAD.replace(b'"v":1', b'"v":2') + line(1))
    with pytest.raises(reader.NewerFormatError, match="later version"):
        dead_lines([PATH])
    assert workflows_of(PATH) == set()


def test_a_line_that_is_longer_than_a_slice():
    """It is read whole; one longer than any is passed over, and what follows is read."""
    PATH.write_bytes(line(1, text="x" * 1_000_000) + line(2))
    assert numbers(read_all(PATH)[0]) == [1, 2]


def test_a_line_that_is_longer_than_any(monkeypatch):
    """It is passed over as damaged, and what follows is read."""
    monkeypatch.setattr(reader, "LONGEST", 100_000)
    PATH.write_bytes(line(1) + b"x" * 5_000_000 + b"\n" + line(2))
    found, bad = read_all(PATH)
    assert numbers(found) == [1, 2]
    assert bad > 0


def test_a_file_that_shrinks_or_goes():
    """A reader of a file that was truncated or deleted finds nothing new, and raises nothing."""
    PATH.write_bytes(line(1) + line(2))
    one = SegmentReader(PATH)
    assert len(one.read()) == 2
    PATH.write_bytes(b"")
    assert (one.read(), one.unread) == ([], 0)
    PATH.unlink()
    assert (one.read(), one.unread) == ([], 0)
    assert dead_lines([PATH]) == ([], 0)
    assert readers_of([PATH]) == {}


def test_receipts_of_several_processes_in_one_file():
    """Each begins with a newline, so that a torn end costs nothing of the next."""
    segment = Path("one.log").absolute()
    first, second = Receipts(segment, KEY), Receipts(segment, KEY)
    assert first.write([{"k": "said", "n": 1}])
    with files.receipts_path(segment, KEY).open("ab") as file:
        file.write(b'{"k":"said","n":')
    assert second.write([{"k": "said", "n": 2}])
    files.receipts_path(segment, KEY).unlink()
    assert first.write([{"k": "said", "n": 3}])
    assert read_receipts(segment, KEY) == [{"k": "said", "n": 3}]
    for one in (first, second):
        one.close()


def test_receipts_of_a_log_in_memory():
    """They are not needed."""
    assert Receipts(None, KEY).write([{"k": "said"}])


def test_claims_are_read_again():
    """The last claim counts, also beside those of runs within a run."""
    files.make_folder()
    claims = Claims("a" * 32, KEY)
    claims.claim([], "b" * 32)
    assert not files.claims_path("a" * 32, KEY).exists()
    claims.claim(["w", "v"], "b" * 32)
    claims.claim(["w"], "c" * 32, nested=7)
    for one in (claims, Claims("a" * 32, KEY)):
        assert [one.owner(name) for name in "wvx"] == ["c" * 32, "b" * 32, None]
    assert Claims("a" * 32, KEY).nested_in("w") == {"c" * 32 + "-7"}
