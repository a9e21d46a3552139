"""How the runs of one workflow stand to each other: which is within which, and what is void."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.delivery.order.numbers import Numbers

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator, Mapping

    from dotflow.delivery.message import Key
    from dotflow.delivery.order.server_ids import ServerIds
    from dotflow.delivery.order.unit import Unit


def is_open(unit: Unit) -> bool:
    """Whether a run has begun, and not ended."""
    return unit.head.begun and not unit.head.ended


def is_before(one: Unit, adopted: Unit) -> bool:
    """Whether a unit goes before one of a dead process that is taken over after it.

    What the version before left is older than all else, as is what was before the machine's last
    start: such units have negative times.
    """
    if adopted.up < 0:
        return one.up <= adopted.up
    return one.log is not None or 0 < one.up < adopted.up


def sendable(unit: Unit, active: list[Unit]) -> Iterator[Key]:
    """The records of a unit of which a message may go now, where several may have their turn."""
    if len(active) == 1 and not unit.inner:
        yield from unit.sendable()
        return
    for key in unit.sendable():
        if key is None or _has_turn(unit, key, active):
            yield key


def _has_turn(unit: Unit, key: int, active: list[Unit]) -> bool:
    """Whether no other run that goes on at the same time has to speak of a task first.

    Runs of one process speak of it as it happened; those of several are in no order.
    """
    if any(key in other.flying for other in active if other is not unit):
        return False
    number, log = _next_number(unit, key), unit.source.log
    return not any(
        key in other.owing and other.source.log == log and _next_number(other, key) < number
        for other in _with_inner(active)
        if other is not unit
    )


def _next_number(unit: Unit, key: int) -> int:
    """The number by which a unit's next message about a task has its place among the others.

    A task may be added long before its run begins. The run says so only once it has begun, and it
    begins after what came before: a run that waited for such a message would wait for itself.
    """
    return max(unit.next_number(key), unit.source.run)


def _with_inner(units: list[Unit]) -> Iterator[Unit]:
    """The units, and all that are within them, also those whose turn has not come."""
    waiting, seen = list(units), set()
    while waiting:
        unit = waiting.pop()
        if id(unit) not in seen:
            seen.add(id(unit))
            yield unit
            waiting += unit.inner


def is_within(one: Unit, outer: Unit) -> bool:
    """Whether a run began while an earlier one was under way, and its process lived."""
    head = outer.head
    if not head.begun:
        return False
    has_ended = head.ended and not head.is_owed
    if one.source.log == outer.source.log:
        return outer.source.run < one.first_n and not (has_ended and head.due < one.first_n)
    if outer.log is not None:
        within = outer.log.nested.get(outer.source.workflow, ())
        before_runs = not one.source.run and any(name.startswith(one.source.log) for name in within)
        if not before_runs and one.source.name not in within:
            return False
    end = outer.up + int((head.duration or 0.0) * 1e9)
    return outer.up < one.up and not (has_ended and end <= one.up)


def leave_out(queue: deque[Unit]) -> None:
    """Leave out what later runs made void: never a living run's words, nor an outer run's."""
    units = list(queue)
    for place, unit in enumerate(units):
        if unit.log is None:
            continue
        spoken = Numbers()
        is_over = False
        for later in units[place + 1 :]:
            # What was taken over later may have begun before: of two processes that both lived.
            if not is_within(later, unit) and not 0 < later.up < unit.up:
                spoken.update(later.spoken)
                is_over = is_over or later.head.begun
        is_there = any(_has_record(one) for one in units if one is not unit)
        unit.leave_out(spoken, is_over, is_there)


def _has_record(unit: Unit) -> bool:
    """Whether dotflow-api has the record from this unit, or is about to."""
    return (unit.head.opened and not unit.head.is_left_out) or None in unit.flying


def nest(queue: deque[Unit], adopted: list[Unit]) -> None:
    """Tell each unit which one it is within: the youngest that was open when it began."""
    units = list(queue)
    for place, unit in enumerate(units):
        if unit.outer is not None:
            continue
        for outer in reversed(units[:place]):
            if (unit in adopted or outer in adopted) and is_within(unit, outer):
                unit.outer = outer
                outer.inner.append(unit)
                break


def unfinished(
    workflows: Mapping[str, deque[Unit]], ids: ServerIds
) -> Iterator[tuple[str, int, str | None]]:
    """The ids of tasks that may be spoken of again; without an id, what was refused."""
    over: dict[str, Numbers] = {}
    for workflow, queue in workflows.items():
        over[workflow] = numbers = Numbers()
        for unit in queue:
            if unit.head.begun:
                numbers.update(unit.spoken)
    for workflow, task, given in ids.known():
        # What was refused is told of no more, but its run goes on, and says what becomes of it.
        is_over = task in over.get(workflow, ()) and not (
            given is None and any(map(is_open, workflows[workflow]))
        )
        if not is_over or any(task in one.tasks for one in workflows[workflow]):
            yield workflow, task, given
