"""A Dask cluster of real processes over TCP: a scheduler, and workers under their nannies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
from typing_extensions import Self

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0

QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}


class DaskCluster:
    """A scheduler and its workers.

    Args:
        folder: Where they write; each cluster has its own.
        workers: How many worker processes.
        threads: How many threads each of them has.
        env: More variables of the workers.
        python: What runs the workers.
        nanny: Whether each worker has a nanny, which starts it anew if it dies.
    """

    def __init__(
        self,
        folder: Path,
        workers: int = 2,
        threads: int = 1,
        env: dict[str, str] | None = None,
        python: str = sys.executable,
        nanny: bool = True,
    ) -> None:
        self._file = folder / "scheduler.json"
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        here = ["--host", "127.0.0.1", "--scheduler-file", str(self._file)]
        here += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]  # else it takes 8787
        self.scheduler = self._run(
            [sys.executable, "-m", "dask", "scheduler", *here, "--port", "0"], {}
        )
        each = ["--nworkers", str(workers), "--nthreads", str(threads)]
        each += ["--local-directory", str(folder), "--nanny" if nanny else "--no-nanny"]
        self._run([python, "-m", "dask", "worker", *here, *each], env or {})

    @property
    def address(self) -> str:
        """That of the scheduler."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(OSError, ValueError):
                return str(json.loads(self._file.read_text())["address"])
            time.sleep(0.05)
        raise AssertionError("the scheduler did not start")

    def close(self) -> None:
        """Kill all of them, and what they started."""
        ours = [psutil.Process(one.pid) for one in self._processes if one.poll() is None]
        for process in [child for one in ours for child in one.children(recursive=True)] + ours:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for popen in self._processes:
            popen.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            words,
            env={**os.environ, **QUIET, **env},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process
