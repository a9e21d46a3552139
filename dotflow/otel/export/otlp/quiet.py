"""What OpenTelemetry's exporters log of our exports, which our own lines say, with the remedy."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
)


class _NotOurs(logging.Filter):
    """Leaves out what a thread logs while it exports for us; other exporters keep their lines."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's
        """Whether a line is logged; called by the thread that logs."""
        return not getattr(self.here, "is_ours", False)


_filter = _NotOurs()


@contextmanager
def quietly() -> Iterator[None]:
    """Have this thread's exporter say nothing meanwhile."""
    _filter.here.is_ours = True
    try:
        yield
    finally:
        _filter.here.is_ours = False
