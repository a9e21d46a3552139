"""How a child process comes to be, and what to say where a step cannot come along."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

from dotflow.settings import START_METHODS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

FORK, SPAWN = "fork", "spawn"

GREEN = ("gevent", "eventlet")

CHILD_NAME = "dotflow-"
"""What the name of each process that runs steps begins with."""

GUARD = 'if __name__ == "__main__":'


def start_method_of(value: Any) -> str:
    """The start method that was asked for; that of the settings where none was.

    Under gevent and its like children are not forked: a copy of the process goes on with all that
    its green threads were about, and reports it once more.

    Raises:
        ValueError: There is no such method, or it does not work here.
    """
    if value is None:
        chosen = Settings.START_METHOD
        return SPAWN if chosen == FORK and green_threads() else chosen
    if value not in list(START_METHODS):  # which, unlike a set, may be asked for anything
        raise ValueError(
            f"start_method must be one of {_choices()}, not {value!r} (this system has no others)"
        )
    if value == FORK and (whose := green_threads()):
        raise ValueError(
            f'start_method="fork" does not work under {whose}, for a fork copies its green '
            'threads: use "spawn", which is the default there, or "forkserver"'
        )
    return str(value)


def green_threads() -> str:
    """Whose green threads stand in for those of the system: "gevent", "eventlet", or nobody's."""
    module: str = threading.get_ident.__module__ or ""  # what both replace
    package = module.partition(".")[0]
    return package if package in GREEN else ""


def check_is_no_import(start_method: str, uses_processes: bool) -> None:
    """See that the run is not one that a child begins because it imports the program.

    A process that is not forked imports the program's main module. Where that starts the workflow
    outside of a guard, each child would run it once more, and report that.

    Args:
        start_method: The start method of the run; empty where an executor has its own processes.
        uses_processes: Whether the run has steps in other processes.

    Raises:
        RuntimeError: It is.
    """
    module = sys.modules.get("multiprocessing.process")
    if module is None:  # which a child of multiprocessing has loaded
        return
    process = module.current_process()
    if not getattr(process, "_inheriting", False):  # what multiprocessing itself looks at
        return
    if process.name.startswith(CHILD_NAME) or (uses_processes and start_method != FORK):
        raise RuntimeError(
            "the workflow is started by a child process, which only imports the program: put what "
            f"starts it under `{GUARD}`" + (_or_fork() if start_method else "")
        )


def remedy_of_a_step() -> str:
    """What to do where a step cannot go to a process that is not forked."""
    return (
        "define it at the top level of a module, or of a script that starts its workflow under "
        f"`{GUARD}`" + _or_fork()
    )


def remedy_of_data() -> str:
    """What to do where data cannot go to a process that is not forked."""
    return "use data that can be pickled" + _or_fork()


def remedy_of_a_start() -> str:
    """What to do where a process that is not forked does not come up."""
    return f"see that the program starts its workflow under `{GUARD}`" + _or_fork()


def _or_fork() -> str:
    can_fork = FORK in START_METHODS and not green_threads()
    return ', or use start_method="fork"' if can_fork else ""


def _choices() -> str:
    return ", ".join(repr(method) for method in START_METHODS)


@contextlib.contextmanager
def parenthood(child: Any) -> Iterator[None]:
    """Let a worker of somebody's pool have a child.

    A daemonic one (of `multiprocessing.Pool`) is refused children, for it may be killed before
    they end. Ours notice that, and end too. One of Celery's has a key of another class, which
    cannot be handed to a child that is not forked.

    Args:
        child: The process that is to be started.
    """
    import multiprocessing.process  # here, for most runs need no processes

    config: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    own: type[bytes] = vars(multiprocessing.process)["AuthenticationString"]
    for one in (config, child._config):
        if type(key := one.get("authkey")) is not own and isinstance(key, bytes):
            one["authkey"] = own(key)
    daemon = config.pop("daemon", None)
    try:
        yield
    finally:
        if daemon is not None:
            config["daemon"] = daemon
