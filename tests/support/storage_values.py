"""Values that JSON does not say, or only almost; and values whose own code is hostile."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import math
import threading
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import BaseModel

from dotflow import Context


@dataclasses.dataclass
class Point:
    x: float
    y: object = None


class Model(BaseModel):
    name: str
    sizes: set[int]


class Row(NamedTuple):
    a: int
    b: object


class Number(enum.IntEnum):
    ONE = 1


class Word(str, enum.Enum):
    A = "a"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Table(dict):
    pass


def shared():
    row = {"a": 1}
    return [row, row]


def within_itself():
    value = [1]
    value.append(value)
    return value


def twofold(levels):
    """A list that as a tree has two to the power of `levels` ends."""
    value = [0]
    for _ in range(levels):
        value = [value, value]
    return value


NO_JSON = [
    Decimal("0.10000000000000000000001"),
    Decimal(100),
    Fraction(1, 3),
    1 + 2j,
    PurePosixPath("007"),
    Path("null"),
    (1, 2),
    (),
    [1, (2,)],
    {"a": {"b": (1,)}},
    {1, 2},
    frozenset({"a"}),
    {1: "a"},
    {True: 1, None: 2},
    {"a": {1.5: 2}},
    b"123",
    bytearray(b"1"),
    uuid.UUID(int=5),
    dt.date(2026, 1, 2),
    dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.timezone.utc),
    dt.timedelta(seconds=1),
    Number.ONE,
    [Number.ONE],
    {"a": Word.A},
    {Word.A: 1},
    Text("a"),
    {Text("a"): 1},
    Whole(3),
    [Table(a=1)],
    collections.OrderedDict(a=1),
    collections.defaultdict(list, a=[1]),
    collections.Counter("aab"),
    collections.deque([1], maxlen=3),
    Row(1, {2}),
    [Row(1, 2)],
    Point(1.0, {"a"}),
    Model(name="m", sizes={1, 2}),
    "\ud800\udc00",
    ["\udc00"],
    {"\ud83d\ude00": 1},
    10**5000,
    range(3),
    (Context(1, 0), Context(2, 1)),
    ValueError("x", 1),
]
"""Each is another one, or of another type, once it has been JSON."""

JSON = [
    -0.0, math.nan, math.inf, -math.inf, 1.0, 1, True, 10**400, 2**53 + 1, 5e-324, 0.1 + 0.2,
    "123", "null", "\u2028 \x00 \\ \" é 😀", [[], {}, ""], {"": {"": [None, False, 0, 0.0]}},
    ["x" * 2000] * 2, [[1]] * 3, shared(),
]  # fmt: skip
"""Each is the same once it has been JSON."""


def same(one, other):
    """Whether two values are equal and of the same types, all the way down."""
    return type(one) is type(other) and _equal(one, other)


def _equal(one, other):
    if isinstance(one, Context):
        return one.task_id == other.task_id and same(one.storage, other.storage)
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (float, BaseException)):
        return repr(one) == repr(other)
    return one == other


class Raising:
    """Raises something when it is pickled or, with "read", unpickled."""

    def __init__(self, error, when="written"):
        self.error, self.when = error, when

    def __getstate__(self):
        if self.when == "written":
            raise self.error
        return (self.error, "read")

    def __setstate__(self, state):
        raise state[0]


go_on = threading.Event()
"""Set at the end of a test, for what hangs to end."""


class Hanging(Raising):
    """Does not end when it is pickled or, with "read", unpickled."""

    def __init__(self, when="written"):
        super().__init__(ValueError("went on"), when)

    def __getstate__(self):
        if self.when == "written":
            go_on.wait()
        return super().__getstate__()

    def __setstate__(self, state):
        go_on.wait()


class Endless:
    """Has more and more in it as it is pickled."""

    def __reduce__(self):
        def items():
            while True:
                yield "x" * 1000

        return list, (), None, items()


class Changing:
    """Is pickled as something else."""

    def __reduce__(self):
        return list, ()


class Unhashable(type):
    """The class of classes that raise what ends a program as they are compared or hashed."""

    def __eq__(cls, *_):
        raise KeyboardInterrupt

    __hash__ = __eq__


class Odd(metaclass=Unhashable):
    def __init__(self):
        self.a = 1

    @property
    def __class__(self):
        raise KeyboardInterrupt

    def __eq__(self, *_):
        raise KeyboardInterrupt

    __hash__ = None
    __bool__ = __len__ = __iter__ = __str__ = __repr__ = __eq__


class Planted:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return open, ("planted", "w")


def check_values_and_keys(make, keys):
    """Whatever the key and the value, it comes back, is listed, and is deleted alone.

    Args:
        make: Makes a storage of one place, another object each time.
        keys: Some of them, with "a[bc]", "a/b", "ab" and "a*b?", and no others that begin with "a".

    Returns:
        One of the storages, with four keys less.
    """
    values = [None, [1, Context(2, 1)], {1, 2}, Point(1), "ü", {"a": [1]}, (1,), b"\0" * 100_000]
    storage, other = make(), make()
    for number, key in enumerate(keys):
        storage.post(key, Context(values[number % len(values)]), ttl=1000 if number % 2 else None)
    assert sorted(other.list_keys("")) == sorted(keys)
    for number, key in enumerate(keys):
        kept, value = other.get(key).storage, values[number % len(values)]
        assert [type(one) for one in kept] == [int, Context] if number % 8 == 1 else kept == value
    assert storage.delete("a[bc]")
    assert sorted(other.list_keys("a")) == ["a*b?", "a/b", "ab"]
    assert other.delete_prefix("a") == 3
    return other
