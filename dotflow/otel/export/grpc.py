"""OTLP over gRPC, in a process that forks."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

LONGEST_WAIT = 0.02
"""Seconds that a fork waits for exports: a collector that is slow is no reason to hold up a run."""


class _UnderWay:
    """How many exports are under way; none begins while the process forks.

    Where one is, gRPC lets the fork happen as if it had no part in it
    (https://github.com/grpc/grpc/blob/master/doc/fork_support.md), and may send that batch again.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            # This module imports gRPC before: so of what is to happen before a fork this is first.
            os.register_at_fork(
                before=self._hold, after_in_parent=self._let_go, after_in_child=self._renew
            )

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def _hold(self) -> None:
        self._changed.acquire()
        self._changed.wait_for(lambda: not self._count, LONGEST_WAIT)

    def _let_go(self) -> None:
        self._changed.release()

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._count = 0


_under_way = _UnderWay()


class GrpcSpanExporter(OTLPSpanExporter):
    """The exporter of OpenTelemetry, which a fork waits for, a moment."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch; called by the batch processor's thread, or the relay's."""
        with _under_way:
            return super().export(spans)
