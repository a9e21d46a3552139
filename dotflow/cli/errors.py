"""What a command says when it cannot go on."""

from __future__ import annotations

from dotflow.core.exception import (
    AmbiguousResume,
    ExecutionModeNotExist,
    ImportModuleError,
    InputChangedError,
    InvalidOnInputChange,
    InvalidWorkflowFactory,
    MissingActionDecorator,
    ModuleNotFound,
    NotCallableObject,
    UnknownParameter,
    WorkflowFlagConflict,
)


class CommandError(Exception):
    """Something that the person at the keyboard can mend; the message says how."""


class UsageError(CommandError):
    """Flags that do not go together, or whose value is none; the exit status is 2."""


MENDABLE = (
    AmbiguousResume,
    CommandError,
    ExecutionModeNotExist,
    ImportModuleError,
    InputChangedError,
    InvalidOnInputChange,
    InvalidWorkflowFactory,
    MissingActionDecorator,
    ModuleNotFound,
    NotCallableObject,
    UnknownParameter,
    WorkflowFlagConflict,
)
"""What is said in one line: it names the remedy itself."""

OF_USAGE = (UsageError, WorkflowFlagConflict)
"""What of those is a fault of the words themselves, as those that the parser finds."""

UNEXPECTED = "The command ended with an error that it did not expect; the log above has the cause."
