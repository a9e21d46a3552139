"""The lines of `LogOpenTelemetry` as log records, with the span of their task."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dotflow import __version__
from dotflow.abc.words import words_of_last
from dotflow.otel import attributes as names
from dotflow.otel.export.leaving.outgoing import Outgoing
from dotflow.otel.export.otlp.endpoint import LOGS, OtlpSettings, is_named
from dotflow.otel.logs.asked import existing
from dotflow.otel.logs.handler import OpenTelemetryHandler
from dotflow.otel.logs.installed import Logs
from dotflow.otel.spans.values import NAME_LIMIT, cut
from dotflow.process import at_exit
from dotflow.process.forking import renew_in_child
from dotflow.runlog.texts import Texts

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from dotflow.abc.facts import Carrier
    from dotflow.abc.task import TaskView

_propagator = TraceContextTextMapPropagator()


class LineHandler(OpenTelemetryHandler):
    """Hands lines on, where there is a provider, or the environment names an endpoint.

    Args:
        service_name: The name of the instrumentation scope, and of a provider that is made.
        whole_values: Whether credentials are shown.
    """

    def __init__(self, service_name: str, whole_values: bool | None = None) -> None:
        super().__init__()
        self._scope = service_name
        self._texts = Texts(whole_values=whole_values)
        self._about = threading.local()
        self._alone: Alone | None = None
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._making = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one line on; called by the thread that reports."""
        if self._alone is None:
            with self._making:
                self._alone = self._alone or Alone(self._scope, self._texts)
        super().emit(record)

    def logger_of(self, record: logging.LogRecord) -> Any:  # noqa: ARG002
        """OpenTelemetry's logger for lines."""
        return self._logger_provider.get_logger(self._scope, __version__, names.SCHEMA_URL)

    def said_by(self, record: logging.LogRecord) -> dict[str, Any]:
        """What a line says: what it is about, and not where in dotflow it was written."""
        said = super().said_by(record)
        task = getattr(self._about, "task", None)
        said["attributes"] = {} if task is None else _attributes(task)
        return said

    @contextmanager
    def about(self, task: TaskView) -> Iterator[None]:
        """Have what this thread writes meanwhile be of a task."""
        carrier = _carrier(task)
        token = otel_context.attach(_propagator.extract(carrier)) if carrier else None
        self._about.task = task
        try:
            yield
        finally:
            self._about.task = None
            if token is not None:
                otel_context.detach(token)


class Alone:
    """What has lines leave without a ServerOtel, from the first one to the end of the process.

    Args:
        service_name: `service.name`, where the environment says none.
        texts: What decides what may be said.
    """

    def __init__(self, service_name: str, texts: Texts) -> None:
        # Who writes LogOpenTelemetry has asked for it; where to, any endpoint says.
        is_wanted = True if existing() is None and is_named(LOGS) else None
        self._logs = Logs(OtlpSettings(), is_wanted, texts, service_name, has_handler=False)
        self._waits: list[Callable[[float], bool]] = []
        if self._logs.processors:
            at_exit.close_here()
            at_exit.keep(self)

    def hurry(self) -> None:
        """Begin to send, without waiting for it."""
        seconds = at_exit.flush_timeout()
        self._waits = [one.begin_flush(seconds) for one in self._logs.keeping]

    def close(self, timeout: float | None = None) -> bool:
        """Send what there is, and end; whether all was sent within the time."""
        seconds = at_exit.flush_timeout() if timeout is None else timeout
        if not self._waits:
            self.hurry()
        sent = [wait(seconds) for wait in self._waits]
        for one in self._logs.take_out():
            if isinstance(one, Outgoing):
                one.end()
            else:
                one.shutdown()
        at_exit.forget(self)
        return all(sent)


def _carrier(task: TaskView) -> Carrier:
    """What leads to the span of a task: its own, else its run's, of its Server or its Tracer."""
    config = getattr(task, "config", None)
    server: Any = getattr(config, "server", None)
    tracer = getattr(config, "tracer", None)
    found: Carrier = {}
    if getattr(server, "keeps_notes", False):
        found = server.note(task.workflow_id, task) or server.note(task.workflow_id)
    lead = getattr(tracer, "carrier", None)
    return found or ({} if lead is None else lead(task))


def _attributes(task: TaskView) -> dict[str, Any]:
    found: dict[str, Any] = {
        names.WORKFLOW_ID: str(task.workflow_id),
        names.TASK_ID: task.task_id,
        names.TASK_NAME: cut(str(task.step.name), NAME_LIMIT),
        names.TASK_GROUP: cut(str(task.group_name), NAME_LIMIT),
        names.TASK_STATUS: str(task.status),
    }
    if task.workflow_name is not None:
        found[names.WORKFLOW_NAME] = cut(str(task.workflow_name), NAME_LIMIT)
    if task.duration is not None:
        found[names.TASK_DURATION] = task.duration
    if task.retry_count:
        found[names.TASK_RETRY_COUNT] = task.retry_count
    if task.errors and task.status in ("Failed", "Retry"):
        error, (message, traceback) = task.errors[-1], words_of_last(task)
        found[names.ERROR_TYPE] = error.error_type
        found[names.EXCEPTION_TYPE] = error.error_type
        found[names.EXCEPTION_MESSAGE] = message
        found[names.EXCEPTION_STACKTRACE] = traceback
    return found
