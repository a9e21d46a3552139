"""A small pipeline on real data: fetch, clean and summarise the measurements of three species.

Each species is a group, and the groups run at the same time, each in a process of its own. The
data come over HTTP from a mirror on this machine that drops its first connection for one species,
as mirrors do: that fetch fails once, and is tried again.

    python examples/penguins.py

By itself the program reports where the `OTEL_*` and `DOTFLOW_*` variables say. `dotflow demo` runs
the same pipeline and shows the reports.
"""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from typing_extensions import Self

from dotflow import Config, Context, DotFlow, action

DATA = Path(__file__).parent / "data" / "penguins-raw.csv"
SPECIES = ("Adelie", "Chinstrap", "Gentoo")
UNRELIABLE = "Gentoo"
UNMEASURED = "Emperor"
MEASURES = {
    "culmen_mm": "Culmen Length (mm)",
    "flipper_mm": "Flipper Length (mm)",
    "mass_g": "Body Mass (g)",
}


@action(retry=3, retry_delay=0.2, backoff=True, timeout=30)
def fetch(initial_context: Context) -> str:
    """The rows of one species, as CSV text."""
    wanted = initial_context.storage
    answer = requests.get(wanted["url"], params={"species": wanted["species"]}, timeout=10)
    answer.raise_for_status()
    return answer.text


@action
def clean(previous_context: Context) -> dict[str, Any]:
    """The rows that were measured in full, with numbers as numbers."""
    rows = list(csv.DictReader(io.StringIO(previous_context.storage)))
    measured = [
        {
            "island": row["Island"],
            "year": int(row["Date Egg"][:4]),
            "sex": row["Sex"].lower(),
            **{name: float(row[column]) for name, column in MEASURES.items()},
        }
        for row in rows
        if row["Sex"] in ("MALE", "FEMALE") and all(row[one] != "NA" for one in MEASURES.values())
    ]
    return {"rows": measured, "dropped": len(rows) - len(measured)}


@action
def summarise(initial_context: Context, previous_context: Context) -> dict[str, Any]:
    """Counts and means of one species."""
    rows = previous_context.storage["rows"]
    return {
        "species": initial_context.storage["species"],
        "birds": len(rows),
        "dropped": previous_context.storage["dropped"],
        "islands": dict(Counter(row["island"] for row in rows)),
        "mean": {name: round(mean(row[name] for row in rows), 1) for name in MEASURES},
        "mass_g_by_sex": {
            sex: round(mean(row["mass_g"] for row in rows if row["sex"] == sex), 1)
            for sex in ("female", "male")
        },
    }


def pipeline(url: str, config: Config | None = None) -> DotFlow:
    """The workflow; `url` is where the data are fetched from."""
    workflow = DotFlow(config=config, name="penguins")
    for species in SPECIES:
        workflow.task.add(
            step=[fetch, clean, summarise],
            initial_context={"species": species, "url": url},
            group_name=species,
        )
    return workflow


def failing_pipeline(url: str, config: Config | None = None) -> DotFlow:
    """The same for a species that nobody has measured: there is nothing to summarise."""
    workflow = DotFlow(config=config, name="penguins-unmeasured")
    workflow.task.add(
        step=[fetch, clean, summarise],
        initial_context={"species": UNMEASURED, "url": url},
        group_name=UNMEASURED,
    )
    return workflow


class Mirror:
    """Serves the data on a free port of this machine, and drops one connection.

    Attributes:
        url: Where.
    """

    def __enter__(self) -> Self:
        drops = {UNRELIABLE: 1}
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                species = parse_qs(urlsplit(self.path).query)["species"][0]
                body = rows_of(species).encode()
                with lock:
                    drop = drops.get(species, 0) > 0
                    drops[species] = drops.get(species, 0) - 1
                self.send_response(200)
                self.send_header("Content-Type", "text/csv; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if drop else body)

            def log_message(self, *_: object) -> None:
                """Say nothing: the run is what is to be seen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/penguins-raw.csv"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def rows_of(species: str) -> str:
    """The head line and the rows of one species."""
    head, *rows = DATA.read_text(encoding="utf-8").splitlines(keepends=True)
    return head + "".join(row for row in rows if f",{species} " in row)


def main() -> None:
    """Run the pipeline and print its summaries."""
    from dotflow.otel import ServerOtel

    with Mirror() as mirror:
        workflow = pipeline(mirror.url, Config(server=ServerOtel()))
        workflow.start(mode="sequential_group", raise_on_failure=True)
    for task in workflow.result_task():
        if task.step is summarise:
            print(task.current_context.storage)


if __name__ == "__main__":
    main()
