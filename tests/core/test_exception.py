"""The exceptions: their messages and constants."""

from __future__ import annotations

import pytest

from dotflow.core import exception
from dotflow.core.exception import (
    ExecutionModeNotExist,
    ExecutionWithClassError,
    ImportModuleError,
    InputChangedError,
    InvalidOnInputChange,
    InvalidWorkflowFactory,
    MissingActionDecorator,
    ModuleNotFound,
    NotCallableObject,
    ProblemOrdering,
    WorkflowFlagConflict,
)
from dotflow.core.task import TaskError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MissingActionDecorator(), ["@action", "README"]),
        (
            ExecutionModeNotExist(),
            ["'sequential'", "'sequential_group'", "'background'", "'parallel'"],
        ),
        (ImportModuleError("pkg.step"), ["'pkg.step'"]),
        (NotCallableObject("storage"), ["'storage'"]),
        (ProblemOrdering("Steps"), ["'Steps'"]),
        (ModuleNotFound("croniter", "dotflow[scheduler]"), [
            "'croniter'", "pip install dotflow[scheduler]",
        ]),
        (ExecutionWithClassError(), ["Unknown"]),
        (InvalidWorkflowFactory("pkg.make"), ["'pkg.make'", "callable", "DotFlow"]),
        (WorkflowFlagConflict("--callback"), ["'--callback'", "--step", "--workflow"]),
        (InputChangedError("nightly"), ["'nightly'", "reset", "reuse"]),
        (InvalidOnInputChange("bogus"), ["'reuse'", "'reset'", "'raise'", "'bogus'"]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_messages(error, words):
    """Each is straight from Exception, and its only argument is a message with the facts."""
    assert type(error).__bases__ == (Exception,)
    assert error.args == (str(error),)
    for word in words:
        assert word in str(error)


def test_constants():
    """There is a message constant for each class; those without arguments equal it."""
    assert str(MissingActionDecorator()) == exception.MESSAGE_MISSING_STEP_DECORATOR
    assert str(ExecutionModeNotExist()) == exception.MESSAGE_EXECUTION_NOT_EXIST
    assert exception.MESSAGE_UNKNOWN_ERROR == "Unknown"
    names = [name for name in vars(exception) if name.startswith("MESSAGE_")]
    assert len(names) == 12
    assert all(isinstance(getattr(exception, name), str) for name in names)


def test_task_error_can_be_imported_from_here():
    """TaskError is also found among the exceptions; nothing else is made up."""
    assert exception.TaskError is TaskError
    with pytest.raises(AttributeError, match="nothing"):
        exception.nothing  # noqa: B018
