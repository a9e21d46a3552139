"""The four ways to run a list of tasks."""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING

from dotflow.abc.flow import Flow
from dotflow.core import interrupt
from dotflow.core.checkpoint import first_context, restore
from dotflow.core.engine import TaskEngine
from dotflow.core.exception import Interrupted
from dotflow.core.threads import Done, is_begun
from dotflow.core.types import TypeStatus
from dotflow.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from dotflow.abc.executor import TaskExecutor
    from dotflow.core.task import Task


def grouper(tasks: list[Task]) -> dict[str, list[Task]]:
    """The tasks by the name of their group, in order of appearance."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.group_name, []).append(task)
    return groups


class Sequential(Flow):
    """Runs tasks one after another in this process; `get_tasks()` are those that ran."""

    def setup_queue(self) -> None:
        """Begin with no task run."""
        self.queue = []

    def get_tasks(self) -> list[Task]:
        """The tasks that ran or were restored."""
        return list(self.queue)

    def run(self) -> None:
        """Run the tasks until one fails, or all with `ignore`."""
        previous = first_context(self.workflow_id)
        for task in self.tasks:
            if interrupt.current is not None or interrupt.own.get() is not None:
                interrupt.check()
            self.queue.append(task)
            kept = restore(task, self.workflow_id, previous) if self.resume else None
            if kept is not None:
                previous = kept
                continue
            TaskEngine(task, self.workflow_id, previous).run()
            if not self.ignore and task.status == TypeStatus.FAILED:
                break
            # The very value; what the storage would give is for a run that is resumed.
            previous = task.current_context


class InProcesses(Flow):
    """Runs tasks in child processes.

    Args:
        tasks: As in Flow.
        workflow_id: As in Flow.
        ignore: As in Flow.
        groups: As in Flow.
        resume: As in Flow.
        start_method: How the processes come to be; without one as the settings say.
        executor: What runs the tasks in place of processes of our own.
    """

    def __init__(
        self,
        tasks: list[Task],
        workflow_id: str | UUID | None,
        ignore: bool,
        groups: Mapping[str, list[Task]],
        resume: bool = False,
        start_method: str | None = None,
        executor: TaskExecutor | None = None,
    ) -> None:
        self._start_method = start_method
        self._executor = executor
        super().__init__(tasks, workflow_id, ignore, groups, resume)

    def get_tasks(self) -> list[Task]:
        """All tasks."""
        return self.tasks

    def _run_all(
        self, ignore: bool, resume: bool, most_processes: int, stop_on_failure: bool
    ) -> None:
        """Run each chain of tasks of the queue in a lane of its own."""
        # Here, for most runs need neither processes nor an executor.
        if self._executor is not None:
            from dotflow.core.remote.lanes import run_remote

            run_remote(
                self._executor, self.queue, self.workflow_id, ignore, resume, stop_on_failure
            )
            return
        from dotflow.core.children.lane import ProcessLane
        from dotflow.core.children.lanes import run_lanes

        lanes = [
            ProcessLane(tasks, self.workflow_id, ignore, resume, self._start_method)
            for tasks in self.queue
        ]
        run_lanes(lanes, most_processes, stop_on_failure)


class SequentialGroup(InProcesses):
    """Runs every group in a process of its own, all at once; in order within a group."""

    def setup_queue(self) -> None:
        """Make one chain a group."""
        self.queue = list(self.groups.values())

    def run(self) -> None:
        """Run the groups; a failed task stops its own only."""
        self._run_all(self.ignore, self.resume, len(self.queue), stop_on_failure=False)


class Parallel(InProcesses):
    """Runs every task in a process of its own, `Settings.MAX_PROCESSES` of them at a time."""

    def setup_queue(self) -> None:
        """Make one chain a task."""
        self.queue = [[task] for task in self.tasks]

    def run(self) -> None:
        """Run the tasks; without `ignore` none is begun once another has failed."""
        most = Settings.MAX_PROCESSES
        self._run_all(True, False, most, stop_on_failure=not self.ignore)


class Background(Flow):
    """Runs tasks one after another in a daemon thread; the constructor returns at once.

    Args:
        tasks: As in Flow.
        workflow_id: As in Flow.
        ignore: As in Flow.
        groups: As in Flow; they make no difference.
        resume: As in Flow.
        around: Called in the thread with what runs the tasks.
    """

    def __init__(
        self,
        tasks: list[Task],
        workflow_id: str | UUID | None,
        ignore: bool,
        groups: Mapping[str, list[Task]],
        resume: bool = False,
        around: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._around = around
        super().__init__(tasks, workflow_id, ignore, groups, resume)

    def setup_queue(self) -> None:
        """Make the thread; it begins where the caller is, with what is current there."""
        self.thread = threading.Thread(
            target=copy_context().run, args=(self._work,), name="dotflow-background", daemon=True
        )

    def get_tasks(self) -> list[Task]:
        """All tasks."""
        return self.tasks

    def run(self) -> None:
        """Start the thread; in an exit handler, where none may be, run the tasks here."""
        if not is_begun(self.thread):
            self.thread = Done()
            self._work()

    def _work(self) -> None:
        # Who interrupted the run knows of it, and it is reported: no news for the thread's hook.
        with suppress(Interrupted):
            if self._around is None:
                self._run_tasks()
            else:
                self._around(self._run_tasks)

    def _run_tasks(self) -> None:
        Sequential(self.tasks, self.workflow_id, self.ignore, self.groups, self.resume)
