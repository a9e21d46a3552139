"""A value is asked for its text at most once, asked nothing else, and never gets its way."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import signal
import threading
import time
import types
from typing import ClassVar

import pytest

from dotflow.core.exception import Interrupted
from dotflow.runlog import shown
from dotflow.runlog.texts import Texts


@pytest.fixture(autouse=True)
def forget():
    shown._answers.clear()


def read(value):
    return json.loads(Texts().of("current", value))


class Query:
    """A lazy result, whose text takes longer than a report may wait."""

    asked = 0

    def __str__(self):
        type(self).asked += 1
        time.sleep(0.03)
        return "rows"

    __repr__ = __str__


def test_a_slow_type_is_asked_once():
    """A type whose text took more than 10 ms is shown as its name from then on."""

    class Rows(Query):
        pass

    told = Texts()
    assert read([Rows(), Rows(), {Rows()}]) == ["rows", "<Rows>", "{<Rows>}"]
    assert told.of("initial", Rows()) == '"<Rows>"'
    assert Rows.asked == 1


def test_one_slow_answer_among_many_makes_no_type_slow():
    """A machine that is busy for a moment does not hide a type for ever."""

    class Quick(Query):
        def __str__(self):
            if self.asked == 50:
                time.sleep(0.03)
            type(self).asked += 1
            return "quick"

    assert read([Quick() for _ in range(100)]) == ["quick"] * 100


def test_types_of_the_standard_library_are_never_slow(monkeypatch):
    """A date's text waits for nothing, so only the machine can be slow."""
    monkeypatch.setattr(shown, "SLOW", -1.0)
    day = dt.date(2026, 1, 2)
    assert read([day, day]) == ["2026-01-02"] * 2
    assert read([range(2), b"a", b"a"]) == ["range(0, 2)", "b'a'", "b'a'"]


def test_what_is_remembered_of_types_is_bounded():
    """Very many types leave a bounded memory."""
    for number in range(3 * shown.MAX_TYPES):
        read(type(f"Type{number}", (), {})())
    assert 0 < len(shown._answers) <= shown.MAX_TYPES


def test_threads_ask_at_once():
    """Any number of threads may ask values of many types."""
    faults = []

    def ask(number):
        try:
            for step in range(300):
                words = f"{number} {step}"
                cls = type("T", (), {"__str__": lambda self, words=words: words})
                assert read(cls()) == words
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


class Meta(type):
    """A type that has ideas of its own about everything."""

    asked: ClassVar[list] = []

    def __hash__(cls):
        Meta.asked.append("hash of the type")
        return 1

    def __eq__(cls, other):
        Meta.asked.append("== of the type")
        return True

    @property
    def __name__(cls):
        Meta.asked.append("name of the type")
        return "other"

    def __instancecheck__(cls, instance):
        Meta.asked.append("isinstance")
        return True


def ask(name, answer):
    def method(self, *args):
        Meta.asked.append(name)
        return answer

    return method


LAZY = {
    "__class__": property(ask("__class__", dict)),
    "__len__": ask("__len__", 10),
    "__bool__": ask("__bool__", True),
    "__iter__": ask("__iter__", iter(())),
    "__getattr__": ask("__getattr__", None),
    "__eq__": ask("__eq__", True),
    "__hash__": ask("__hash__", 1),
    "items": ask("items", ()),
    "keys": ask("keys", ()),
    "values": ask("values", ()),
    "__str__": ask("str", "text"),
    "__repr__": ask("str", "text"),
}


@pytest.mark.parametrize("base", [object, dict, list, tuple, str, int, float, bytes])
def test_nothing_but_the_text_is_asked(base):
    """No method of a lazy value is called, but for the `str` of a kind that JSON does not know."""
    value = Meta("Lazy", (base,), LAZY)()
    for holder in (value, [value], {"key": value}, (value, {"a": [value]})):
        Meta.asked.clear()
        read(holder)
        assert set(Meta.asked) <= ({"str"} if base in (object, bytes) else set())


def test_a_type_that_fails_is_shown_by_its_own_name():
    """The name is that of the type, whatever its metaclass says."""
    value = Meta("Lazy", (), {"__str__": lambda self: 1 / 0})()
    assert read([value]) == ["<Lazy>"]


class Raises:
    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error

    __repr__ = __str__


@pytest.mark.parametrize(
    "error",
    [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError,
     RecursionError, MemoryError, BaseException],
)  # fmt: skip
def test_what_a_value_raises_goes_no_further(error):
    """Whatever the `str` of a value raises, the rest is said."""
    assert read([1, Raises(error()), {Raises(error)}]) == [1, "<Raises>", "{<Raises>}"]


def test_sys_exit_in_a_value_goes_no_further():
    """`sys.exit()` within a `str` is the value's own affair."""

    class Exits:
        def __str__(self):
            raise SystemExit(3)

    assert read(Exits()) == "<Exits>"


class Signals:
    """A value in whose `str` a signal comes."""

    def __str__(self):
        signal.raise_signal(signal.SIGUSR1)
        return "text"

    __repr__ = __str__


@pytest.fixture
def on_signal():
    before = signal.getsignal(signal.SIGUSR1)
    yield functools.partial(signal.signal, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def interrupt(number, frame):
    raise KeyboardInterrupt


def leave(number, frame):
    raise SystemExit(number)


class Handler:
    def __call__(self, number, frame):
        self.method(number, frame)

    def method(self, number, frame):
        raise SystemExit(number)


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (signal.default_int_handler, KeyboardInterrupt),
        (interrupt, KeyboardInterrupt),
        (leave, SystemExit),
        (Handler(), SystemExit),
        (Handler().method, SystemExit),
        (functools.partial(leave), SystemExit),
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [{value}]])
def test_what_a_signal_raises_goes_on(on_signal, handler, error, wrap):
    """A signal that comes while a value is looked at ends what it is to end."""
    on_signal(handler)
    with pytest.raises(error):
        Texts().of("current", wrap(Signals()))


def test_interrupted_goes_on(on_signal):
    """The engine's own interruption goes on, also from deep within the handler."""

    def ask_for_the_end(number, frame):
        raise Interrupted(number)

    def handler(number, frame):
        ask_for_the_end(number, frame)

    on_signal(handler)
    with pytest.raises(Interrupted):
        Texts().of("current", Signals())
    with pytest.raises(Interrupted):
        Texts(redact=lambda role, value: str(Signals())).of("current", 1)


def test_a_handler_that_only_notes_does_no_harm(on_signal):
    """A handler that raises nothing leaves the text whole."""
    noted = []
    on_signal(lambda number, frame: noted.append(number))
    assert read(Signals()) == "text"
    assert noted == [signal.SIGUSR1]


def test_a_namespace_of_a_slow_value_is_slow():
    """A type that only holds others is judged by what they take."""
    assert read([types.SimpleNamespace(rows=Query()), types.SimpleNamespace(rows=1)]) == [
        "namespace(rows=rows)", "<SimpleNamespace>",
    ]  # fmt: skip
