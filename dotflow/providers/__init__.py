"""What fills the slots of `Config`; those that need an optional library load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dotflow.providers.log_default import LogDefault
from dotflow.providers.metrics_default import MetricsDefault
from dotflow.providers.notify_default import NotifyDefault
from dotflow.providers.scheduler_default import SchedulerDefault
from dotflow.providers.server_api import ServerAPI
from dotflow.providers.server_default import ServerDefault
from dotflow.providers.storage_default import StorageDefault
from dotflow.providers.storage_file import StorageFile
from dotflow.providers.tracer_default import TracerDefault

if TYPE_CHECKING:
    from dotflow.providers.log_opentelemetry import LogOpenTelemetry
    from dotflow.providers.metrics_opentelemetry import MetricsOpenTelemetry
    from dotflow.providers.scheduler_cron import SchedulerCron
    from dotflow.providers.tracer_opentelemetry import TracerOpenTelemetry

_LAZY = {
    "LogOpenTelemetry": "log_opentelemetry",
    "MetricsOpenTelemetry": "metrics_opentelemetry",
    "SchedulerCron": "scheduler_cron",
    "TracerOpenTelemetry": "tracer_opentelemetry",
}

__all__ = [
    "LogDefault",
    "LogOpenTelemetry",
    "MetricsDefault",
    "MetricsOpenTelemetry",
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


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
