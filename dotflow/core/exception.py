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
    "There is no such mode. Allowed: 'sequential', 'sequential_group', 'background', 'parallel'."
)
MESSAGE_IMPORT_MODULE_ERROR = (
    "Could not import '{module}'. Write it as 'package.module.name' or 'package.module:name', and "
    "check that the module can be found from here."
)
MESSAGE_NOT_CALLABLE_OBJECT = "'{name}' is not an object of the kind that is needed here."
MESSAGE_PROBLEM_ORDERING = "The methods of class '{name}' could not be put in order."
MESSAGE_MODULE_NOT_FOUND = (
    "Module '{module}' is not installed. Install it with: pip install '{library}'"
)
MESSAGE_EXECUTION_WITH_CLASS_ERROR = MESSAGE_UNKNOWN_ERROR
MESSAGE_INVALID_WORKFLOW_FACTORY = (
    "'{factory}' must be a callable without arguments that returns a DotFlow."
)
MESSAGE_WORKFLOW_FLAG_CONFLICT = (
    "'{flag}' goes with '--step' only. With '--workflow' write it in the function that is named."
)
MESSAGE_UNKNOWN_PARAMETER = (
    "Step '{step}' has a parameter '{parameter}', for which a run passes nothing: a step gets its "
    "contexts by name, as initial_context and previous_context. {remedy}"
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
    """A step is not under `@action`.

    Remedy: Write `@action` above the function, the coroutine or the class.
    """

    __reduce__ = reduced

    def __init__(self, step: str = "") -> None:
        which = f"'{step}' is no step. " if step else ""
        super().__init__(f"{which}{MESSAGE_MISSING_STEP_DECORATOR}")


class UnknownParameter(Exception):
    """A step has a parameter for which a run passes nothing.

    Remedy: Rename it to `initial_context` or `previous_context`, or give it a default value.
    """

    __reduce__ = reduced

    def __init__(self, step: str, parameter: str) -> None:
        remedy = "Rename it to one of them, or give it a default value."
        if parameter in ("self", "cls"):
            remedy = "Add the step of an instance, as in task.add(step=Jobs().load)."
        super().__init__(
            MESSAGE_UNKNOWN_PARAMETER.format(step=step, parameter=parameter, remedy=remedy)
        )


class ExecutionModeNotExist(Exception):
    """`start(mode=...)` got a mode that does not exist.

    Remedy: Use "sequential", "sequential_group", "background" or "parallel".
    """

    __reduce__ = reduced

    def __init__(self, mode: Any = None) -> None:
        given = f"mode={mode!r}: " if type(mode) is str else ""
        super().__init__(f"{given}{MESSAGE_EXECUTION_NOT_EXIST}")


class ImportModuleError(Exception):
    """An import string leads to no object. The message says which part of it is wrong.

    Remedy: Write "package.module.name" or "package.module:name", and start the program in the
    folder that has the package.
    """

    __reduce__ = reduced

    def __init__(self, module: str, reason: str = "") -> None:
        message = MESSAGE_IMPORT_MODULE_ERROR.format(module=module)
        super().__init__(f"Could not import '{module}': {reason}" if reason else message)


class NotCallableObject(Exception):
    """A callback cannot be called, or a slot of `Config` got an object of another contract.

    Remedy: Give an instance, not the class, of a subclass of the slot's contract in `dotflow.abc`;
    give a function as a callback.
    """

    __reduce__ = reduced

    def __init__(self, name: str, reason: str = "") -> None:
        message = MESSAGE_NOT_CALLABLE_OBJECT.format(name=name)
        super().__init__(f"{message[:-1]}: {reason}." if reason else message)


class ProblemOrdering(Exception):
    """Never. dotflow has the class so that programs written for earlier versions can import it.

    Remedy: Remove the `except` clause that names the class.
    """

    __reduce__ = reduced

    def __init__(self, name: str) -> None:
        super().__init__(MESSAGE_PROBLEM_ORDERING.format(name=name))


class ModuleNotFound(Exception):
    """A class or a function needs a library of an extra, and that library is not installed.

    Remedy: Install the extra that the message names, as `pip install 'dotflow[scheduler]'`.
    """

    __reduce__ = reduced

    def __init__(self, module: str, library: str) -> None:
        super().__init__(MESSAGE_MODULE_NOT_FOUND.format(module=module, library=library))


class ExecutionWithClassError(Exception):
    """Never. dotflow has the class so that programs written for earlier versions can import it.

    Remedy: Remove the `except` clause that names the class.
    """

    __reduce__ = reduced

    def __init__(self) -> None:
        super().__init__(MESSAGE_EXECUTION_WITH_CLASS_ERROR)


class InvalidWorkflowFactory(Exception):
    """What `--workflow` names cannot be called, or did not return a `DotFlow`.

    Remedy: Name a function without arguments that returns a `DotFlow` that was not started.
    """

    __reduce__ = reduced

    def __init__(self, factory: Any, found: str = "") -> None:
        message = MESSAGE_INVALID_WORKFLOW_FACTORY.format(factory=factory)
        super().__init__(f"{message} {found}".rstrip())


class WorkflowFlagConflict(Exception):
    """A flag that goes with `--step` only was given with `--workflow`.

    Remedy: Leave the flag out, and set the same thing in the function that `--workflow` names.
    """

    __reduce__ = reduced

    def __init__(self, flag: str) -> None:
        super().__init__(MESSAGE_WORKFLOW_FLAG_CONFLICT.format(flag=flag))


class InputChangedError(Exception):
    """A run resumes a workflow with another input, and `on_input_change` is "raise".

    Remedy: Start with `on_input_change="reset"` to run every step again, or with "reuse" to keep
    the results that exist.
    """

    __reduce__ = reduced

    def __init__(self, workflow_id: Any) -> None:
        super().__init__(MESSAGE_INPUT_CHANGED.format(workflow_id=workflow_id))


class InvalidOnInputChange(Exception):
    """`start(on_input_change=...)` got a value that does not exist.

    Remedy: Use "reuse", "reset" or "raise".
    """

    __reduce__ = reduced

    def __init__(self, value: Any) -> None:
        super().__init__(MESSAGE_INVALID_ON_INPUT_CHANGE.format(value=value))


class ValueNotKept(Exception):
    """A storage cannot keep a value: `Storage.post` raises this.

    The run goes on. The task stays Completed, the next step gets the value, and a resumed run runs
    the step again.

    Remedy: Return data that the storage can keep; the log line names the step, the type and what
    to change.

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
    """A run resumes a workflow of equal steps, and one of them was added or removed.

    Remedy: Give each of the equal steps its own `initial_context`, or start without `resume` to
    run every step.
    """

    __reduce__ = reduced

    def __init__(self, workflow_id: Any, step: str) -> None:
        super().__init__(MESSAGE_AMBIGUOUS_RESUME.format(workflow_id=workflow_id, step=step))


class WorkflowFailed(Exception):
    """A run failed, and `start(raise_on_failure=True)` or `raise_for_failure()` was called.

    Remedy: Read `failed_tasks` and `__cause__`, which is the exception of the first task that
    failed. The exception can be pickled; a pickled copy has copies of the tasks.

    Attributes:
        workflow_id: The id of the run.
        failed_tasks: The tasks that failed, in order; empty if something else ended the run.
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
    """A signal ended the run of the `dotflow` command, or the caller cancelled `start_async()`.

    The class is a `KeyboardInterrupt`, so steps treat it as Ctrl-C and no retry follows.

    Remedy: Let the exception pass. Start the workflow again with `resume=True` to go on.

    Attributes:
        number: The number of the signal; 0 for a cancellation.
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
