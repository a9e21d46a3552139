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
    """Reports to a dotflow-api what finished spans say: each is its POST and its last PATCH.

    It works in any tracer provider, `BatchSpanProcessor(DotflowSpanExporter(url, token))`, and for
    any spans with our attributes: of a ServerOtel without an address of its own, made by hand, or
    read from a file. What they say goes through the run log, as the reports of a ServerOtel do.
    Spans of a run that is reported already are passed over, and so are all others. A span that
    comes twice is reported once. No method raises; only `force_flush`, `shutdown` and `close` wait
    for a socket. Any thread may call any method.

    Args:
        base_url: The address of dotflow-api; without one what the environment says.
        user_token: The token; without one what the environment says.
        dialect: Its dialect; without one that whose variables are set.
        timeout: Seconds for one call, in the background.
        wait: Seconds that tasks, which end first, wait for the span of their workflow; then the
            workflow is posted with its id alone. Without it what `DOTFLOW_EXPORTER_WAIT` says,
            5 by default.
        contexts: Whether records carry the tasks' contexts.
        redact: Called as `redact(role, value)` with the role ("initial", "previous", "current" or
            "error") and a value; records carry what it returns.
        whole_values: Whether values under keys that look like credentials are reported too;
            without it what `DOTFLOW_WHOLE_VALUES` says.

    Raises:
        ValueError: There is no address or token, or the address is no http or https URL.
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
        """Deliver what was reported so far, also tasks that wait; whether all was in time."""
        self._release()
        return self.channel.flush(timeout_millis / 1000).complete

    def shutdown(self) -> None:
        """Deliver what can be within `DOTFLOW_FLUSH_TIMEOUT`, and end the threads."""
        self.close()

    def close(self, timeout: float | None = None) -> FlushResult:
        """Deliver what can be within `timeout` seconds, end the threads, say what came of it."""
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
