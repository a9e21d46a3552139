"""The server that the environment asks for."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from dotflow import Config
from dotflow.core.exception import NotCallableObject
from dotflow.providers import ServerAPI, ServerDefault
from dotflow.providers.environment import server_from_environment
from dotflow.providers.server_none import ServerNone

MANAGED = ("SERVER_BASE_URL", "SERVER_USER_TOKEN")
DEFAULT = ("DOTFLOW_SERVER_URL", "DOTFLOW_USER_TOKEN")
URL, TOKEN = "http://127.0.0.1:9", "secret-token"


def _set(monkeypatch, pair, url=URL, token=TOKEN):
    monkeypatch.setenv(pair[0], url)
    monkeypatch.setenv(pair[1], token)


def _closed(server):
    server.close(0)
    return server


@pytest.mark.parametrize(
    ("pairs", "cls"),
    [
        ([], ServerDefault),
        ([MANAGED], ServerAPI),
        ([DEFAULT], ServerDefault),
        ([MANAGED, DEFAULT], ServerAPI),
    ],
)
def test_a_pair_of_variables_is_a_server(monkeypatch, caplog, pairs, cls):
    """The managed pair is a ServerAPI, the other a ServerDefault, neither one that is idle."""
    for pair in pairs:
        _set(monkeypatch, pair)
    server = _closed(Config().server)
    assert type(server) is cls
    assert (server._channel is not None) is bool(pairs)
    assert caplog.text == ""


@pytest.mark.parametrize("pair", [MANAGED, DEFAULT])
@pytest.mark.parametrize("there", [0, 1])
def test_half_a_pair_is_warned_of(monkeypatch, caplog, pair, there):
    """Half a pair reports nothing, and one warning names the variable that is missing."""
    monkeypatch.setenv(pair[there], URL if there == 0 else TOKEN)
    server = server_from_environment()
    assert type(server) is ServerDefault
    assert server._channel is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{pair[1 - there]} is not" in record.getMessage()
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("pair", [MANAGED, DEFAULT])
def test_a_wrong_address_does_not_hurt_the_work(monkeypatch, caplog, pair):
    """An address that is none is warned of, naming its variable, and nothing is reported."""
    _set(monkeypatch, pair, url="localhost:3000")
    assert server_from_environment()._channel is None
    (record,) = caplog.records
    assert pair[0] in record.getMessage()
    assert "localhost:3000" in record.getMessage()
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("value", ["otel", " OTel "])
def test_otel_by_name(monkeypatch, value):
    """DOTFLOW_SERVER=otel is ServerOtel, whatever else is set."""
    made = type("ServerOtel", (ServerNone,), {})
    module = ModuleType("dotflow.otel")
    module.ServerOtel = made
    monkeypatch.setitem(sys.modules, "dotflow.otel", module)
    monkeypatch.setenv("DOTFLOW_SERVER", value)
    _set(monkeypatch, MANAGED)
    assert type(server_from_environment()) is made


def test_an_unknown_server_is_warned_of(monkeypatch, caplog):
    """Another value of DOTFLOW_SERVER is ignored, with a warning that names it."""
    monkeypatch.setenv("DOTFLOW_SERVER", "bogus")
    assert type(server_from_environment()) is ServerDefault
    assert "'bogus'" in caplog.text


@pytest.mark.parametrize(
    ("value", "cls", "reports"),
    [
        ("", ServerAPI, True),
        ("auto", ServerAPI, True),
        ("api", ServerAPI, True),
        (" Default ", ServerDefault, True),
        ("none", ServerNone, False),
    ],
)
def test_the_choice_by_name(monkeypatch, caplog, value, cls, reports):
    """DOTFLOW_SERVER picks one of the two pairs, or neither, without a warning."""
    monkeypatch.setenv("DOTFLOW_SERVER", value)
    _set(monkeypatch, MANAGED)
    _set(monkeypatch, DEFAULT)
    server = _closed(server_from_environment())
    assert type(server) is cls
    assert (getattr(server, "_channel", None) is not None) is reports
    assert caplog.text == ""


@pytest.mark.parametrize(("value", "pair", "other"), [("api", MANAGED, DEFAULT),
                                                      ("default", DEFAULT, MANAGED)])  # fmt: skip
@pytest.mark.parametrize("half", [False, True])
def test_a_choice_whose_variables_are_missing(monkeypatch, caplog, value, pair, other, half):
    """Nothing is reported, to the other pair neither, and one warning names the variables."""
    monkeypatch.setenv("DOTFLOW_SERVER", value)
    _set(monkeypatch, other)
    if half:
        monkeypatch.setenv(pair[0], URL)
    server = server_from_environment()
    assert getattr(server, "_channel", None) is None
    (record,) = caplog.records
    assert pair[1] in record.getMessage()


def test_a_server_given_in_code_wins(monkeypatch):
    """The environment is not asked where a server is given."""
    _set(monkeypatch, MANAGED)
    server = ServerNone()
    assert Config(server=server).server is server


@pytest.mark.parametrize("value", ["none", " None "])
def test_none_wins_over_code(monkeypatch, value):
    """DOTFLOW_SERVER=none has nothing be reported, whatever server a program gives."""
    monkeypatch.setenv("DOTFLOW_SERVER", value)
    given = ServerDefault(URL, TOKEN)
    config = Config(server=given)
    _closed(given)
    assert type(config.server) is ServerNone
    assert config.listener() is None
    with pytest.raises(NotCallableObject, match="server"):
        Config(server="no server at all")
