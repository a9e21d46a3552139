"""Contexts and errors become JSON text: whole, bounded, masked, and never a reason to fail."""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
import re
import threading
import tracemalloc
from collections import OrderedDict, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_values import OddDict, json_values, keys, values
from support.fault_server import strict_loads

from dotflow import Context
from dotflow.core.task_error import TaskError
from dotflow.runlog import plain, shown, texts
from dotflow.runlog.plain import MAX_DEPTH
from dotflow.runlog.texts import EXCEEDED, MAX_SIZE, Texts

UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
NEEDLE = "hunter2"
LIMIT = 10_000


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    # A busy machine makes no type slow here.
    monkeypatch.setattr(shown, "SLOW", 60.0)
    shown._answers.clear()


def text_of(value, **kwargs):
    return Texts(**kwargs).of("current", value)


def read(value, **kwargs):
    return strict_loads(text_of(value, **kwargs).encode())


class Counted:
    asked = 0

    def __str__(self):
        Counted.asked += 1
        return "counted"

    __repr__ = __str__


@pytest.fixture
def counted():
    Counted.asked = 0
    return Counted


@settings(max_examples=150, deadline=None)
@given(values)
def test_any_value_is_a_line_that_a_strict_parser_takes(value):
    """Whatever a context holds, its text is strict JSON without raw control characters."""
    text = text_of(value)
    strict_loads(text.encode())
    assert not UNSAFE.search(text)


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_the_style_is_that_of_the_standard_library(value):
    """Text of plain values is what `json.dumps` writes, control characters aside."""
    if not UNSAFE.search(expected := json.dumps(value, ensure_ascii=False)):
        assert text_of(value, whole_values=True) == expected


secret_keys = st.sampled_from(
    ["password", "PassWord2", "api_key", "api-key", "x_ToKen", "Authorization", "cookies",
     b"secret", "private\u212aey", "pa\u017fswd", "credential\ud800"]
)  # fmt: skip
hidden = st.recursive(
    st.sampled_from([NEEDLE, NEEDLE.encode(), Context(NEEDLE), 1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
holders = st.recursive(
    st.dictionaries(secret_keys, hidden, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, min_size=1, max_size=3),
        st.dictionaries(keys, inner, min_size=1, max_size=3).map(OrderedDict),
        st.builds(Context, inner),
        st.lists(inner, max_size=2).map(deque),
        st.dictionaries(st.text(), inner, max_size=2).map(lambda one: one.items()),
        st.dictionaries(st.text(), inner, max_size=2).map(lambda one: one.values()),
        inner.map(lambda one: {f"key {number}": one for number in range(70)}),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(holders)
def test_no_secret_is_said(value):
    """What is under a credential's key appears in no text, in whatever the dict is."""
    assert NEEDLE not in text_of(value)


def test_masking_is_of_values_under_credential_like_keys():
    """Only the value of such a key is replaced, at any depth."""
    value = {"user": "ada", "Password": "p", "nested": [{"api_key": ["k"], "note": "password"}]}
    assert read(value) == {
        "user": "ada", "Password": "***", "nested": [{"api_key": "***", "note": "password"}],
    }  # fmt: skip


def test_what_an_object_says_of_a_credential_is_masked():
    """The `str` of an object may name its password."""

    class Login:
        def __str__(self):
            return "Login(user='ada', password='hunter2')"

    assert read([Login()]) == ["Login(user='ada', password=***)"]


def test_what_is_masked_is_not_looked_at(counted):
    """A value that is not shown is neither asked nor measured."""
    assert read({"secret": [counted()] * 200_000, "token": "x" * 2 * MAX_SIZE, "a": 1}) == {
        "secret": "***", "token": "***", "a": 1,
    }  # fmt: skip
    assert counted.asked == 0


def test_whole_values_by_argument_and_by_variable(monkeypatch):
    """DOTFLOW_WHOLE_VALUES=1 shows credentials; the argument has the last word."""
    value = {"password": "p"}
    assert read(value, whole_values=True) == value
    monkeypatch.setenv("DOTFLOW_WHOLE_VALUES", "1")
    assert read(value) == value
    assert read(value, whole_values=False) == {"password": "***"}
    monkeypatch.setenv("DOTFLOW_WHOLE_VALUES", "0")
    assert read(value) == {"password": "***"}


def test_no_contexts_means_null():
    """With contexts=False no value is said, and redact is not asked; errors still are."""
    silent = Texts(contexts=False, redact=lambda role, value: [].append(1 / 0))
    assert silent.of("current", {"a": 1}) == "null"
    assert Texts(contexts=False).of_error(TaskError(ValueError("x"))) != "null"


def test_redact_decides_what_is_said():
    """The function gets the role and the bare value; what it returns is written, masked."""
    redact = Texts(redact=lambda role, value: {role: sorted(value), "token": 1})
    assert redact.of("initial", Context({"iban": "DE1"})) == '{"initial": ["iban"], "token": "***"}'
    assert Texts(redact=lambda role, value: None).of("current", 5) == "null"


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_redact_that_raises_says_nothing_of_the_value(error):
    """The value is not said in its place."""

    def redact(role, value):
        raise error(value)

    told = Texts(redact=redact)
    assert json.loads(told.of("current", NEEDLE)) == f"<{error.__name__}> while a value was written"
    failure = json.loads(told.of_error(TaskError(ValueError(NEEDLE))))
    assert NEEDLE not in json.dumps(failure)
    assert failure["message"] == f"<{error.__name__}> while the text was redacted"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (Context(None), "null"),
        (True, "true"),
        (1.5, "1.5"),
        ((1, "a"), '[1, "a"]'),
        ("żółw\n", '"żółw\\n"'),
        ("\x7f\x85\u2028\ud800", '"\\u007f\\u0085\\u2028\ufffd"'),
        ("\x7f", '"\\u007f"'),
        ({"\x9f": 1}, '{"\\u009f": 1}'),
        (math.nan, '"nan"'),
        ([math.inf], '["inf"]'),
        (10**299, str(10**299)),
        ([-(10**301)], f'["{-(10**301)}"]'),
        (1 << 15_000, '"<int>"'),
        (OddDict(a=1), '{"a": 1}'),
        ({"when": dt.date(2026, 1, 2)}, '{"when": "2026-01-02"}'),
        (frozenset(), '"frozenset()"'),
        (deque([(1,), {"a": {2}}], maxlen=3), "\"deque([(1,), {'a': {2}}], maxlen=3)\""),
        ({"a": 1}.keys(), "\"dict_keys(['a'])\""),
        ({"pwd": 1}.items(), "\"dict_items([('pwd', '***')])\""),
        (range(10**12), '"range(0, 1000000000000)"'),
        ({1: "a", 2: "b"}, '{"1": "a", "2": "b"}'),
        ({1: "a", "1": "b"}, '{"1": "a", "1 (str)": "b"}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_text_of_a_value(value, expected):
    """Each kind of value has one known text."""
    assert text_of(value) == expected


def test_cycles_end():
    """A container within itself is written once, whichever kind it is, however wide."""
    wide = []
    wide.extend([wide] * 1000)
    assert read(wide) == ["[...]"] * 1000
    queue = deque()
    queue.extend([queue, queue])
    assert read([queue]) == ["deque([[...], [...]])"]
    context = Context(1)
    context._storage = context
    strict_loads(text_of(context).encode())


def test_levels_end():
    """What is nested deeper than parsers take is left out."""
    value = functools.reduce(lambda inside, _: [inside], range(MAX_DEPTH), {"a": 1})
    assert '["{...}"]' in text_of(value)


@settings(max_examples=100, deadline=None)
@given(values, st.integers(len(EXCEEDED), 300))
def test_no_text_is_longer_than_the_limit(value, limit):
    """Whatever the value, the limit is one of bytes."""
    assert len(text_of(value, limit=limit).encode()) <= limit


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_the_limit_is_exact(value):
    """The length of a text is enough of a limit, and one less is not."""
    text = text_of(value, whole_values=True)
    size = len(text.encode())
    assert text_of(value, whole_values=True, limit=size) == text
    if value is not None:
        assert text_of(value, whole_values=True, limit=size - 1) == EXCEEDED


@pytest.mark.slow
def test_leaves_are_counted_before_any_is_asked(counted):
    """A hundred thousand leaves are written; one more, and none was asked for its text."""
    most = [counted()] * plain.MAX_LEAVES
    assert text_of(most).count("counted") == counted.asked == plain.MAX_LEAVES
    counted.asked = 0
    assert text_of([*most, 1]) == EXCEEDED
    assert text_of({"a": most, "b": [1, 2]}) == EXCEEDED
    assert text_of(set(range(plain.MAX_LEAVES + 1))) == EXCEEDED
    assert text_of(deque(most + most)) == EXCEEDED
    assert counted.asked == 0


@pytest.mark.slow
def test_containers_of_few_leaves_are_counted_too():
    """Pairs of brackets around few leaves are work too, so their number is bounded."""
    assert read([[1]] * plain.MAX_LEAVES) == [[1]] * plain.MAX_LEAVES
    assert text_of([[[1]]] * (plain.MAX_VALUES // 3 + 1)) == EXCEEDED


def test_texts_are_asked_until_they_are_too_many(counted):
    """Of leaves whose texts do not fit together, no more are asked than fit."""
    assert text_of([counted() for _ in range(2000)], limit=LIMIT) == EXCEEDED
    assert 1000 < counted.asked <= LIMIT // len("counted") + 1


def shared():
    return functools.reduce(lambda inside, _: [inside] * 10, range(12), [1] * 10)


LARGE = {
    "images": lambda: [b"\xff" * 2**20] * 20,
    "bytes": lambda: bytearray(b"\xff" * 2**22),
    "a megabyte": lambda: b"\xff" * 10**6,
    "ints": lambda: list(range(plain.MAX_LEAVES)),
    "long ints": lambda: [10**290] * 90_000,
    "keys": lambda: {i: i for i in range(plain.MAX_LEAVES)},
    "names": lambda: {f"name {i}": i for i in range(plain.MAX_LEAVES)},
    "set": lambda: set(range(plain.MAX_LEAVES)),
    "tokens": lambda: {f"token {i}": i for i in range(plain.MAX_LEAVES)},
    "dates": lambda: [dt.datetime(2026, 1, 2, 3, 4, 5, 6)] * plain.MAX_LEAVES,
    "shared": shared,
    "nothing": lambda: functools.reduce(lambda inside, _: [inside] * 10, range(12), []),
    "chain": lambda: functools.reduce(lambda inside, _: [inside], range(100), [[1]] * 20_000),
    "text": lambda: "x" * 2**23,
    "most text": lambda: "x" * (MAX_SIZE - 2),
    "control characters": lambda: "\x01" * (MAX_SIZE - 2),
    "short control characters": lambda: ["\x01" * 50] * 90_000,
    "a long key": lambda: {"k" * 2**23: 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_memory_is_bounded_by_the_limit(kind):
    """No value costs more than three times the limit, whatever its text would be."""
    value = LARGE[kind]()
    text_of(1)
    tracemalloc.start()
    try:
        text = text_of(value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 3 * MAX_SIZE
    assert len(text) <= MAX_SIZE


@pytest.mark.parametrize("count", [texts.PORTION, texts.PORTION + 1, 3 * texts.PORTION])
def test_many_parts_are_one_text(count):
    """What is encoded in portions is the text that the standard library writes at once."""
    for value in ({str(i): [i] for i in range(count)}, {i: i for i in range(count)}, [[1]] * count):
        assert text_of(value) == json.dumps(value)


def test_bytes_that_fit_are_said():
    """Bytes are judged by the length of their text, not refused for being bytes."""
    assert read(b"ab\x00'\\") == 'b"ab\\x00\'\\\\"'
    assert len(text_of(b"x" * 4 * 10**6)) == 4 * 10**6 + 5
    assert text_of(b"\x00" * 2 * 10**6) == EXCEEDED


def test_a_value_that_another_thread_changes_is_no_fault():
    """While a dict gets and loses entries, each text is JSON."""
    value = {str(number): [number] for number in range(200)}
    done = threading.Event()

    def change():
        while not done.is_set():
            value["new"] = math.nan
            value[7] = object()
            del value["new"], value[7]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            strict_loads(text_of(value).encode())
    finally:
        done.set()
        thread.join()


def failure(message="", traceback=""):
    error = TaskError(ValueError(message), attempt=2)
    error.traceback = traceback or error.traceback
    return error
