"""For the tests of those who use dotflow: runs that are rehearsed, and what a storage must do."""

from __future__ import annotations

from dotflow.testing.rehearsing import Rehearsal, rehearsal
from dotflow.testing.runs import RunSeen, TaskSeen
from dotflow.testing.storage_contract import StorageContract

__all__ = ["Rehearsal", "RunSeen", "StorageContract", "TaskSeen", "rehearsal"]
