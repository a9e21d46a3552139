"""Programs that leave something in the outbox, and the command that sees to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager

from support.fault_server import TOKEN

from dotflow.cli.setup import Command
from dotflow.process import watch

AWAY = "http://127.0.0.1:9"

PROGRAM = """
import os, signal, sys
from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault

@action
def one():
    return 1

@action
def two():
    if "die" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2

flow = DotFlow(config=Config(log=LogDefault(level="ERROR")), name="etl")
flow.task.add([one, two])
flow.start()
if "close" in sys.argv:
    flow.config.server.close()
"""


def use(monkeypatch, url):
    monkeypatch.setenv("DOTFLOW_SERVER_URL", url)
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", TOKEN)


def program(*arguments, **environment):
    """Run a workflow of two tasks in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def dotflow(*words):
    """Run a command; what looks for it at what others leave ends, as with its process."""
    before = set(watch._watch._looks)
    try:
        return Command(["outbox", *words]).run()
    finally:
        for key in set(watch._watch._looks) - before:
            watch.leave(key)


def report(capsys):
    capsys.readouterr()
    assert dotflow("status", "--json") == 0
    return json.loads(capsys.readouterr().out)


@contextmanager
def running(**environment):
    """The same program, which has run its workflow, and waits."""
    script = PROGRAM + "\nprint('ready', flush=True)\nsys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, **environment},
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.communicate("")
