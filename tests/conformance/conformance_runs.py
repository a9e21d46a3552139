"""Runs the program for a row, and says what it saw and what reached the receiver."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import requests
from conformance_cells import CELLS
from support.dask_cluster import DaskCluster

PROGRAM = Path(__file__).with_name("conformance_program.py")
TOKEN = "a-token-of-the-tests"
IMPORTED = (
    f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r})\n"
    "from conformance_program import main; main(*sys.argv[1:])"
)
FLUSH = "import sys; from dotflow.main import main; sys.exit(main())"
TIME = 120  # seconds, for a machine that is busy

CLEAN = ("DOTFLOW_", "SERVER_", "WORKFLOW_ID", "OTEL_", "TRACEPARENT", "TRACESTATE", "BAGGAGE",
         "COVERAGE_", "COV_")  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What a row's programs wrote down, and what reached the receiver.

    Attributes:
        notes: What the programs wrote, in order.
        spans: What the receiver got from them.
        records: What dotflow-api has of each outcome's run, and of its tasks.
        errors: What they wrote to stderr.
        may_return: The ids of spans that a worker of the killed parent had sent: the worker was
            killed too, perhaps between the answer and its note of it.
    """

    notes: list
    spans: list
    records: dict
    errors: str
    may_return: frozenset = frozenset()

    def run_of(self, outcome):
        return self._one("run", outcome)

    def end_of(self, outcome):
        return self._one("ended", outcome)

    def steps_of(self, outcome):
        return [note for note in self.notes if note.get("outcome") == outcome]

    def _one(self, key, outcome):
        found = [note for note in self.notes if note.get(key) == outcome]
        assert len(found) == 1, f"{key} {outcome}: {found}\n{self.errors}"
        return found[0]


def run_row(row, receiver, api):
    """Run one row: what ends the program, in a program of its own; the next process sends it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(row, Path(folder), receiver, api)
        of_row = [outcome for one, outcome in CELLS if one is row]
        alone = [one for one in of_row if one.ends_program_of(row)]
        together = [one.key for one in of_row if one not in alone]
        with _cluster_of(row, environment) as address:
            environment["CLUSTER"] = address
            errors = [_program(row, environment, together, 0)]
            before = len(receiver.spans)
            errors += [_program(row, environment, [one.key], one.ends_process) for one in alone]
        notes = _notes(environment)
        _end_workers(notes)
        if alone:
            errors.append(_flush(environment))
        may_return = frozenset()
        if row.executor == "sends":
            may_return = frozenset(span.span_id for span in receiver.spans[before:])
            elsewhere = {"DOTFLOW_STATE_DIR": str(Path(folder, "elsewhere"))}
            errors.append(_flush(environment | elsewhere))
        records = {one["run"]: _record(api, one["workflow"]) for one in notes if "run" in one}
    name = environment["OTEL_SERVICE_NAME"]
    spans = [span for span in receiver.spans if span.resource.get("service.name") == name]
    return Ran(notes, spans, records, "\n".join(errors), may_return)


def _notes(environment):
    return [json.loads(line) for line in Path(environment["NOTES"]).read_text().splitlines()]


@contextlib.contextmanager
def _cluster_of(row, environment):
    """The address of a cluster, where the row needs one: its workers know of the program alone."""
    if row.executor != "dask":
        yield ""
        return
    known = ("NOTES", "SITE", "DOTFLOW_STATE_DIR")
    env = {name: environment[name] for name in known} | {"PYTHONPATH": str(PROGRAM.parent)}
    folder = Path(environment["NOTES"]).parent / "cluster"
    folder.mkdir()
    with DaskCluster(folder, workers=1, env=env) as cluster:
        yield cluster.address


def _end_workers(notes):
    """Kill the workers that outlive their parent: those of a pool wait for it for ever."""
    for note in notes:
        if "worker" in note:
            with contextlib.suppress(ProcessLookupError):
                os.kill(note["worker"], signal.SIGKILL)


def _record(api, workflow):
    """What dotflow-api has of a run: its status, and those of its tasks."""
    url, headers = f"{api.url}/workflows/{workflow}", {"X-User-Token": TOKEN}
    found = requests.get(url, headers=headers, timeout=TIME)
    tasks = requests.get(f"{url}/tasks", headers=headers, timeout=TIME)
    found.raise_for_status()
    tasks.raise_for_status()
    return found.json(), tasks.json()["tasks"]


def _environment(row, folder, receiver, api):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CLEAN)}
    is_grpc = row.protocol == "grpc"
    return {
        **kept,
        "NOTES": str(folder / "notes"),
        "SITE": f"{api.url}/healthz",
        "DOTFLOW_STATE_DIR": str(folder / "state"),
        "DOTFLOW_FLUSH_TIMEOUT": str(TIME),
        "DOTFLOW_SERVER_URL": api.url,
        "DOTFLOW_USER_TOKEN": TOKEN,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_url if is_grpc else receiver.http_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": row.protocol,
        "OTEL_SERVICE_NAME": f"{row.key}-{uuid.uuid4()}",
    }


def _program(row, environment, outcomes, code):
    folder = Path(environment["NOTES"]).parent
    with (folder / "said").open("w+") as said:  # no pipe: a worker may outlive its parent
        done = subprocess.run(
            [
                sys.executable, *_started(row), row.family, row.mode, row.start_method or "",
                row.executor or "", *outcomes,
            ],
            env=environment, cwd=folder, timeout=TIME, stdin=subprocess.DEVNULL, stdout=said,
            stderr=said, check=False,
        )  # fmt: skip
        said.seek(0)
        text = said.read()
    assert done.returncode == code, text
    return text


def _started(row):
    """How Python is told to run the program: as a module that workers import, where there are."""
    if row.executor is None:
        return [str(PROGRAM)]
    return ["-c", IMPORTED]


def _flush(environment):
    done = subprocess.run(
        [sys.executable, "-c", FLUSH, "outbox", "flush", "--timeout", str(TIME)],
        env=environment, cwd=Path(environment["NOTES"]).parent, timeout=TIME + 10,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr
