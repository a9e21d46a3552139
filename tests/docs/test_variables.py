"""The page of variables names those that the code reads, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from dotflow.cli.doctor.configured import KNOWN
from dotflow.otel.export.otlp.exports import BATCH_SIZE, QUEUE_SIZE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "variables.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
QUOTED = re.compile(r"""["']((?:DOTFLOW|OTEL|SERVER|WORKFLOW)_[A-Z_]+[A-Z])["']""")
ON_THE_PAGE = {name for row in ROWS for name in re.findall(r"`([A-Z_]+)`", row[0])}


def names_in(file):
    """The variables of ours and of OpenTelemetry's that a module has in quotes, or imports."""
    text = file.read_text(encoding="utf-8")
    imported = re.findall(r"environment_variables import ([^()\n]+|\([^)]*\))", text)
    return {*QUOTED.findall(text), *re.findall(r"OTEL_\w+", " ".join(imported))}


def test_the_page_has_what_the_code_reads():
    """A variable that the code reads has a row, and a row of ours is one that the code reads."""
    read = {name for file in (ROOT / "dotflow").rglob("*.py") for name in names_in(file)}
    assert len(read) > 60
    assert read <= ON_THE_PAGE
    assert {name for name in ON_THE_PAGE if not name.startswith("OTEL_")} - read == {
        "TRACEPARENT", "TRACESTATE", "BAGGAGE",  # read by the propagators that are installed
    }  # fmt: skip


def test_the_page_has_what_is_said_of_an_endpoint():
    """These variables exist for each signal: the code puts their names together."""
    text = (ROOT / "dotflow" / "otel" / "export" / "otlp" / "endpoint.py").read_text(
        encoding="utf-8"
    )
    parts = re.findall(r"""_said\("([A-Z_]+)", signal\)""", text)
    assert len(set(parts)) > 5
    assert {f"OTEL_EXPORTER_OTLP_{part}" for part in parts} <= ON_THE_PAGE


def test_the_page_says_the_defaults_that_doctor_says():
    """What holds without a variable is the same on the page and in `dotflow doctor`."""
    said = {row[0].strip("| `"): row[-1].replace("`", "").strip(" |") for row in ROWS}
    wrong = {one.variable for one in KNOWN if not said[one.variable].startswith(one.default)}
    assert not wrong


def test_the_page_says_the_defaults_of_the_queues():
    """These are dotflow's own, and not the SDK's."""
    assert f"| {QUEUE_SIZE} |" in PAGE
    assert f"| {BATCH_SIZE} |" in PAGE
