"""What the steps of a workflow are, kept beside their results, so that each gets back its own."""

from __future__ import annotations

from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.context import Context
from dotflow.core.exception import AmbiguousResume
from dotflow.core.fingerprint import fingerprint_of
from dotflow.core.module import module_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.storage import Storage
    from dotflow.core.config import Config
    from dotflow.core.task import Task

MAIN = "__main__."


class Who(NamedTuple):
    """What a step is, beside its number.

    Attributes:
        name: Its function, with module and class.
        input: The fingerprint of what it was added with.
    """

    name: str
    input: str


class Steps(NamedTuple):
    """The steps that the checkpoints of a workflow belong to.

    Attributes:
        by_number: Who has, or had, each number.
        last: The numbers of the last run, in order.
    """

    by_number: dict[int, Who]
    last: list[int]

    @property
    def listed(self) -> list[Who]:
        """The steps of the last run, in order."""
        return [self.by_number[number] for number in self.last]


def match_steps(
    config: Config,
    workflow_id: Any,
    tasks: list[Task],
    chains: Iterable[list[Task]],
    marks: list[str],
    resume: bool,
) -> None:
    """Keep what the steps of a run are, and forget each result that is another step's.

    With a step that is another one than before go the results of all that come after it.

    Args:
        config: Of the run.
        workflow_id: The id of the workflow.
        tasks: The tasks, in order.
        chains: The same, in lists within which each gets the result of the one before.
        marks: The fingerprint of each task's initial context.
        resume: Whether results are to be restored.

    Raises:
        AmbiguousResume: It is open to which steps results belong.
        Exception: What the storage raised when it was read to resume, or a result was forgotten.
    """
    now = Steps({}, [task.task_id for task in tasks])
    for task, mark in zip(tasks, marks, strict=True):
        now.by_number[task.task_id] = Who(_name(task), _with_bound(task, mark))
    before = _read(config, workflow_id, resume)
    after = now
    if before is not None:
        matcher = _Matcher(config.storage, workflow_id, before, now, resume)
        for chain in chains:
            matcher.match(chain)
        for task in matcher.others:
            forget(task)
        after = Steps(before.by_number | now.by_number | matcher.kept, now.last)
    if after != before:
        _write(config, workflow_id, after)


class _Matcher:
    """Compares the steps of a run with those that results are kept of.

    Attributes:
        others: The tasks under whose numbers other steps' results may be.
        kept: Who has results that are restored although they are of another input.
    """

    def __init__(
        self, storage: Storage, workflow_id: Any, before: Steps, now: Steps, resume: bool
    ) -> None:
        self._storage = storage
        self._workflow_id = workflow_id
        self._before, self._now = before, now
        self._resume = resume
        self.others: list[Task] = []
        self.kept: dict[int, Who] = {}
        self._earlier_steps = set(before.listed)
        self._undecided = {before.last[index] for index in _undecided(before.listed, now.listed)}
        # With the same steps in the same order another input is one for `on_input_change`.
        names = [[who.name for who in steps.listed] for steps in (before, now)]
        self._may_differ = resume and names[0] == names[1]

    def match(self, chain: list[Task]) -> None:
        """Compare tasks of which each gets the result of the one before."""
        is_own = True
        for task in chain:
            task.workflow_id = self._workflow_id
            who, earlier = self._now.by_number[task.task_id], self._earlier(task)
            is_own = is_own and self._is_own(earlier, who)
            if earlier is None:
                continue
            if not is_own:
                self.others.append(task)
            elif earlier != who and self._has_result(task):
                self.kept[task.task_id] = earlier
            elif self._resume and task.task_id in self._undecided:
                self._check_is_clear(task)

    def _earlier(self, task: Task) -> Who | None:
        return self._before.by_number.get(task.task_id)

    def _is_own(self, earlier: Who | None, who: Who) -> bool:
        if earlier == who:
            return True
        # Not where the step with this input had another place: that is a step that has moved.
        return (
            earlier is not None
            and self._may_differ
            and earlier.name == who.name
            and who not in self._earlier_steps
        )

    def _check_is_clear(self, task: Task) -> None:
        if self._has_result(task):
            raise AmbiguousResume(self._workflow_id, task.step.name)

    def _has_result(self, task: Task) -> bool:
        return self._storage.get(self._storage.key(task=task)).storage is not None


def _undecided(before: list[Who], now: list[Who]) -> range:
    """The places of steps of which nobody can tell whether they are new, or their likes are.

    Those that have not changed seen from the beginning, nor seen from the end: where one more (or
    less) of the same step stands beside another, each of them may be the one.
    """
    if before == now:
        return range(0)
    from_the_end = _in_common(reversed(before), reversed(now))
    return range(min(len(before), len(now)) - from_the_end, _in_common(before, now))


def _in_common(one: Iterable[Who], other: Iterable[Who]) -> int:
    """How many steps are the same at the beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def forget(task: Task) -> None:
    """Have nothing to restore under the key of a task."""
    storage = task.config.storage
    empty = Context.of_task(None, task.task_id, task.workflow_id)
    storage.post(key=storage.key(task=task), context=empty)


def _name(task: Task) -> str:
    """The function of a step; what is run as a script has the name that it is imported by."""
    function: str = task.step.source.function
    if not function.startswith(MAIN):
        return function
    return f"{module_name('__main__')}.{function.removeprefix(MAIN)}"


def _with_bound(task: Task, mark: str) -> str:
    """The fingerprint of a step's input, and of what `functools.partial` has bound to it."""
    func = task.step.func
    while isinstance(func, partial):
        mark = fingerprint_of([mark, func.args, func.keywords])[:16]
        func = func.func
    return mark


def _key(workflow_id: Any) -> str:
    return f"{workflow_id}-_steps"


def _read(config: Config, workflow_id: Any, resume: bool) -> Steps | None:
    """The steps that were kept; None where there are none, as of an earlier release."""
    try:
        context: Any = config.storage.get(_key(workflow_id))
    except Exception:  # a storage of somebody's that has never been asked for what is not there
        if resume:
            raise
        return None  # it is overwritten
    kept: Any = getattr(context, "storage", None)
    try:
        by_number = {int(number): Who(*who) for number, who in kept["steps"].items()}
        steps = Steps(by_number, [int(number) for number in kept["last"]])
        steps.listed  # noqa: B018 - each of them is there
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    return steps


def _write(config: Config, workflow_id: Any, steps: Steps) -> None:
    said = {
        "steps": {str(number): list(who) for number, who in steps.by_number.items()},
        "last": steps.last,
    }
    config.guard.call(config.storage, "post", key=_key(workflow_id), context=Context(said))
