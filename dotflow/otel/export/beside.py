"""Spans that processes beside this one have left, when no server of this one is there to look."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from dotflow.process.at_exit import flush_timeout
from dotflow.runlog import leftovers

if TYPE_CHECKING:
    from dotflow.otel.export.batch import OtlpProcessor
    from dotflow.otel.export.endpoint import OtlpSettings

processors: weakref.WeakSet[OtlpProcessor] = weakref.WeakSet()
"""What sends spans from this process: each looks by itself, as long as it is there."""


def look(key: str, settings: OtlpSettings, left_for: str | None) -> None:
    """Send what was left for an endpoint; called every few seconds by the thread that watches.

    Args:
        key: The endpoint's key.
        settings: Which endpoint.
        left_for: The name of the endpoint that they were left for; the same one without it.
    """
    is_seen_to = any(one.key == key and not one.has_ended for one in list(processors))
    if not is_seen_to and leftovers.are_there(key):
        from dotflow.otel.export.replay import SpanReplay  # it imports what imports this

        SpanReplay(settings, left_for).close(flush_timeout())
