"""The constants of statuses, modes, policies."""

from __future__ import annotations

import pytest

from dotflow.core import types
from dotflow.core.types import TypeStatus


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        ("TypeStatus", {
            "NOT_STARTED": "Not started", "IN_PROGRESS": "In progress", "COMPLETED": "Completed",
            "PAUSED": "Paused", "RETRY": "Retry", "FAILED": "Failed",
        }),
        ("WorkflowStatus", {
            "NEW": "New", "IN_PROGRESS": "In progress", "COMPLETED": "Completed",
            "FAILED": "Failed",
        }),
        ("TypeExecution", {
            "SEQUENTIAL": "sequential", "SEQUENTIAL_GROUP": "sequential_group",
            "BACKGROUND": "background", "PARALLEL": "parallel",
        }),
        ("TypeOverlap", {"SKIP": "skip", "QUEUE": "queue", "PARALLEL": "parallel"}),
        ("TypeStorage", {"DEFAULT": "default", "FILE": "file", "S3": "s3", "GCS": "gcs"}),
        ("TypeInputChange", {"REUSE": "reuse", "RESET": "reset", "RAISE": "raise"}),
    ],
)  # fmt: skip
def test_values(cls, values):
    """Each class has the contract's constants, and no others."""
    found = {name: value for name, value in vars(getattr(types, cls)).items() if name.isupper()}
    assert found == values


def test_policies():
    """VALID_POLICIES is the tuple of the three policies."""
    assert types.VALID_POLICIES == ("reuse", "reset", "raise")


@pytest.mark.parametrize(
    ("status", "symbol"),
    [
        (TypeStatus.NOT_STARTED, "⚪"), (TypeStatus.IN_PROGRESS, "🔵"),
        (TypeStatus.COMPLETED, "✅"),
        (TypeStatus.PAUSED, "◼️"), (TypeStatus.RETRY, "❗"), (TypeStatus.FAILED, "❌"),
        ("bogus", None),
    ],
)  # fmt: skip
def test_symbols(status, symbol):
    """Each status has a symbol, another text none."""
    assert TypeStatus.get_symbol(status) == symbol
