"""Spans that processes beside this one have left, when no server of this one is there to look."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotflow.otel.export.leaving.outgoing import processors
from dotflow.runlog import leftovers

if TYPE_CHECKING:
    from dotflow.otel.export.leaving.replay import SpanReplay
    from dotflow.otel.export.otlp.endpoint import OtlpSettings

_replays: dict[tuple[int, str], SpanReplay] = {}
"""What sends what was left, by process and endpoint."""


def look(key: str, settings: OtlpSettings) -> None:
    """Send what was left for an endpoint; called every few seconds by the thread that watches.

    Args:
        key: The endpoint's key.
        settings: Which endpoint.
    """
    here = os.getpid(), key
    replay = _replays.get(here)
    if replay is not None:
        if replay.is_done:
            del _replays[here]
            replay.close(0.0)
        return  # else it goes on until the endpoint is back, and has said once that it is away
    # What sends spans looks by itself, as long as it is there.
    is_seen_to = any(one.key == key and one.is_at_work for one in list(processors))
    if not is_seen_to and leftovers.are_there(key):
        from dotflow.otel.export.leaving.replay import (
            SpanReplay,  # here, for most programs find none
        )

        replay = _replays[here] = SpanReplay(settings)
        replay.adopt()
