"""What reading gives out: plain records, for programs and for pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from dotflow.api.times import Attempt

Item = TypeVar("Item")
Key = TypeVar("Key")


@dataclass(frozen=True)
class Page(Generic[Item, Key]):
    """Some of many records.

    Args:
        items: They, in their order.
        next: What to ask for as ``after`` to get those that follow; None where none do.
    """

    items: list[Item]
    next: Key | None = None


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted; what is not given wants them all.

    Args:
        status: Those with one of these statuses.
        name: Those of the workflow with exactly this name.
        text: Those with this text in their name or id, or in the name or the errors of a task that
            had errors; upper and lower case are the same.
        since: Those that began at this moment or later, with its zone.
        until: Those that began before this moment.
    """

    status: tuple[str, ...] = ()
    name: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Run:
    """A workflow run.

    Args:
        id: The workflow's id.
        name: The workflow's name.
        mode: How its tasks run.
        status: As it was last reported.
        trace_id: Its trace, in hex.
        started_at: When it was first opened, by its own clock; None where nobody said.
        finished_at: When it last ended, by its own clock; None while it goes on.
        duration: Seconds, as the last end said.
        created_at: When this server heard of it.
        updated_at: When this server last heard of it.
        planned: How many tasks the plan has.
        counts: How many tasks there are of each status; those that only the plan knows are not
            among them.
        opened: How many runs have opened it: more than one where it was resumed.
        plan: The plan as JSON text, if it was asked for.
    """

    id: str
    name: str | None
    mode: str | None
    status: str
    trace_id: str | None
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None
    created_at: datetime
    updated_at: datetime
    planned: int
    counts: Mapping[str, int] = field(default_factory=dict)
    opened: int = 0
    plan: str | None = None


@dataclass(frozen=True)
class Opening:
    """One time that a workflow's record was opened.

    Args:
        run: The name of the run; None where it did not say.
        started_at: When it began, by its own clock; None where nobody said.
        finished_at: When it ended, by its own clock.
        status: How it is, or was in the end.
        created_at: When this server heard of it.
    """

    run: str | None
    started_at: datetime | None
    finished_at: datetime | None
    status: str
    created_at: datetime


class Planned(NamedTuple):
    """A task as the plan names it."""

    id: int
    name: str
    group: str


@dataclass(frozen=True)
class TaskRow:
    """A task of a workflow run.

    Args:
        server_id: Its id, unique on this server.
        task_id: The caller's own id.
        workflow_id: The run it is of.
        name: Its name.
        group: Its group's name.
        status: As it was last reported.
        started_at: When it began, by its own clock; None where nobody said, or it has not.
        finished_at: When it ended, by its own clock.
        duration: Seconds.
        retry_count: How often it was tried again.
        attempts: When its attempts began and ended, the last 20.
        error_count: How many errors it had.
        last_error: The class of the last one.
        errors: They, oldest first; None where they were not asked for.
        contexts: JSON text by the name of the field (``initial_context`` and its kin); None where
            they were not asked for.
        created_at: When this server heard of it.
        updated_at: When this server last heard of it.
        trace_id: The trace that its span is in, in hex; None where nobody said.
        span_id: Its span, in hex.
    """

    server_id: int
    task_id: int
    workflow_id: str
    name: str
    group: str
    status: str
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None
    retry_count: int
    attempts: list[Attempt]
    error_count: int
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    errors: list[dict[str, Any]] | None = None
    contexts: Mapping[str, str] | None = None
    trace_id: str | None = None
    span_id: str | None = None


class Row(NamedTuple):
    """A task as a waterfall shows it; one that is only planned has the status "Not started".

    Args:
        task_id: The caller's own id.
        name: Its name.
        group: Its group's name.
        status: As it was last reported.
        started_at: When it began, by its own clock; None where nobody said, or it has not.
        finished_at: When it ended, by its own clock.
        attempts: When its attempts began and ended, the last 20.
        retry_count: How often it was tried again.
        last_error: The class of its last error.
        created_at: When this server heard of it; None of one that is only planned.
    """

    task_id: int
    name: str
    group: str
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: Sequence[Attempt] = ()
    retry_count: int = 0
    last_error: str | None = None
    created_at: datetime | None = None


class Past(NamedTuple):
    """What a trend shows of a run."""

    id: str
    status: str
    started_at: datetime
    duration: float | None


class FirstFailed(NamedTuple):
    """The first failed task of a run, in short."""

    task_id: int
    name: str
    error: str | None
