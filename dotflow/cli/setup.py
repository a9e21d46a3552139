"""What the command line understands."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from dotflow import __description__, __version__
from dotflow.cli.commands import (
    api,
    cloud,
    demo,
    deploy,
    doctor,
    log,
    outbox,
    runs,
    schedule,
    start,
    trace,
    ui,
)
from dotflow.cli.errors import MENDABLE, OF_USAGE, UNEXPECTED
from dotflow.cli.parser import WRONG_WORDS, Parser
from dotflow.cli.signals import status_of
from dotflow.core.exception import Interrupted
from dotflow.logging import logger
from dotflow.utils.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "start": start,
    "schedule": schedule,
    "logs": log,
    "outbox": outbox,
    "runs": runs,
    "trace": trace,
    "api": api,
    "doctor": doctor,
    "cloud": cloud,
    "deploy": deploy,
    "demo": demo,
    "ui": ui,
}

FAILED, ABORTED = 1, 130


class Command:
    """The `dotflow` command.

    Args:
        arguments: The words after `dotflow`; those of the process by default.
    """

    def __init__(self, arguments: Sequence[str] | None = None) -> None:
        self.parser = Parser(
            prog="dotflow",
            description=__description__,
            epilog="`dotflow COMMAND --help` says what a command needs.",
        )
        self.parser.add_argument(
            "-v", "--version", action="version", version=f"dotflow=={__version__}"
        )
        commands = self.parser.add_subparsers(title="commands", metavar="COMMAND")
        for name, module in COMMANDS.items():
            parser = commands.add_parser(
                name,
                help=(module.__doc__ or "").strip().splitlines()[0],
                description=module.__doc__,
                epilog=getattr(module, "EPILOG", None),
                formatter_class=argparse.RawDescriptionHelpFormatter,
                declare=module.configure,
            )
            parser.set_defaults(run=module.run)
        self._arguments = arguments
        self._console = Console(stderr=True, highlight=False)

    def run(self) -> int:
        """Carry out the command and return the exit status: 0 where all went well."""
        arguments = self.parser.parse_args(self._arguments)
        if not hasattr(arguments, "run"):
            self.parser.print_help()
            return 0
        try:
            return int(arguments.run(arguments))
        except MENDABLE as error:
            status = WRONG_WORDS if isinstance(error, OF_USAGE) else FAILED
            return self._fail(str(error), status)
        except Interrupted as error:
            self._console.print("Aborted.")
            return status_of(error.number)
        except KeyboardInterrupt:
            self._console.print("Aborted.")
            return ABORTED
        except Exception:  # noqa: BLE001 - what nobody expected is logged, with its cause
            logger.exception("dotflow could not go on.")
            return self._fail(UNEXPECTED)

    def _fail(self, message: str, status: int = FAILED) -> int:
        line = Text.assemble(("Error:", "bold red"), f" {printable(message)}")
        self._console.print(line, soft_wrap=True)
        return status
