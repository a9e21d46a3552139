"""The `dotflow` command."""

from __future__ import annotations

import sys

ABORTED = 130


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        # Here, for it takes a moment, in which somebody may press Ctrl-C.
        from dotflow.cli.setup import Command
        from dotflow.cli.streams import bear_all

        bear_all()
        status = Command().run()
    except KeyboardInterrupt:
        sys.stderr.write("Aborted.\n")
        status = ABORTED
    sys.exit(status)
