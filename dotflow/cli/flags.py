"""The flags that `start` and `schedule` have in common, and what they mean."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotflow.cli.errors import CommandError
from dotflow.core.dotflow import DotFlow
from dotflow.core.exception import ImportModuleError, MissingActionDecorator, NotCallableObject
from dotflow.core.module import Module
from dotflow.core.task import resolve_step
from dotflow.core.types import TypeExecution, TypeStorage
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.environment import VARIABLES
from dotflow.providers import StorageDefault, StorageFile
from dotflow.providers.environment import SERVER_VARIABLE, ServerChoice
from dotflow.providers.storage_address import wherever
from dotflow.utils.masking import masked

if TYPE_CHECKING:
    import argparse

    from dotflow.abc.storage import Storage

MODES = (
    TypeExecution.SEQUENTIAL,
    TypeExecution.SEQUENTIAL_GROUP,
    TypeExecution.BACKGROUND,
    TypeExecution.PARALLEL,
)
STORAGES = (TypeStorage.DEFAULT, TypeStorage.FILE)
STEP_HELP = "the step: 'module.name' or 'module:name' of something under @action"


def add_what_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the two ways to say what runs."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-s", "--step", metavar="IMPORT", help=STEP_HELP)
    what.add_argument(
        "-w", "--workflow", metavar="IMPORT",
        help="'module.name' of a function without arguments that returns a DotFlow; excludes -c "
        "and -i, ignores -o and -p",
    )  # fmt: skip


def add_step_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what goes with a step."""
    parser.add_argument(
        "-c", "--callback", metavar="IMPORT",
        help="'module.name' of a function; it is called as callback(task=task) when the step has "
        "ended",
    )  # fmt: skip
    parser.add_argument(
        "-i", "--initial-context", metavar="TEXT",
        help="the value of initial_context.storage in the step; always a str",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--storage", choices=STORAGES, default=TypeStorage.DEFAULT,
        help="keep results in memory (default), or in files, so that a later run can --resume",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--path", metavar="FOLDER",
        help="for '--storage file': a folder, or an address as s3://BUCKET/FOLDER "
        f"({masked(str(wherever())).replace('%', '%%')})",
    )  # fmt: skip


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Declare how it runs and where it is reported."""
    parser.add_argument(
        "-m", "--mode", choices=MODES, default=TypeExecution.SEQUENTIAL,
        help="'sequential': one task after another; 'background': the same, in a thread; "
        "'sequential_group': each group in a process of its own; 'parallel': each task in a "
        "process of its own. The command always waits for the end (sequential)",
    )  # fmt: skip
    parser.add_argument(
        "--server", choices=ServerChoice.ALL, default=ServerChoice.AUTO,
        help="where runs are reported. 'auto': to what the environment names; 'default': to the "
        "dotflow-api of DOTFLOW_SERVER_URL and DOTFLOW_USER_TOKEN; 'api': to the dotflow-api of "
        "SERVER_BASE_URL and SERVER_USER_TOKEN; 'otel': to OpenTelemetry, and to the dotflow-api "
        "that is set; 'none': nowhere. Config(server=...) in the code wins over every value but "
        "'none' (auto)",
    )  # fmt: skip
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="write errors only, to standard error"
    )


def choose_server(choice: str) -> None:
    """Have every Config of this process that is given no server report to `choice`.

    "none" holds for those that are given one too.

    Raises:
        CommandError: It needs variables that are not set, or that cannot be used.
    """
    if choice == ServerChoice.AUTO:
        return
    if choice in (ServerChoice.DEFAULT, ServerChoice.API):
        _check_variables(choice)
    os.environ[SERVER_VARIABLE] = choice


def _check_variables(choice: str) -> None:
    names = VARIABLES[Dialect.DEFAULT if choice == ServerChoice.DEFAULT else Dialect.MANAGED]
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise CommandError(
            f"'--server {choice}' needs {' and '.join(names)}: set {' and '.join(missing)}."
        )
    try:
        Destination(os.environ[names[0]], os.environ[names[1]])
    except ValueError as error:
        raise CommandError(f"'--server {choice}' cannot use {names[0]}: {error}.") from error


def find_modules_here() -> None:
    """Have modules of the current folder be found, which the installed script does not do."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def storage_of(arguments: argparse.Namespace) -> Storage:
    """The storage that the flags name.

    Raises:
        CommandError: Its folder cannot be made, or there is no such address.
    """
    if arguments.storage == TypeStorage.DEFAULT:
        return StorageDefault()
    try:
        return StorageFile(path=arguments.path)
    except OSError as error:
        where = wherever() if arguments.path is None else arguments.path
        raise CommandError(
            f"'--path {where}' cannot be used as a folder for results: {error.strerror}."
        ) from error
    except ValueError as error:
        raise CommandError(str(error)) from error


def step_and_callback(arguments: argparse.Namespace) -> dict[str, Any]:
    """The step and the callback that the flags name, as `task.add` takes them.

    Raises:
        CommandError: A module raised when it was imported, or the step is none.
        ImportModuleError: There is no such thing.
        NotCallableObject: The callback is none.
    """
    found = {"step": _step(arguments.step)}
    if arguments.callback is not None:
        callback = load(arguments.callback)
        if not callable(callback):
            raise NotCallableObject(arguments.callback)
        found["callback"] = callback
    return found


def _step(path: str) -> Any:
    value = load(path)
    if isinstance(value, DotFlow):
        raise CommandError(
            f"'{path}' is a workflow: write a function that returns it, and give '--workflow' its "
            "name."
        )
    try:
        return resolve_step(value)
    except MissingActionDecorator as error:
        raise MissingActionDecorator(path) from error


def load(path: str) -> Any:
    """The object that an import string leads to.

    Raises:
        ImportModuleError: It leads nowhere.
        CommandError: The module is there, and raised when it was imported.
    """
    try:
        return Module(path)
    except ImportModuleError:
        raise
    except Exception as error:
        raise CommandError(
            f"Could not import '{path}': {type(error).__name__}: {error}{_place(error)}"
        ) from error


def _place(error: Exception) -> str:
    """Where a module raised, unless the error says so itself."""
    if isinstance(error, SyntaxError):
        return ""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    # Not the import machinery, whose files have no path.
    real = [(file, line) for file, line in frames if not file.startswith("<")]
    return f" ({real[-1][0]}, line {real[-1][1]})" if real else ""
