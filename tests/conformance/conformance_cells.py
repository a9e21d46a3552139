"""What the conformance suite looks at: what runs a step (rows), and what becomes of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What runs the step.

    Attributes:
        name: The words of the table.
        family: Which steps of the program.
        mode: The mode of the workflow.
        says: What is checked beside what every row is checked for.
        start_method: How the child comes to be; None where the step runs in the program's process.
        protocol: How spans leave.
        executor: What the program gives to `start()`; None where the processes are our own.
    """

    name: str
    family: str
    mode: str
    says: str
    start_method: str | None = None
    protocol: str = "http/protobuf"
    executor: str | None = None

    @property
    def is_child(self):
        """Whether the step ends another process than the program's, if it ends one."""
        return self.start_method is not None or self.executor not in (None, "threads")

    @property
    def key(self):
        return self.name.replace("'", "").replace(", ", "-").replace(" ", "-")


@dataclass(frozen=True)
class Outcome:
    """What becomes of the step.

    Attributes:
        name: The words of the table.
        key: The name of the program's step.
        error_type: `error.type` of the task's span; None where the task completes. Of a program
            that is gone nobody knows more than that: then it is `process_killed`.
        ends_process: The exit code of the process that runs the step, where the step ends it: a
            child, or the whole program; then the next process sends what is missing.
    """

    name: str
    key: str
    error_type: str | None = None
    ends_process: int | None = None

    @property
    def ends_program(self):
        """Whether it ends the program's own process, whichever runs the step."""
        return self.key == PARENT_KILLED

    def ends_program_of(self, row):
        """Whether the program of a row is gone after it."""
        return self.ends_program or (self.ends_process is not None and not row.is_child)

    def error_type_of(self, row):
        """`error.type` of the task's span."""
        if self.ends_program_of(row):
            return "process_killed"
        if row.executor is not None and self.ends_process is not None:
            return "worker_lost"
        return self.error_type


PARENT_KILLED = "parent_killed"

ROWS = [
    Row("same thread", "plain", "sequential", "The step runs in the thread that called `start()`."),
    Row(
        "timeout's thread", "limited", "sequential",
        "The step runs in the thread of its `timeout`; a step that timed out goes on during the "
        "next attempt, and its spans stay below the first one.",
        protocol="grpc",
    ),
    Row(
        "background thread", "plain", "background",
        "The workflow runs in the thread of a background run.",
    ),
    Row("coroutine", "coroutine", "sequential", "The step is a coroutine.", protocol="grpc"),
    Row(
        "coroutine that gathers", "gathering", "sequential",
        "The step is a coroutine that gathers coroutines and threads; each opens spans.",
    ),
    *(
        Row(
            f"{method}, {mode}", "plain", mode,
            f"The step runs in a child process that begins by `{method}`, in mode `{mode}`.",
            method, protocol,
        )
        for method, protocols in (
            ("fork", ("grpc", "http/protobuf")),
            ("forkserver", ("http/protobuf", "grpc")),
            ("spawn", ("http/protobuf", "grpc")),
        )
        for mode, protocol in zip(("parallel", "sequential_group"), protocols, strict=True)
    ),
    Row(
        "thread pool", "plain", "parallel", "The step runs in a thread of a `ThreadPoolExecutor`.",
        protocol="grpc", executor="threads",
    ),
    Row(
        "process pool", "plain", "parallel",
        "The step runs in a worker of a `ProcessPoolExecutor`, which was forked.",
        executor="processes",
    ),
    Row(
        "process pool, elsewhere", "plain", "sequential_group",
        "The step runs in a worker of a pool that has another state folder, as one on another "
        "machine has, and no variable of OpenTelemetry's: what it notes comes back with the "
        "outcome. What a worker that is killed there had noted by then is lost with it.",
        executor="elsewhere",
    ),
    Row(
        "process pool, elsewhere, with OTLP", "plain", "parallel",
        "The same, but the worker has `OTEL_EXPORTER_OTLP_ENDPOINT`: what it notes leaves from "
        "there, or is in the state folder there, for the next process.",
        executor="sends",
    ),
    Row(
        "Dask", "plain", "parallel",
        "The step runs in a worker of a Dask cluster on this machine, over TCP; it has no variable "
        "of OpenTelemetry's.",
        protocol="grpc", executor="dask",
    ),
]  # fmt: skip

OUTCOMES = [
    Outcome("returns", "returns"),
    Outcome("raises", "raises", "ValueError"),
    Outcome("times out", "times_out", "timeout"),
    Outcome("is retried", "is_retried"),
    Outcome("SIGTERM", "sigterm", "process_killed", -signal.SIGTERM),
    Outcome("SIGKILL", "sigkill", "process_killed", -signal.SIGKILL),
    Outcome("`os._exit`", "os_exit", "RuntimeError", 3),
    Outcome("SIGKILL of the parent", PARENT_KILLED, "process_killed", -signal.SIGKILL),
]

ELSEWHERE = "process pool, elsewhere"

NO_CELLS = {
    ("same thread", "times out"),  # a timeout has a thread of its own
    # What is lost there is what the row says.
    *((ELSEWHERE, one.name) for one in OUTCOMES if one.ends_process is not None),
    # Steps without an executor: a child of ours ends when its parent is gone, with its step.
    *((row.name, OUTCOMES[-1].name) for row in ROWS if row.executor in (None, "threads")),
}

CELLS = [
    (row, outcome) for row in ROWS for outcome in OUTCOMES
    if (row.name, outcome.name) not in NO_CELLS
]  # fmt: skip

NOT_YET: dict[tuple[str, str], str] = {}
"""What is not built yet, and why. Strict: whoever builds it takes it out here, and nowhere else."""
