"""Makes the calls of a bulk: in order, each with the rules of the single call, for a bounded time.

A portion of the calls shares one transaction, for to commit is what costs. Where anything at all
goes wrong in it, nothing of it is kept, and each of its calls is made again in a transaction of
its own: so no call can spoil another's. No call is answered before what it did is committed.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from dotflow.api import schemas
from dotflow.api.bulk_items import Call, Name, read_call
from dotflow.api.errors import UNAVAILABLE, ConflictError, KeyReusedError, NotFoundError, StoreError
from dotflow.api.store import Store
from dotflow.api.writing import Writing

logger = logging.getLogger(__name__)

SECONDS = 5.0
# Others who write the same records, or to the same SQLite file, wait for one portion at most.
_PORTION = 50

_OK, _CREATED = 200, 201
_NOT_FOUND, _CONFLICT, _INVALID, _DEPENDS, _FAILED, _UNAVAILABLE = 404, 409, 422, 424, 500, 503
_RETRY_SECONDS = 1


class Answer(NamedTuple):
    """What came of one item."""

    status: int
    body: Any
    retry_after: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Gives the answer as it is sent."""
        shown = {"status": self.status, "body": self.body}
        return shown if self.retry_after is None else {**shown, "retry_after": self.retry_after}


def apply_all(
    store: Store, items: Sequence[schemas.BulkItem], seconds: float = SECONDS
) -> list[Answer]:
    """Gives the answers to the items, in order; those that time did not reach have none.

    The first item is tried in any case.

    Args:
        store: Where the records are.
        items: What was sent.
        seconds: After this time no further item is begun.
    """
    work = _Work(store, time.monotonic() + seconds)
    calls = [read_call(item) for item in items]
    for start in range(0, len(calls), _PORTION):
        if not work.make(calls[start : start + _PORTION]):
            break
    return work.answers


class _Work:
    """The work on one bulk."""

    def __init__(self, store: Store, deadline: float) -> None:
        self._store = store
        self._deadline = deadline
        self._stopped = _Stopped()
        self.answers: list[Answer] = []

    def make(self, calls: Sequence[Call]) -> bool:
        """Makes some calls, and says if there was time for all of them."""
        wanted = len(self.answers) + len(calls)
        try:
            self._make_together(calls)
        except Exception as error:  # noqa: BLE001  # whatever it is, each call meets it alone
            logger.debug("calls of a bulk are made one by one: %s", type(error).__name__)
            self._make_each(calls)
        return len(self.answers) == wanted

    def _make_together(self, calls: Sequence[Call]) -> None:
        made: list[Answer] = []
        stopped = self._stopped.copy()
        with self._store.writing(self._seconds_left()) as writing:
            for call in calls:
                if self._is_over(made):
                    break
                answer = stopped.answer(call) or _make(call, writing)
                stopped.note(call, answer)
                made.append(answer)
        self._stopped = stopped
        self.answers += made

    def _make_each(self, calls: Sequence[Call]) -> None:
        for call in calls:
            if self._is_over(()):
                return
            answer = self._stopped.answer(call) or self._make_alone(call)
            self._stopped.note(call, answer)
            self.answers.append(answer)

    def _make_alone(self, call: Call) -> Answer:
        try:
            with self._store.writing(self._seconds_left()) as writing:
                return _make(call, writing)
        except UNAVAILABLE as error:
            logger.error("the database does not answer: %s", getattr(error, "orig", error))  # noqa: TRY400
            detail = {"detail": "the database does not answer; try again"}
            return Answer(_UNAVAILABLE, detail, _RETRY_SECONDS)
        except StoreError as error:
            return _refusal(error)
        except Exception:
            # It must not cost the other items their answers.
            logger.exception("an item of a bulk failed")
            return Answer(_FAILED, {"detail": "internal error"})

    def _is_over(self, made: Sequence[Answer]) -> bool:
        return bool(self.answers or made) and self._seconds_left() <= 0

    def _seconds_left(self) -> float:
        return self._deadline - time.monotonic()


class _Stopped:
    """The records, and the workflows, of which no further item is taken."""

    def __init__(self, records: set[Name] | None = None, workflows: set[object] | None = None):
        self._records = records or set()
        self._workflows = workflows or set()

    def copy(self) -> "_Stopped":
        """Gives one that can go its own way."""
        return _Stopped(set(self._records), set(self._workflows))

    def answer(self, call: Call) -> Answer | None:
        """Gives the answer to a call that is not to be tried, for what was before it or in it."""
        if call.name and (call.name in self._records or call.name[0] in self._workflows):
            return Answer(_DEPENDS, {"detail": "an item before, of the same record, was not taken"})
        return Answer(_INVALID, {"detail": call.faults}) if call.faults else None

    def note(self, call: Call, answer: Answer) -> None:
        """Takes notice of what came of a call."""
        # A POST that conflicts has its record, whoever made it: those after it can go on.
        taken = answer.status in {_OK, _CREATED} or (call.is_post and answer.status == _CONFLICT)
        if taken or call.name is None:
            return
        self._records.add(call.name)
        workflow, task = call.name
        if task is None and (call.is_post or answer.status == _NOT_FOUND):
            self._workflows.add(workflow)


def _make(call: Call, writing: Writing) -> Answer:
    return Answer(_CREATED if call.is_post else _OK, call.make(writing))


def _refusal(error: StoreError) -> Answer:
    if isinstance(error, KeyReusedError):
        return Answer(_INVALID, {"detail": [error.fault()]})
    if isinstance(error, ConflictError):
        return Answer(_CONFLICT, {"detail": str(error), **error.existing})
    if isinstance(error, NotFoundError):
        return Answer(_NOT_FOUND, {"detail": str(error)})
    raise error
