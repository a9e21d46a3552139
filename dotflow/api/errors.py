"""What the store says when it cannot do as asked.

StoreError
  NotFoundError     no such workflow or task
  ConflictError     the id is taken; carries what holds it
  KeyReusedError    the Idempotency-Key belongs to another request
  BadCursorError    what a list is to begin after is none that a page gave
  BusyError         other writers took all the time that there was
"""

from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class StoreError(Exception):
    """An operation of the store that changed nothing."""


class NotFoundError(StoreError):
    """There is no such record.

    Args:
        kind: ``"workflow"`` or ``"task"``.
        record_id: The id that was asked for.
    """

    def __init__(self, kind: str, record_id: str | int) -> None:
        super().__init__(f"{kind} {record_id!r} is not known")


class ConflictError(StoreError):
    """The id is taken by a record that another request made.

    Args:
        kind: ``"workflow"`` or ``"task"``.
        existing: The ids of the record that holds it.
    """

    def __init__(self, kind: str, existing: dict[str, Any]) -> None:
        super().__init__(f"this {kind} exists already")
        self.existing = existing


class KeyReusedError(StoreError):
    """The Idempotency-Key was already applied, to something else."""

    def __init__(self) -> None:
        super().__init__("this key was already used for another request: give each message its own")

    def fault(self) -> dict[str, Any]:
        """Gives it as a fault of the request's header."""
        return {"loc": ["header", "Idempotency-Key"], "msg": str(self), "type": "key_reused"}


class BadCursorError(StoreError):
    """What a list is to begin after is no cursor that a page gave."""

    def __init__(self) -> None:
        super().__init__("give the `next` of the page before, as it was given")

    def fault(self) -> dict[str, Any]:
        """Gives it as a fault of the request's query."""
        return {"loc": ["query", "after"], "msg": str(self), "type": "bad_cursor"}


class BusyError(StoreError):
    """The turn to write did not come in time."""

    def __init__(self) -> None:
        super().__init__("other writers are at work; try again")


UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeoutError, BusyError)
"""What says that the same request may succeed later."""
