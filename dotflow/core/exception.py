"""Every exception of the engine: straight from `Exception`, but for the one that ends a run.

Each can be pickled, so it comes back whole from another process.

Exception
  MissingActionDecorator     a step without @action
  ExecutionModeNotExist      no such mode
  ImportModuleError          an import string that leads nowhere
  NotCallableObject          a callback or a Config slot of the wrong kind
  ProblemOrdering            methods that could not be ordered
  ModuleNotFound             an optional library that is not installed
  ExecutionWithClassError    internal
  InvalidWorkflowFactory     --workflow that gives no DotFlow
  WorkflowFlagConflict       a flag of --step given with --workflow
  InputChangedError          a resumed run with another input
  InvalidOnInputChange       no such policy
  ValueNotKept               a storage cannot keep this value
  AmbiguousResume            steps that cannot be told apart from those of the earlier run
  WorkflowFailed             a run that failed
  StepError                  an exception of a step that is told, for it could not come itself
  StepTraceback              where in a step an exception came from
KeyboardInterrupt
  Interrupted                a signal ended the run
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.step_error import StepError as StepError  # noqa: PLC0414 - found here too
from dotflow.core.step_error import StepTraceback as StepTraceback  # noqa: PLC0414
from dotflow.core.step_error import reduced, revived

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGE_UNKNOWN_ERROR = "Unknown"
MESSAGE_MISSING_STEP_DECORATOR = (
    "A step needs the '@action' decorator: write '@action' above the function, coroutine or class "
    "(the README begins with an example)."
)
MESSAGE_EXECUTION_NOT_EXIST = (
    "There is no such execution mode. Allowed: 'sequential', 'sequential_group', 'background', "
    "'parallel'."
)
MESSAGE_IMPORT_MODULE_ERROR = (
    "Could not import '{module}'. Write it as 'package.module.name' or 'package.module:name', and "
    "check that the module can be found from here."
)
MESSAGE_NOT_CALLABLE_OBJECT = "'{name}' is not an object of the kind that is needed here."
MESSAGE_PROBLEM_ORDERING = "The methods of class '{name}' could not be put in order."
MESSAGE_MODULE_NOT_FOUND = (
    "Module '{module}' is not installed. Install it with: pip install {library}"
)
MESSAGE_EXECUTION_WITH_CLASS_ERROR = MESSAGE_UNKNOWN_ERROR
MESSAGE_INVALID_WORKFLOW_FACTORY = (
    "'{factory}' must be a callable without arguments that returns a DotFlow."
)
MESSAGE_WORKFLOW_FLAG_CONFLICT = (
    "'{flag}' goes with '--step' only; with '--workflow' say it in the callable itself."
)
MESSAGE_INPUT_CHANGED = (
    "Workflow '{workflow_id}' ran before with another initial_context, or with other steps. Start "
    "it with on_input_change='reset' to begin anew, or 'reuse' to go on with what is there."
)
MESSAGE_INVALID_ON_INPUT_CHANGE = (
    "on_input_change must be one of 'reuse', 'reset', 'raise', not {value!r}."
)
MESSAGE_VALUE_NOT_KEPT = "A value of type {kind} is not kept: it {why}. To have it kept, {remedy}."
MESSAGE_AMBIGUOUS_RESUME = (
    "Workflow '{workflow_id}' cannot be resumed: step '{step}' is there more or fewer times than "
    "before, with the same input, so nobody can tell which of them has a result. Give each an "
    "initial_context of its own, or start the workflow without resume to run every step."
)


class MissingActionDecorator(Exception):
    """A step is not under `@action`."""

    __reduce__ = reduced

    def __init__(self, step: str = "") -> None:
        which = f"'{step}' is no step. " if step else ""
        super().__init__(f"{which}{MESSAGE_MISSING_STEP_DECORATOR}")


class ExecutionModeNotExist(Exception):
    """The mode is none of the four."""

    __reduce__ = reduced

    def __init__(self, mode: Any = None) -> None:
        given = f"mode={mode!r}: " if type(mode) is str else ""
        super().__init__(f"{given}{MESSAGE_EXECUTION_NOT_EXIST}")


class ImportModuleError(Exception):
    """An import string leads to no object."""

    __reduce__ = reduced

    def __init__(self, module: str, reason: str = "") -> None:
        message = MESSAGE_IMPORT_MODULE_ERROR.format(module=module)
        super().__init__(f"Could not import '{module}': {reason}" if reason else message)


class NotCallableObject(Exception):
    """A callback cannot be called, or a slot of Config holds something else than it should."""

    __reduce__ = reduced

    def __init__(self, name: str, reason: str = "") -> None:
        message = MESSAGE_NOT_CALLABLE_OBJECT.format(name=name)
        super().__init__(f"{message[:-1]}: {reason}." if reason else message)


class ProblemOrdering(Exception):
    """The methods of a class could not be ordered."""

    __reduce__ = reduced

    def __init__(self, name: str) -> None:
        super().__init__(MESSAGE_PROBLEM_ORDERING.format(name=name))


class ModuleNotFound(Exception):
    """An optional library is not installed."""

    __reduce__ = reduced

    def __init__(self, module: str, library: str) -> None:
        super().__init__(MESSAGE_MODULE_NOT_FOUND.format(module=module, library=library))


class ExecutionWithClassError(Exception):
    """A step class was run in a way that does not fit it."""

    __reduce__ = reduced

    def __init__(self) -> None:
        super().__init__(MESSAGE_EXECUTION_WITH_CLASS_ERROR)


class InvalidWorkflowFactory(Exception):
    """A workflow factory is not callable, or returned something else than a DotFlow."""

    __reduce__ = reduced

    def __init__(self, factory: Any) -> None:
        super().__init__(MESSAGE_INVALID_WORKFLOW_FACTORY.format(factory=factory))


class WorkflowFlagConflict(Exception):
    """A flag that goes with a step was given with a workflow."""

    __reduce__ = reduced

    def __init__(self, flag: str) -> None:
        super().__init__(MESSAGE_WORKFLOW_FLAG_CONFLICT.format(flag=flag))


class InputChangedError(Exception):
    """A resumed workflow was given another input than it began with."""

    __reduce__ = reduced

    def __init__(self, workflow_id: Any) -> None:
        super().__init__(MESSAGE_INPUT_CHANGED.format(workflow_id=workflow_id))


class InvalidOnInputChange(Exception):
    """The policy is none of the three."""

    __reduce__ = reduced

    def __init__(self, value: Any) -> None:
        super().__init__(MESSAGE_INVALID_ON_INPUT_CHANGE.format(value=value))


class ValueNotKept(Exception):
    """A storage cannot keep a value; for `Storage.post` to raise.

    The task stays Completed and the next step gets the value; a resumed run runs the step again.

    Args:
        kind: The name of the value's type.
        why: What is the matter with it, as "cannot be pickled".
        remedy: What to do, as "return data that can be pickled".
    """

    __reduce__ = reduced

    def __init__(self, kind: str, why: str, remedy: str) -> None:
        super().__init__(MESSAGE_VALUE_NOT_KEPT.format(kind=kind, why=why, remedy=remedy))
        self.kind = kind
        self.why = why
        self.remedy = remedy


class AmbiguousResume(Exception):
    """The steps of a resumed workflow have changed in a way that leaves open which is which."""

    __reduce__ = reduced

    def __init__(self, workflow_id: Any, step: str) -> None:
        super().__init__(MESSAGE_AMBIGUOUS_RESUME.format(workflow_id=workflow_id, step=step))


class WorkflowFailed(Exception):
    """A run failed. Its cause is the exception of the first task that did.

    It can be pickled: its tasks are then copies that say what became of them.

    Attributes:
        workflow_id: The id of the run.
        failed_tasks: The tasks that failed, in order; none where something else ended the run.
    """

    def __init__(
        self, message: str, workflow_id: Any = None, failed_tasks: Sequence[Any] = ()
    ) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id
        self.failed_tasks = list(failed_tasks)

    def __reduce__(self) -> tuple[Any, ...]:
        tasks = [task.apart() for task in self.failed_tasks]
        return _failed_again, (type(self), self.args, {**vars(self), "failed_tasks": tasks})


def _failed_again(
    cls: type[BaseException], said: tuple[Any, ...], more: dict[str, Any]
) -> BaseException:
    error, tasks = revived(cls, said, more), more["failed_tasks"]
    if tasks and tasks[0].errors:
        error.__cause__ = tasks[0].errors[-1].cause
    return error


CANCELLED = 0
"""In place of a signal: who awaited the run was cancelled."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the run, or a cancellation.

    A KeyboardInterrupt, so that steps and event loops treat it as they treat Ctrl-C: it is no
    failure to be caught and tried again.

    Attributes:
        number: The signal, or CANCELLED.
    """

    __reduce__ = reduced

    def __init__(self, number: int) -> None:
        by = "cancellation" if number == CANCELLED else signal_name(number)
        super().__init__(f"interrupted by {by}")
        self.number = number


def signal_name(number: int) -> str:
    """The name of a signal, as "SIGTERM"."""
    import signal  # here, for it makes its enums when it is loaded

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def __getattr__(name: str) -> Any:
    # TaskError lives with Task, which imports this module.
    if name == "TaskError":
        from dotflow.core.task_error import TaskError

        return TaskError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
