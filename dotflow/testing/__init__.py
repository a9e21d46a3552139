"""For tests of your own workflows and storages: rehearsals, and the contract of a storage."""

from __future__ import annotations

from dotflow.testing.rehearsing import Rehearsal, rehearsal
from dotflow.testing.runs import RunSeen, TaskSeen
from dotflow.testing.storage_contract import StorageContract

__all__ = ["Rehearsal", "RunSeen", "StorageContract", "TaskSeen", "rehearsal"]
