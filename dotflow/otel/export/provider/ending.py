"""The end of a child that ran a step: what the application's providers have for export leaves."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.trace import TracerProvider

from dotflow.logging import logger
from dotflow.otel.export.children import step_child
from dotflow.otel.export.leaving.outgoing import processors
from dotflow.otel.export.provider.anew import begin_anew
from dotflow.process.at_exit import flush_timeout
from dotflow.process.late import is_unused
from dotflow.process.variables import mended_for_providers

if TYPE_CHECKING:
    from collections.abc import Iterator

providers: weakref.WeakSet[Any] = weakref.WeakSet()
"""Tracer providers of this process that need not be the global one."""

SDK_METRICS = "opentelemetry.sdk.metrics"

_process = os.getpid()
_seen_to = 0


def see_to_the_end() -> None:
    """Have spans, log records and metrics of this child leave before it ends, without `atexit`.

    What it has inherited of exporters begins anew; called in the child before its first step.
    """
    global _seen_to  # noqa: PLW0603 - once a process
    if _seen_to == os.getpid():
        return
    _seen_to = os.getpid()
    if _is_forked():
        begin_anew(_exporting())
    from multiprocessing.util import Finalize  # here, for most processes are no children

    Finalize(None, _flush_all, exitpriority=100)


def _is_forked() -> bool:
    """Whether this process has its providers from another; one that was spawned made its own."""
    return os.getpid() != _process


def _exporting() -> list[Any]:
    """What exports in this process, of all three signals."""
    with mended_for_providers():
        found = [*providers, trace.get_tracer_provider(), *_logger_providers(), *_meters()]
    if not _is_forked():
        found += _made_here()
    # What this process has not used has nothing to say here.
    different = {id(one): one for one in found if not is_unused(one)}
    return [one for one in different.values() if hasattr(one, "force_flush")]


def _logger_providers() -> Iterator[Any]:
    """The global one, and those that handlers of `logging` have been given."""
    yield _logs.get_logger_provider()
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for one in loggers:
        for handler in getattr(one, "handlers", ()):
            yield getattr(handler, "_logger_provider", None)


def _meters() -> list[Any]:
    """The readers of all meter providers, where the SDK says which there are; else the global."""
    sdk = getattr(sys.modules.get(SDK_METRICS), "MeterProvider", None)
    return list(getattr(sdk, "_all_metric_readers", ())) or [metrics.get_meter_provider()]


def _made_here() -> list[Any]:
    """The SDK's providers that there are, whoever has them: such a child is new, and small."""
    logs = getattr(sys.modules.get("opentelemetry.sdk._logs"), "LoggerProvider", TracerProvider)
    return [one for one in gc.get_objects() if issubclass(type(one), (TracerProvider, logs))]


def _flush_all() -> None:
    """Flush side by side: an endpoint that is away must not cost the others their time."""
    seconds = flush_timeout()
    deadline = time.monotonic() + seconds
    under_way = [(one, _begun(one)) for one in _exporting()]
    for _, thread in under_way:
        # The SDK's own limit is not kept by its exporters.
        thread.join(max(0.0, deadline - time.monotonic()))
    late = sorted(type(one).__name__ for one, thread in under_way if thread.is_alive())
    if late:
        logger.warning(
            "Telemetry of a step may be lost: %s did not export it within %g seconds "
            "(DOTFLOW_FLUSH_TIMEOUT).", " and ".join(late), seconds,
        )  # fmt: skip
    _end()


def _begun(provider: Any) -> threading.Thread:
    thread = threading.Thread(target=_flush, args=(provider,), name="dotflow-flush", daemon=True)
    thread.start()
    return thread


def _flush(provider: Any) -> None:
    try:
        provider.force_flush()
    except Exception as error:  # noqa: BLE001 - a provider may be anybody's
        logger.warning("%s could not be flushed: %r", type(provider).__name__, error)


def _end() -> None:
    """End what would send spans from here: what it could not send is said."""
    for processor in list(processors):
        if not step_child.only_writes:
            processor.end()
