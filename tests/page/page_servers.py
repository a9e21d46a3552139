"""What the browser looks at: the programs that serve, each as people start it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

DOTFLOW = Path(sys.executable).with_name("dotflow")
TOKEN = "s3cr3t-t0ken"
HERE = Path(__file__).parent
DEADLINE = 90
"""Seconds that anything may take on a machine with other work to do."""


def environment(folder, **more):
    """What a program is started with: nothing of ours but what is said here."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "DOTFLOW_STATE_DIR": str(folder / "state"),
        "PYTHONUNBUFFERED": "1",
        **{name: str(value) for name, value in more.items()},
    }


class Served:
    """A program that says at which address it serves; a context manager.

    Args:
        folder: Where it runs, and keeps what it keeps.
        command: How it is started.
        before: What it says before its address, a regular expression.
        variables: Its environment, besides.
    """

    def __init__(self, folder, *command, before="", **variables):
        self._folder = folder
        self._says = before + r"(http://[\w.:/-]+\w)"
        self._command = [str(one) for one in command]
        self._environment = environment(folder, **variables)
        self.url = ""

    def __enter__(self):
        errors = (self._folder / "errors.log").open("ab")
        with errors:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment,
                stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        watchdog = threading.Timer(DEADLINE, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if found := re.search(self._says, line):
                    self.url = found[1]
                    return self
        finally:
            watchdog.cancel()
            watchdog.join()
        self.__exit__()
        raise RuntimeError(f"no address from {self._command}:\n{self.said()}")

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(DEADLINE)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def said(self):
        """What it wrote on its standard error."""
        return (self._folder / "errors.log").read_text(errors="replace")


def api(folder, *flags, **variables):
    """The reference dotflow-api, as people start it."""
    database = f"sqlite:///{folder / 'records.db'}"
    return Served(folder, DOTFLOW, "api", "--port", 0, "--database", database, *flags, **variables)


def proxy(folder, target, prefix):
    """A reverse proxy that serves another server below a path."""
    return Served(folder, sys.executable, HERE / "page_proxy.py", target, prefix)


class Program:
    """A program with a workflow whose steps wait until they may go on; a context manager.

    Args:
        folder: Where it runs.
        name: The workflow's name.
        url: The dotflow-api that it reports to.
        variables: Its environment, besides.
    """

    def __init__(self, folder, name, url=None, **variables):
        self._folder = folder
        self._name = name
        # One who reports has a token, also to a server that asks for none.
        where = {"DOTFLOW_SERVER_URL": url, "DOTFLOW_USER_TOKEN": TOKEN} if url else {}
        self._environment = environment(folder, **where, **variables)

    def go_on(self, step):
        """Let a step end."""
        (self._folder / step).touch()

    def wait(self):
        """Wait until it has ended, all reported."""
        assert self._process.wait(DEADLINE) == 0

    def __enter__(self):
        command = [sys.executable, HERE / "page_program.py", self._folder, self._name]
        self._process = subprocess.Popen(command, cwd=self._folder, env=self._environment)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
