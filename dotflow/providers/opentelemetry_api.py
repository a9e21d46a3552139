"""The one place where the providers for OpenTelemetry load its API, and our own use of it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from dotflow.core.exception import ModuleNotFound
from dotflow.delivery.headers import to_headers
from dotflow.logging import logger
from dotflow.process.variables import mended


def load(module: str) -> Any:
    """A module of OpenTelemetry's API, such as "trace".

    Raises:
        ModuleNotFound: OpenTelemetry is not installed.
    """
    try:
        with mended():
            return import_module(f"opentelemetry.{module}")
    except ImportError as error:
        raise ModuleNotFound("opentelemetry", "dotflow[otel]") from error


def part(module: str) -> Any:
    """A module of `dotflow.otel`, which only what stands on it loads."""
    with mended():
        return import_module(f"dotflow.otel.{module}")


def current_headers(secret: str) -> str:
    """What leads to the program's current span, as a message keeps it; empty where none is current.

    Args:
        secret: A text that is not to be written down, whoever put it into a header.
    """
    trace = sys.modules.get("opentelemetry.trace")  # else the program has no span
    if trace is None or not trace.get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    try:
        load("propagate").inject(carrier)
    except Exception as error:  # noqa: BLE001 - a propagator may be anybody's, and the report counts
        logger.debug("A propagator failed: %s", error)
    return to_headers(carrier, secret)
