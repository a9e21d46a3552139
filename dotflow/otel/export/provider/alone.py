"""A tracer provider by the standard variables, for what makes spans without a ServerOtel."""

from __future__ import annotations

import threading

from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.otlp.exports import exports
from dotflow.otel.export.provider import declarative
from dotflow.otel.export.provider.pipeline import Pipeline
from dotflow.process import at_exit
from dotflow.process.forking import renew_in_child


class _Tracing:
    """Whether one was looked for."""

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Look anew in a forked child, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._pipeline: Pipeline | None = None

    def open(self, service_name: str) -> None:
        """Make a provider where there is none, and the environment says where spans go."""
        with self._lock:
            if self._pipeline is None and declarative.existing() is None and is_asked_for():
                at_exit.close_here()
                self._pipeline = Pipeline(OtlpSettings(), service_name=service_name)


def is_asked_for() -> bool:
    """Whether the environment says where spans go."""
    return declarative.is_declared() or bool(exports(OtlpSettings()))


open_tracing = _Tracing().open
