"""Imports what of OpenTelemetry reads the environment, while what is wrong there is not there."""

from __future__ import annotations

from importlib import import_module

from dotflow.process.variables import mended

with mended():
    for _module in ("context", "propagate", "sdk.trace"):
        import_module(f"opentelemetry.{_module}")
