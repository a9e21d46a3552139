"""Values of every kind that a context may hold, those that are hard to write down too."""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple

from hypothesis import strategies as st

from dotflow import Context


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

json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False, allow_infinity=False), st.text(),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
