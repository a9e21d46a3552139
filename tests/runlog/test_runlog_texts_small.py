"""Small values are written by the shortest way, which says what the long way says."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dotflow.runlog.texts import FEW_PARTS, SHORT_TEXT, SMALL, Texts, has_words
from dotflow.utils import masking

NAMES = ["ok", "rows", "name", "token", "password", "api_key", "e", "größe", "a b", "://", "1"]
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["token=hunter2", "https://ada:p@host", "x"])
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.one_of(
    LEAVES,
    st.lists(LEAVES, max_size=5),
    st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=5),
)


def long_way(value, whole_values=None):
    """What a Texts says that has no room for the short one's promise."""
    return Texts(whole_values=whole_values, limit=SMALL - 1).of("current", value)


@given(VALUES, st.booleans())
def test_the_short_way_says_what_the_long_one_does(value, whole):
    """With and without masks, also the second time, when the keys are known."""
    for _ in range(2):
        assert Texts(whole_values=whole).of("current", value) == long_way(value, whole)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"ok": True, "rows": 3, "part": 0.5, "none": None}, False),
        ([1, 2.5, None], False),
        ((1, "a"), True),
        ({"ok": "yes"}, True),
        ("text", True),
        (None, False),
        ({"token": 1}, None),
        ({"never seen before": 1}, None),
        ({1: 1}, None),
        ([[]], None),
        ([math.nan], None),
        ([2**63], None),
        (list(range(FEW_PARTS + 1)), None),
        ("x" * (SHORT_TEXT + 1), None),
        (b"x", None),
    ],
)
def test_what_is_small(value, expected):
    """Few parts, without parts of their own, under keys that are known to be no credential's."""
    for name in ("ok", "rows", "part", "none", "token"):
        masking.verdict(name)
    assert has_words(value) is expected


def test_no_small_value_is_larger_than_is_said():
    """Of the longest keys and texts, with the longest escapes, the text has its room."""
    keys = ["\U0001d538" * (masking.MAX_KEY - 2) + f"{number:02}" for number in range(FEW_PARTS)]
    value = dict.fromkeys(keys, "\x01" * SHORT_TEXT)
    for key in keys:
        masking.verdict(key)
    assert has_words(value) is True
    assert len(json.dumps(value, ensure_ascii=False).encode()) <= SMALL
