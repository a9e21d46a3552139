"""Run the reference dotflow-api, which keeps the records of runs."""

from __future__ import annotations

import argparse
import os
import sys

from dotflow.cli.errors import CommandError

DATABASE = "sqlite:///dotflow-api.db"
LAST_PORT = 65535


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", default=8000, type=port, help="port to listen on (8000)")
    parser.add_argument(
        "--database", default=DATABASE, metavar="URL",
        help=f"SQLite or PostgreSQL ({DATABASE})",
    )  # fmt: skip
    parser.add_argument(
        "--token", default=os.environ.get("DOTFLOW_API_TOKEN") or None,
        help="the token that callers must send; set DOTFLOW_API_TOKEN instead, which no process "
        "list shows. Without a token only this machine may call",
    )  # fmt: skip
    parser.add_argument(
        "--keep", metavar="30d|1000",
        help="keep ended runs for so long (12h, 30d, 8w), or so many of them (1000), and delete "
        "the others; runs that go on are always kept (all runs are kept)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-keys", metavar="60d",
        help="for how long a repeated message is recognized (60d): a client that was away repeats "
        "its messages",
    )  # fmt: skip
    parser.add_argument(
        "--root-path", default="", metavar="PATH",
        help="the path below which a proxy serves dotflow-api, as /dotflow",
    )  # fmt: skip
    parser.add_argument(
        "--behind-proxy", action="store_true",
        help="believe X-Forwarded-Prefix, -Proto and -Host; only if a proxy sets them",
    )  # fmt: skip
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a further name, besides localhost, by which callers may address a server without a "
        "token (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", default=1, type=int, metavar="N",
        help="how many processes serve (1); more than one needs PostgreSQL",
    )  # fmt: skip
    parser.add_argument(
        "--connections", default=42, type=int, metavar="N",
        help="how many database connections all processes have together (42)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        from dotflow.api.server import serve
    except ModuleNotFoundError as error:
        raise CommandError(f"dotflow-api needs {error.name}: pip install 'dotflow[api]'") from error
    try:
        serve(
            arguments.database, arguments.token, arguments.host, arguments.port,
            announce=_announce, keep=arguments.keep, keep_keys=arguments.keep_keys,
            root_path=arguments.root_path, behind_proxy=arguments.behind_proxy,
            allowed_hosts=arguments.allow_host, workers=arguments.workers,
            connections=arguments.connections,
        )  # fmt: skip
    except OSError as error:
        raise CommandError(error.strerror or str(error)) from error
    except (ImportError, ValueError, RuntimeError) as error:
        raise CommandError(str(error)) from error
    return 0


def port(text: str) -> int:
    """The number of a port that there is."""
    if not (text.isdecimal() and int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(
            f"there is no port {text!r}: give a number from 1 to {LAST_PORT}, or 0 for any."
        )
    return int(text)


def _announce(url: str) -> None:
    sys.stdout.write(f"dotflow-api answers at {url} (its routes: {url}/docs). Ctrl-C ends it.\n")
    sys.stdout.flush()
