"""Spans that processes beside this one have left, when no server of this one is there to look."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from dotflow.runlog import leftovers

if TYPE_CHECKING:
    from dotflow.otel.export.endpoint import OtlpSettings
    from dotflow.otel.export.outgoing import Outgoing
    from dotflow.otel.export.replay import SpanReplay

processors: weakref.WeakSet[Outgoing] = weakref.WeakSet()
"""What sends spans from this process: each looks by itself, as long as it is there."""

_replays: dict[tuple[int, str], SpanReplay] = {}
"""What sends that now, by process and endpoint."""


def look(key: str, settings: OtlpSettings, left_for: str | None) -> None:
    """Send what was left for an endpoint; called every few seconds by the thread that watches.

    Args:
        key: The endpoint's key.
        settings: Which endpoint.
        left_for: The name of the endpoint that they were left for; the same one without it.
    """
    here = os.getpid(), key
    replay = _replays.get(here)
    if replay is not None:
        if replay.is_done:
            del _replays[here]
            replay.close(0.0)
        return  # else it goes on until the endpoint is back, and has said once that it is away
    is_seen_to = any(one.key == key and one.is_at_work for one in list(processors))
    if not is_seen_to and leftovers.are_there(key):
        from dotflow.otel.export.replay import SpanReplay  # it imports what imports this

        replay = _replays[here] = SpanReplay(settings, left_for)
        replay.adopt()
