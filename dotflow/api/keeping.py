"""Deletes what is not kept any longer: runs that ended long ago, and idempotency keys.

It works in small transactions and rests between them, so that nobody waits for more than one.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from sqlalchemy import ColumnElement, Engine, Table, false, or_, select

from dotflow.api.store import Store
from dotflow.api.tables import began, deletions, ended_sessions, idempotency_keys, workflows
from dotflow.api.writing import FINAL, Writing

logger = logging.getLogger(__name__)

KEY_AGE = timedelta(days=60)
"""How long the key of a message is known: clients give up 30 days after they last wrote one."""

_AGES = {
    deletions: timedelta(hours=1),  # whoever listens has heard of them in seconds
    ended_sessions: timedelta(days=8),  # a session is good for seven
}
_EVERY_SECONDS = 60.0
_RUNS = 100
_TASKS = 50
_KEYS = 500

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE = re.compile(r"0*([1-9]\d{0,4})([hdw])")
_NUMBER = re.compile(r"0*([1-9]\d{0,8})")

_Dropped = TypeVar("_Dropped")


@dataclass(frozen=True)
class Keep:
    """Which runs that have ended are kept; one that has not is kept in any case.

    Args:
        age: Those whose record last changed so long ago at most; None keeps them at any age.
        runs: So many that began last, those under way among them; None keeps any number.
    """

    age: timedelta | None = None
    runs: int | None = None


def read_key_age(text: str) -> timedelta:
    """Gives how long keys of messages are known, of a text like ``7d``.

    Args:
        text: An age in hours, days or weeks.

    Raises:
        ValueError: It is none; the message says what is allowed.
    """
    found = _AGE.fullmatch(text)
    if not found:
        raise ValueError(
            f"{text!r} does not say how long keys are known: give an age (12h, 7d, 8w)"
        )
    return int(found[1]) * _UNITS[found[2]]


def read_keep(text: str) -> Keep:
    """Gives what a text like ``30d`` or ``1000`` says is to be kept.

    Args:
        text: An age in hours, days or weeks (``12h``, ``30d``, ``8w``), or a number of runs.

    Raises:
        ValueError: It is neither; the message says what is allowed.
    """
    if found := _AGE.fullmatch(text):
        return Keep(age=int(found[1]) * _UNITS[found[2]])
    if found := _NUMBER.fullmatch(text):
        return Keep(runs=int(found[1]))
    raise ValueError(
        f"{text!r} does not say which runs to keep: give an age (12h, 30d, 8w) or a number (1000)"
    )


class Keeper:
    """Keeps a database to what is to be kept.

    Args:
        engine: From `dotflow.api.database.open_engine`.
        store: On the same engine; whoever listens to it hears of what is deleted.
        keep: Which runs are kept; None keeps all.
        key_age: How long the key of a message is known.
    """

    def __init__(
        self, engine: Engine, store: Store, keep: Keep | None = None, key_age: timedelta = KEY_AGE
    ) -> None:
        self._engine = engine
        self._store = store
        self._keep = keep or Keep()
        self._ages = {**_AGES, idempotency_keys: key_age}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Has a thread look now, and every minute."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._work, name="dotflow-api-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Returns when the thread has ended, a small transaction later at most."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def sweep(self, now: datetime) -> None:
        """Deletes what is not kept any longer; called by one thread at a time.

        Args:
            now: The time by this server's clock.
        """
        for table, age in self._ages.items():
            self._forget(table, now - age)
        if self._keep.age is not None:
            self._drop_runs(workflows.c.updated_at < now - self._keep.age)
        if self._keep.runs is not None:
            self._drop_runs(*self._beyond(self._keep.runs))

    def _forget(self, table: Table, before: datetime) -> None:
        dropped: int | None = _KEYS
        while dropped == _KEYS:
            dropped = self._in_turn(lambda writing: writing.forget(table, before, _KEYS))

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                self.sweep(datetime.now(timezone.utc))
            except Exception as error:  # noqa: BLE001  # the next time may be better
                said = getattr(error, "orig", error)
                logger.warning(
                    "old runs and keys could not be deleted; this is tried again: %s", said
                )
            self._ended.wait(_EVERY_SECONDS)

    def _beyond(self, number: int) -> list[ColumnElement[bool]]:
        """Those that began before the last so many."""
        query = select(began, workflows.c.id).order_by(began.desc(), workflows.c.id.desc())
        with self._engine.connect() as connection:
            first = connection.execute(query.offset(number).limit(1)).one_or_none()
        if first is None:
            return [false()]
        moment, run = first
        return [began <= moment, or_(began < moment, workflows.c.id <= run)]

    def _drop_runs(self, *which: ColumnElement[bool]) -> None:
        query = select(workflows.c.id, workflows.c.updated_at)
        # Most have ended: an expression keeps SQLite from beginning with all that have.
        query = query.where(workflows.c.status.concat("").in_(FINAL), *which).limit(_RUNS)
        dropped = True
        while dropped:  # what could not be dropped has changed, and is looked at the next time
            with self._engine.connect() as connection:
                found = connection.execute(query).all()
            dropped = False
            for run in found:
                dropped |= self._drop_run(*run)

    def _drop_run(self, run: str, updated_at: datetime) -> bool:
        gone: bool | None = False
        while gone is False:
            gone = self._in_turn(lambda writing: writing.drop_workflow(run, updated_at, _TASKS))
        return bool(gone)

    def _in_turn(self, drop: Callable[[Writing], _Dropped]) -> _Dropped | None:
        """Gives what came of a small transaction, after others had as much time as it took."""
        if self._ended.is_set():
            return None
        begin = time.monotonic()
        with self._store.writing() as writing:
            done = drop(writing)
        self._ended.wait(time.monotonic() - begin)
        return done
