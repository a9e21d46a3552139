"""Contexts as span attributes: bounded, masked, valid, and never a reason to fail."""

from __future__ import annotations

import json
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dotflow import Config, Context, DotFlow, action
from dotflow.otel import ServerOtel
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


def spoken(text):
    def refuse(name):
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


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


def test_the_limit_is_a_setting():
    """Fewer characters, where fewer are wanted; what was cut says so."""
    name = "dotflow.task.context.current"
    attributes = _span_of("abcdef", context_limit=4).attributes
    assert (attributes[name], attributes[f"{name}_truncated"]) == ('"abc', True)
    attributes = _span_of("ab", context_limit=4).attributes
    assert attributes[name] == '"ab"'
    assert f"{name}_truncated" not in attributes


def test_redact_decides_what_is_shown():
    """The hook gets the role and the value, and spans carry what it returns."""
    attributes = _span_of({"iban": 1}, redact=lambda role, value: {role: list(value)}).attributes
    assert attributes["dotflow.task.context.current"] == '{"current": ["iban"]}'


def test_values_of_credential_like_keys_are_masked():
    """What a key calls a secret is not shown, at any depth."""
    said = _span_of({"rows": [{"api_key": "k", "n": 1}]}).attributes["dotflow.task.context.current"]
    assert said == '{"rows": [{"api_key": "***", "n": 1}]}'


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
    assert attributes["dotflow.task.context.current_truncated"] is True


def test_contexts_can_be_switched_off():
    """With contexts=False spans carry none."""
    assert not [
        name for name in _span_of({"a": 1}, contexts=False).attributes if ".context." in name
    ]
