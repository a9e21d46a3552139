"""How it is told what failed: as events of spans, as log records, or as both."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, trace

from dotflow.logging import logger
from dotflow.otel import attributes as names
from dotflow.otel.logs.handler import emit
from dotflow.otel.spans.record import ErrorSaid
from dotflow.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span

OPT_IN = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
"""Of the semantic conventions: `logs` in place of span events, `logs/dup` beside them."""


class Exceptions:
    """Tells of exceptions as `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` wants it when this is made.

    Log records go to the program's logger provider. Where it has none they would be lost: then
    they are span events, and one line says so.
    """

    def __init__(self) -> None:
        chosen = {one.strip().lower() for one in os.environ.get(OPT_IN, "").split(",")}
        self._logs = bool(chosen & {"logs", "logs/dup"})
        self._events = not self._logs or "logs/dup" in chosen

    def tell(self, span: Span, event_name: str, error: str, time_ns: int | None) -> None:
        """Tell of an exception; nothing is raised.

        Args:
            span: The innermost span that it failed.
            event_name: What a log record of it is called.
            error: The exception, as `Texts.of_error` has it.
            time_ns: When it was raised, nanoseconds since the epoch; now without one.
        """
        if self.is_event(span, event_name, error, time_ns):
            span.add_event(
                names.EVENT_EXCEPTION, ErrorSaid.of(error).attributes(), timestamp=time_ns
            )

    def is_event(self, span: Span, event_name: str, error: str, time_ns: int | None) -> bool:
        """Whether an exception is to be an event of the span; what else tells of it is done."""
        if not self._logs:
            return True
        is_told = _log(span, event_name, ErrorSaid.of(error), time_ns)
        return self._events or not is_told


def _log(span: Span, event_name: str, error: ErrorSaid, time_ns: int | None) -> bool:
    """Emit a log record; whether there is somebody to take it."""
    found = error.attributes()
    # What will be tried again is expected to be handled.
    is_final = error.attempt is None
    severity = _logs.SeverityNumber.ERROR if is_final else _logs.SeverityNumber.WARN
    try:
        provider = _logs.get_logger_provider()
        if isinstance(provider, (_logs.NoOpLoggerProvider, _proxy_class())):
            _complain("the program has no logger provider")
            return False
        emit(
            provider.get_logger(names.SCOPE, __version__, names.SCHEMA_URL),
            timestamp=time_ns,
            context=trace.set_span_in_context(span),
            severity_number=severity,
            severity_text=severity.name,
            body=found[names.EXCEPTION_MESSAGE],
            attributes=found,
            event_name=event_name,
        )
    except Exception as problem:  # noqa: BLE001 - a provider may be anybody's
        _complain(str(problem))
        return False
    return True


def _proxy_class() -> type[Any]:
    """What stands for a logger provider before the program sets one; the API does not export it."""
    from opentelemetry._logs import _internal

    return getattr(_internal, "ProxyLoggerProvider", type(None))


@lru_cache(maxsize=16)
def _complain(why: str) -> None:
    """One line a reason."""
    logger.warning("%s asks for log records (%s): exceptions are span events.", OPT_IN, why)
