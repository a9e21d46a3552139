"""What stands in for the outside while somebody tests a workflow: see `dotflow.testing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.abc.server import Server

stand_in: Server | None = None
"""Who is told of every run of this process in place of its Server; nobody outside a rehearsal."""

skips_delays = False
"""Whether no attempt waits for its delay."""
