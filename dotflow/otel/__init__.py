"""Runs as OpenTelemetry traces: `Config(server=ServerOtel())`.

ServerOtel -> spans -> OTLP
                   -> DotflowSpanProcessor -> DotflowSpanExporter -> dotflow.delivery
"""

from dotflow.otel import environment as environment  # first: what OpenTelemetry reads is wrong
from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.otel.ids import WorkflowIdGenerator
from dotflow.otel.processor import DotflowSpanProcessor
from dotflow.otel.server import ServerOtel

__all__ = ["DotflowSpanExporter", "DotflowSpanProcessor", "ServerOtel", "WorkflowIdGenerator"]
