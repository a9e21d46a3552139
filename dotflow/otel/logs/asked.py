"""Whether log records are to leave, and who gets them: loads nothing of the SDK's for logs."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry import _logs

from dotflow.otel.export.otlp.endpoint import LOGS, OtlpSettings
from dotflow.otel.export.otlp.exports import OTLP, PROTOCOLS
from dotflow.otel.export.provider import declarative
from dotflow.process.variables import mended_for_providers

EXPORTERS = "OTEL_LOGS_EXPORTER"

DECLARED = "declared"
"""Stands for what a file describes (`OTEL_CONFIG_FILE`), which then says of log records too."""


def exporters(endpoint: OtlpSettings, is_wanted: bool | None = None) -> list[str]:
    """The names of the exporters that log records leave by.

    What programs log may say anything. So records leave only where that is asked for: by
    `OTEL_LOGS_EXPORTER`, by an endpoint for logs alone, or by an argument. An endpoint for all
    signals says where they go, and not that they do. `OTEL_LOGS_EXPORTER=none` wins over all.

    Args:
        endpoint: What arguments say of it.
        is_wanted: What an argument says; None if it says nothing.
    """
    if is_wanted is False or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    if declarative.is_declared() and endpoint.endpoint is None:
        return [DECLARED] if existing() is not None else []
    said = [one for part in os.environ.get(EXPORTERS, "").split(",") if (one := part.strip())]
    if not said and (is_wanted or os.environ.get(f"{LOGS.prefix}ENDPOINT", "").strip()):
        said = [OTLP]
    if is_wanted and endpoint.endpoint is not None and not {OTLP, *PROTOCOLS} & {*said}:
        said.append(OTLP)
    return [one for one in dict.fromkeys(said) if one != "none"]


def existing() -> Any:
    """The application's provider, or ours if it is the global one; None where there is none."""
    with mended_for_providers():
        found = _logs.get_logger_provider()
    from opentelemetry._logs import _internal

    proxy = getattr(_internal, "ProxyLoggerProvider", type(None))
    return None if isinstance(found, (proxy, _logs.NoOpLoggerProvider)) else found
