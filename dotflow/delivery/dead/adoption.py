"""Takes over what dead processes left, workflow by workflow; called by the relay's thread."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from dotflow.delivery.dead.adopted import AdoptedLog
from dotflow.delivery.dead.calls import Calls
from dotflow.delivery.dead.mentions import Mentions
from dotflow.delivery.waiting import BEFORE
from dotflow.logging import logger
from dotflow.runlog import files
from dotflow.runlog.claims import Claims
from dotflow.runlog.receipts import SeenReceipts, is_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dotflow.delivery.dead.earlier import EarlierMessages
    from dotflow.delivery.dead.earlier_file import EarlierFile
    from dotflow.delivery.order.flight import Flight
    from dotflow.delivery.order.lanes import Lanes
    from dotflow.delivery.order.unit import Unit
    from dotflow.runlog.writer import RunLog

    Left = AdoptedLog | EarlierFile

LOOK_EVERY = 10.0
"""Seconds between two looks at what others have left."""

LONGEST_CALL = 60.0
"""Seconds to wait for another process's call about a workflow that is resumed here."""


class Adoption:
    """What this process has taken over for one destination.

    Args:
        key: The key of the destination's reader.
        lanes: Where what was left goes, ahead of what this process says.
        log: The log of this process.
        is_anew: Whether a workflow of which anything is left is said from its beginning.

    Attributes:
        breathe: Called while much is read, to leave the interpreter to the work.
    """

    def __init__(self, key: str, lanes: Lanes, log: RunLog, is_anew: bool = False) -> None:
        self.breathe: Callable[[], None] = _nothing
        self._key = key
        self._is_anew = is_anew
        self._lanes = lanes
        self._log = log
        self._look_at = float("-inf")
        self._earlier: EarlierMessages | None = None
        self._of_before()
        self._adopted: dict[str, Left] = {}
        self._not_ours: set[str] = set()
        self._calls = Calls(key)
        self._mentions = Mentions()
        self._claims: dict[str, Claims] = {}
        self._resuming: dict[str, tuple[list[Left], float]] = {}

    # Looking.

    def look(self, at_once: bool = False) -> None:
        """Take over what was left, where nobody did it a moment ago.

        Args:
            at_once: Do it in any case.
        """
        now = time.monotonic()
        if now < self._look_at and not at_once:
            return
        self._look_at = now + LOOK_EVERY
        self._close_done()
        self.go_on()
        is_anything = self._adopted or self._are_earlier_there() or self._is_anything_dead()
        if not self._may_adopt() or not is_anything:
            return
        if self._of_before() is not None:
            from dotflow.delivery.dead.earlier import move_dead_letters

            move_dead_letters(is_thorough=False)
        me = self._claimant()
        if me is not None:
            self._leave_lost()
            self._close_done()  # to claim what is gone would leave a file that is nobody's
            with files.alone():
                self._take_over(me)
        self._close_done()

    def _may_adopt(self) -> bool:
        is_there = files.folder().is_dir() or self._are_earlier_there()
        return self._log.is_durable and is_there

    def _claimant(self) -> str | None:
        """The id under which this process takes over; None if it cannot. Claims have a folder."""
        me = self._log.claimant()
        if me is not None and not files.folder().is_dir():  # somebody has deleted it
            try:
                files.make_folder()
            except OSError:
                return None
        return me

    @property
    def is_more_left(self) -> bool:
        """Whether there are files that wait until others are delivered."""
        return self._earlier is not None and self._earlier.are_more

    # What the version before left: most users never had it, so what reads it is loaded for it.

    def _of_before(self) -> EarlierMessages | None:
        if self._earlier is None and (files.state_dir() / BEFORE).is_dir():
            from dotflow.delivery.dead.earlier import EarlierMessages

            self._earlier = EarlierMessages(self._key)
        return self._earlier

    def _are_earlier_there(self) -> bool:
        earlier = self._of_before()
        return earlier is not None and earlier.are_there()

    def _take_earlier(self) -> list[EarlierFile]:
        """Take what is new of it; all that was taken, of which something is left."""
        earlier = self._of_before()
        if earlier is None:
            return []
        self._adopted |= {found.id: found for found in earlier.take(self._adopted)}
        return [one for one in self._adopted.values() if not isinstance(one, AdoptedLog)]

    def _dead_logs(self) -> dict[str, list[Path]]:
        """The logs of dead processes that may have something for this reader, unopened."""
        return {
            log: segments
            for log, segments in files.logs().items()
            if log != self._log.id
            and log not in self._not_ours
            and log not in self._adopted
            and not files.is_alive(log)
        }

    def _is_anything_dead(self) -> bool:
        return any(not self._claims_of(log).are_others(self._log.id) for log in self._dead_logs())

    def _take_over(self, me: str) -> None:
        others: dict[str, list[Path]] = {}
        for log, segments in self._dead_logs().items():
            if self._claims_of(log).are_others(me):
                others[log] = segments
            else:
                self._open(log, segments)
        self._take_earlier()
        claims = self._claims = {log: self._claims_of(log) for log in (*others, *self._adopted)}
        theirs = self._not_free(claims, me) | self._with_others(others)
        logs: dict[str, list[Left]] = {}
        for log, found in self._adopted.items():
            mine = [one for one in found.workflows - theirs if not found.is_open(one)]
            with contextlib.suppress(OSError):
                claims[log].claim([one for one in mine if claims[log].owner(one) != me], me)
                if isinstance(found, AdoptedLog) and found.workflows <= claims[log].workflows:
                    claims[log].claim_all()
            for workflow in mine:
                logs.setdefault(workflow, []).append(found)
            found.forget_done(found.workflows & theirs)
        for workflow, found_in in logs.items():
            self._wait_for_call(workflow, found_in)

    def _not_free(self, claims: dict[str, Claims], me: str) -> set[str]:
        """The workflows of which a living process sees to a log: all others are that one's too."""
        lives: dict[str, bool] = {me: False}
        found: set[str] = set()
        for log, adopted in self._adopted.items():
            for workflow in adopted.workflows:
                owner = claims[log].owner(workflow)
                if owner is not None and owner not in lives:
                    lives[owner] = files.is_alive(owner)
                if owner is not None and lives[owner]:
                    found.add(workflow)
        return found

    def _with_others(self, logs: dict[str, list[Path]]) -> set[str]:
        """Those that are in logs, too, which other processes see to, and have not said."""
        ours = {one for found in self._adopted.values() for one in found.workflows}
        found: set[str] = set()
        for log, segments in logs.items():
            if shared := ours & self._claims_of(log).workflows:
                found |= shared - SeenReceipts(segments, self._key).done()
        return found

    def _leave_lost(self, only: str | None = None) -> None:
        """Leave what another process has claimed: if that is dead by now, it is taken again.

        Else what that one has left would come before what it had taken.

        Args:
            only: The id of the workflow that is looked at; all of them without one.
        """
        for unit in list(self._lanes):
            workflow = unit.source.workflow
            if only in (None, workflow) and not self._is_ours(unit):
                self._lanes.leave(workflow, unit)

    def _adopt(self, workflow: str, logs: list[Left]) -> None:
        """Take over a workflow from several logs: a later one makes states of an earlier void."""
        logs = [log for log in logs if log.knows(workflow) and not log.is_open(workflow)]
        units: list[Unit] = []
        for log in logs:
            units += log.take_over(workflow, self._lanes.ids)
        self._lanes.adopt(workflow, sorted(units, key=lambda unit: unit.up))

    def _open(self, log: str, segments: list[Path]) -> AdoptedLog | None:
        try:
            if is_done(segments, self._key):
                self._not_ours.add(log)
                return None
            found = AdoptedLog(log, segments, self._key, self.breathe, is_anew=self._is_anew)
        except Exception as error:  # noqa: BLE001 - whatever is in it, the others are to go on
            self._not_ours.add(log)
            logger.warning("%s cannot be read (%s): it is left as it is.", segments[0], error)
            return None
        if not found.workflows:
            self._not_ours.add(log)
            found.close()
            return None
        self._adopted[log] = found
        return found

    def _close_done(self) -> None:
        for found in self._adopted.values():
            found.forget_done(found.workflows)
        for log, found in list(self._adopted.items()):
            if found.is_done:
                del self._adopted[log]
                self._claims.pop(log, None)
                found.close()
                self._not_ours.add(log)

    # A run that goes on here.

    def resume(self, workflow: str, run: int) -> None:
        """Have what others left of a workflow be this process's: a run of it has begun here.

        Whoever sends something of it now is waited for: at most for that one call.
        """
        if not self._may_adopt():
            return
        me = self._claimant()
        others = list(self._mentions.logs_about(workflow, self._log.id))
        if me is None or not (others or self._are_earlier_there()):
            return
        dead: list[Left] = []
        with files.alone():
            # What another one has taken meanwhile, and said of it, is read anew.
            self._leave_lost(workflow)
            dead += self._earlier_about(workflow, me)
            for log, segments in others:
                is_alive = files.is_alive(log)
                with contextlib.suppress(OSError):
                    Claims(log, self._key).claim([workflow], me, run if is_alive else 0)
                if is_alive:
                    continue
                found = self._adopted.get(log) or self._open(log, segments)
                if found is not None and found.knows(workflow):
                    dead.append(found)
        if dead:
            self._wait_for_call(workflow, dead)

    def _earlier_about(self, workflow: str, me: str) -> Iterator[EarlierFile]:
        """Claim a workflow in the files of the version before that speak of it."""
        for found in self._take_earlier():
            if found.knows(workflow):
                with contextlib.suppress(OSError):
                    Claims(found.id, self._key).claim([workflow], me)
                yield found

    def _wait_for_call(self, workflow: str, logs: list[Left]) -> None:
        """Take a workflow over once nobody else's call about it is under way."""
        self._lanes.block(workflow)
        waiting, deadline = self._resuming.get(workflow, ([], time.monotonic() + LONGEST_CALL))
        # An earlier look has found some of them: twice in the lanes, one makes the other void.
        self._resuming[workflow] = list(dict.fromkeys([*waiting, *logs])), deadline
        self.go_on()

    def go_on(self) -> None:
        """Take over the workflows that waited for another process's call, where that is over."""
        for workflow, (logs, deadline) in list(self._resuming.items()):
            if not self._calls.hold(workflow) and time.monotonic() < deadline:
                continue
            try:
                self._adopt(workflow, logs)
            finally:
                self._calls.let_go(workflow)
                del self._resuming[workflow]
                self._lanes.unblock(workflow)

    # Sending what was taken over.

    def allowed(self, flights: list[Flight]) -> list[Flight]:
        """Those messages that may go now; nobody else's about the same workflows may until `sent`.

        Another process may have claimed what was taken over here.
        """
        may_go: dict[Unit, bool] = {}
        for unit in {one.unit: None for one in flights if one.unit.log is not None}:
            may_go[unit] = self._may_send(unit)
        refused = [one for one in flights if not may_go.get(one.unit, True)]
        if not refused:
            return self._held(flights)
        self._lanes.put_back(refused)
        for unit, may in may_go.items():
            if not may and not self._is_ours(unit):
                self._lanes.leave(unit.source.workflow, unit)
        return self._held([one for one in flights if may_go.get(one.unit, True)])

    def _held(self, flights: list[Flight]) -> list[Flight]:
        for flight in flights:
            if flight.unit.log is not None:
                self._calls.hold(flight.unit.source.workflow)
        for flight in {one.unit: one for one in flights if one.unit.log is not None}.values():
            self._calls.let_go(flight.unit.source.workflow)  # that of the look
        return flights

    def _may_send(self, unit: Unit) -> bool:
        """Whether a unit may be spoken of; if so nobody else may until the lock is let go."""
        if not self._calls.hold(unit.source.workflow):
            return False
        if self._is_ours(unit):
            return True
        self._calls.let_go(unit.source.workflow)
        return False

    def _is_ours(self, unit: Unit) -> bool:
        log = unit.log
        if log is None:
            return True
        owner = self._claims_of(log.id).owner(unit.source.workflow)
        return owner is not None and owner == self._log.claimant()

    def _claims_of(self, log: str) -> Claims:
        """The claims on a log, up to now."""
        found = self._claims.get(log)
        if found is None:
            found = self._claims[log] = Claims(log, self._key)
        else:
            found.look()
        return found

    def sent(self, flights: list[Flight]) -> None:
        """Let others go on with workflows of which nothing is under way any more."""
        for one in flights:
            if one.unit.log is not None:
                self._calls.let_go(one.message.workflow)

    def say_done(self) -> None:
        """Write down which runs of dead processes are done: what was refused of them is buried."""
        for found in self._adopted.values():
            if isinstance(found, AdoptedLog):
                found.say_done()

    def close(self) -> None:
        """Leave what is left to the next process."""
        self._close_done()
        for found in self._adopted.values():
            found.close()
        self._calls.close()
        for workflow in self._resuming:
            self._lanes.unblock(workflow)
        self._adopted, self._resuming = {}, {}


def _nothing() -> None:
    """Take no rest."""
