"""Run the reference dotflow-api, which keeps the records of runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dotflow.cli.errors import CommandError

if TYPE_CHECKING:
    import argparse

DATABASE = "sqlite:///dotflow-api.db"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", default=8000, type=int, help="port to listen on (8000)")
    parser.add_argument(
        "--database", default=DATABASE, metavar="URL",
        help=f"SQLite or PostgreSQL ({DATABASE})",
    )  # fmt: skip
    parser.add_argument(
        "--token", default=os.environ.get("DOTFLOW_API_TOKEN"),
        help="what callers have to know; better given as DOTFLOW_API_TOKEN, which no process "
        "list shows. Without one everybody may call",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        from dotflow.api.server import serve
    except ModuleNotFoundError as error:
        raise CommandError(f"dotflow-api needs {error.name}: pip install 'dotflow[api]'") from error
    try:
        serve(
            arguments.database, arguments.token, arguments.host, arguments.port, announce=_announce
        )
    except (ImportError, ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(f"dotflow-api answers at {url} (its routes: {url}/docs). Ctrl-C ends it.\n")
    sys.stdout.flush()
