"""Which executor runs the steps of a run: what is allowed, and what to say of all else."""

from __future__ import annotations

import sys
from concurrent.futures import Executor
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dotflow.abc.executor import TaskExecutor
from dotflow.core.exception import ModuleNotFound, NotCallableObject
from dotflow.executors.standard import StandardExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

ALLOWED = (
    "give a concurrent.futures.Executor (a ThreadPoolExecutor, a ProcessPoolExecutor, that of "
    "loky, mpi4py.futures, Parsl or executorlib), Dask's Client, or a "
    "dotflow.abc.executor.TaskExecutor"
)


def task_executor_of(executor: Any) -> TaskExecutor:
    """What runs steps on an executor.

    Args:
        executor: A TaskExecutor, a `concurrent.futures.Executor`, or Dask's Client.

    Raises:
        NotCallableObject: It is something else.
        ModuleNotFound: What dotflow needs for it is not installed.
    """
    if isinstance(executor, TaskExecutor):
        return executor
    if type(executor).__module__.partition(".")[0] == "distributed":
        return _of_dask()(executor)
    if isinstance(executor, Executor):
        return StandardExecutor(executor)
    raise NotCallableObject("executor", f"it is {_what(executor)}: {ALLOWED}")


def _of_dask() -> Callable[[Any], TaskExecutor]:
    try:
        made: Callable[[Any], TaskExecutor] = import_module("dotflow.executors.dask").DaskExecutor
    except ImportError as error:
        raise ModuleNotFound(error.name or "distributed", "dotflow[dask]") from error
    return made


def _what(executor: Any) -> str:
    if isinstance(executor, type):
        return f"the class {executor.__name__}, not an instance of it"
    kind = type(executor)
    name = f"{kind.__module__}.{kind.__qualname__}"
    pools = getattr(sys.modules.get("multiprocessing.pool"), "Pool", ())
    if isinstance(executor, pools):
        return f"a {name}, whose place a ProcessPoolExecutor takes here"
    loops = getattr(sys.modules.get("asyncio"), "AbstractEventLoop", ())
    if isinstance(executor, loops):
        return f"an event loop ({name}), which runs no steps: see start_async()"
    return f"of type {name.removeprefix('builtins.')}"
