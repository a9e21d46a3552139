"""The `dotflow` command."""

from __future__ import annotations

import sys

from dotflow.cli.setup import Command


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(Command().run())
