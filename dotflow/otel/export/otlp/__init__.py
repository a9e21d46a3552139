"""OTLP: which endpoint there is, and OpenTelemetry's exporters that send to one."""
