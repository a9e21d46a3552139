"""The library's own logger is heard, whatever the program does with logging."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from dotflow.logging import Layout, logger

CONFIGURATIONS = {
    "dictConfig": """
import logging.config
logging.config.dictConfig({"version": 1, "root": {"level": "WARNING"}})
""",
    "fileConfig": """
import io, logging.config
logging.config.fileConfig(io.StringIO(
    "[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n"
    "[logger_root]\\nlevel=WARNING\\nhandlers=\\n"))
""",
}
PROGRAM = """
import os
os.environ["DOTFLOW_SERVER_URL"] = "http://127.0.0.1:9"
os.environ["DOTFLOW_USER_TOKEN"] = "t"
os.environ["DOTFLOW_FLUSH_TIMEOUT"] = "0.5"
from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault
config = Config(log=LogDefault(level="ERROR"))
{configure}
@action
def bad():
    raise ValueError("no")
flow = DotFlow(config=config)
flow.task.add(bad)
flow.start()
"""


@pytest.mark.parametrize("how", CONFIGURATIONS)
def test_lines_about_what_waits_are_seen(how):
    """Logging that is configured afterwards switches off no line of loss or waiting, nor errors."""
    program = PROGRAM.format(configure=CONFIGURATIONS[how])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "dotflow outbox flush" in done.stderr
    assert "ValueError: no" in done.stderr


def test_who_wants_less_sets_its_level(caplog):
    """The level and the filters of the logger are the program's; it cannot be switched off."""
    logger.disabled = True
    assert not logger.disabled
    logger.setLevel(logging.CRITICAL)
    try:
        logger.error("unheard")
    finally:
        logger.setLevel(logging.INFO)
    logger.error("heard")
    assert [record.message for record in caplog.records] == ["heard"]


def test_what_a_line_quotes_commands_no_terminal():
    """The id of a workflow, or the words of a server, may be a stranger's."""
    made = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, "workflow %s waits", ("w\x1b[2J\rx",), None
    )
    [layout] = [one.formatter for one in logger.handlers if isinstance(one.formatter, Layout)]
    assert layout.format(made).endswith(r"workflow w\x1b[2J\x0dx waits")
