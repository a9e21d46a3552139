"""What the guides show beside programs is taken by what reads it."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from examples_support import TIME

pytestmark = pytest.mark.slow  # it starts a program

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
SCRIPTS = Path(sys.executable).parent


def blocks_of(page, language):
    text = (GUIDES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


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
