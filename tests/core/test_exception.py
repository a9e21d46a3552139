"""The exceptions: their messages and constants."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from dotflow.core import exception
from dotflow.core.exception import (
    AmbiguousResume,
    ExecutionModeNotExist,
    ExecutionWithClassError,
    ImportModuleError,
    InputChangedError,
    Interrupted,
    InvalidOnInputChange,
    InvalidWorkflowFactory,
    MissingActionDecorator,
    ModuleNotFound,
    NotCallableObject,
    ProblemOrdering,
    UnknownParameter,
    ValueNotKept,
    WorkflowFlagConflict,
)
from dotflow.core.task import TaskError

MESSAGES = [
        (MissingActionDecorator(), ["@action", "README"]),
        (
            ExecutionModeNotExist(),
            ["'sequential'", "'sequential_group'", "'background'", "'parallel'"],
        ),
        (ImportModuleError("pkg.step"), ["'pkg.step'"]),
        (NotCallableObject("storage"), ["'storage'"]),
        (ProblemOrdering("Steps"), ["'Steps'"]),
        (ModuleNotFound("croniter", "dotflow[scheduler]"), [
            "'croniter'", "pip install 'dotflow[scheduler]'",
        ]),
        (ExecutionWithClassError(), ["Unknown"]),
        (UnknownParameter("load", "rows"), ["'load'", "'rows'", "initial_context", "default"]),
        (UnknownParameter("load", "self"), ["'load'", "'self'", "of an instance"]),
        (InvalidWorkflowFactory("pkg.make"), ["'pkg.make'", "callable", "DotFlow"]),
        (WorkflowFlagConflict("--callback"), ["'--callback'", "--step", "--workflow"]),
        (InputChangedError("nightly"), ["'nightly'", "reset", "reuse"]),
        (AmbiguousResume("nightly", "load"), ["'nightly'", "'load'", "without resume"]),
        (ValueNotKept("a.B", "is odd", "give c"), ["a.B", "is odd", "give c"]),
    (InvalidOnInputChange("bogus"), ["'reuse'", "'reset'", "'raise'", "'bogus'"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("error", "words"), MESSAGES, ids=lambda value: type(value).__name__)
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
    assert len(names) == 15
    assert all(isinstance(getattr(exception, name), str) for name in names)


def test_what_was_given_is_named():
    """Who gave many steps, or a mode from elsewhere, sees which one it was."""
    assert "'etl.load' is no step" in str(MissingActionDecorator("etl.load"))
    assert "mode='paralel'" in str(ExecutionModeNotExist("paralel"))
    assert str(ExecutionModeNotExist(object())) == exception.MESSAGE_EXECUTION_NOT_EXIST


def test_task_error_can_be_imported_from_here():
    """TaskError is also found among the exceptions; nothing else is made up."""
    assert exception.TaskError is TaskError
    with pytest.raises(AttributeError, match="nothing"):
        exception.nothing  # noqa: B018


ERRORS = [*(error for error, _ in MESSAGES), Interrupted(15)]


def raised(error):
    """Raise an exception in another process; with more that is known of it."""
    error.more = "more"
    raise error


def test_all_are_here():
    """Every exception of the module is tested below."""
    here = {one for one in vars(exception).values() if isinstance(one, type)}
    defined = {one for one in here if one.__module__ == exception.__name__}
    # That of a failed run is tested with the outcome of runs.
    assert {type(error) for error in ERRORS} == defined - {exception.WorkflowFailed}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_all_survive_pickle(error, protocol):
    """Each comes back with its class, its message and whatever was put on it; copies do too."""
    for back in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(back) is type(error)
        assert (back.args, str(back), vars(back)) == (error.args, str(error), vars(error))


def test_they_come_back_from_a_pool():
    """What a worker of a ProcessPoolExecutor raises reaches who waits for it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        futures = [pool.submit(raised, error) for error, _ in MESSAGES]
        for future, (error, _) in zip(futures, MESSAGES, strict=True):
            back = future.exception(60)
            assert (type(back), back.args, back.more) == (type(error), error.args, "more")
