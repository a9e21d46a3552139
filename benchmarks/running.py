"""Runs cases, each in a process of its own, against the receivers; and makes upstream's place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

HERE = Path(__file__).resolve().parent
UPSTREAM = "dotflow==1.0.1"
"""The version of upstream's that the engine is compared with."""

AWAY = "http://127.0.0.1:9"
HIDDEN = ("OTEL_", "DOTFLOW_", "SERVER_", "PYTHON", "TRACEPARENT", "TRACESTATE", "BAGGAGE")
TIME = 3600.0  # seconds for one case


@dataclass(frozen=True)
class Case:
    """One program that is measured.

    Attributes:
        variant: What it does, as worker.py names it.
        tasks: How many no-op tasks a run has.
        runs: How many runs there are in its process.
        api: Which dotflow-api it reports to: "20/bulk", "20/single", "hangs", "away".
        mode: How the workflow runs.
        end: "leave": nothing is waited for; "flush": all is delivered; "default": as a program
            ends that says nothing.
        who: "ours", or "upstream" for its dotflow.
        is_busy: Whether a thread of the user's computes meanwhile.
    """

    variant: str
    tasks: int = 0
    runs: int = 1
    api: str = "20/bulk"
    mode: str = "sequential"
    end: str = "leave"
    who: str = "ours"
    is_busy: bool = False

    @property
    def name(self) -> str:
        """What a reader of the progress is told."""
        return f"{self.who} {' '.join(self.arguments)}, dotflow-api {self.api}"

    @property
    def arguments(self) -> list[str]:
        """What worker.py is called with."""
        busy = "busy" if self.is_busy else "quiet"
        return [self.variant, str(self.tasks), str(self.runs), self.mode, self.end, busy]


@dataclass(frozen=True)
class Result:
    """What one run of a case cost (seconds, MB) and what of it arrived."""

    run: float
    whole: float
    flush: float = 0.0
    cpu: float = 0.0
    base_mb: float = 0.0
    warm_mb: float = 0.0
    ran_mb: float = 0.0
    end_mb: float = 0.0
    spans: int = 0
    posted: int = 0
    ended: int = 0
    requests: int = 0


class Receivers:
    """The receivers, in a process of their own; a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, HERE / "receivers.py"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def ask(self, what: str) -> Any:
        """Have the receivers do "reset", or say "stats"."""
        with urllib.request.urlopen(f"{self.url}/_{what}", timeout=600) as answer:
            return json.loads(answer.read() or "null")


def run_case(case: Case, receivers: Receivers, pythons: dict[str, Path]) -> Result:
    """Measure a case once.

    Raises:
        RuntimeError: The program failed.
    """
    receivers.ask("reset")
    with tempfile.TemporaryDirectory() as folder, Path(folder, "stderr").open("w+") as errors:
        begin = time.perf_counter()
        done = subprocess.run(
            [pythons[case.who], HERE / "worker.py", *case.arguments],
            env=environment_of(case, receivers.url, folder), cwd=folder,
            stdout=subprocess.PIPE, stderr=errors, text=True, timeout=TIME, check=False,
        )  # fmt: skip
        whole = time.perf_counter() - begin
        if done.returncode:
            errors.seek(0)
            raise RuntimeError(f"{case} failed:\n{errors.read()[-2000:]}")
    return Result(whole=whole, **json.loads(done.stdout), **receivers.ask("stats"))


def environment_of(case: Case, url: str, folder: str) -> dict[str, str]:
    """The environment of a case: only what it needs says where to report."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    found |= {"DOTFLOW_STATE_DIR": folder, "HOME": folder}
    if case.variant in ("otlp", "both", "sdk"):
        found["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    if case.variant in ("api", "both"):
        api = AWAY if case.api == "away" else f"{url}/{case.api}"
        found |= {"DOTFLOW_SERVER_URL": api, "DOTFLOW_USER_TOKEN": "token"}
    if case.end == "leave":
        found["DOTFLOW_FLUSH_TIMEOUT"] = "0"
    return found


def python_of_upstream() -> Path:
    """The Python of an environment that has upstream's dotflow; made where there is none."""
    from platformdirs import user_cache_path

    place = user_cache_path("dotflow-benchmarks") / UPSTREAM.replace("==", "-")
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", UPSTREAM], check=True)
    return python
