"""Runs of the program, the truth that it wrote down, and what of it has to be found where."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from stack_jaeger import otlp_ids, search, trace
from stack_servers import DEADLINE, DOTFLOW, TOKEN, environment, until

PROGRAM = Path(__file__).with_name("stack_program.py")
SLACK = 0.002
"""Seconds: Jaeger's times are whole microseconds, and `time.time()` is another clock's."""


class Program:
    """The program, under way in a process of its own; a context manager that never leaves it so."""

    def __init__(self, folder, pipeline, *, otlp=None, protocol="http/protobuf", api=None, **more):
        self._folder = folder
        self._pipeline = pipeline
        self._gates = folder / "gates"
        self._journal = folder / "truth.jsonl"
        self._log = folder / "program.log"
        self.environment = environment(
            TRUTH=self._journal,
            GATES=self._gates,
            DOTFLOW_STATE_DIR=folder / "state",
            OTEL_BSP_SCHEDULE_DELAY=200,
            **({"OTEL_EXPORTER_OTLP_ENDPOINT": otlp} if otlp else {}),
            **({"OTEL_EXPORTER_OTLP_PROTOCOL": protocol} if otlp else {}),
            **({"DOTFLOW_SERVER_URL": api.url, "DOTFLOW_USER_TOKEN": TOKEN} if api else {}),
            **more,
        )

    def __enter__(self):
        self._gates.mkdir(parents=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, PROGRAM, self._pipeline],
                cwd=self._folder, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self.kill()

    def kill(self):
        """End it as `kill -9` does; its children, which wait at gates, notice by themselves."""
        self._process.kill()
        self._process.wait()
        for gate in ("first", "second", "third", "north", "south"):
            self.open(gate)

    def reach(self, *gates):
        """Wait until it stands at the gates."""
        until(lambda: self._is_at(gates), f"the program does not reach {gates}")

    def _is_at(self, gates):
        if self._process.poll() is not None:
            raise RuntimeError(f"the program ended:\n{self.said()}")
        return {*gates} <= {one["name"] for one in self.truth("gate")}

    def open(self, gate):
        (self._gates / gate).touch()

    def end(self):
        """Wait until it ends by itself."""
        assert self._process.wait(DEADLINE) == 0, self.said()

    def said(self):
        return self._log.read_text(errors="replace")

    def truth(self, what):
        if not self._journal.exists():
            return []
        lines = self._journal.read_text().splitlines(keepends=True)
        # The last line may be on its way.
        told = [json.loads(line) for line in lines if line.endswith("\n")]
        return [one for one in told if one["what"] == what]

    @property
    def id(self):
        [run] = self.truth("run")
        return run["id"]

    @property
    def trace_id(self):
        return self.id.replace("-", "")

    def outbox(self, action, *flags):
        """What `dotflow outbox` says, as its user runs it."""
        return subprocess.run(
            [DOTFLOW, "outbox", action, *flags],
            cwd=self._folder, env=self.environment, capture_output=True, text=True,
            timeout=DEADLINE, check=False,
        )  # fmt: skip


def run(folder, pipeline, **options):
    """The program, run to its end."""
    with Program(folder, pipeline, **options) as program:
        program.end()
    return program


# What of it has to be in Jaeger.


def check_trace(jaeger, program):
    """Hold the trace that Jaeger has against the truth, until it is all there.

    Returns:
        The spans.
    """
    spans = until(lambda: _whole_trace(jaeger, program), "the trace is not whole")
    assert sorted(otlp_ids(jaeger, program.trace_id)) == sorted(span.id for span in spans)
    assert all(not span.warnings for span in trace(jaeger, program.trace_id, raw=False))
    return spans


def _whole_trace(jaeger, program):
    spans = trace(jaeger, program.trace_id)
    counts = Counter(span.id for span in spans)
    assert set(counts.values()) <= {1}, f"twice: {counts.most_common(3)}"
    names = Counter(span.name for span in spans)
    assert names == expected_names(program), f"{names}, not {expected_names(program)}"
    return spans


def expected_names(program):
    """How many spans of which name a run that ended has."""
    [begun] = program.truth("run")
    tasks = program.truth("task")
    return Counter(
        [begun["name"]]
        + [task["name"] for task in tasks]
        + ["attempt" for one in program.truth("try") if _has_attempts(one, tasks)]
        + [span["name"] for span in program.truth("span")]
    )


def _has_attempts(one, tasks):
    return any(task["name"] == one["step"] and task["max_attempts"] > 1 for task in tasks)


def check_root(spans, program):
    """The span of the run says what the run was; returns it."""
    [begun], [end] = program.truth("run"), program.truth("end")
    [root] = [span for span in spans if span.parent is None]
    assert root.name == begun["name"]
    said = {name: value for name, value in root.tags.items() if name.startswith("dotflow.")}
    assert said == {
        "dotflow.workflow.id": program.id,
        "dotflow.workflow.name": begun["name"],
        "dotflow.workflow.mode": end["mode"],
        "dotflow.workflow.status": end["status"],
        "dotflow.workflow.task_count": len(program.truth("task")),
        "dotflow.workflow.duration": root.tags["dotflow.workflow.duration"],
        **_for_exporters(program),
    }
    assert root.tags["span.kind"] == "server"
    assert root.is_error == (end["status"] == "Failed")
    assert _is_within(root, end)
    assert abs(root.duration - root.tags["dotflow.workflow.duration"]) < 1.0
    return root


def _for_exporters(program):
    """What tells an exporter of ours that a server reports the run, or what it needs to do so."""
    if "DOTFLOW_SERVER_URL" in program.environment:
        return {"dotflow.reported": True}
    plan = [[task["id"], task["name"], task["group"]] for task in program.truth("task")]
    return {"dotflow.workflow.plan": json.dumps(plan, separators=(",", ":"))}


def _is_within(span, outer):
    return outer["begun"] - SLACK <= span.begun and span.ended <= outer["ended"] + SLACK


def check_tasks(spans, program, root):
    """Each task has its span, with what the program knows of it; those that never ran have none."""
    found = {span.tags["dotflow.task.id"]: span for span in spans if "dotflow.task.id" in span.tags}
    ran = [task for task in program.truth("task") if task["status"] != "Not started"]
    assert sorted(found) == [task["id"] for task in ran]
    for task in ran:
        _check_task(found[task["id"]], task, program, root)
        _check_tries(spans, found[task["id"]], task, program)
    return found


def _check_task(span, task, program, root):
    assert (span.name, span.parent) == (task["name"], root.id)
    known = {
        "dotflow.workflow.id": program.id,
        "dotflow.task.id": task["id"],
        "dotflow.task.name": task["name"],
        "dotflow.task.group": task["group"],
        "dotflow.task.status": task["status"],
        "dotflow.task.retry_count": task["retry_count"],
        "dotflow.task.max_attempts": task["max_attempts"],
        "dotflow.task.restored": False,
    }
    assert {name: span.tags.get(name) for name in known} == known
    for role, name in (("initial", "initial"), ("previous", "previous"), ("current", "result")):
        said = span.tags.get(f"dotflow.task.context.{role}")
        assert (None if said is None else json.loads(said)) == task[name], (task, role)
    assert abs(span.tags["dotflow.task.duration"] - task["duration"]) < 0.001
    assert abs(span.duration - task["duration"]) < 1.0
    assert span.is_error == (task["status"] == "Failed")
    assert root.begun - SLACK <= span.begun
    assert span.ended <= root.ended + SLACK
    if task["status"] == "Failed":
        _, exception, message = task["errors"][-1]
        assert span.tags["otel.status_description"] == f"{exception}: {message}"
        assert span.tags["error.type"].rpartition(".")[2] == exception
    assert span.tags["code.function.name"].endswith(task["name"])


def _check_tries(spans, span, task, program):
    """The tries of a task: their number, span, time, and the exception of each that failed."""
    tries = [
        one for one in program.truth("try")
        if (one["step"], one["group"]) == (task["name"], task["initial"])
    ]  # fmt: skip
    assert tries
    found = [span]
    if task["max_attempts"] > 1:
        attempts = [one for one in spans if (one.parent, one.name) == (span.id, "attempt")]
        found = sorted(attempts, key=lambda one: one.tags["dotflow.attempt.number"])
        assert [one.tags["dotflow.attempt.number"] for one in found] == [*range(1, len(tries) + 1)]
    for mine, one in zip(found, tries, strict=True):
        # A further try in a child process does not wait long for its span: then the task's is
        # current in its stead.
        assert one["span"] == mine.id or (mine is not found[0] and one["span"] == span.id)
        assert mine.begun <= one["begun"] + SLACK
        assert one["ended"] <= mine.ended + SLACK
        assert mine.is_error == (one["error"] is not None)
        exceptions = [event for event in mine.events if event.get("event") == "exception"]
        said = [
            [e["exception.type"].rpartition(".")[2], e["exception.message"]] for e in exceptions
        ]
        assert said == ([] if one["error"] is None else [one["error"]])


def check_own_spans(spans, program):
    """The program's own spans are there, each under the span that was current."""
    by_id = {span.id: span for span in spans}
    for told in program.truth("span"):
        span = by_id[told["id"]]
        assert (span.name, span.parent) == (told["name"], told["parent"])
        assert {name: span.tags.get(name) for name in told["attributes"]} == told["attributes"]
        assert span.tags["otel.scope.name"] == "shop"
        parent = by_id[span.parent]
        assert parent.begun - SLACK <= span.begun
        assert span.ended <= parent.ended + SLACK


def check_whole_run(jaeger, program):
    """The trace that Jaeger has is what the program did: all of it, and nothing else."""
    spans = check_trace(jaeger, program)
    root = check_root(spans, program)
    check_tasks(spans, program, root)
    check_own_spans(spans, program)
    assert {span.service for span in spans} == {"dotflow"}
    assert program.trace_id in search(jaeger, "dotflow", **{"dotflow.workflow.id": program.id})
    return spans


# What of it has to be in dotflow-api.


def check_records(records, program):
    """Hold the records against the truth, until they are all there; returns the workflow's."""
    return until(lambda: _whole_records(records, program), "the records are not whole")


def _whole_records(records, program):
    [begun], [end] = program.truth("run"), program.truth("end")
    found = records.workflow(program.id)
    assert found is not None, "no workflow"
    assert (found["name"], found["mode"]) == (begun["name"], end["mode"])
    assert found["status"] == end["status"]
    told = {task["id"]: task for task in program.truth("task") if task["status"] != "Not started"}
    tasks = {task["task_id"]: task for task in records.tasks(program.id)}
    assert len(tasks) == len(records.tasks(program.id))
    assert sorted(tasks) == sorted(told)
    for number, task in tasks.items():
        _check_record(task, told[number])
    return found


def _check_record(record, task):
    assert (record["name"], record["group_name"]) == (task["name"], task["group"])
    assert (record["status"], record["retry_count"]) == (task["status"], task["retry_count"])
    assert abs(record["duration"] - task["duration"]) < 0.001
    assert record["initial_context"] == task["initial"]
    assert record["current_context"] == task["result"]
    assert record["previous_context"] == task["previous"]
    errors = [
        [error["attempt"], error["exception"], error["message"]] for error in record["errors"]
    ]
    assert errors == task["errors"]
