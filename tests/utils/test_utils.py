"""Small things: files, errors as text, functions that do nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from dotflow.core.exception import Interrupted
from dotflow.core.task_error import TaskError
from dotflow.utils import (
    basic_callback,
    basic_function,
    message_error,
    read_file,
    traceback_error,
    write_file,
)
from dotflow.utils.error_handler import class_and_message


@pytest.mark.parametrize(
    ("content", "back"),
    [({"a": [1]}, {"a": [1]}), ("text", "text"), (None, None), ({1}, "{1}"), ("ü", "ü")],
)
def test_write_and_read(content, back):
    """What is written as JSON is read back; what JSON cannot express comes back as its text."""
    write_file("file", content)
    assert read_file(Path("file")) == back


def test_modes():
    """A file can be appended to; what is no JSON is read as text."""
    write_file(path="file", content=1)
    write_file(path="file", content={2}, mode="a")
    assert read_file(Path("file")) == "1{2}"


def test_a_missing_file_is_none():
    """A file that is not there reads as None."""
    assert read_file(Path("none")) is None


def test_errors_as_text():
    """The message, and the whole traceback also outside the except block."""
    try:
        try:
            raise KeyError("cause")
        except KeyError as cause:
            raise ValueError("effect") from cause
    except ValueError as raised:
        error = raised
    assert message_error(error) == "effect"
    text = traceback_error(error)
    assert text.startswith("Traceback")
    assert "KeyError: 'cause'" in text
    assert text.rstrip().endswith("ValueError: effect")


@pytest.mark.parametrize(
    ("error", "message", "both"),
    [
        (KeyError("user_id"), "KeyError: 'user_id'", "KeyError: 'user_id'"),
        (AssertionError(), "AssertionError", "AssertionError"),
        (ValueError(" \n"), "ValueError", "ValueError"),
        (ValueError("no luck"), "no luck", "ValueError: no luck"),
        (Interrupted(15), "interrupted by SIGTERM", "interrupted by SIGTERM"),
    ],
)
def test_a_message_says_something(error, message, both):
    """A message has its class where it would say nothing without; a summary always has it, once."""
    assert TaskError(error).message == message
    assert class_and_message(type(error).__name__, message) == both


@pytest.mark.parametrize("function", [basic_function, basic_callback])
def test_functions_that_do_nothing(function):
    """They take anything and return None."""
    assert function(1, task=2) is None
