"""Any value becomes JSON that a strict parser takes."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import OrderedDict, defaultdict
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_values import (
    CYCLE,
    Hostile,
    Mute,
    Numbers,
    OddDict,
    Point,
    Row,
    Same,
    Words,
    json_values,
    keys,
    nested,
    shared,
)
from support.fault_server import strict_loads

from dotflow import Context
from dotflow.runlog.plain import MAX_DEPTH
from dotflow.runlog.texts import EXCEEDED, MAX_SIZE, Texts


def to_json(value, limit=MAX_SIZE):
    return Texts(whole_values=True, limit=limit).of("current", value).encode()


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, st.integers(0, 9), max_size=8))
def test_no_entry_of_a_dict_is_lost(value):
    """A dict whose keys are the same as text keeps all its entries."""
    assert len(strict_loads(to_json(value))) == len(value)


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
    assert to_json(value) == EXCEEDED.encode()


def test_a_value_at_the_limit_is_kept():
    """The limit is the length of the JSON, not an estimate of it."""
    assert len(to_json("x" * (MAX_SIZE - 2))) == MAX_SIZE
    assert to_json("x" * (MAX_SIZE - 1)) == EXCEEDED.encode()


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
        (OddDict(a=1), {"a": 1}),
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
