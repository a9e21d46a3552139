"""The lines of the run log: one JSON object a fact, ended by a newline.

Every line names its kind (`f`), its number in the log (`n`), its workflow (`w`), its run (`r`)
and its readers with what each of them makes of it (`to`): a line that is lost costs no other.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dotflow.abc.facts import (
        AttemptBegan,
        AttemptEnded,
        Retried,
        RunBegan,
        RunEnded,
        RunFailed,
        TaskAdded,
        TaskBegan,
        TaskEnded,
        TaskRestored,
        WorkflowCreated,
    )

VERSION = 1
"""The version of the format: of one with a higher number nothing is taken over or deleted."""

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock that all processes of a machine share, and that nobody sets: it puts their runs in
order (`up`)."""

DEFAULT, MANAGED, OTEL = "default", "managed", "otel"
"""The policies: what a reader makes of lines (`to`). For `default` and `managed` a task is reported
when it is added, for `otel` when it begins."""

CREATED, ADDED = "workflow created", "task added"
RUN_BEGAN, RUN_FAILED, RUN_ENDED = "run began", "run failed", "run ended"
TASK_BEGAN, TASK_ENDED, RESTORED = "task began", "task ended", "task restored"
ATTEMPT_BEGAN, ATTEMPT_ENDED, RETRIED = "attempt began", "attempt ended", "task retried"
SPAN = "span"
RECORD = "log record"

PREVIOUS_OF = "previousof"
"""Stands for `previous` where that is the result of another line, whose number it says."""

WAIT = "wait"
"""Of a run that only its tasks tell of so far: seconds that it is not said without its name."""

OWING = "owing"
"""Whether the process owes the end of a run; it does not where it passes on what spans say."""

OF_TASKS = frozenset({
    ADDED, TASK_BEGAN, TASK_ENDED, RESTORED, ATTEMPT_BEGAN, ATTEMPT_ENDED, RETRIED,
})  # fmt: skip
KINDS = OF_TASKS | {CREATED, RUN_BEGAN, RUN_FAILED, RUN_ENDED, SPAN, RECORD}
"""What is said of a run; a line of another kind is about the log itself, or of another version."""

INTERIM = tuple(f'{{"f":"{kind}"'.encode()
                for kind in (ATTEMPT_BEGAN, ATTEMPT_ENDED, RETRIED, RECORD))  # fmt: skip
"""How lines begin that no record's last state needs."""

NULL = "null"

quoted = lru_cache(maxsize=1024)(encode_basestring_ascii)
"""A name as JSON; a run has few names, and each is in many lines."""


def compact(value: Any) -> str:
    """A small value as JSON."""
    return json.dumps(value, separators=(",", ":"))


class RunLines:
    """Makes the lines of one run, or of a workflow that has not begun.

    Every method returns a whole line. `extra` is what else the line is to say: a part of a JSON
    object that begins with a comma. Texts (`initial`, `current`, `error`, ...) are JSON.

    Args:
        workflow: The workflow's id.
        run: The run's number; 0 before the first.
        to: What each reader makes of the lines, by the reader's key.
    """

    __slots__ = ("_tail",)

    def __init__(self, workflow: str, run: int, to: Mapping[str, str]) -> None:
        self._tail = (
            f',"w":{encode_basestring_ascii(workflow)},"r":{run},"to":{compact(dict(to))}}}\n'
        )

    def _line(self, kind: str, n: int, said: str) -> bytes:
        return f'{{"f":"{kind}","n":{n}{said}{self._tail}'.encode()

    def workflow_created(self, fact: WorkflowCreated, extra: str = "") -> bytes:
        """A workflow was constructed."""
        said = f',"name":{compact(fact.name)},"managed":{compact(fact.managed)}{extra}'
        return self._line(CREATED, fact.n, said)

    def task_added(self, fact: TaskAdded, name: str, group: str, initial: str, extra: str = "") -> bytes:  # fmt: skip  # noqa: E501
        """A task was added."""
        said = f'{_of_task(fact.task_id, name, group)},"initial":{initial}{extra}'
        return self._line(ADDED, fact.n, said)

    def run_began(self, fact: RunBegan, extra: str = "") -> bytes:
        """A run began, with its plan: a list of [id, name, group]."""
        said = compact({
            "at": fact.at_ns, "name": fact.name, "managed": fact.managed, "mode": fact.mode,
            "resumed": fact.resumed, "plan": [list(task) for task in fact.plan],
        })  # fmt: skip
        return self._line(RUN_BEGAN, fact.n, f",{said[1:-1]}{extra}")

    def run_told(self, n: int, said: Mapping[str, Any]) -> bytes:
        """A run began, as far as spans tell: what they do not say is null."""
        return self._line(RUN_BEGAN, n, f",{compact(said)[1:-1]}")

    def task_began(
        self, fact: TaskBegan, name: str, group: str, initial: str, previous: str | int,
        extra: str = "",
    ) -> bytes:  # fmt: skip
        """A task began.

        Args:
            fact: The fact.
            name: The name of the task's step.
            group: The task's group.
            initial: The initial context.
            previous: The previous context, or the number of the fact with that text.
            extra: What else is said.
        """
        # Written out, for this is said of every task.
        of = "of" if isinstance(previous, int) else ""
        return (
            f'{{"f":"{TASK_BEGAN}","n":{fact.n},"t":{fact.task_id},"at":{fact.at_ns}'
            f',"name":{quoted(name)},"group":{quoted(group)},"initial":{initial}'
            f',"previous{of}":{previous}{extra}{self._tail}'
        ).encode()

    def task_ended(self, fact: TaskEnded, current: str, error: str = NULL, extra: str = "") -> bytes:  # fmt: skip  # noqa: E501
        """A task ended, with its result or the error that failed it."""
        said = f',"error":{error}' if error != NULL else ""
        return (
            f'{{"f":"{TASK_ENDED}","n":{fact.n},"t":{fact.task_id},"at":{fact.at_ns}'
            f',"status":{quoted(fact.status)},"duration":{fact.duration!r}'
            f',"retries":{fact.retry_count},"current":{current}{said}{extra}{self._tail}'
        ).encode()

    def attempt_began(self, fact: AttemptBegan, extra: str = "") -> bytes:
        """One try of a task began."""
        said = f',"t":{fact.task_id},"at":{fact.at_ns},"attempt":{fact.attempt}{extra}'
        return self._line(ATTEMPT_BEGAN, fact.n, said)

    def attempt_ended(self, fact: AttemptEnded, error: str = NULL, extra: str = "") -> bytes:
        """That try ended."""
        said = f',"t":{fact.task_id},"at":{fact.at_ns},"attempt":{fact.attempt}'
        return self._line(ATTEMPT_ENDED, fact.n, f'{said},"error":{error}{extra}')

    def retried(self, fact: Retried, error: str, extra: str = "") -> bytes:
        """A task failed a try and will be tried again."""
        said = f',"t":{fact.task_id},"at":{fact.at_ns},"retries":{fact.retry_count}'
        return self._line(RETRIED, fact.n, f'{said},"error":{error}{extra}')

    def task_restored(
        self, fact: TaskRestored, name: str, group: str, initial: str, previous: str, current: str,
        extra: str = "",
    ) -> bytes:  # fmt: skip
        """A task's result came from a checkpoint."""
        said = f'{_of_task(fact.task_id, name, group)},"at":{fact.at_ns},"initial":{initial}'
        said += f',"previous":{previous},"current":{current}{extra}'
        return self._line(RESTORED, fact.n, said)

    def run_failed(self, fact: RunFailed, error: str) -> bytes:
        """Something other than a step ended the run."""
        return self._line(RUN_FAILED, fact.n, f',"error":{error}')

    def run_ended(self, fact: RunEnded, extra: str = "") -> bytes:
        """A run ended."""
        said = f',"at":{fact.at_ns},"status":{quoted(fact.status)},"duration":{fact.duration!r}'
        return self._line(RUN_ENDED, fact.n, f"{said}{extra}")

    def span(self, n: int, text: str) -> bytes:
        """A span of the user's code, or what a step put on one of ours.

        Args:
            n: The line's number (see `dotflow.abc.facts.next_number`).
            text: A JSON object.
        """
        return self._line(SPAN, n, f',"said":{text}')

    def record(self, n: int, text: str) -> bytes:
        """A log record of the user's code.

        Args:
            n: The line's number.
            text: A JSON object.
        """
        return self._line(RECORD, n, f',"said":{text}')


def _of_task(task: int, name: str, group: str) -> str:
    return f',"t":{task},"name":{quoted(name)},"group":{quoted(group)}'
