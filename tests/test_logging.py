"""The library's own logger is heard, whatever the program does with logging."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from support.processes import succeeds

from dotflow import logging as module
from dotflow.logging import HeardLogger, Layout, logger

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


class SlowFile(io.RawIOBase):
    """A file that takes its time for each line."""

    def writable(self):
        return True

    def write(self, data):
        time.sleep(0.02)
        return len(data)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_until_a_line_is_written(monkeypatch):
    """Else its stream would stay locked in the child, which flushes its streams at its end."""
    monkeypatch.setattr(module, "LONGEST_WAIT", 60.0)
    stream = io.TextIOWrapper(io.BufferedWriter(SlowFile()), write_through=True)
    heard = HeardLogger("one of a test")
    heard.addHandler(logging.StreamHandler(stream))
    is_over = threading.Event()

    def write():
        while not is_over.wait(0.01):
            heard.warning("a line")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert all(succeeds(lambda: stream.flush() is None) for _ in range(5))
    finally:
        is_over.set()
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_handler_that_hangs_is_waited_for_once(monkeypatch):
    """Of forks and other lines only the first waits, and not until the handler goes on."""
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.01)
    is_there, go_on = threading.Event(), threading.Event()
    hanging, heard = HeardLogger("one that hangs"), HeardLogger("another")
    handler = logging.Handler()
    handler.emit = lambda _: (is_there.set(), go_on.wait(60))
    hanging.addHandler(handler)
    thread = threading.Thread(target=hanging.warning, args=("a line",))
    thread.start()
    try:
        assert is_there.wait(60)
        assert succeeds(lambda: heard.warning("a line") is None)
        assert not module._writing._is_worth_waiting
        heard.warning("a line")
        assert thread.is_alive()
    finally:
        go_on.set()
        thread.join()
    heard.warning("a line")
    assert module._writing._is_worth_waiting
