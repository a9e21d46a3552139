"""Spans and log records that wait for an OTLP endpoint, and the thread that sends them."""
