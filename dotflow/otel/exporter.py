"""Spans as reports to dotflow-api."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dotflow.delivery.channel import Channel
from dotflow.delivery.environment import find_destination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.abc.server import FlushResult
    from dotflow.delivery.dialect import Dialect


class DotflowSpanExporter(SpanExporter):
    """Turns the start of a dotflow span into a POST to dotflow-api, and its end into a PATCH.

    A span alone does not say what a record needs (contexts are cut in it). What does, the facts
    of the run, is in the run log: behind this exporter is the door through which they are read
    there and delivered. A DotflowSpanProcessor, or ServerOtel, has the facts of a run be for it.
    Spans that are none of dotflow's are passed over. No method touches a socket, or raises.

    Args:
        base_url: The address of dotflow-api; without one what the environment says.
        user_token: The token; without one what the environment says.
        dialect: Its dialect; without one that whose variables are set.
        timeout: Seconds for one call, in the background.

    Raises:
        ValueError: There is no address or token, or the address is no http or https URL.
    """

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        dialect: Dialect | str | None = None,
        timeout: float = 15.0,
    ) -> None:
        destination = find_destination(base_url, user_token, dialect, timeout)
        if destination is None:
            raise ValueError(
                "where is dotflow-api? Give base_url and user_token, or set DOTFLOW_SERVER_URL and "
                "DOTFLOW_USER_TOKEN (managed: SERVER_BASE_URL and SERVER_USER_TOKEN)"
            )
        self.channel = Channel(destination)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        """See to what has ended: the facts that ended these spans are in the run log."""
        self.channel.poke()
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was reported so far; whether all was within the time."""
        return self.channel.flush(timeout_millis / 1000).complete

    def shutdown(self) -> None:
        """Deliver what can be within `DOTFLOW_FLUSH_TIMEOUT`, and end the threads."""
        self.close()

    def close(self, timeout: float | None = None) -> FlushResult:
        """Deliver what can be within `timeout` seconds, end the threads, say what came of it."""
        return self.channel.close(timeout)
