"""What the servers that report to dotflow-api without OpenTelemetry have in common."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dotflow.abc.server import FlushResult, Server, WorkflowDescription
from dotflow.core.types.workflow import WorkflowStatus
from dotflow.delivery.bodies import (
    task_patch,
    task_post,
    workflow_open,
    workflow_patch,
    workflow_post,
)
from dotflow.process.forking import renew_in_child
from dotflow.providers.opentelemetry_api import current_headers

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from dotflow.abc.task import TaskView
    from dotflow.delivery.channel import Channel
    from dotflow.delivery.message import Message
    from dotflow.delivery.relay import HeldMessage

ENDED = (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED)


class ReportingServer(Server):
    """Turns each call into a message for dotflow-api; without a channel, into nothing.

    Args:
        channel: Where the messages go.
    """

    def __init__(self, channel: Channel | None) -> None:
        self._channel = channel
        self.renew()
        renew_in_child(self)
        self._names: dict[str, str | None] = {}
        self._started: dict[str, float] = {}
        self._held: dict[str, list[tuple[TaskView, int, HeldMessage]]] = {}
        self._opening: set[str] = set()  # managed runs that are about to start

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.Lock()

    def describe_workflow(self, workflow: str | UUID, description: WorkflowDescription) -> None:
        """Keep the name for the POST; hold the tasks of a managed run until it starts."""
        if self._channel is None:
            return
        wid = str(workflow)
        if description.managed and description.mode is None:
            with self._lock:
                self._held.setdefault(wid, [])
        elif description.mode is None:
            self._names[wid] = description.name
        elif description.managed:
            self._opening.add(wid)

    def create_workflow(self, workflow: str | UUID) -> None:
        """POST the workflow, with its name where it has one."""
        wid = str(workflow)
        name = self._names.pop(wid, None)
        self._put(lambda: workflow_post(wid, status=WorkflowStatus.NEW, name=name))

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """PATCH the status; at the end also the duration."""
        if self._channel is None:
            return
        wid, now = str(workflow), time.monotonic()
        if status in ENDED:
            duration = now - self._started.pop(wid, now)
            self._put(lambda: workflow_patch(wid, status=status, duration=duration))
            return
        self._started[wid] = now
        make = workflow_open if wid in self._opening else workflow_patch
        self._opening.discard(wid)
        self._put(lambda: make(wid, status=status))
        self._release(wid)

    def create_task(self, task: TaskView) -> None:
        """POST the task.

        In a managed run not before the start: where that resumes an earlier one, the tasks are
        to be reported under the numbers that they had.
        """
        wid = str(task.workflow_id)
        with self._lock:
            held = self._held.get(wid)
            if held is not None and self._channel is not None:
                held.append((task, task.task_id, self._channel.hold(task_post(wid, task))))
        if held is None:
            self._put(lambda: task_post(wid, task))

    def update_task(self, task: TaskView) -> None:
        """PATCH the task with what it is now."""
        self._put(lambda: task_patch(str(task.workflow_id), task))

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Deliver what was reported so far; return after at most `timeout` seconds."""
        return FlushResult() if self._channel is None else self._channel.flush(timeout)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flush, and end the threads and connections of delivery."""
        for workflow in list(self._held):
            self._release(workflow)
        return FlushResult() if self._channel is None else self._channel.close(timeout)

    def _release(self, workflow: str) -> None:
        with self._lock:
            held = self._held.pop(workflow, [])
        for task, number, message in held:
            if task.task_id == number:
                message.send()
            else:  # a resumed run has the numbers of the earlier one, whose tasks are there
                message.forget()
                self._put(lambda task=task: task_post(workflow, task))  # type: ignore[misc]

    def _put(self, make: Callable[[], Message]) -> None:
        if self._channel is not None:
            headers = current_headers(self._channel.destination.token)
            self._channel.put(make().with_headers(headers))
