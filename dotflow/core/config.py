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
    """Holds one provider a slot; a slot that is not given gets its default.

    Args:
        storage: Where results are kept; in memory by default.
        notify: Who is told of each status and of the run's end; by default those whom
            `DOTFLOW_NOTIFY_URLS` names, else nobody.
        log: What writes a line for each turn; the console by default.
        server: Where the run is reported; by default what the environment says (`SERVER_BASE_URL`
            and `SERVER_USER_TOKEN`, or `DOTFLOW_SERVER_URL` and `DOTFLOW_USER_TOKEN`, or
            `DOTFLOW_SERVER=otel`), else nowhere; in an instrumented program (see
            `dotflow.instrumentation`) as spans. `DOTFLOW_SERVER=none` wins over what is given.
        scheduler: When `DotFlow.schedule` runs; never by default.
        tracer: Who is told of starts and ends; nobody by default.
        metrics: Who counts and measures; nobody by default.
        executor: What runs steps in the modes "parallel" and "sequential_group" (a
            `concurrent.futures.Executor`, Dask's Client, or a `dotflow.abc.executor.TaskExecutor`);
            child processes do by default, and for a run with a `start_method`. Whoever made it
            shuts it down.

    Attributes:
        guard: Keeps what a provider raises away from the work, and counts it.

    Raises:
        NotCallableObject: A slot was given something that is not of its contract.
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
    wanted = f"{contract.__module__}.{contract.__name__}"
    raise NotCallableObject(name, f"it must be a {wanted}, not a {type(given).__name__}")
