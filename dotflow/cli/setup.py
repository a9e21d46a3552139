"""What the command line understands."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.console import Console

from dotflow import __description__, __version__
from dotflow.cli.commands import api, demo
from dotflow.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {"api": api, "demo": demo}


class Command:
    """The `dotflow` command.

    Args:
        arguments: The words after `dotflow`; those of the process by default.
    """

    def __init__(self, arguments: Sequence[str] | None = None) -> None:
        self.parser = argparse.ArgumentParser(prog="dotflow", description=__description__)
        self.parser.add_argument(
            "-v", "--version", action="version", version=f"dotflow=={__version__}"
        )
        commands = self.parser.add_subparsers(title="commands", metavar="COMMAND")
        for name, module in COMMANDS.items():
            summary = (module.__doc__ or "").strip().splitlines()[0]
            parser = commands.add_parser(name, help=summary, description=module.__doc__)
            module.configure(parser)
            parser.set_defaults(run=module.run)
        self._arguments = arguments

    def run(self) -> int:
        """Carry out the command and return the exit status: 0 where all went well."""
        arguments = self.parser.parse_args(self._arguments)
        if not hasattr(arguments, "run"):
            self.parser.print_help()
            return 0
        console = Console(stderr=True, highlight=False)
        try:
            status: int = arguments.run(arguments)
        except CommandError as error:
            console.print(f"[bold red]Error:[/bold red] {error}", soft_wrap=True)
            return 1
        except KeyboardInterrupt:
            console.print("Aborted.")
            return 130
        return status
