"""Finished spans as records of a dotflow-api."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dotflow.delivery.environment import find_destination
from dotflow.logging import logger
from dotflow.process.at_exit import LONGEST_TIMEOUT, seconds_from_environment
from dotflow.runlog.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.abc.server import FlushResult
    from dotflow.delivery.dialect import Dialect
    from dotflow.otel.heard.runs import HeardRuns
    from dotflow.runlog.texts import Redact

WAIT = 5.0
"""Seconds that tasks wait for the span of their workflow, which ends after them."""

WAIT_VARIABLE = "DOTFLOW_EXPORTER_WAIT"


class DotflowSpanExporter(SpanExporter):
    """Makes records in a dotflow-api from finished spans.

    Add it to any tracer provider: `BatchSpanProcessor(DotflowSpanExporter(url, token))`. It reads
    all spans that have dotflow's attributes: spans of a ServerOtel without an address, spans that
    you make by hand, spans that you read from a file. It ignores other spans, and spans of a run
    that is reported already; it reports a span that comes twice once. The reports go through the
    run log. No method raises. `force_flush`, `shutdown` and `close` wait for the network, and no
    other method does. Any thread may call any method.

    Args:
        base_url: The address of dotflow-api; by default the environment's.
        user_token: The token; by default the environment's.
        dialect: "default" or "managed"; by default the dialect whose variables are set.
        timeout: How many seconds one call may take, in the background.
        wait: How many seconds tasks wait for the span of their workflow, which ends after them;
            then the record of the workflow has its id alone. By default `DOTFLOW_EXPORTER_WAIT`,
            else 5.
        contexts: Whether records carry the tasks' contexts.
        redact: Called as `redact(role, value)` with the role ("initial", "previous", "current" or
            "error") and a value; records carry what the function returns.
        whole_values: Whether records carry the values of keys that look like credentials; by
            default `DOTFLOW_WHOLE_VALUES` decides.

    Raises:
        ValueError: The address or the token is missing; or the address is not an http or https URL.
    """

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        dialect: Dialect | str | None = None,
        timeout: float = 15.0,
        *,
        wait: float | None = None,
        contexts: bool = True,
        redact: Redact | None = None,
        whole_values: bool | None = None,
    ) -> None:
        destination = find_destination(base_url, user_token, dialect, timeout)
        if destination is None:
            raise ValueError(
                "where is dotflow-api? Give base_url and user_token, or set DOTFLOW_SERVER_URL and "
                "DOTFLOW_USER_TOKEN (managed: SERVER_BASE_URL and SERVER_USER_TOKEN)"
            )
        # Here, for requests and what it brings are half of what there is to import.
        from dotflow.delivery.channel import Channel

        self.channel = Channel(destination)
        if wait is None:
            wait = seconds_from_environment(WAIT_VARIABLE, WAIT)
        self._wait = min(wait, LONGEST_TIMEOUT) if wait > 0 else 0.0
        self._texts = Texts(contexts, redact, whole_values)
        self._runs: HeardRuns | None = None
        self._has_ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write down what finished spans say of runs, to be delivered in the background.

        Returns:
            SUCCESS, or FAILURE after `shutdown`: nothing is taken then.
        """
        if self._has_ended:
            return SpanExportResult.FAILURE
        try:
            self._heard.take(spans, self._texts, self._wait)
        except Exception as error:  # noqa: BLE001 - what tells of the work does not end it
            _complain(type(error).__name__)
        self.channel.poke()
        return SpanExportResult.SUCCESS

    def begin(self, span: ReadableSpan) -> None:
        """Write down that a run or a task has begun, whose span will end in this process."""
        if self._has_ended:
            return
        try:
            is_told = self._heard.begin(span, self._texts, self._wait)
        except Exception as error:  # noqa: BLE001 - see export()
            _complain(type(error).__name__)
        else:
            if is_told:
                self.channel.poke()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was reported so far, also tasks that wait for their workflow.

        Args:
            timeout_millis: How many milliseconds this may take.

        Returns:
            Whether everything was delivered in that time.
        """
        self._release()
        return self.channel.flush(timeout_millis / 1000).complete

    def shutdown(self) -> None:
        """Deliver for at most `DOTFLOW_FLUSH_TIMEOUT` seconds, and end the threads."""
        self.close()

    def close(self, timeout: float | None = None) -> FlushResult:
        """Deliver for at most `timeout` seconds, end the threads, and return what became of it."""
        self._has_ended = True
        self._release()
        return self.channel.close(timeout)

    @property
    def _heard(self) -> HeardRuns:
        """What makes facts of spans; a ServerOtel has its own, and needs none of it."""
        if self._runs is None:
            from dotflow.otel.heard.runs import heard_runs

            self._runs = heard_runs(self.channel)
        return self._runs

    def _release(self) -> None:
        if self._runs is not None:
            self._runs.release()


@lru_cache(maxsize=16)
def _complain(error: str) -> None:
    """One line a reason."""
    logger.warning("Spans could not be reported to dotflow-api: %s", error)
