"""A span stays under 64 KB with default settings, whatever is in it."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.otel.spans.values import cut, cut_start, short
from dotflow.providers import LogDefault

LIMIT = 64 * 1024

PENGUIN = "\U0001f427"


class Huge(NamedTuple):
    """A text that hypothesis can show: so many times a bit of it."""

    bit: str
    times: int

    def __str__(self):
        return self.bit * self.times


def built(value):
    """The value with its texts written out."""
    if isinstance(value, Huge):
        return str(value)
    if isinstance(value, dict):
        return {built(key): built(item) for key, item in value.items()}
    return [built(item) for item in value] if isinstance(value, list) else value


texts = st.builds(
    Huge,
    st.sampled_from(["a", "\n", "é", "中", PENGUIN, "\ud800", "\0", '"', "\\", " ab中"]),
    st.sampled_from([0, 1, 300, 5000, 100_000]),
)
contexts = texts | st.dictionaries(texts, texts, max_size=2) | st.lists(texts, max_size=3)


@pytest.fixture(scope="module")
def local():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def spans_of(local, name, steps, value, group="default"):
    """The spans of a run with these steps; all but its id may be of any length."""
    provider, exporter = local
    exporter.clear()
    server = ServerOtel(tracer_provider=provider)
    log = LogDefault(level="CRITICAL", output="file")
    flow = DotFlow(
        config=Config(server=server, log=log), name=name, workflow_id=f"id {name}"[:255].strip()
    )
    flow.task.add(steps, initial_context=value, group_name=group)
    flow.start()
    server.close()
    return exporter.get_finished_spans()


def size(span):
    request = encode_spans([span])
    return len(request.resource_spans[0].scope_spans[0].spans[0].SerializeToString())


BIRDS = Huge(PENGUIN, 100_000)


@pytest.mark.slow
@given(texts, texts, texts, contexts, st.integers(1, 2))
@example(BIRDS, BIRDS, BIRDS, BIRDS, 1)
@example(BIRDS, BIRDS, BIRDS, [BIRDS], 2)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_span_is_larger_than_64_kb(local, name, group, message, value, retry):
    """Names, groups, contexts and errors of any length and script fit into a span."""
    name = str(name)

    def fails():
        raise type(name.replace("\0", "").replace("\ud800", "") or "E", (Exception,), {})(message)

    fails.__name__ = fails.__qualname__ = fails.__module__ = name
    step = action(retry=retry, retry_delay=0)(fails)
    spans = spans_of(local, name, step, built(value), str(group))
    assert len(spans) == 2 + (retry if retry > 1 else 0)
    assert max(map(size, spans)) < LIMIT


@pytest.mark.slow
@given(contexts)
@example({BIRDS: BIRDS})
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_three_huge_contexts_fit(local, value):
    """Initial, previous and current context together leave room for an error and the rest."""

    @action
    def give(initial_context):
        return initial_context.storage

    @action
    def fails(previous_context):
        raise ValueError(str(BIRDS))

    spans = spans_of(local, "etl", [give, give, fails], built(value))
    assert len(spans) == 4
    assert max(map(size, spans)) < LIMIT


def test_what_backends_see_of_a_context_in_any_script(local):
    """A text of any script is cut by characters as ASCII is, as long as it is not all emoji."""

    def give(initial_context):
        return initial_context.storage

    def shown(value):
        task = spans_of(local, "etl", action(give), value)[0]
        name = "dotflow.task.context.current"
        return task.attributes[name], task.attributes.get(f"{name}_truncated")

    for letter in ("a", "é", "中"):
        text, truncated = shown(letter * 5000)
        assert (text, truncated) == ('"' + letter * 4095, True)
        assert shown(letter * 4000) == (f'"{letter * 4000}"', None)
    text, truncated = shown("\U0001f427" * 4000)
    assert (len(text.encode()) <= 3 * 4096, truncated) == (True, True)


@given(st.text(max_size=400) | texts.map(str).filter(lambda text: len(text) < 400),
       st.integers(0, 300))  # fmt: skip
def test_a_cut_text_is_a_part_of_the_text(text, limit):
    """Never more bytes than the limit, never half a character, always from the right end."""
    whole = text.replace("\ud800", "\ufffd")
    for found in (cut(text, limit), short(text)):
        assert whole.startswith(found)
    assert len(cut(text, limit).encode()) <= limit
    assert len(short(text).encode()) <= 256
    end = cut_start(text, limit)
    assert whole.endswith(end)
    assert len(end.encode()) <= limit


def test_the_limits_of_the_sdk_are_respected(otlp, servers, quiet, monkeypatch):
    """OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT and its kin hold for dotflow's spans too."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "0")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")

    @action
    def broken():
        raise ValueError("a long message")

    server = servers(endpoint=otlp.http_url, tasks_per_trace=1)
    config = quiet(server)
    flow = DotFlow(config=config, name="etl")
    flow.task.add([broken] * 3, initial_context="a long context")
    flow.start(keep_going=True)
    assert server.flush(30).complete
    spans = otlp.wait_for(6)
    assert len(spans) == 6
    for span in spans:
        assert len(span.attributes) <= 5
        assert all(len(str(value)) <= 7 for value in span.attributes.values()
                   if isinstance(value, str))  # fmt: skip
        assert span.events == []
        assert len(span.links) <= 1
    assert not config.guard.failures
