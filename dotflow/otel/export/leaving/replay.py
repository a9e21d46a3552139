"""Sends what waits for an OTLP endpoint, without a run: `dotflow outbox flush`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dotflow.abc.server import FlushResult
from dotflow.logging import logger
from dotflow.otel.export.leaving.others import past_of
from dotflow.otel.export.leaving.outgoing import Outgoing
from dotflow.otel.export.leaving.receipts import left_of
from dotflow.otel.export.otlp.endpoint import LOGS, TRACES, OtlpSettings, endpoint_name, is_named
from dotflow.otel.export.otlp.exports import SpanCounts, exports
from dotflow.process.at_exit import flush_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from dotflow.delivery.survey import Lines
    from dotflow.otel.export.otlp.endpoint import Signal
    from dotflow.runlog.reader import Fact


class SpanReplay:
    """Makes spans, or log records, again from what dead processes have left, and sends them.

    Args:
        settings: Which endpoint.
        left_for: The name of the endpoint that they were left for; the same one without it.

    Attributes:
        name: What a line of the log calls the endpoint, without credentials.

    Raises:
        ValueError: The endpoint is no URL.
    """

    def __init__(self, settings: OtlpSettings, left_for: str | None = None) -> None:
        self._counts = SpanCounts()
        self._processor = Outgoing(settings, self._counts, left_for)
        self._processor.is_told = False
        self.name = self._processor.name
        self._wait: Callable[[float], bool] | None = None

    def adopt(self) -> None:
        """Take over what was left, and begin to send it."""
        self._wait = self._processor.begin_flush(flush_timeout())

    @property
    def is_done(self) -> bool:
        """Whether all that was taken over has left; nothing waits for it."""
        return self._wait is not None and self._wait(0.0)

    def flush(self, timeout: float) -> FlushResult:
        """Send what was left, within `timeout` seconds; say what came of it."""
        if self._wait is None:
            self.adopt()
        wait, self._wait = self._wait, None
        is_all = wait is not None and wait(timeout)
        return self._result(self._processor.waiting, is_all)

    def close(self, timeout: float) -> FlushResult:
        """The same, and end."""
        result = self.flush(timeout)
        left = self._processor.end()
        return self._result(left, result.complete)

    def _result(self, left: int, is_all: bool) -> FlushResult:
        counts = self._counts
        return FlushResult(counts.exported, left, counts.failed, complete=is_all and not left)


def relays_from_environment(known: Collection[str] = ()) -> list[SpanReplay]:
    """What sends what waits for the OTLP endpoints of the environment, those that are URLs.

    Args:
        known: The names of what anything waits for; without its one log records are not looked for.
    """
    found = []
    for settings in _of_environment():
        try:
            if settings.signal == TRACES or endpoint_name(settings) in known:
                found.append(SpanReplay(settings))
        except ValueError as error:  # noqa: PERF203 - one for each signal
            logger.warning("The OTLP endpoint cannot be used: %s", error)
    return found


def endpoints_of_environment() -> set[str]:
    """What people call the OTLP endpoints of the environment."""
    found = set()
    for settings in _of_environment():
        with contextlib.suppress(ValueError):
            found.add(endpoint_name(settings))
    return found


def _of_environment() -> list[OtlpSettings]:
    """That for spans, and that for log records: of these also where none are to leave any more."""
    found = [one for one in exports(OtlpSettings()) if isinstance(one, OtlpSettings)][:1]
    return [*found, OtlpSettings(signal=LOGS)] if found or is_named(LOGS) else found


def spans_left(lines: Lines, key: str, last_seen: float | None) -> int:
    """How many spans, or log records, wait for an endpoint in a log; none is taken from its owner.

    Args:
        lines: The log's lines.
        key: The endpoint's key.
        last_seen: When its process gave the last sign of life: seconds since the epoch; None while
            it lives.
    """
    facts, _ = lines.found
    said = {(fact.get("to") or {}).get(key) for fact in facts}
    have_left = left_of(lines.segments, key)  # after the lines: what is read there may leave now
    return sum(
        number not in have_left
        for signal in (TRACES, LOGS) if signal.what in said
        for number in _numbers(signal, key, facts, last_seen)
    )  # fmt: skip


def _numbers(signal: Signal, key: str, facts: list[Fact], last_seen: float | None) -> Iterator[int]:
    """The numbers of what ended; with those that the death of the process ended."""
    past = past_of(signal, key)
    for fact in facts:
        ended = past.take(fact)
        if ended is not None:
            yield ended[1]
    if last_seen is not None:
        for _, number in past.unended(int(last_seen * 1e9)):
            yield number
