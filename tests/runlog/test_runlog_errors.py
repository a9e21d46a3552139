"""Errors in lines of the run log, and texts that are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_values import Hostile

from dotflow.core.task_error import TaskError
from dotflow.runlog import shown
from dotflow.runlog.texts import EXCEEDED, MAX_ERROR_TEXT, Texts, cut

NEEDLE = "hunter2"


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    # A busy machine makes no type slow here.
    monkeypatch.setattr(shown, "SLOW", 60.0)
    shown._answers.clear()


def failure(message="", traceback=""):
    error = TaskError(ValueError(message), attempt=2)
    error.traceback = traceback or error.traceback
    return error


def test_an_error_is_an_object_of_five_fields():
    """The fields of a TaskError are said under their names; no error is null."""
    assert Texts().of_error(None) == "null"
    assert json.loads(Texts().of_error(failure("no\x85\ud800"))) == {
        "attempt": 2, "exception": "ValueError", "message": "no\x85\ufffd",
        "traceback": "ValueError: no\x85\ufffd\n", "error_type": "ValueError",
    }  # fmt: skip


def test_errors_are_redacted_and_masked():
    """Message and traceback go through redact in the role "error", then through the mask."""
    asked = []

    def redact(role, text):
        asked.append(role)
        return text.replace("DE1", "IBAN")

    said = json.loads(Texts(redact=redact).of_error(failure("DE1 password=hunter2")))
    assert said["message"] == "IBAN password=***"
    assert said["traceback"] == "ValueError: IBAN password=***\n"
    assert asked == ["error", "error"]
    assert NEEDLE in Texts(whole_values=True).of_error(failure("password=hunter2"))
    assert json.loads(Texts(redact=lambda role, text: 5).of_error(failure("x")))["message"] == "5"


def test_long_errors_are_cut():
    """A message keeps its beginning, a traceback both ends; masking comes before either is lost."""
    said = json.loads(Texts().of_error(failure("m" * 10**6, "first\n" + "t\n" * 10**6 + "last")))
    assert len(said["message"]) == MAX_ERROR_TEXT
    assert said["message"].startswith("mmm")
    assert MAX_ERROR_TEXT - 100 < len(said["traceback"]) <= MAX_ERROR_TEXT
    assert said["traceback"].startswith("first\n")
    assert said["traceback"].endswith("\nlast")


@pytest.mark.parametrize("start", range(-15, 5))
def test_a_cut_never_bares_a_credential(start):
    """Wherever a traceback is cut, the half of a password is not said."""
    half = MAX_ERROR_TEXT // 2
    tail = "password=hunter2hunter2 " + "t" * (half + start - 10)
    said = json.loads(Texts().of_error(failure("x", "b" * MAX_ERROR_TEXT + " " + tail)))
    assert "unter" not in said["traceback"]


def test_what_no_error_is_does_no_harm():
    """An object that lacks the fields is said to have failed."""
    assert "AttributeError" in Texts().of_error(Hostile())
    huge = json.loads(Texts(limit=100).of_error(failure("x" * 200)))
    assert huge == json.loads(EXCEEDED)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=40), st.integers(1, 30))
def test_a_cut_text_is_its_beginning(text, limit):
    """A cut text is within both limits, and is cut only if something is missing."""
    found, is_cut = cut(text, limit)
    whole = text.encode(errors="replace").decode() if not text.isascii() else text
    assert len(found) <= limit
    assert len(found.encode()) <= 3 * limit
    assert is_cut == (len(found) < len(text))
    if max(text, default="") < "\ud800":
        assert whole.startswith(found)
    assert is_cut or len(text) <= limit


def test_cut_counts_characters_and_bytes():
    """Three bytes a character fit; of four fewer characters do; halves become U+FFFD."""
    assert cut("語" * 10, 10) == ("語" * 10, False)
    assert cut("🐢" * 10, 10) == ("🐢" * 7, True)
    assert cut("\ud800a", 2) == ("\ufffda", False)
