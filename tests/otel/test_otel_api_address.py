"""To which dotflow-api an exporter reports, and what it says of it."""

from __future__ import annotations

import pytest

from dotflow.otel import DotflowSpanExporter

TOKEN = "a-token-of-the-tests"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DOTFLOW_SERVER_URL": "http://a", "DOTFLOW_USER_TOKEN": "t"}, ("http://a", "default")),
        ({"SERVER_BASE_URL": "http://b/", "SERVER_USER_TOKEN": "t"}, ("http://b", "managed")),
        (
            {"DOTFLOW_SERVER_URL": "http://a", "DOTFLOW_USER_TOKEN": "t",
             "SERVER_BASE_URL": "http://b", "SERVER_USER_TOKEN": "t"},
            ("http://b", "managed"),
        ),
    ],
)  # fmt: skip
def test_the_variables_choose_the_dialect(variables, expected, monkeypatch):
    """Whose pair is set is whose dialect is spoken; a managed run goes before."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = DotflowSpanExporter()
    destination = exporter.channel.destination
    exporter.shutdown()
    assert (destination.url, destination.dialect.value) == expected


def test_an_exporter_without_a_server_says_what_to_set():
    """The error names the arguments and the variables."""
    with pytest.raises(ValueError, match="DOTFLOW_SERVER_URL"):
        DotflowSpanExporter()


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused_at_the_border(url, servers):
    """What cannot work is said when it is given."""
    with pytest.raises(ValueError, match="https://host"):
        servers(url, TOKEN)


def test_the_token_is_in_no_repr(api, servers):
    """Nobody prints it by accident."""
    server = servers(api.url, TOKEN)
    exporter = DotflowSpanExporter(api.url, TOKEN)
    exporter.shutdown()
    assert TOKEN not in repr(vars(server)) + repr(vars(exporter)) + repr(vars(exporter.channel))
