"""The programs of the guides that serve: each as the page has it, on a free port."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from examples_support import TIME

pytestmark = pytest.mark.slow  # each starts programs

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
SCRIPTS = Path(sys.executable).parent
ID = re.compile(r"[0-9a-f]{32}")


def blocks_of(page, language):
    text = (GUIDES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_fastapi(serve, otlp, until, tmp_path):
    """The application of the page answers as the page says; the trace that it names has arrived."""
    [program] = [one for one in blocks_of("async.md", "python") if one.startswith("# shop.py\n")]
    (tmp_path / "shop.py").write_text(program, encoding="utf-8")
    [start] = [one for one in blocks_of("async.md", "bash") if "uvicorn" in one]
    assert start.split("uvicorn ")[1].split() == ["shop:app", "--port", "8001"]
    with serve(SCRIPTS / "uvicorn", "shop:app", "--port", "0", cwd=tmp_path) as server:
        [port] = until(lambda: re.findall(r"127\.0\.0\.1:(\d+)", server.log.read_text()))
        [calls] = [one for one in blocks_of("async.md", "bash") if "curl" in one]
        paths = re.findall(r"^curl -X POST http://localhost:8001(\S+)$", calls, re.MULTILINE)
        answers = [
            requests.post(f"http://127.0.0.1:{port}{path}", timeout=TIME).json() for path in paths
        ]
        [said] = [one for one in blocks_of("async.md", "text") if one.startswith("{")]
        assert [without_ids(one) for one in answers] == [
            without_ids(json.loads(line)) for line in said.splitlines()
        ]
        traces = {ID.search(json.dumps(one))[0] for one in answers}
        until(lambda: traces <= {one.trace_id for one in otlp.spans if one.name == "fulfilment"})


def without_ids(answer):
    return json.loads(ID.sub("...", json.dumps(answer)))


def test_systemd_units(tmp_path):
    """The units of the page are whole, and systemd takes them if it is here."""
    units = dict(
        re.match(r"# (\S+)\n(.*)", one, re.DOTALL).groups() for one in blocks_of("cron.md", "ini")
    )
    assert sorted(units) == ["etl.service", "etl.timer"]
    command = "/srv/etl/.venv/bin/dotflow "
    assert command in units["etl.service"]
    units["etl.service"] = units["etl.service"].replace(command, f"{SCRIPTS / 'dotflow'} ")
    for name, text in units.items():
        configparser.ConfigParser(interpolation=None).read_string(text)
        (tmp_path / name).write_text(text, encoding="utf-8")
    if verify := shutil.which("systemd-analyze"):
        done = subprocess.run(
            [verify, "verify", *(str(tmp_path / one) for one in units)],
            capture_output=True, text=True, timeout=TIME, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
