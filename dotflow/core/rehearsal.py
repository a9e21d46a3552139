"""What stands in for the outside while somebody tests a workflow: see `dotflow.testing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.abc.server import Server

stand_in: Server | None = None
"""Who is told of every run that begins in place of its Server; nobody outside a rehearsal."""

runs: dict[int, Server] = {}
"""Who is told of a run to its end, by its number, for it began in a rehearsal."""

skips_delays = False
"""Whether no attempt waits for its delay."""
