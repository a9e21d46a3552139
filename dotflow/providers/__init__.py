"""What fills the slots of `Config`; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dotflow.utils.upstream import PROVIDERS, ModuleHints, message_of

if TYPE_CHECKING:
    from dotflow.providers.log_default import LogDefault
    from dotflow.providers.log_opentelemetry import LogOpenTelemetry
    from dotflow.providers.metrics_default import MetricsDefault
    from dotflow.providers.metrics_opentelemetry import MetricsOpenTelemetry
    from dotflow.providers.notify_apprise import NotifyApprise
    from dotflow.providers.notify_default import NotifyDefault
    from dotflow.providers.scheduler_cron import SchedulerCron
    from dotflow.providers.scheduler_default import SchedulerDefault
    from dotflow.providers.server_api import ServerAPI
    from dotflow.providers.server_default import ServerDefault
    from dotflow.providers.storage_default import StorageDefault
    from dotflow.providers.storage_file import StorageFile
    from dotflow.providers.tracer_default import TracerDefault
    from dotflow.providers.tracer_opentelemetry import TracerOpenTelemetry

_MODULES = {
    "LogDefault": "log_default",
    "LogOpenTelemetry": "log_opentelemetry",
    "MetricsDefault": "metrics_default",
    "MetricsOpenTelemetry": "metrics_opentelemetry",
    "NotifyApprise": "notify_apprise",
    "NotifyDefault": "notify_default",
    "SchedulerCron": "scheduler_cron",
    "SchedulerDefault": "scheduler_default",
    "ServerAPI": "server_api",
    "ServerDefault": "server_default",
    "StorageDefault": "storage_default",
    "StorageFile": "storage_file",
    "TracerDefault": "tracer_default",
    "TracerOpenTelemetry": "tracer_opentelemetry",
}

__all__ = [
    "LogDefault",
    "LogOpenTelemetry",
    "MetricsDefault",
    "MetricsOpenTelemetry",
    "NotifyApprise",
    "NotifyDefault",
    "SchedulerCron",
    "SchedulerDefault",
    "ServerAPI",
    "ServerDefault",
    "StorageDefault",
    "StorageFile",
    "TracerDefault",
    "TracerOpenTelemetry",
]


ModuleHints.install()


def __getattr__(name: str) -> Any:
    if name in PROVIDERS:
        # No AttributeError: Python would put words of its own in the place of these.
        raise ImportError(message_of(f"{__name__}.{name}", name), name=__name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    provider = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = provider
    return provider
