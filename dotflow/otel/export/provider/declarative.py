"""OpenTelemetry's declarative configuration: the file that `OTEL_CONFIG_FILE` names.

Where it is named it decides, and OpenTelemetry's other variables are not read. So no provider is
made by these: one is made by OpenTelemetry's own configurator, or there is none.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from opentelemetry import trace

from dotflow.process.variables import mended_for_providers, warn
from dotflow.utils.masking import masked_by_default

VARIABLE = "OTEL_CONFIG_FILE"
PACKAGE = "opentelemetry-configuration"

_lock = threading.Lock()
_configured: set[str] = set()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - in a forked child nobody holds it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def is_declared() -> bool:
    """Whether a file says what is exported."""
    return bool(_file())


def configure() -> None:
    """Have OpenTelemetry set its providers and propagators by the file, once.

    Called where a program has no provider, with whose variables it is then not made. What stands in
    the way of it costs one line. The thread that asks reads the file.
    """
    file = _file()
    with _lock:
        if not file or file in _configured:
            return
        _configured.add(file)
        _apply(file)


def existing() -> Any:
    """The program's provider; None where it has none."""
    with mended_for_providers():
        found = trace.get_tracer_provider()
    return None if isinstance(found, trace.ProxyTracerProvider) else found


def provider(set_global: bool) -> Any:
    """The provider that the file describes; None where it describes none, or cannot be used.

    Args:
        set_global: Whether there may be a new global provider: the file describes that one.
    """
    if set_global:
        configure()
    return existing()


def nothing(set_global: bool) -> Any:
    """The provider that stands for none, where a file was to describe it."""
    if not set_global:
        warn(
            f"There are no spans: {VARIABLE} describes the global tracer provider. Leave out "
            "set_global=False, or give ServerOtel an endpoint or a tracer_provider."
        )
    return trace.NoOpTracerProvider()


def _file() -> str:
    return os.environ.get(VARIABLE, "").strip()


def _apply(file: str) -> None:
    try:
        from opentelemetry.configuration import configure_sdk, load_config_file
    except ImportError:
        warn(
            f"Nothing is exported: {VARIABLE} is set, and {PACKAGE}, which reads that file, is not "
            f"installed: pip install {PACKAGE}, or unset {VARIABLE}."
        )
        return
    try:
        configure_sdk(load_config_file(file))
    except Exception as error:  # noqa: BLE001 - a wrong file costs telemetry, not the work
        why = masked_by_default(f"{type(error).__name__}: {error}")
        warn(f"Nothing is exported: {VARIABLE} is {file!r}, which cannot be used: {why}")
