"""A job that cron starts: its exit status, and a notice to people, say that it failed.

Cron gives a program next to no environment, so the line of the crontab has all that the job needs.
If a day failed half-way, a second run of that day does only what is left: the results are in files,
under an id that is the day's. Cron, and whatever watches cron, look for an exit status above 0.

    pip install 'dotflow[notify]'
    0 3 * * *  DOTFLOW_NOTIFY_URLS='mailto://mail.example.com?from=etl@example.com&to=team@example.com'
               OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
               /srv/etl/.venv/bin/python /srv/etl/cron_job.py     (in one line)
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, StorageFile

FOLDER = Path(os.environ.get("ETL_FOLDER") or Path(__file__).parent / ".cron_job")


@action(retry=2, retry_delay=0.1)
def export(initial_context: Any) -> list[int]:
    """The day's rows."""
    (FOLDER / "exports").open("a").write(f"{initial_context.storage}\n")
    return [3, 4, 5]


@action
def load(previous_context: Any) -> int:
    """Write the rows to the warehouse."""
    if (FOLDER / "warehouse-is-closed").exists():
        raise ConnectionError("the warehouse is closed")
    return sum(previous_context.storage)


def main(day: str) -> int:
    """Run a day; return the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    config = Config(
        server=ServerOtel(),
        storage=StorageFile(path=FOLDER / "results"),
        log=LogDefault(output="file", path=FOLDER / "cron_job.log"),
    )
    workflow = DotFlow(config=config, name="nightly", workflow_id=f"nightly-{day}")
    workflow.task.add(step=[export, load], initial_context=day)
    return 0 if workflow.start(resume=True).ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] else f"{datetime.now(timezone.utc):%Y-%m-%d}"))
