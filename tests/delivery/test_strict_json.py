"""Any value becomes JSON that a strict parser takes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
from collections import OrderedDict, defaultdict
from pathlib import PurePosixPath
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fault_server import strict_loads

from dotflow import Context
from dotflow.delivery.strict_json import EXCEEDED, MAX_DEPTH, MAX_SIZE, to_json


class Row(NamedTuple):
    a: int
    b: object


class Hostile:
    def __str__(self):
        raise RuntimeError("no words")


class Mute(Hostile):
    def __repr__(self):
        raise RuntimeError("no words")


class Same:
    def __str__(self):
        return "same"


class Words(str, enum.Enum):
    A = "a"


class Numbers(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: float
    y: object


class OddDict(dict):
    def values(self):
        raise RuntimeError("not today")

    items = values


def nested(levels, inside=0):
    for _ in range(levels):
        inside = [inside]
    return inside


def shared(levels):
    value = []
    for _ in range(levels):
        value = [value, value]
    return value


CYCLE = [1]
CYCLE.append({"again": CYCLE})

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**290, max_value=10**320),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(),
    st.text(st.characters(categories=["Cs"]), max_size=3),
    st.binary(),
    st.datetimes(),
    st.decimals(),
    st.complex_numbers(),
    st.sets(st.integers(), max_size=3),
    st.builds(Hostile),
    st.builds(Point, st.floats(), st.none()),
    st.just(CYCLE),
    st.just(Words.A),
    st.just(Numbers.ONE),
    st.just(OddDict(a=1)),
)
keys = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers().map(str), st.text(max_size=3),
    st.text(st.characters(categories=["Cs"]), max_size=2), st.floats(), st.binary(max_size=3),
    st.sampled_from([Same(), Same(), Hostile(), Words.A, Numbers.ONE, "1", 1, "None", "null"]),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(keys, inner, max_size=5),
        st.tuples(inner, inner),
        st.builds(Context, inner),
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(values)
def test_any_value_passes_a_strict_parser(value):
    """Whatever a context holds, the JSON passes a parser that takes no NaN and no twin keys."""
    strict_loads(to_json(value))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, st.integers(0, 9), max_size=8))
def test_no_entry_of_a_dict_is_lost(value):
    """A dict whose keys are the same as text keeps all its entries."""
    assert len(strict_loads(to_json(value))) == len(value)


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False, allow_infinity=False), st.text(),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_what_json_can_say_stays_what_it_is(value):
    """A JSON value comes back as itself."""
    assert strict_loads(to_json(value)) == value


@pytest.mark.parametrize("levels", [1, 100, MAX_DEPTH])
def test_nesting_is_kept_exactly(levels):
    """A hundred levels and more are kept as they are."""
    assert strict_loads(to_json(nested(levels))) == nested(levels)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 10_000])
def test_deeper_nesting_is_cut(levels):
    """What nests deeper than parsers take is cut where they would give up."""
    found, depth = strict_loads(to_json(nested(levels))), 0
    while isinstance(found, list):
        found, depth = found[0], depth + 1
    assert (depth, found) == (MAX_DEPTH, "[...]")


def test_dicts_within_dicts_are_cut_too():
    """Deep dicts are cut as deep lists are."""
    value = {}
    for _ in range(1000):
        value = {"k": value}
    assert b'"{...}"' in to_json(value)


def test_contexts_within_do_not_count_as_levels():
    """A Context within is its value, at no level of its own."""
    value = 0
    for _ in range(100):
        value = [Context(value)]
    assert strict_loads(to_json(Context(value))) == nested(100)


def test_a_cycle_ends():
    """A value that holds itself is written once."""
    assert strict_loads(to_json(CYCLE)) == [1, {"again": "[...]"}]


def test_a_dict_that_holds_itself_ends():
    """A dict within itself is written once."""
    value = {}
    value["me"] = value
    assert strict_loads(to_json(value)) == {"me": "{...}"}


def test_the_same_list_twice_is_no_cycle():
    """A value that occurs twice side by side is written twice."""
    one = {1: "a"}
    assert strict_loads(to_json([one, one])) == [{"1": "a"}, {"1": "a"}]


@pytest.mark.parametrize("value", [shared(60), {1: shared(12)}, Context(shared(100))])
def test_few_lists_that_stand_for_many_do_no_harm(value):
    """Lists that share parts, and would fill any memory as text, end in bounded time."""
    assert strict_loads(to_json(value, limit=10_000)) == {"message": "Context size exceeded"}


@pytest.mark.parametrize(
    "value",
    ["x" * 20 * 2**20, ["y" * 20 * 2**20], {"k" * 2**23: 1}],
    ids=["text", "list", "key"],
)
def test_twenty_megabytes_are_not_written_out(value):
    """A value that fits into no body is replaced before its JSON is made."""
    assert to_json(value) == EXCEEDED


def test_a_value_at_the_limit_is_kept():
    """The limit is the length of the JSON, not an estimate of it."""
    assert len(to_json("x" * (MAX_SIZE - 2))) == MAX_SIZE
    assert to_json("x" * (MAX_SIZE - 1)) == EXCEEDED


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_the_limit_is_exact(value):
    """Whatever the value, its own length is enough of a limit, and one less is not."""
    size = len(to_json(value))
    assert to_json(value, limit=size) == to_json(value)
    if value is not None and type(value) is not int:  # these are never large
        assert to_json(value, limit=size - 1) == EXCEEDED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        ([1.5, math.nan], [1.5, "nan"]),
        (b"\x00\xff", "b'\\x00\\xff'"),
        ("\ud800 half", "\ufffd half"),
        (dict([("\ud800", 1), ("\udfff", 2)]), {"\ufffd": 1, "\ufffd (str)": 2}),  # noqa: C406 - as a literal its keys look the same to ruff
        ({1: "a", "1": "b"}, {"1": "a", "1 (str)": "b"}),
        ({True: 1, None: 2}, {"true": 1, "null": 2}),
        ({Words.A: 1, 2: 2}, {"a": 1, "2": 2}),
        ({Numbers.ONE: 1}, {"1": 1}),
        (Words.A, "a"),
        (Numbers.ONE, 1),
        (Row(1, [2]), [1, [2]]),
        ((1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Context({"a": Context([1])}), {"a": [1]}),
        (Context(None), None),
        (PurePosixPath("/tmp/x"), "/tmp/x"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (Point(1.0, None), "Point(x=1.0, y=None)"),
        ({7}, "{7}"),
        (Hostile(), "<Hostile>"),
        ([Mute(), 1], ["<Mute>", 1]),
        ({Mute(): 1}, {"<Mute>": 1}),
        (Point(1.0, Mute()), "<Point>"),
        (OddDict(a=1), "<OddDict>"),
        (10**299, 10**299),
        (10**5000, "<int>"),
        ([10**400], [str(10**400)]),
        ({10**5000: 1}, {"<int>": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_values(value, expected):
    """Each odd value has one known form."""
    assert strict_loads(to_json(value)) == expected


def test_many_keys_with_one_text_take_no_time():
    """Ten thousand keys that are the same as text stay ten thousand, in short time."""
    found = strict_loads(to_json({Same(): index for index in range(10_000)}))
    assert list(found.values()) == list(range(10_000))


def test_utf8_is_written_as_itself():
    """Letters are sent as UTF-8, not as escapes."""
    assert to_json("żółw 🐢") == json.dumps("żółw 🐢", ensure_ascii=False).encode()
