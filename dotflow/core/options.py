"""How a run can be started: what of it is checked before anybody is told of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.checkpoint import check_policy
from dotflow.core.children.start_method import check_is_no_import, start_method_of
from dotflow.core.exception import ExecutionModeNotExist, NotCallableObject
from dotflow.core.flows import Background, InProcesses, Parallel, Sequential, SequentialGroup
from dotflow.core.types import TypeExecution

if TYPE_CHECKING:
    from dotflow.abc.executor import TaskExecutor
    from dotflow.abc.flow import Flow
    from dotflow.core.config import Config
    from dotflow.core.task import Task

FLOWS: dict[str, type[Flow]] = {
    TypeExecution.SEQUENTIAL: Sequential,
    TypeExecution.SEQUENTIAL_GROUP: SequentialGroup,
    TypeExecution.BACKGROUND: Background,
    TypeExecution.PARALLEL: Parallel,
}

ELSEWHERE = (TypeExecution.PARALLEL, TypeExecution.SEQUENTIAL_GROUP)
"""The modes whose steps may run on an executor."""


def mode_of(asked: str, groups: dict[str, list[Task]]) -> str:
    """The mode in which tasks run: several groups are never run one after the other."""
    is_grouped = asked == TypeExecution.SEQUENTIAL and len(groups) > 1
    return TypeExecution.SEQUENTIAL_GROUP if is_grouped else asked


def check_options(
    mode: Any,
    on_input_change: Any,
    on_success: Any,
    on_failure: Any,
    start_method: Any,
    executor: Any = None,
) -> str:
    """See that a run can be started so, before anybody is told of it; return its start method.

    Raises:
        ExecutionModeNotExist: There is no such mode.
        InvalidOnInputChange: There is no such policy.
        NotCallableObject: A callback cannot be called, or the executor is none.
        ValueError: There is no such start method here, or these two do not go together.
    """
    if mode not in list(FLOWS):  # which, unlike a dict, may be asked for anything
        raise ExecutionModeNotExist(mode)
    check_policy(on_input_change)
    for name, callback in (("on_success", on_success), ("on_failure", on_failure)):
        if not callable(callback):
            raise NotCallableObject(name)
    if executor is not None:
        _check_executor(executor, mode, start_method)
    return start_method_of(start_method)


def _check_executor(executor: Any, mode: str, start_method: Any) -> None:
    from dotflow.core.remote.choice import task_executor_of  # here, for few runs have one

    task_executor_of(executor)
    if mode not in ELSEWHERE:
        raise ValueError(
            f'executor goes with mode="parallel" or mode="sequential_group", not with "{mode}": '
            "give one of these, or leave the executor out"
        )
    if start_method is not None:
        raise ValueError(
            "start_method is for processes that dotflow starts, and an executor has its own: "
            "leave one of the two out"
        )


def executor_for(
    flow: type[Flow], given: Any, config: Config | None, has_start_method: bool
) -> TaskExecutor | None:
    """What runs the steps of a run: the executor that is given, else that of its Config.

    Args:
        flow: What runs the tasks; one that needs no processes needs no executor.
        given: The executor that the run was given, or None.
        config: The Config, or None.
        has_start_method: Whether the run was given a start method: then it has its own processes.

    Raises:
        RuntimeError: A step on that very executor starts the run.
    """
    if given is None and config is not None and not has_start_method:
        given = config.executor
    if given is None or not issubclass(flow, InProcesses):
        return None
    from dotflow.core.remote.choice import task_executor_of
    from dotflow.core.remote.here import check_is_free

    executor = task_executor_of(given)
    check_is_free(executor)
    return executor


def check_is_no_child(flow: type[Flow], start_method: str, executor: TaskExecutor | None) -> None:
    """See that the run is not one that a child process begins because it imports the program.

    Raises:
        RuntimeError: It is.
    """
    uses_processes = issubclass(flow, InProcesses) and not (executor and executor.in_process)
    check_is_no_import(start_method if executor is None else "", uses_processes)
