"""The handler that hands what is logged on to OpenTelemetry, where nobody else's does."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, context

from dotflow.otel import attributes as names
from dotflow.runlog.shown import is_from_signal

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPPRESSED = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
"""What is set in the context of whoever exports."""

DELIVERING = ("dotflow-otlp", "dotflow-relay", "dotflow-sender", "dotflow-watch", "dotflow-flush",
              "dotflow-ask")  # fmt: skip
"""How the threads are called that deliver: what is logged in them is about delivery."""

WORDS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""What OpenTelemetry calls the levels that it has other names for."""

MOST = 24
"""The highest severity."""

EVENT_NAMES = ("otel.event.name", "event.name")
"""Extras that name the event that a record tells of; the second is the older one."""

KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; the rest is what the program adds, as `extra`."""

TAKEN = (type(None), bool, int, float, str, bytes, Sequence, Mapping)
"""What OpenTelemetry takes as an attribute; in older releases it leaves out the rest."""

_here = threading.local()


def severity_of(level: int) -> _logs.SeverityNumber:
    """OpenTelemetry's number for a level: four to each ten, as its own handler has them."""
    if level <= 0:
        return _logs.SeverityNumber.UNSPECIFIED
    return _logs.SeverityNumber(min(MOST, 4 * (level // 10) + 1 + min(level % 10, 3)))


class OpenTelemetryHandler(logging.Handler):
    """Hands log records on to OpenTelemetry, with the span that is current.

    The SDK's own handler is deprecated, and its successor comes in one more package.

    Args:
        logger_provider: Who gets them; the global one without it, whichever that is by then.
    """

    def __init__(self, logger_provider: Any = None) -> None:
        super().__init__()
        self._given = logger_provider

    @property
    def _logger_provider(self) -> Any:
        """Who gets the records; what flushes a child looks for it under this name."""
        return self._given or _logs.get_logger_provider()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on, unless it is about handing on; called by the thread that logs."""
        if getattr(_here, "is_emitting", False) or _is_about_delivery():
            return
        _here.is_emitting = True
        try:
            emit(self.logger_of(record), **self.said_by(record))
        except BaseException as error:  # what a handler raises would reach the caller
            if is_from_signal(error):
                raise
            self.handleError(record)
        finally:
            _here.is_emitting = False

    def logger_of(self, record: logging.LogRecord) -> Any:
        """OpenTelemetry's logger for a record: its scope has the name of the one that took it."""
        return self._logger_provider.get_logger(record.name, schema_url=names.SCHEMA_URL)

    def said_by(self, record: logging.LogRecord) -> dict[str, Any]:
        """What a record says, in OpenTelemetry's words."""
        return said_by(record, record.getMessage())


class StepHandler(OpenTelemetryHandler):
    """The one that is put on the root logger, as if it were not there.

    It hands on nothing where another handler of OpenTelemetry's has come; and where it is the only
    handler, what Python shows of a record that has none is shown.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on; called by the thread that logs."""
        others = [one for one in handlers_of(record.name) if one is not self]
        last = logging.lastResort
        if not others and last is not None and record.levelno >= last.level:
            last.handle(record)
        if not any(is_of_opentelemetry(one) for one in others):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Say nothing: of a record that cannot be put in words the other handlers do."""


def said_by(record: logging.LogRecord, body: str) -> dict[str, Any]:
    """What a record of `logging` says, in OpenTelemetry's words."""
    attributes = {
        name: value if isinstance(value, TAKEN) else str(value)
        for name, value in vars(record).items()
        if name not in KNOWN and name not in EVENT_NAMES
    }  # fmt: skip
    attributes[names.CODE_FILE_PATH] = record.pathname
    attributes[names.CODE_FUNCTION_NAME] = record.funcName
    attributes[names.CODE_LINE_NUMBER] = record.lineno
    if record.exc_info and record.exc_info[1] is not None:
        attributes.update(_of_exception(record.exc_info[1]))
    found = (getattr(record, name, None) for name in EVENT_NAMES)
    event = next((str(one) for one in found if one), None)
    return {
        "timestamp": int(record.created * 1e9),
        "severity_number": severity_of(record.levelno),
        "severity_text": WORDS.get(record.levelname, record.levelname),
        "body": body,
        "attributes": attributes,
        **({"event_name": event} if event else {}),
    }


def _of_exception(error: BaseException) -> dict[str, str]:
    from dotflow.core.task_error import TaskError  # here, for few records have one

    found = TaskError(error)
    return {
        names.EXCEPTION_TYPE: found.error_type,
        names.EXCEPTION_MESSAGE: found.message,
        names.EXCEPTION_STACKTRACE: found.traceback,
    }


def handlers_of(name: str) -> Iterator[logging.Handler]:
    """The handlers that get what the logger of a name takes."""
    found = logging.root.manager.loggerDict.get(name, logging.root)
    logger: logging.Logger | None = found if isinstance(found, logging.Logger) else logging.root
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def is_of_opentelemetry(handler: logging.Handler) -> bool:
    """Whether a handler hands on to OpenTelemetry: the SDK's, its instrumentation's, or ours.

    Those that programs write themselves keep their provider as these do, for they begin as copies.
    """
    if isinstance(handler, OpenTelemetryHandler) or hasattr(handler, "_logger_provider"):
        return True
    return any(base.__module__.startswith("opentelemetry.") for base in type(handler).__mro__)


def is_there_one() -> bool:
    """Whether any logger of the program has such a handler."""
    loggers = [logging.root, *list(logging.root.manager.loggerDict.values())]
    found = [one for logger in loggers for one in getattr(logger, "handlers", ())]
    return any(is_of_opentelemetry(one) for one in found)


def emit(logger: Any, **known: Any) -> None:
    """Emit a record, in whichever way this release of OpenTelemetry has."""
    if _takes_keywords():
        logger.emit(**known)
        return
    # Until then a record was the SDK's to make, and had to bring its resource along.
    from opentelemetry.sdk import _logs as sdk

    record: Any = getattr(sdk, "LogRecord", None)
    logger.emit(record(resource=getattr(logger, "resource", None), **known))


@cache
def _takes_keywords() -> bool:
    return "event_name" in inspect.signature(_logs.Logger.emit).parameters


def _is_about_delivery() -> bool:
    """Whether this thread exports."""
    name = threading.current_thread().name
    return name.startswith(DELIVERING) or bool(context.get_value(SUPPRESSED))
