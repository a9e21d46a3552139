"""DOTFLOW_TRACE_URL: where people see a trace."""

from __future__ import annotations

import pytest

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.utils import trace_link as module
from dotflow.utils.trace_link import trace_link

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def nothing_said():
    module._is_usable.cache_clear()


@action
def step():
    return 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://jaeger/trace/{trace_id}", f"https://jaeger/trace/{TRACE}"),
        ("http://[::1]:16686/trace/{trace_id}?uiEmbed", f"http://[::1]:16686/trace/{TRACE}?uiEmbed"),
        # Grafana has braces of its own.
        ('https://grafana/explore?left={"q":"{trace_id}"}',
         f'https://grafana/explore?left={{"q":"{TRACE}"}}'),
    ],
)  # fmt: skip
def test_the_id_is_put_in_its_place(given, expected, monkeypatch):
    """All else of the address stays as it is."""
    monkeypatch.setenv("DOTFLOW_TRACE_URL", given)
    assert trace_link(TRACE) == expected
    assert trace_link(None) is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("https://jaeger/trace/", "has no {trace_id}"),
        ("jaeger/trace/{trace_id}", "is no http or https address"),
        ("javascript:alert('{trace_id}')", "is no http or https address"),
        ("https://[jaeger/{trace_id}", "is no address"),
        ("https://ada:hunter2@jaeger/{trace_id}", "has a user or a password"),
        ("https://jaeger/{trace_id}\nworkflow  x", "has a blank or a control character"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_of_once(given, reason, monkeypatch, caplog):
    """There are no links then; one line names the variable and the remedy, and no password."""
    monkeypatch.setenv("DOTFLOW_TRACE_URL", given)
    assert trace_link(TRACE) is None
    assert trace_link(TRACE) is None
    [line] = caplog.messages
    assert line.startswith(f"DOTFLOW_TRACE_URL {reason}")
    assert "as https://jaeger.example/trace/{trace_id}" in line
    assert "hunter2" not in line


def test_a_manager_has_the_link_of_its_run(monkeypatch):
    """It leads to the trace of the run; without a trace there is none."""
    monkeypatch.setenv("DOTFLOW_TRACE_URL", "https://jaeger/trace/{trace_id}")
    with_trace = DotFlow(config=Config(server=ServerOtel(set_global=False)), name="seen")
    with_trace.task.add(step)
    manager = with_trace.start()
    assert manager.trace_url == f"https://jaeger/trace/{manager.trace_id}"
    without = DotFlow(name="unseen")
    without.task.add(step)
    assert without.start().trace_url is None
