"""Checkpoints: what an earlier run has kept, and how a resumed one finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.constants import INITIAL_TASK_ID
from dotflow.core.context import Context
from dotflow.core.exception import InputChangedError, InvalidOnInputChange
from dotflow.core.fingerprint import (
    Fingerprints,
    read_fingerprint,
    warn_of,
    write_fingerprint,
)
from dotflow.core.reporter import TaskReporter, keep_note
from dotflow.core.step_matching import forget, match_steps
from dotflow.core.types.execution import TypeExecution
from dotflow.core.types.input_change import VALID_POLICIES, TypeInputChange

if TYPE_CHECKING:
    from dotflow.abc.facts import Carrier
    from dotflow.abc.storage import Storage
    from dotflow.core.config import Config
    from dotflow.core.task import Task


def first_context(workflow_id: Any) -> Context:
    """The previous context of a task that has none before it."""
    return Context.of_task(None, 0, workflow_id)


def restore(task: Task, workflow_id: Any, previous: Context) -> Context | None:
    """Give a task the result of an earlier run; None where there is none, or it was None."""
    task.workflow_id = workflow_id
    storage = task.config.storage
    kept = storage.get(storage.key(task=task))
    if kept.storage is None:
        return None
    task.previous_context = previous
    task.adopt(kept)
    _own_parts(kept.storage, task.current_context.workflow_id)
    TaskReporter(task).restore(read_note(task.config, workflow_id, task))
    return task.current_context


def _own_parts(value: Any, workflow_id: Any) -> None:
    """Give the Contexts of a class step the workflow that JSON did not say."""
    for part in value if type(value) is list else ():
        if type(part) is Context and part.workflow_id is None:
            part._workflow_id = workflow_id


def write_note(config: Config, workflow_id: Any) -> None:
    """Keep what the Server notes of a run; a note that fails costs itself."""
    if _has_notes(config):
        keep_note(config, _note_key(workflow_id), workflow_id)


def read_note(config: Config, workflow_id: Any, task: Task | None = None) -> Carrier | None:
    """What was noted of an earlier run, or of a task of it; None where nothing was."""
    if not _has_notes(config):
        return None
    kept = config.guard.call(config.storage, "get", _note_key(workflow_id, task))
    note = getattr(kept, "storage", None)
    return note if isinstance(note, dict) else None


def _has_notes(config: Config) -> bool:
    return getattr(config.server, "keeps_notes", False) is True


def _note_key(workflow_id: Any, task: Task | None = None) -> str:
    """With the id at its beginning, so that it goes with all that is kept of the workflow."""
    key = f"{workflow_id}-_note"
    return key if task is None else f"{key}-{task.task_id}"


def check_policy(policy: str) -> None:
    """Raise InvalidOnInputChange unless a policy is one of the three."""
    if policy not in VALID_POLICIES:
        raise InvalidOnInputChange(policy)


def prepare(
    config: Config,
    workflow_id: Any,
    tasks: list[Task],
    groups: dict[str, list[Task]],
    mode: str,
    managed: bool,
    resume: bool,
    on_input_change: str,
    fingerprint: str | None,
) -> None:
    """See that a run restores what is its own, before anybody is told of the run.

    Args:
        config: Of the run.
        workflow_id: The id of the run.
        tasks: The tasks, in order.
        groups: The same, by group.
        mode: How they are run.
        managed: Whether the id came from outside.
        resume: Whether results are to be restored.
        on_input_change: What to do with another input.
        fingerprint: What stands for the input; None for the initial contexts.

    Raises:
        InputChangedError: The input is another one, and the policy is "raise".
        AmbiguousResume: It is open to which steps results belong.
        Exception: What the storage raised.
    """
    storage = config.storage
    if not (storage.lasts or managed or resume):
        return  # nobody will know the id
    prints = Fingerprints(task.initial_context.storage for task in tasks)
    if resume:
        warn_of(prints)
        now = fingerprint or prints.whole
        _check_input(storage, workflow_id, tasks, now, on_input_change)
    if managed:
        number_tasks(storage, workflow_id, tasks, resume)
    # In the background groups make no difference, and in parallel nothing is restored.
    chains = [tasks] if mode == TypeExecution.BACKGROUND else list(groups.values())
    restores = resume and mode != TypeExecution.PARALLEL
    if tasks:
        match_steps(config, workflow_id, tasks, chains, prints.each, restores)


def _check_input(
    storage: Storage, workflow_id: Any, tasks: list[Task], now: str, policy: str
) -> None:
    """Compare the input of a resumed run with the one that it began with."""
    before = read_fingerprint(storage, workflow_id)
    if before is None:
        write_fingerprint(storage, workflow_id, now)
    elif before != now and policy == TypeInputChange.RAISE:
        raise InputChangedError(workflow_id)
    elif before != now and policy == TypeInputChange.RESET:
        _reset(storage, workflow_id, tasks)
        write_fingerprint(storage, workflow_id, now)


def _reset(storage: Storage, workflow_id: Any, tasks: list[Task]) -> None:
    try:
        storage.clear(workflow_id=str(workflow_id))
    except NotImplementedError:  # one that can only post and get
        for task in tasks:
            task.workflow_id = workflow_id
            forget(task)


def number_tasks(storage: Storage, workflow_id: Any, tasks: list[Task], resume: bool) -> None:
    """Keep the numbers of a managed run, and give a resumed one those it had.

    The numbers of a managed run go on from process to process, and checkpoints are kept under
    them: a run that is resumed has to be the tasks that it was.
    """
    if not tasks:
        return
    key = f"{workflow_id}-_first_task_id"
    given = first = min(task.task_id for task in tasks)
    if resume and given != INITIAL_TASK_ID:
        first = _earlier_first(storage, key, workflow_id, tasks[0], given)
        for task in tasks:
            task.task_id += first - given
    # A run that begins with the first number needs no note of it.
    if first != INITIAL_TASK_ID and not (resume and first != given):
        storage.post(key=key, context=Context(first))


def _earlier_first(storage: Storage, key: str, workflow_id: Any, task: Task, given: int) -> int:
    """The first number of the run that is resumed; the given one where there is none."""
    kept = storage.get(key).storage
    if isinstance(kept, int):
        return kept
    number, task.task_id = task.task_id, INITIAL_TASK_ID + task.task_id - given
    task.workflow_id = workflow_id
    earlier = storage.key(task=task)
    task.task_id = number
    return INITIAL_TASK_ID if _is_kept(storage, earlier) else given


def _is_kept(storage: Storage, key: str) -> bool:
    """Whether there is anything under a key: the empty result of a failed task too."""
    try:
        return key in list(storage.list_keys(key))
    except NotImplementedError:
        return storage.get(key).storage is not None
