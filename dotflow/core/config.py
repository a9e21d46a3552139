"""Config: the eight places where a program chooses what the engine works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.server import Server
from dotflow.abc.storage import Storage
from dotflow.abc.tracer import Tracer
from dotflow.core import rehearsal
from dotflow.core.exception import NotCallableObject
from dotflow.core.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

Provider = TypeVar("Provider")

SERVER_HOOKS = frozenset(name for name, one in vars(Server).items() if callable(one))


class Config:
    """Chooses what a workflow works with: one provider for each of eight slots.

    Args:
        storage: Keeps the results; by default in memory.
        notify: Hears of each new status and of the run's end; by default the addresses of
            `DOTFLOW_NOTIFY_URLS`, else nobody.
        log: Writes a line for each new status; by default to the console.
        server: Reports the run. By default the environment decides: `SERVER_BASE_URL` and
            `SERVER_USER_TOKEN`, or `DOTFLOW_SERVER_URL` and `DOTFLOW_USER_TOKEN`, or
            `DOTFLOW_SERVER=otel`; without them the run is reported nowhere. In an instrumented
            program (see `dotflow.instrumentation`) the default is spans. `DOTFLOW_SERVER=none`
            wins over this argument.
        scheduler: Decides when `DotFlow.schedule` runs the workflow; by default never.
        tracer: Hears when runs and tasks start and end; by default nobody does.
        metrics: Counts and measures; by default nobody does.
        executor: Runs the steps in the modes "parallel" and "sequential_group": a
            `concurrent.futures.Executor`, Dask's Client, or a `dotflow.abc.executor.TaskExecutor`.
            By default, and for a run with a `start_method`, child processes run them. The code that
            made an executor shuts it down.

    Attributes:
        guard: Keeps what a provider raises away from the workflow, and counts it.

    Raises:
        NotCallableObject: A slot got an object of another contract.
    """

    def __init__(
        self,
        storage: Storage | None = None,
        notify: Notify | None = None,
        log: Log | None = None,
        server: Server | None = None,
        scheduler: Scheduler | None = None,
        tracer: Tracer | None = None,
        metrics: Metrics | None = None,
        executor: Any = None,
    ) -> None:
        # What every workflow needs, and `import dotflow` does not.
        import socket  # noqa: F401
        import uuid  # noqa: F401

        # Here, for they import this package.
        from dotflow import providers
        from dotflow.providers.environment import chosen_server, notify_from_environment

        self.storage = _slot("storage", storage, Storage, providers.StorageDefault)
        self.notify = _slot("notify", notify, Notify, notify_from_environment)
        self.log = _slot("log", log, Log, providers.LogDefault)
        given = None if server is None else _checked("server", server, Server)
        self.server = chosen_server(given, has_tracer=tracer is not None)
        self.scheduler = _slot("scheduler", scheduler, Scheduler, providers.SchedulerDefault)
        self.tracer = _slot("tracer", tracer, Tracer, providers.TracerDefault)
        self.metrics = _slot("metrics", metrics, Metrics, providers.MetricsDefault)
        if executor is not None:
            from dotflow.core.remote.choice import task_executor_of  # here, for few have one

            task_executor_of(executor)
        self.executor = executor
        self.guard = Guard()

    def __repr__(self) -> str:
        """What differs from the defaults, and the Server; without what is secret."""
        from dotflow import providers

        usual = {
            providers.StorageDefault, providers.NotifyDefault, providers.LogDefault,
            providers.SchedulerDefault, providers.TracerDefault, providers.MetricsDefault,
            type(None),
        }  # fmt: skip
        slots = {name: one for name, one in vars(self).items() if name != "guard"}
        said = [f"{name}={_words_of(one)}" for name, one in slots.items() if type(one) not in usual]
        return f"Config({', '.join(said)})"

    def listener(self, run: int = 0) -> Server | None:
        """Who is told of the run: the Server, or None if nothing becomes of what that is told.

        A hook that a program has put on the very instance is called. In a rehearsal somebody else
        is told.

        Args:
            run: The number of the run; 0 where none has begun.
        """
        server = (rehearsal.runs.get(run) if run else rehearsal.stand_in) or self.server
        if server.silent is not True or not SERVER_HOOKS.isdisjoint(server.__dict__):
            return server
        return None


def unreported() -> Config:
    """A Config that reports nowhere, whatever the environment says."""
    from dotflow.providers.notify_default import NotifyDefault
    from dotflow.providers.server_none import ServerNone

    return Config(server=ServerNone(), notify=NotifyDefault())


def _slot(
    name: str, given: Provider | None, contract: type, default: Callable[[], Provider]
) -> Provider:
    return default() if given is None else _checked(name, given, contract)


def _words_of(provider: object) -> str:
    """A provider in words: its own, if it has some, else its class."""
    from dotflow.utils.masking import masked_by_default

    kind = type(provider)
    if kind.__repr__ is object.__repr__:
        return kind.__name__
    try:
        return masked_by_default(repr(provider))
    except Exception:  # noqa: BLE001 - it may be anybody's
        return kind.__name__


def _checked(name: str, given: Provider, contract: type) -> Provider:
    if isinstance(given, contract):
        return given
    got = f"a {type(given).__name__}"
    if isinstance(given, type):
        got = f"the class {given.__name__} itself: write {given.__name__}()"
    wanted = f"{contract.__module__}.{contract.__name__}"
    raise NotCallableObject(name, f"it must be a {wanted}, not {got}")
