"""A child that was forked while a thread of its parent imported a module."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time

import pytest
from support.processes import status_of

import dotflow.process.forking  # noqa: F401 - what is tested

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SLOW = """
import builtins
builtins.slow_module_begins.set()
builtins.slow_module_may_end.wait(60)
VALUE = 42
"""


@pytest.fixture
def importing(tmp_path, monkeypatch):
    """A thread that is in the midst of importing `slow_package.slow_module`."""
    package = tmp_path / "slow_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "slow_module.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    begins, may_end = threading.Event(), threading.Event()
    monkeypatch.setattr("builtins.slow_module_begins", begins, raising=False)
    monkeypatch.setattr("builtins.slow_module_may_end", may_end, raising=False)
    thread = threading.Thread(target=importlib.import_module, args=["slow_package.slow_module"])
    thread.start()
    assert begins.wait(60)
    yield may_end
    may_end.set()
    thread.join()
    for name in ("slow_package.slow_module", "slow_package"):
        sys.modules.pop(name, None)


def test_the_child_imports_the_module_anew(importing):
    """It does not wait for a thread that is not there, and gets the whole module."""

    def work():
        importing._cond = threading.Condition()  # the thread may have held it
        importing.set()
        return importlib.import_module("slow_package.slow_module").VALUE == 42

    assert status_of(work) == 0


def test_the_import_of_the_forking_thread_goes_on(tmp_path, monkeypatch):
    """A module that forks as it is imported is imported in both processes."""
    (tmp_path / "forking_module.py").write_text("import os\nPID = os.fork()\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("forking_module")
    if not module.PID:
        os._exit(0 if sys.modules["forking_module"] is module else 1)
    assert os.waitpid(module.PID, 0)[1] == 0
    del sys.modules["forking_module"]


def test_the_parents_import_is_untouched(importing):
    """In the parent the thread's import ends as ever."""
    assert status_of(lambda: True) == 0
    importing.set()
    deadline = time.monotonic() + 60
    while not hasattr(sys.modules["slow_package.slow_module"], "VALUE"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
