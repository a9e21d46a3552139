"""A live view of a run's tasks, on a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from dotflow.abc.notify import Notify
from dotflow.cli.columns import cell
from dotflow.core.types import TypeStatus
from dotflow.utils.masking import masked_by_default

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from dotflow.abc.run import RunView
    from dotflow.abc.task import TaskView
    from dotflow.core.guard import Guard
    from dotflow.core.task import Task

COLOURS = {
    TypeStatus.COMPLETED: "green",
    TypeStatus.FAILED: "red",
    TypeStatus.RETRY: "yellow",
    TypeStatus.IN_PROGRESS: "blue",
}

FRAMES_PER_SECOND = 8
LINE_PATIENCE = 0.2
"""Seconds after which the begin of a line is shown as it is: it may be a question."""

SHORTEST_NAME, BESIDE_NAME = 8, 36
"""Columns that a name has at the least, and that all but names and numbers take."""

BESIDE_TASKS = 4
"""Lines of the terminal that the view leaves free."""


class Progress(Notify):
    """Keeps the order in which tasks changed, and tells the workflow's own Notify.

    Args:
        own: The Notify that the workflow has.
        guard: What keeps its errors away from the run.
        tasks: The tasks of the workflow.
    """

    def __init__(self, own: Notify, guard: Guard, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self._own = own
        self._guard = guard
        self._changed: dict[int, int] = {}  # when, by the task's place
        self._turn = 0

    def hook_status_task(self, task: TaskView) -> None:
        """Note the change, and pass it on."""
        self._turn += 1
        self._changed[id(task)] = self._turn
        self._guard.call(self._own, "hook_status_task", task=task)

    def hook_end_workflow(self, run: RunView) -> None:
        """Pass on the end of the run."""
        self._guard.call(self._own, "hook_end_workflow", run=run)

    def shown(self, room: int) -> list[Task]:
        """The tasks that there is room for: first those under way, then what changed last."""
        tasks = list(self.tasks)
        if len(tasks) <= room:
            return tasks
        chosen = sorted(tasks, key=self._weight, reverse=True)[: max(1, room - 1)]
        kept = {id(task) for task in chosen}
        return [task for task in tasks if id(task) in kept]

    def _weight(self, task: Task) -> tuple[int, int]:
        weights = {TypeStatus.IN_PROGRESS: 3, TypeStatus.RETRY: 3, TypeStatus.FAILED: 2}
        return weights.get(task.status, 1), self._changed.get(id(task), 0)


class LiveView:
    """Shows the tasks on the terminal of standard error; whatever else is written goes above.

    Everything: what steps print, what their child processes and the programs they start print,
    and log lines. So file descriptors 1 and 2 lead, while the view is there, through a pipe whose
    end writes above the table. A forked child that writes touches no lock of the view.

    Args:
        progress: What there is to show.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> Self:
        _flush()
        self._terminal = os.dup(2)
        size = os.get_terminal_size(self._terminal)
        self._console = Console(
            file=os.fdopen(self._terminal, "w", encoding="utf-8", errors="replace"),
            width=size.columns or None,
            height=size.lines or None,
            highlight=False,
        )
        self._room = max(3, self._console.height - BESIDE_TASKS)
        self._live = Live(
            console=self._console,
            get_renderable=self._table,
            refresh_per_second=FRAMES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._above = _Above(self._console, self._live._lock)
        self._live.start()
        self._console.show_cursor(True)  # whatever ends the process, the terminal is well
        self._above.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._above.stop()
        self._live.stop()
        self._console.file.close()

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("task", justify="right", no_wrap=True)
        table.add_column("name", no_wrap=True, overflow="ellipsis")
        table.add_column("status", no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        table.add_column("retries", justify="right", no_wrap=True)
        tasks = self._progress.shown(self._room)
        numbers = max((len(str(task.task_id)) for task in tasks), default=0)
        columns = max(SHORTEST_NAME, self._console.width - max(4, numbers) - BESIDE_NAME)
        for task in tasks:
            status = task.status
            table.add_row(
                str(task.task_id),
                cell(_name(task), columns),
                Text(status, style=COLOURS.get(status, "dim")),
                _seconds(task),
                str(task.retry_count or ""),
            )
        hidden = len(self._progress.tasks) - len(tasks)
        if hidden:
            table.add_row("", Text(f"and {hidden} more", style="dim"))
        return table


class _Above:
    """Writes what comes out of file descriptors 1 and 2 above the live view, line by line."""

    def __init__(self, console: Console, lock: AbstractContextManager[object]) -> None:
        self._console = console
        # Rich holds it for a frame and not for a print: one in the midst of the other does not know
        # where the view stands, and writes beside it.
        self._lock = lock
        self._stopping = False
        self._thread = threading.Thread(target=self._pass_on, name="dotflow-view", daemon=True)

    def start(self) -> None:
        # Standard output that goes elsewhere, a file or a pipe, goes on going there.
        self._replaced = {fd: os.dup(fd) for fd in (1, 2) if fd == 2 or os.isatty(fd)}  # noqa: PLR2004
        self._read, write = os.pipe()
        for fd in self._replaced:
            os.dup2(write, fd)
        os.close(write)
        self._thread.start()

    def stop(self) -> None:
        _flush()
        for fd, before in self._replaced.items():
            os.dup2(before, fd)
            os.close(before)
        self._stopping = True  # a process that a step has left behind may hold the pipe open
        self._thread.join()
        os.close(self._read)

    def _pass_on(self) -> None:
        rest = b""
        while True:
            is_stopping = self._stopping
            if not select.select([self._read], [], [], 0 if is_stopping else LINE_PATIENCE)[0]:
                rest = self._show(rest)
                if is_stopping:
                    return
                continue
            chunk = os.read(self._read, 65536)
            if not chunk:
                self._show(rest)
                return
            lines, newline, last = (rest + chunk).rpartition(b"\n")
            if newline:
                self._show(lines + newline)
            rest = last

    def _show(self, output: bytes) -> bytes:
        if output:
            text = Text.from_ansi(output.decode("utf-8", "replace").removesuffix("\n"))
            with self._lock, contextlib.suppress(OSError, ValueError):  # the terminal is gone
                self._console.print(text, soft_wrap=True)
        return b""


def _name(task: Task) -> str:
    name, group = str(task.step.name), task.group_name
    return masked_by_default(name if group == "default" else f"{name} ({group})")


def _seconds(task: Task) -> str:
    if task.duration is not None:
        return f"{task.duration:.1f}"
    if task.started_ns is None:
        return ""
    # The clock may be set back meanwhile.
    return f"{max(0, time.time_ns() - task.started_ns) / 1e9:.1f}"


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
