"""The one place where the providers for OpenTelemetry load its API."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dotflow.core.exception import ModuleNotFound


def load(module: str) -> Any:
    """A module of OpenTelemetry's API, such as "trace".

    Raises:
        ModuleNotFound: OpenTelemetry is not installed.
    """
    try:
        return import_module(f"opentelemetry.{module}")
    except ImportError as error:
        raise ModuleNotFound("opentelemetry", "dotflow[otel]") from error
