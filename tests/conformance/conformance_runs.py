"""Runs the program for a row, and says what it saw and what reached the receiver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from conformance_cells import CELLS, OUTCOMES

PROGRAM = Path(__file__).with_name("conformance_program.py")
TOKEN = "a-token-of-the-tests"
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
        errors: What they wrote to stderr.
    """

    notes: list
    spans: list
    errors: str

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
        has_cell = [outcome.key for one, outcome in CELLS if one is row]
        alone = [one for one in OUTCOMES if not row.is_child and one.ends_process is not None]
        together = [one.key for one in OUTCOMES if one not in alone]
        together = [key for key in together if key in has_cell]
        errors = [_program(row, environment, together, 0)]
        errors += [_program(row, environment, [one.key], one.ends_process) for one in alone]
        if alone:
            errors.append(_flush(environment))
        notes = [json.loads(line) for line in Path(environment["NOTES"]).read_text().splitlines()]
    name = environment["OTEL_SERVICE_NAME"]
    spans = [span for span in receiver.spans if span.resource.get("service.name") == name]
    return Ran(notes, spans, "\n".join(errors))


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
    done = subprocess.run(
        [
            sys.executable, str(PROGRAM), row.family, row.mode, row.start_method or "",
            *outcomes,
        ],
        env=environment, cwd=Path(environment["NOTES"]).parent, timeout=TIME,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr


def _flush(environment):
    done = subprocess.run(
        [sys.executable, "-c", FLUSH, "outbox", "flush", "--timeout", str(TIME)],
        env=environment, cwd=Path(environment["NOTES"]).parent, timeout=TIME + 10,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr
