"""Contexts as span attributes: bounded, masked, valid, and never a reason to fail."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dotflow import Config, Context, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.otel.spans.values import ContextText
from dotflow.providers import LogDefault


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("it cannot be said")


def cycle():
    value = {"a": 1}
    value["itself"] = [value]
    return value


def deep(levels):
    value = "bottom"
    for _ in range(levels):
        value = [value]
    return value


ODD = {
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "bytes": lambda: b"\xff\x00",
    "half a surrogate pair": lambda: "\ud800 alone",
    "a repr that raises": Unspeakable,
    "a cycle": cycle,
    "100 levels": lambda: deep(100),
    "2000 levels": lambda: deep(2000),
    "a huge number": lambda: 10**5000,
    "a set": lambda: {1, 2},
    "keys that are no strings": lambda: {1: "a", "1": "b", (2, 3): "c", None: Unspeakable()},
    "a Context": lambda: Context({"in": "side"}),
    "a megabyte": lambda: "x" * 2**20,
}
# By name: hypothesis shows what it draws.
odd = st.sampled_from(sorted(ODD)).map(lambda name: ODD[name]())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | odd,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)


def write(value, **kwargs):
    return ContextText(**kwargs).write("current", Context(value))


def spoken(text):
    def refuse(name):
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@given(values)
@settings(max_examples=200, deadline=None)
def test_any_value_is_written_as_json(value):
    """Whatever a step returns, the text is valid JSON unless it was cut, and never too long."""
    text, truncated = write(value)
    assert len(text) <= 4096
    text.encode()
    if not truncated:
        spoken(text)


@given(values)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_reporting_never_changes_or_fails_a_run(value):
    """With any result the run completes, the result is the same object, and its span is there."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server = ServerOtel(tracer_provider=provider)
    config = Config(server=server, log=LogDefault(level="ERROR"))
    flow = DotFlow(config=config)

    @action
    def give():
        return {"value": value}

    flow.task.add(give, initial_context=value)
    flow.start()
    assert flow.result_task()[0].status == "Completed"
    assert flow.result_storage()[0]["value"] is value
    assert not config.guard.failures
    assert len(exporter.get_finished_spans()) == 2
    server.close()
    provider.shutdown()


def test_twenty_megabytes_cost_what_the_limit_costs():
    """A huge value is cut after the limit, not written first."""
    seen = []

    class Rows(list):
        def __iter__(self):
            for row in super().__iter__():
                seen.append(row)
                yield row

    text, truncated = write(Rows(["x" * 1000] * 20_000))
    assert truncated
    assert len(text) == 4096
    assert len(seen) < 10


@pytest.mark.parametrize("value", ["x" * 20_000_000, b"x" * 20_000_000])
def test_long_texts_and_bytes_are_cut(value):
    """Only their beginning is looked at."""
    text, truncated = write(value)
    assert (len(text), truncated) == (4096, True)


def test_values_of_credential_like_keys_are_masked():
    """What a key calls a secret is not shown, at any depth."""
    text, _ = write(
        {"user": "ada", "Password": "p", "nested": [{"api_key": ["k"], "AUTHORIZATION": "b"}]}
    )
    assert spoken(text) == {
        "user": "ada", "Password": "***", "nested": [{"api_key": "***", "AUTHORIZATION": "***"}],
    }  # fmt: skip


def test_redact_decides_what_is_shown():
    """The hook gets the role and the value, and what it returns is written."""
    assert write({"iban": "DE1"}, redact=lambda role, value: {role: sorted(value)})[0] == (
        '{"current": ["iban"]}'
    )


def test_a_redact_that_raises_hides_the_value():
    """Its fault shows nothing of what it was to hide."""

    def broken(role, value):
        raise KeyError(role)

    text, _ = write("secret", redact=broken)
    assert "secret" not in text
    assert "KeyError" in text


def test_the_limit_is_a_setting():
    """Fewer characters, where fewer are wanted."""
    assert write("abcdef", limit=4) == ('"abc', True)
    assert write("ab", limit=4) == ('"ab"', False)


def _span_of(result, **kwargs):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server = ServerOtel(tracer_provider=provider, **kwargs)
    flow = DotFlow(config=Config(server=server, log=LogDefault(level="ERROR")))
    flow.task.add(action(lambda: result))
    flow.start()
    server.close()
    provider.shutdown()
    return next(one for one in exporter.get_finished_spans() if one.name == "<lambda>")


def test_a_cut_context_says_so():
    """The attribute beside it tells that there was more."""
    attributes = _span_of("x" * 9000).attributes
    assert len(attributes["dotflow.task.context.current"]) == 4096
    assert attributes["dotflow.task.context.current.truncated"] is True


def test_contexts_can_be_switched_off():
    """With contexts=False spans carry none."""
    assert not [
        name for name in _span_of({"a": 1}, contexts=False).attributes if ".context." in name
    ]
