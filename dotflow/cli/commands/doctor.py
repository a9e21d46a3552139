"""Say what is configured, try each destination, and name what is wrong with its remedy."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EPILOG = """\
The command shows where each value comes from (an argument, a variable, a default), and which
provider, exporters, processors and propagators are in force. It sends one test span to each OTLP
endpoint, makes one test record in each dotflow-api and deletes it, and writes a file into the state
folder. Each destination has at most 5 seconds. The command shows no secret.

Without --workflow the command looks at the environment alone. With --workflow it also looks at the
Config of that workflow, which it makes and does not start; nothing of it is reported.

Exit status: 0 all is well; 1 there is a fault; 2 wrong flags. docs/reference/doctor.md has the
keys of --json."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "-w", "--workflow", metavar="IMPORT",
        help="'module.name' of a function without arguments that returns a DotFlow: look at its "
        "Config too",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="write one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Look, try, and say what was found; 0 where there is no fault."""
    # Here, for OpenTelemetry takes its time to load; already then variables are told of.
    from dotflow.cli.doctor.lines import kept_lines

    with kept_lines() as lines:
        from dotflow.cli.doctor.examining import examine
        from dotflow.cli.doctor.page import show

        report = examine(arguments.workflow)
    report.take(lines)
    if arguments.json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        show(report)
    return 0 if report.is_well else 1
