"""What says who produced a span: one object for all spans of a process."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from dotflow.otel.export.resource import resource_of


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
