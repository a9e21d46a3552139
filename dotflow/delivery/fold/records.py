"""Records of dotflow-api as facts make them: pure functions of the lines of a log.

A record is folded from its facts, whatever the order in which they were read: `n` orders them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.runlog import lines
from dotflow.runlog.lines import DEFAULT, MANAGED, OTEL
from dotflow.runlog.reader import SIZE

if TYPE_CHECKING:
    from dotflow.runlog.reader import Fact

POLICIES = frozenset({DEFAULT, MANAGED, OTEL})


_names: dict[str, str] = {}
_MOST_NAMES = 1024


def _shared(name: str) -> str:
    """One text for all that are equal: thousands of tasks wait at a time, and many have one name.

    Not `sys.intern`: Python 3.12 keeps what that is given for ever.
    """
    if len(_names) >= _MOST_NAMES:
        _names.clear()
    return _names.setdefault(name, name)


@dataclass(slots=True)
class TaskRecord:
    """What the facts of one run say of one task.

    Attributes:
        task: Its number.
        made_by: The number of the fact that its POST says; 0 where there is none.
        due: The number of the last fact that a PATCH has to say; 0 where there is none.
        posted: Whether the POST was answered, or is another's.
        said: The number of the last fact that was said by a PATCH.
        begun_by: The number of the fact that the task began; 0 where it has not.
        heard: The number of the last fact that the server has heard, by whichever call.
        refused: Whether the server refused to make the record.
        ended: Whether the task has ended.
        is_owed: Whether its process did not live to report that.
        is_restored: Whether it did not run, for an earlier run has its result.
        segments: Which files of the log have facts of it.
        size: How many bytes those facts have in the log.
        counted: How many of them its unit counts.
    """

    task: int
    name: str = ""
    group: str = "default"
    status: str = TypeStatus.NOT_STARTED
    status_n: int = 0
    made_as: str = TypeStatus.NOT_STARTED
    made_by: int = 0
    due: int = 0
    posted: bool = False
    said: int = 0
    begun_by: int = 0
    heard: int = 0
    refused: bool = False
    ended: bool = False
    initial: Any = None
    previous: Any = None
    current: Any = None
    duration: float | None = None
    retries: int = 0
    errors: dict[int, Any] = field(default_factory=dict)
    began_at: int | None = None
    ended_at: int | None = None
    attempts: dict[int, list[int | None]] = field(default_factory=dict)
    span: str = ""
    carrier: dict[str, str] | None = None
    is_owed: bool = False
    is_restored: bool = False
    segments: set[int] = field(default_factory=set)
    size: int = 0
    counted: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all that the facts want said was said, and no end is owed."""
        is_posted = self.posted or not self.made_by
        return is_posted and self.said >= self.due and (self.ended or not self.began_at)

    @property
    def owes(self) -> bool:
        """Whether something is to be said now."""
        return (bool(self.made_by) and not self.posted) or self.said < self.due

    def take(self, fact: Fact, policy: str, again: bool) -> None:
        """Fold a fact into the record.

        Args:
            fact: A line about this task.
            policy: Which calls its Server wants.
            again: Whether the record may be there from an earlier run.
        """
        n, kind = fact["n"], fact["f"]
        self.size += fact.get(SIZE, 0)
        _TAKES[kind](self, fact)
        if kind == lines.ADDED or (policy == OTEL and kind in (lines.TASK_BEGAN, lines.RESTORED)):
            self.made_by, self.made_as = n, self.status
            if kind == lines.RESTORED or again:
                self.due = max(self.due, n)
        elif kind in _SAID:
            self.due = max(self.due, n)

    def _added(self, fact: Fact) -> None:
        self._named(fact)

    def _began(self, fact: Fact) -> None:
        self._named(fact)
        self.previous = fact.get("previous")
        self.began_at, self.begun_by = fact["at"], fact["n"]
        self._placed(fact)
        self._becomes(TypeStatus.IN_PROGRESS, fact["n"])

    def _retried(self, fact: Fact) -> None:
        self.errors[fact["n"]] = fact.get("error")
        self.retries = max(self.retries, fact.get("retries", 0))
        self._becomes(TypeStatus.RETRY, fact["n"])

    def _has_ended(self, fact: Fact) -> None:
        if fact.get("error") is not None:
            self.errors[fact["n"]] = fact["error"]
        self.retries = max(self.retries, fact.get("retries", 0))
        self.duration = fact.get("duration")
        self.current = fact.get("current")
        # A span may say of its task's beginning what it did not say then.
        self.initial = fact.get("initial", self.initial)
        self.previous = fact.get("previous", self.previous)
        self.ended, self.ended_at = True, fact.get("at")
        self.is_owed = bool(fact.get("owed"))
        self._becomes(fact["status"], fact["n"])

    def _restored(self, fact: Fact) -> None:
        self._named(fact)
        self.previous, self.current = fact.get("previous"), fact.get("current")
        self.began_at = self.ended_at = fact.get("at")
        self.ended = self.is_restored = True
        self._placed(fact)
        self._becomes(TypeStatus.COMPLETED, fact["n"])

    def _attempt_began(self, fact: Fact) -> None:
        self.attempts.setdefault(fact["attempt"], [None, None])[0] = fact["at"]

    def _attempt_ended(self, fact: Fact) -> None:
        self.attempts.setdefault(fact["attempt"], [None, None])[1] = fact["at"]

    def _placed(self, fact: Fact) -> None:
        self.span = str(fact.get("span", ""))
        carrier = fact.get("carrier")  # of a task in a trace that is not its run's
        self.carrier = carrier if isinstance(carrier, dict) else None

    def _named(self, fact: Fact) -> None:
        self.name = _shared(str(fact.get("name", "")))
        self.group = _shared(str(fact.get("group", "default")))
        self.initial = fact.get("initial")

    def _becomes(self, status: str, n: int) -> None:
        if n >= self.status_n:
            self.status, self.status_n = status, n


_SAID = frozenset({lines.TASK_BEGAN, lines.RETRIED, lines.TASK_ENDED, lines.RESTORED})
_TAKES = {
    lines.ADDED: TaskRecord._added,
    lines.TASK_BEGAN: TaskRecord._began,
    lines.RETRIED: TaskRecord._retried,
    lines.TASK_ENDED: TaskRecord._has_ended,
    lines.RESTORED: TaskRecord._restored,
    lines.ATTEMPT_BEGAN: TaskRecord._attempt_began,
    lines.ATTEMPT_ENDED: TaskRecord._attempt_ended,
}
OF_TASKS = frozenset(_TAKES)


@dataclass(slots=True)
class WorkflowRecord:
    """What the facts of one run say of its workflow; of run 0, what was before the first run.

    Attributes:
        made_by: The number of the fact that its first call says; 0 where there is none.
        is_post: Whether that call makes the record, rather than changes it.
        opened: Whether that call was answered, or left out.
        is_left_out: Whether it was left out: the record may not be there.
        due: The number of the fact that ended the run; 0 until then.
        said: The number of the last fact that was said.
        begun: Whether the run has begun.
        ended: Whether it has ended.
        is_owed: Whether its process did not live to report that.
        is_managed_open: Whether the first call of a managed run is the one that opens its record.
        is_open_ended: Whether its process owes no end: it passes on what spans say.
        is_told_at_end: Whether the last call says what the first one may not have known.
    """

    made_by: int = 0
    is_post: bool = False
    opened: bool = False
    is_left_out: bool = False
    due: int = 0
    said: int = 0
    begun: bool = False
    ended: bool = False
    is_owed: bool = False
    is_managed_open: bool = False
    is_open_ended: bool = False
    is_told_at_end: bool = False
    name: str | None = None
    mode: str | None = None
    status: str = WorkflowStatus.NEW
    trace_id: str | None = None
    plan: list[Any] | None = None
    again: bool = False
    carrier: dict[str, str] = field(default_factory=dict)
    span: str = ""
    duration: float | None = None
    began_at: int | None = None
    ended_at: int | None = None
    segments: set[int] = field(default_factory=set)

    def take(self, fact: Fact, policy: str) -> None:
        """Fold a fact into the record."""
        kind = fact["f"]
        if kind == lines.CREATED:
            self._created(fact, policy)
        elif kind == lines.RUN_BEGAN:
            self._began(fact, policy)
        elif kind == lines.RUN_ENDED:
            self.ended, self.due = True, fact["n"]
            self.status, self.duration = fact["status"], fact.get("duration")
            self.ended_at, self.is_owed = fact.get("at"), bool(fact.get("owed"))
            if "title" in fact:
                self._told(fact)

    def _told(self, fact: Fact) -> None:
        """Learn from the end what a run is."""
        self.is_told_at_end = True
        self._is({**fact, "at": fact.get("began")}, OTEL)

    def _is(self, fact: Fact, policy: str) -> None:
        self.began_at = fact.get("at")
        carrier = fact.get("carrier")
        self.carrier = carrier if isinstance(carrier, dict) else {}
        self.span = str(fact.get("span", ""))
        if policy == OTEL:
            self.name, self.mode = fact.get("title"), fact.get("mode")
            self.trace_id = fact.get("trace_id")
            # A plan is as long as the run: the first call has said it.
            self.plan = None if self.opened and not self.is_told_at_end else fact.get("plan")

    def _created(self, fact: Fact, policy: str) -> None:
        carrier = fact.get("carrier")
        self.carrier = carrier if isinstance(carrier, dict) else {}
        if policy != OTEL and not fact.get("managed"):
            self.made_by, self.is_post, self.name = fact["n"], True, fact.get("name")

    def _began(self, fact: Fact, policy: str) -> None:
        self.begun, self.made_by = True, fact["n"]
        self.again = bool(fact.get("again"))
        self.is_open_ended = fact.get(lines.OWING) is False
        if not self.ended:
            self.status = WorkflowStatus.IN_PROGRESS
        if policy == OTEL:
            self.is_post = not fact.get("known")
        if not self.is_told_at_end:
            self._is(fact, policy)
        self.is_managed_open = policy != OTEL and bool(fact.get("managed"))

    def is_opened(self) -> None:
        """Take note that the first call was answered: only the last one may need the plan still."""
        self.opened = True
        if not self.is_told_at_end:
            self.plan = None

    @property
    def is_complete(self) -> bool:
        """Whether all was said, and no end is owed."""
        is_opened = self.opened or not self.made_by
        is_over = self.ended or not self.begun or self.is_open_ended
        return is_opened and self.said >= self.due and is_over
