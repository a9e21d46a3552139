"""Doubles of the providers that write down each call, and steps that several tests use."""

from __future__ import annotations

import os
from pathlib import Path

from dotflow import Config, action
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.server import Server
from dotflow.abc.tracer import Tracer
from dotflow.providers import StorageDefault


class Recorder:
    """Writes a line a call to a file, so that what a child process calls is seen too."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.touch()

    def __call__(self, name, detail=""):
        line = f"{os.getpid()} {name} {detail}".rstrip() + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def clear(self):
        self.path.write_text("")

    @property
    def calls(self):
        """The calls as "name detail", whoever made them."""
        return [line.split(" ", 1)[1] for line in self.path.read_text().splitlines()]

    @property
    def processes(self):
        return {int(line.split(" ", 1)[0]) for line in self.path.read_text().splitlines()}

    def of(self, task_id):
        """The calls about one task."""
        return [call for call in self.calls if call.split()[1:2] == [str(task_id)]]

    def starting(self, *names):
        return [call for call in self.calls if call.startswith(names)]


class RecordingNotify(Notify):
    def __init__(self, record):
        self.record = record

    def hook_status_task(self, task):
        self.record("notify", f"{task.task_id} {task.status}")


class RecordingLog(Log):
    def __init__(self, record):
        self.record = record

    def info(self, **kwargs):
        self._note("info", kwargs["task"])

    def warning(self, **kwargs):
        self._note("warning", kwargs["task"])

    def error(self, **kwargs):
        self._note("error", kwargs["task"])

    def _note(self, level, task):
        timed = "" if task.duration is None else " timed"
        self.record(f"log.{level}", f"{task.task_id} {task.status}{timed}")


class RecordingTracer(Tracer):
    def __init__(self, record):
        self.record = record

    def start_workflow(self, workflow_id, **kwargs):
        self.record("tracer.start_workflow", f"{workflow_id} {_sorted(kwargs)}")

    def end_workflow(self, workflow_id, **kwargs):
        assert isinstance(kwargs.pop("duration"), float)
        self.record("tracer.end_workflow", f"{workflow_id} {_sorted(kwargs)}")

    def start_task(self, task):
        self.record("tracer.start_task", f"{task.task_id} {task.status}")

    def end_task(self, task):
        assert task.finished_at >= task.started_at
        self.record("tracer.end_task", f"{task.task_id} {task.status}")


class RecordingMetrics(Metrics):
    def __init__(self, record):
        self.record = record

    def workflow_started(self, workflow_id, **kwargs):
        self.record("metrics.workflow_started", f"{workflow_id} {_sorted(kwargs)}")

    def workflow_completed(self, workflow_id, duration, /):
        self.record("metrics.workflow_completed", f"{workflow_id} {type(duration).__name__}")

    def workflow_failed(self, workflow_id, duration, /):
        self.record("metrics.workflow_failed", f"{workflow_id} {type(duration).__name__}")

    def task_completed(self, task):
        self.record("metrics.task_completed", f"{task.task_id} {type(task.duration).__name__}")

    def task_failed(self, task):
        self.record("metrics.task_failed", f"{task.task_id} {type(task.duration).__name__}")

    def task_retried(self, task):
        self.record("metrics.task_retried", f"{task.task_id}")


class RecordingServer(Server):
    def __init__(self, record, next_task_id=1):
        self.record = record
        self.next_task_id = next_task_id
        self.descriptions = []

    def create_workflow(self, workflow):
        self.record("server.create_workflow", workflow)

    def update_workflow(self, workflow, status=""):
        self.record("server.update_workflow", f"{workflow} {status}")

    def create_task(self, task):
        self.record("server.create_task", f"{task.task_id} {task.status}")

    def update_task(self, task):
        self.record("server.update_task", f"{task.task_id} {task.status}")

    def get_next_task_id(self, workflow):
        self.record("server.get_next_task_id", workflow)
        return self.next_task_id

    def describe_workflow(self, workflow, description):
        self.descriptions.append((workflow, description))


class RecordingStorage(StorageDefault):
    def __init__(self, record):
        super().__init__()
        self.record = record

    def key(self, task):
        self.record("storage.key", task.task_id)
        return super().key(task)

    def post(self, key, context, ttl=None, fingerprint=None):
        self.record("storage.post", f"{key.rsplit('-', 1)[1]} {context.storage!r}")
        super().post(key, context, ttl, fingerprint)

    def get(self, key):
        self.record("storage.get", key.rsplit("-", 1)[1])
        return super().get(key)


class RecordingScheduler(Scheduler):
    """Runs what it is given twice, at once."""

    def start(self, workflow, **kwargs):
        self.runs = [workflow(**kwargs), workflow(**kwargs)]

    def stop(self):
        pass


def recording_config(record, **slots):
    return Config(
        **{
            "storage": RecordingStorage(record),
            "notify": RecordingNotify(record),
            "log": RecordingLog(record),
            "server": RecordingServer(record),
            "tracer": RecordingTracer(record),
            "metrics": RecordingMetrics(record),
            **slots,
        }
    )


def _sorted(values):
    return " ".join(f"{name}={values[name]}" for name in sorted(values))


@action
def echo(initial_context):
    return initial_context.storage


@action
def increment(previous_context):
    return (previous_context.storage or 0) + 1


@action
def fail():
    raise ValueError("on purpose")


@action
def process_id():
    return os.getpid()


def note_pid(task):
    """A callback that writes down where it ran."""
    Path(f"callback-{task.task_id}").write_text(f"{os.getpid()} {task.status}")
