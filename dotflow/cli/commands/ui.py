"""Show the runs of this machine on a page, without any server."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dotflow.cli.commands.api import port
from dotflow.cli.errors import CommandError
from dotflow.cli.signals import asked_to_end

if TYPE_CHECKING:
    import argparse

REFRESH = 0.5  # seconds

EPILOG = """\
The page shows the runs that go on, the runs that were not delivered yet, and the last runs of
programs that keep a history (DOTFLOW_HISTORY=64MB; `dotflow start` always keeps one).
`dotflow runs` and `dotflow trace` show the same in the terminal. The page changes nothing and
sends nothing. Everybody on this machine can look at it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--port", default=0, type=port, help="port to listen on (any free one)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    try:
        from dotflow.api import ApiServer
    except ModuleNotFoundError as error:
        raise CommandError(f"The page needs {error.name}: pip install 'dotflow[api]'") from error
    from dotflow.cli.local.records import LocalRecords

    with ExitStack() as stack:
        is_asked = stack.enter_context(asked_to_end())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dotflow-ui-"))
        database = f"sqlite:///{folder}/runs.db"
        server = ApiServer(database, port=arguments.port, read_only=True)
        try:
            stack.enter_context(server)
        except OSError as error:
            raise CommandError(error.strerror or str(error)) from error
        records = stack.enter_context(LocalRecords(database))
        sys.stdout.write(f"The runs of this machine: {server.url}/ (Ctrl-C ends it)\n")
        sys.stdout.flush()
        if arguments.open:
            webbrowser.open(server.url)
        while not is_asked.is_set():
            for _ in records.refresh():
                if is_asked.is_set():
                    break
            is_asked.wait(REFRESH)
    return 0
