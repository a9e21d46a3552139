"""What the README shows is true."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from support.otlp import OtlpReceiver

from dotflow.core.config import Config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_DEVELOPERS = {"dev", "browser", "platforms", "docs"}
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_program_runs_and_is_traced(tmp_path):
    """The example prints what it says it prints, and its trace arrives."""
    program = tmp_path / "etl.py"
    program.write_text(BLOCKS[0], encoding="utf-8")
    with OtlpReceiver() as otlp:
        done = subprocess.run(
            [sys.executable, program],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        names = sorted(span.name for span in otlp.spans)
    said = README.partition("python etl.py\n```")[2].partition("```text\n")[2].partition("```")[0]
    assert done.stdout == said
    assert names == ["attempt", "etl", "extract", "total"]


def test_the_first_program_tells_of_a_failure(tmp_path):
    """Where a task of it fails, its exit status is not 0, and what it writes says where."""
    program = tmp_path / "etl.py"
    broken = (
        BLOCKS[0]
        .replace("initial_context.storage]", "missing]")
        .replace("retry_delay=1", "retry_delay=0")
    )
    program.write_text(broken, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "NameError: name 'missing' is not defined" in done.stderr.splitlines()[-1]
    assert "in extract" in done.stderr


@pytest.mark.parametrize("name", ["dotflow demo", "python -m pytest"])
def test_the_two_commands_make_their_environment(name):
    """One command each, from nothing, as .ci/run reads them."""
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len([line for line in commands if line.endswith(name)]) == 1


@pytest.mark.slow
def test_the_picture_is_of_a_run_as_it_goes_today(tmp_path):
    """Drawn anew it says the same; else `python docs/draw.py` draws it."""
    program = "import runpy, sys; draw = runpy.run_path(sys.argv[1]); print(draw['picture']())"
    drawn = subprocess.run(
        [sys.executable, "-c", program, ROOT / "docs" / "draw.py"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=tmp_path,
    )
    words = runpy.run_path(str(ROOT / "docs" / "draw.py"))["words"]
    kept = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    assert "penguins" in words(kept)
    assert words(drawn.stdout) == words(kept)


def test_it_is_as_long_as_people_read():
    """What is looked up has pages of its own."""
    assert len(README.splitlines()) <= 180


def test_the_ways_to_run_a_step_are_counted():
    """The table of what dotflow does has the numbers of the page that tests write."""
    [ways, ends] = re.findall(r"(\d+) ways to run a step, up to (\d+) ways", README)[0]
    page = (ROOT / "docs" / "understand" / "conformance.md").read_text(encoding="utf-8")
    head, *rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert (int(ways), int(ends)) == (len(rows) - 1, head.count("|") - 2)


def test_every_slot_is_named():
    """The page about Config names each of its slots."""
    page = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert set(vars(Config())) - {"guard"} <= set(re.findall(r"`(\w+)`", page))


def test_every_dependency_has_its_reason():
    """The table of dependencies has each package that users get, and each extra."""
    table = README.partition("## Dependencies")[2]
    for line in metadata.requires("dotflow"):
        name, extra = re.match(r"([\w.-]+)(?:.*extra == ['\"](\w+))?", line).groups()
        assert extra in OF_DEVELOPERS or f"`{name}`" in table, line
    extras = set(metadata.metadata("dotflow").get_all("Provides-Extra"))
    named = set(re.findall(r"extra `(\w+)`", table))
    assert named == extras - OF_DEVELOPERS - {"all", "otel"}  # nothing of their own
