"""Credentials in values of every kind, and values that never say their words."""

from __future__ import annotations

import collections
import dataclasses
import json
import threading
import types
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from dotflow.runlog import shown
from dotflow.runlog.texts import LEAD, MAX_ERROR_TEXT, Texts

NEEDLE = "hunter2"


class Row(NamedTuple):
    user: str
    api_key: str


@dataclasses.dataclass
class Settings:
    user: str
    password: str


class Model(BaseModel):
    user: str = "ada"
    token: str = NEEDLE


class Table:
    """As a DataFrame is shown."""

    def __str__(self):
        return f"  user password\n0  ada  {NEEDLE}"


class Fields:
    """Lines that each name their value."""

    def __str__(self):
        return f"user: ada\npassword: {NEEDLE}"


class Odd(dict):
    def items(self):
        raise RuntimeError


def text_of(value, **kwargs):
    return Texts(**kwargs).of("current", value)


@pytest.mark.parametrize(
    "value",
    [
        Row("ada", NEEDLE),
        [Row("ada", NEEDLE)],
        type("More", (Row,), {})("ada", NEEDLE),
        collections.namedtuple("Old", "id, db_password")(1, NEEDLE),  # noqa: PYI024
        Settings("ada", NEEDLE),
        {"settings": [Settings("ada", NEEDLE)]},
        Model(),
        types.SimpleNamespace(password=NEEDLE),
        types.MappingProxyType({"password": NEEDLE}),
        collections.ChainMap({"password": NEEDLE}),
        collections.UserDict(password=NEEDLE),
        Odd(password=NEEDLE),
        [("Authorization", f"Bearer {NEEDLE}")],
        ["mysql", "--password", NEEDLE, "db"],
        ("curl", "--proxy-password", NEEDLE),
        {"Api-Key": NEEDLE, "API KEY": NEEDLE, "X-AUTH": NEEDLE, "dbPassword": NEEDLE},
        {"AUTH": ("ada", NEEDLE), "db_pass": NEEDLE, "jwt": NEEDLE, "passphrase": NEEDLE},
        f"postgres://ada:{NEEDLE}@host/db",
        {"dsn": f"postgres://ada:{NEEDLE}@host/db"},
        {f"postgres://ada:{NEEDLE}@host/db": 1},
        [f"failed: token={NEEDLE}"],
        f'{{"password": "{NEEDLE}", "n": 1}}',
        {f"password={NEEDLE}"},
        frozenset({f"amqp://ada:{NEEDLE}@host"}),
        collections.deque([{"a": {"password": NEEDLE}}]),
        f'{{"password": "{NEEDLE}"}}'.encode(),
        bytearray(f"password={NEEDLE}".encode()),
        Path(f"/run/token={NEEDLE}"),
        Table(),
        [Table(), 1],
        Fields(),
        ("a", {"b": (f"secret: {NEEDLE}",)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_credential_is_in_no_text(value):
    """Wherever a value has it beside its name it is masked, and shown where a user wants that."""
    assert NEEDLE not in text_of(value)
    assert NEEDLE in text_of(value, whole_values=True)


def test_what_is_no_credential_stays():
    """What is around a credential is said, and a value without one is as it was."""
    assert json.loads(text_of(Row("ada", NEEDLE))) == ["ada", "***"]
    assert json.loads(text_of(["mysql", "--password", NEEDLE, "db"]))[::3] == ["mysql", "db"]
    assert json.loads(text_of(["--token", "--verbose"])) == ["--token", "--verbose"]
    assert json.loads(text_of(Table())) == "<Table>"
    assert json.loads(text_of(Fields())) == "user: ada\npassword: ***"
    for value in ({"author": "a", "keys": [1], "compass": "n"}, ["the token is bad"], [("a", "b")]):
        assert json.loads(text_of(value)) == json.loads(json.dumps(value))


def test_very_many_credentials_cost_no_more_than_many():
    """Beyond a measure texts that name one are masked whole, and none is said."""
    texts = json.loads(text_of([f"{number}: password={NEEDLE}" for number in range(10_000)]))
    assert texts[0] == "0: password=***"
    assert texts[-1] == "***"
    keyed = json.loads(text_of({f"a:{number} password": NEEDLE for number in range(10_000)}))
    assert set(keyed.values()) == {"***"}


# Errors.


class Said:
    attempt, exception, error_type = 1, "ValueError", "ValueError"

    def __init__(self, message, traceback=""):
        self.message, self.traceback = message, traceback


SECRET_PARTS = [
    "password='{}'", '{{"token": "{}"}}', "postgres://ada:{}@host", "Authorization: Bearer {}",
    "secret: {}",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("part", SECRET_PARTS)
@pytest.mark.parametrize("limit", [MAX_ERROR_TEXT // 2, MAX_ERROR_TEXT, LEAD, 2 * LEAD])
def test_a_cut_bares_no_half_of_a_credential(part, limit):
    """Wherever a long text is cut, at both ends, a piece of what is masked is not left."""
    secret = part.format("".join(f"hunter{number:02}" for number in range(20)))
    for offset in range(-len(secret) - 8, 8, 7):
        begin = "x " * ((limit + offset) // 2) + secret + " y" * MAX_ERROR_TEXT * 3
        end = "x " * MAX_ERROR_TEXT * 3 + secret + " y" * ((limit + offset) // 2)
        for text in (begin, end):
            said = Texts().of_error(Said(text, text))
            assert "hunter" not in said, (part, limit, offset)


def test_redact_is_asked_once_an_error():
    """The words of one error are the same at each turn, and asked for once."""
    asked = []
    made = Texts(redact=lambda role, text: asked.append((role, text)) or "r")
    error = Said("message", "traceback")
    assert made.of_error(error) == made.of_error(error)
    assert made.words_of(error) == ("r", "r")
    assert asked == [("error", "message"), ("error", "traceback")]


# What never ends.

over = threading.Event()


class Endless:
    def __str__(self):
        over.wait(3600)
        return "at last"


@pytest.fixture
def impatient(monkeypatch):
    shown._answers.clear()
    monkeypatch.setattr(shown, "PATIENCE", 0.2)
    over.clear()
    yield
    over.set()
    shown._answers.clear()


@pytest.mark.usefixtures("impatient")
def test_a_text_that_never_comes_is_the_name_of_its_type():
    """It is waited for once; from then on the type is not asked."""
    assert json.loads(text_of({"a": Endless()})) == {"a": "<Endless>"}
    before = threading.active_count()
    assert json.loads(text_of([Endless()] * 3)) == ["<Endless>"] * 3
    assert threading.active_count() == before


class Loud:
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


@pytest.mark.usefixtures("impatient")
def test_whatever_a_text_raises_is_the_name_of_its_type():
    """Also what ends a program, in a container too."""
    assert json.loads(text_of([Loud(), {Loud}, {"k": {"s": {Loud()}}}]))[0] == "<Loud>"
