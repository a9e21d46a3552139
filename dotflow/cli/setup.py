"""What the command line understands."""

from __future__ import annotations

import argparse
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dotflow import __description__, __version__
from dotflow.cli.errors import MENDABLE, OF_USAGE, UNEXPECTED
from dotflow.cli.parser import WRONG_WORDS, Parser
from dotflow.cli.signals import status_of
from dotflow.core.exception import Interrupted
from dotflow.logging import logger
from dotflow.utils.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "start": "Run a step or a workflow, and wait for its end.",
    "schedule": "Run a step or a workflow at the times of a cron expression, until it is told to "
    "stop.",
    "logs": "Print the log file that a LogDefault writes.",
    "outbox": "Show, send or drop the reports that wait for dotflow-api or an OTLP endpoint.",
    "runs": "List the runs of this machine, without any server.",
    "trace": "Show a run of this machine, or a trace from a file, as a waterfall.",
    "api": "Run the reference dotflow-api, which keeps the records of runs.",
    "doctor": "Say what is configured, try each destination, and name what is wrong with its "
    "remedy.",
    "cloud": "Write the files that run a workflow on a platform.",
    "deploy": "Bring a workflow to ECS or CodeBuild: say what that changes, and do it if asked to.",
    "demo": "Run a pipeline on real data, and show the trace and the records that it leaves.",
    "ui": "Show the runs of this machine on a page, without any server.",
}
"""The commands, and the first line of what each module says: only the one that runs is loaded."""

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
        for name, line in COMMANDS.items():
            commands.add_parser(
                name,
                help=line,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                declare=partial(_declare, name),
            )
        self._arguments = arguments

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
            self._say("Aborted.")
            return status_of(error.number)
        except KeyboardInterrupt:
            self._say("Aborted.")
            return ABORTED
        except Exception:  # noqa: BLE001 - what nobody expected is logged, with its cause
            logger.exception("dotflow could not go on.")
            return self._fail(UNEXPECTED)

    def _fail(self, message: str, status: int = FAILED) -> int:
        self._say(f" {printable(message)}", "Error:")
        return status

    def _say(self, text: str, red: str = "") -> None:
        from rich.console import Console  # here, for a command that goes well need not load it
        from rich.text import Text

        line = Text.assemble((red, "bold red"), text)
        Console(stderr=True, highlight=False).print(line, soft_wrap=True)


def module_of(command: str) -> Any:
    """The module of a command, loaded now."""
    return import_module(f"dotflow.cli.commands.{command}")


def _declare(command: str, parser: argparse.ArgumentParser) -> None:
    """Have the parser of a command know its flags, and its words of help."""
    module = module_of(command)
    parser.description, parser.epilog = module.__doc__, getattr(module, "EPILOG", None)
    parser.set_defaults(run=module.run)
    module.configure(parser)
