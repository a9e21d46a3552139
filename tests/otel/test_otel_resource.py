"""What says who produced a span: one object for all spans of a process."""

from __future__ import annotations

import os

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from dotflow.otel.export.provider import resource as module
from dotflow.otel.export.provider.resource import resource_of


def test_a_resource_is_hashed_once(monkeypatch):
    """OTLP's encoder asks for the hash with each span, and the SDK writes JSON for it."""
    hashed = []
    of_the_sdk = Resource.__hash__
    monkeypatch.setattr(Resource, "__hash__", lambda one: hashed.append(one) or of_the_sdk(one))
    resource = resource_of("etl")
    spans = [
        ReadableSpan(f"span {number}", SpanContext(1, number, False), resource=resource)
        for number in range(1, 11)
    ]
    [found] = encode_spans(spans).resource_spans
    assert len(found.scope_spans[0].spans) == 10
    assert len(hashed) == 1


def test_it_equals_the_sdks(monkeypatch):
    """To whoever compares it, it is what the SDK would have made."""
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    resource = resource_of("etl")
    same = Resource(resource.attributes, resource.schema_url)
    assert resource.attributes[SERVICE_NAME] == "etl"
    assert (resource, hash(resource)) == (same, hash(same))


def test_detectors_are_asked_once_for_what_the_environment_says(monkeypatch):
    """Of a process: some ask a network."""
    module._created.cache_clear()
    made, create = [], Resource.create
    monkeypatch.setattr(Resource, "create", lambda: made.append(1) or create())
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=data")
    first, second = resource_of("etl"), resource_of("etl")
    assert first == second
    assert (first.attributes["team"], len(made)) == ("data", 1)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=web")
    assert (resource_of("etl").attributes["team"], len(made)) == ("web", 2)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as in a forked child
    resource_of("etl")
    assert len(made) == 3
    module._created.cache_clear()
