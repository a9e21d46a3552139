"""What the SDK itself says of exceptions, on spans that a step opens, names no credential."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from dotflow import DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

SECRET, FREE = "hunter2", "a free text"


@action(retry=2, retry_delay=0)
def nested():
    """A span that an exception leaves: the SDK records it, and says it in the status."""
    with trace.get_tracer("user").start_as_current_span("inner"):
        raise ValueError(f"cannot log in with password={SECRET}, said {FREE}")


@action
def recorded():
    """A step that records an exception on its own span, and goes on."""
    span = trace.get_current_span()
    span.record_exception(ValueError(f"token={SECRET}"))
    span.set_status(StatusCode.ERROR, f"secret: {SECRET}")
    return "fine"


@action
def plain():
    with trace.get_tracer("user").start_as_current_span("calm"):
        trace.get_current_span().set_attribute("note", "as it is")
        trace.get_current_span().add_event("exception", {"exception.message": "plain"})


def hide(role, text):
    assert role == "error"
    return text.replace(FREE, "[hidden]")


def run(otlp, quiet, mode="sequential", start_method="fork", **kwargs):
    server = ServerOtel(endpoint=otlp.http_url, **kwargs)
    flow = DotFlow(config=quiet(server), name="etl")
    for step in (nested, recorded, plain):
        flow.task.add(step)
    flow.start(mode=mode, keep_going=True, start_method=start_method)
    assert server.close(30).complete
    return otlp.spans


def of_a(name, spans):
    return [span for span in spans if span.name == name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "start_method"),
    [("sequential", "fork"), ("parallel", "fork"), ("parallel", "spawn")],
)
def test_exceptions_of_other_spans_name_no_credential(otlp, quiet, mode, start_method):
    """Neither in the event, its traceback, nor the status; whatever process ended the span."""
    spans = run(otlp, quiet, mode, start_method)
    assert SECRET not in repr(spans)
    inner = of_a("inner", spans)
    assert len(inner) == 2
    for span in inner:
        assert f"password=***, said {FREE}" in span.message
        assert f"password=***, said {FREE}" in span.events[0][1]["exception.message"]
        assert "Traceback" in span.events[0][1]["exception.stacktrace"]
    [span] = of_a("recorded", spans)
    if mode == "sequential":  # a child has the task's span by its context alone
        assert span.events[0][1]["exception.message"] == "token=***"
    [span] = of_a("calm", spans)
    assert span.attributes == {"note": "as it is"}
    assert span.events == [("exception", {"exception.message": "plain"})]


@pytest.mark.slow
@pytest.mark.parametrize(("start_method", "said"), [("fork", "said [hidden]"), ("spawn", "***")])
def test_redact_is_asked_of_them(otlp, quiet, start_method, said):
    """Where a process does not have the function, what it would have shaped is not said."""
    spans = run(otlp, quiet, "parallel", start_method, redact=hide)
    assert FREE not in repr(spans).replace("said {FREE}", "")
    for span in of_a("inner", spans):
        assert said in span.message
        assert said in span.events[0][1]["exception.message"]


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_whole_values_are_whole_there_too(otlp, quiet, start_method):
    """Who wants them has them."""
    spans = run(otlp, quiet, "parallel", start_method, whole_values=True)
    assert all(f"password={SECRET}" in span.message for span in of_a("inner", spans))


@pytest.mark.slow
def test_the_run_log_does_not_name_it_either(otlp, quiet, monkeypatch, tmp_path):
    """What waits on the disk for an endpoint that is away is worded already."""
    otlp.is_away = True
    server = ServerOtel(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add([nested, recorded])
    flow.start(keep_going=True)
    assert not server.close(2).complete
    written = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*.*"))
    assert b"inner" in written
    assert SECRET.encode() not in written


def test_another_server_has_its_own_way(otlp, quiet):
    """What a server decided ends with it, on a provider that the next one uses too."""
    run(otlp, quiet, redact=hide)
    otlp.clear()
    spans = run(otlp, quiet, whole_values=True)
    assert all(f"password={SECRET}, said {FREE}" in one.message for one in of_a("inner", spans))


def test_log_lines_of_the_same_run(otlp, quiet):
    """The step's own exception is worded in its log lines as in its spans."""
    server = ServerOtel(endpoint=otlp.http_url, redact=hide)
    config = quiet(server)
    config.log = LogDefault(output="file", path="flow.log")
    flow = DotFlow(config=config)
    flow.task.add(nested)
    flow.start()
    server.close(30)
    lines = Path("flow.log").read_text()
    assert SECRET not in lines
    assert "said [hidden]" in lines
