"""The options of an action: checked where they are given."""

from __future__ import annotations

import datetime as dt
import fractions
from decimal import Decimal
from uuid import uuid4

import pytest
from core_doubles import echo

from dotflow import Task, action
from dotflow.core.action import Action

OPTIONS = {"retry": 3, "timeout": 1.5, "retry_delay": 0.2, "backoff": True}


def _task(step, **values):
    return Task(task_id=7, step=step, workflow_id=values.pop("workflow_id", uuid4()), **values)


@pytest.mark.parametrize("options", [{}, OPTIONS])
def test_decorator_with_parentheses_carries_its_options(options):
    """`@action(...)` gives a callable step of the module dotflow.core.action with its options."""

    @action(**options)
    def step():
        return 1

    expected = {"retry": 1, "timeout": 0, "retry_delay": 1, "backoff": False, **options}
    assert {name: getattr(step, name) for name in expected} == expected
    assert step.__module__ == "dotflow.core.action"
    assert step() == 1


def test_constructor_order():
    """The constructor takes its arguments by position in the contract's order."""

    def step():
        return 1

    task = _task(echo)
    made = Action(step, task, 2, 3, 4, True)
    assert (made.func, made.task) == (step, task)
    assert (made.retry, made.timeout, made.retry_delay, made.backoff) == (2, 3, 4, True)
    assert made().task_id == 7


@pytest.mark.parametrize(
    ("options", "error", "allowed"),
    [
        ({"retry": "x"}, TypeError, "retry must be a whole number of attempts"),
        ({"retry": 2.5}, TypeError, "whole number"),
        ({"retry": True}, TypeError, "whole number"),
        ({"retry": None}, TypeError, "whole number"),
        ({"timeout": "5s"}, TypeError, "timeout must be a number of seconds"),
        ({"timeout": dt.timedelta(seconds=5)}, TypeError, "number of seconds"),
        ({"timeout": True}, TypeError, "number of seconds"),
        ({"timeout": -1}, ValueError, r"from 0 \(for no limit\)"),
        ({"timeout": float("nan")}, ValueError, "from 0"),
        ({"timeout": float("inf")}, ValueError, "to 1e"),
        ({"retry_delay": "1"}, TypeError, "retry_delay must be a number of seconds"),
        ({"retry_delay": -0.5}, ValueError, "retry_delay"),
        ({"backoff": 2}, TypeError, "backoff must be True or False, not 2"),
    ],
)
def test_wrong_options_are_refused_where_they_are_given(options, error, allowed):
    """A value of the wrong kind is refused by the decorator, with what is allowed."""
    with pytest.raises(error, match=allowed):
        action(**options)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"retry": 0}, {"retry": 0}),
        ({"timeout": None, "retry_delay": 0}, {"timeout": 0, "retry_delay": 0}),
        ({"timeout": Decimal("1.5")}, {"timeout": 1.5}),
        ({"timeout": fractions.Fraction(1, 2)}, {"timeout": 0.5}),
    ],
)
def test_options_that_are_numbers_of_any_kind(options, kept):
    """Numbers of other kinds are taken; None is no limit."""
    made = action(**options)
    assert {name: getattr(made, name) for name in kept} == kept
