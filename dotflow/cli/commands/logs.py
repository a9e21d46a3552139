"""Print the log file that a LogDefault writes."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from dotflow.cli.errors import CommandError
from dotflow.settings import Settings

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Nothing writes this file by default. In Python:
  DotFlow(config=Config(log=LogDefault(output="both")))
The exit status is 1 if there is no file."""


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no flags."""


def run(_arguments: argparse.Namespace) -> int:
    """Print the file; 1 where there is none, as `cat` has it."""
    return LogCommand().run()


class LogCommand:
    """`dotflow logs`."""

    def run(self) -> int:
        """Print the file.

        Raises:
            CommandError: There is none, or it cannot be read.
        """
        path = Settings.LOG_PATH
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                shutil.copyfileobj(file, sys.stdout)
        except FileNotFoundError as error:
            raise CommandError(
                f"There is no log file at {path}: Config(log=LogDefault(output='both')) writes one."
            ) from error
        except BrokenPipeError:  # `| head` has seen enough
            sys.stdout = None
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from error
        return 0
