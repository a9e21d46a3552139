"""What every test starts from: a clean environment, and nothing left running afterwards."""

from __future__ import annotations

import compileall
import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from support import measured, mutants

# Children measure coverage too, and tests run in folders of their own: one place for all.
os.environ.setdefault("COVERAGE_FILE", str(Path(__file__).parent.parent / ".coverage"))

# Whoever started us in the background has us, and all that we start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

mutants.switch_on()  # where the tests are run to see them fail

# Images of containers forbid bytecode. Then each process of each run rewrites the asserts of all
# tests anew, which is most of what collecting costs, and each program of a test compiles dotflow.
# Only in here, and until all is collected: a test may write a module twice within a second, which
# is the same module to whoever has its bytecode.
BYTECODE_FORBIDDEN = sys.dont_write_bytecode
sys.dont_write_bytecode = False
COMPILED = ("dotflow", "tests/support")  # what programs of tests import

OURS = ("DOTFLOW_", "SERVER_BASE_URL", "SERVER_USER_TOKEN", "WORKFLOW_ID", "OTEL_", "TRACEPARENT",
        "TRACESTATE", "BAGGAGE", "PYTHONUNBUFFERED")  # fmt: skip
KEPT = ("DOTFLOW_TEST_",)
GRACE = 30.0  # seconds, on a machine that has much else to do


def pytest_configure(config):
    """Compile once what many programs import; what is up to date stays."""
    if not hasattr(config, "workerinput"):  # not in each worker of xdist
        for folder in COMPILED:
            compileall.compile_dir(Path(__file__).parent.parent / folder, quiet=2)


def pytest_collection_finish():
    """From here on bytecode is as the environment says, and children begin quickly."""
    sys.dont_write_bytecode = BYTECODE_FORBIDDEN
    measured.lighten_children()


def pytest_terminal_summary(terminalreporter):
    """Name what tests say that they leave out, and why."""
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == "not run":
                terminalreporter.write_line(f"not run: {value}")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(OURS) and not name.startswith(KEPT):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / "state"))
    # Receivers of most tests count calls; tests of metrics delete it.
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def no_tracer_provider_of_another_test():
    yield
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None and trace._TRACER_PROVIDER is not None:
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = type(trace._TRACER_PROVIDER_SET_ONCE)()


@pytest.fixture(autouse=True)
def no_meter_provider_of_another_test(nothing_left_running):
    yield
    metrics = sys.modules.get("opentelemetry.metrics._internal")
    if metrics is not None and metrics._METER_PROVIDER is not None:
        metrics._METER_PROVIDER = None
        metrics._METER_PROVIDER_SET_ONCE = type(metrics._METER_PROVIDER_SET_ONCE)()
    ours = sys.modules.get("dotflow.otel.metrics.provider")
    if ours is not None:
        for provider in ours._made.values():
            provider.close(0.0)
        ours._made.clear()


@pytest.fixture(autouse=True)
def no_logger_provider_of_another_test():
    yield
    module = sys.modules.get("opentelemetry._logs._internal")
    if module is not None and module._LOGGER_PROVIDER is not None:
        module._LOGGER_PROVIDER = None
        module._LOGGER_PROVIDER_SET_ONCE = type(module._LOGGER_PROVIDER_SET_ONCE)()
    installed = sys.modules.get("dotflow.otel.logs.installed")
    if installed is not None:
        assert not installed._installed._users, "somebody still has log records leave"
        installed._installed.provider = None


@pytest.fixture(autouse=True)
def no_run_log_of_another_test():
    yield
    writer = sys.modules.get("dotflow.runlog.writer")
    if writer is not None:  # a program has one folder, and a test one of its own
        writer.run_log.close()
        writer.run_log._present.clear()
        writer.run_log._readers.clear()


@pytest.fixture(autouse=True)
def handlers_of_signals_as_they_were():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, before


@pytest.fixture(autouse=True)
def nothing_left_running():
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + GRACE
    while (left := _left(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    stacks = _stacks_of(left)
    # SQLite's lock may have been held at the fork: what such a child covered is lost, and no more.
    assert len(left) == stacks.count(MEASURING), f"left running: {left}\n{stacks}"


def _stacks_of(left):
    """Where children stand that do not end; killed, for the next tests are not to blame."""
    _stacks.seek(0)
    _stacks.truncate()
    for child in _children(left):
        os.kill(child.pid, SHOWS_STACKS)
        time.sleep(0.5)
        child.kill()
        child.join()
    _stacks.seek(0)
    return _stacks.read()


@pytest.fixture(autouse=True)
def nobody_watches_for_another_test(nothing_left_running):
    yield
    watch = sys.modules.get("dotflow.process.watch")
    if watch is not None:  # a forgotten server's process goes on to look, and a test does not
        for key in list(watch._watch._looks):
            watch.leave(key)


def _children(left):
    return [one for one in left if isinstance(one, multiprocessing.process.BaseProcess)]


MEASURING = "coverage/multiproc.py"
"""Where a child stands that has ended, but for the coverage that it writes down."""

SHOWS_STACKS = signal.SIGUSR2
"""Has a process of the tests, or a fork of it, write down where its threads stand."""

_stacks = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - as long as the process
faulthandler.register(SHOWS_STACKS, file=_stacks)


def _left(before):
    # fsspec has one thread a process, which it never ends.
    threads = [
        one
        for one in threading.enumerate()
        if one not in before and one.is_alive() and one.name != "fsspecIO"
    ]
    # A step that timed out cannot be stopped; its test lets it end by itself.
    return threads + multiprocessing.active_children()
