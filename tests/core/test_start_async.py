"""A run that an event loop awaits: the loop goes on, and may cancel it."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from core_doubles import echo, fail, increment, process_id

from dotflow import Config, DotFlow, WorkflowFailed, action
from dotflow.core.exception import ExecutionModeNotExist, NotCallableObject
from dotflow.providers import LogDefault

MODES = ["sequential", "sequential_group", "parallel"]
LONG = 60  # seconds

current = contextvars.ContextVar("current", default="nothing")


@pytest.fixture
def gate():
    """What a step waits for; opened at the end, for the step's thread cannot be stopped."""
    made = threading.Event()
    yield made
    made.set()


def waiting(gate):
    """A step that says that it has begun, and waits."""
    begun = threading.Event()

    @action(retry=3)
    def wait():
        begun.set()
        assert gate.wait(LONG)
        return "too late"

    return wait, begun


async def until(event):
    while not event.is_set():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", MODES)
def test_it_returns_the_manager(quiet, mode):
    """A run that is awaited is as one that is started."""
    flow = DotFlow(config=quiet)
    flow.task.add([echo, increment], initial_context=1)
    manager = asyncio.run(flow.start_async(mode=mode))
    assert (manager.ok, manager.mode) == (True, mode)
    assert flow.result_storage() == [1, 1 if mode == "parallel" else 2]
    flow.task.add(fail)
    told = []
    manager = asyncio.run(flow.start_async(mode=mode, on_failure=lambda tasks: told.append(1)))
    assert (manager.status, told) == ("Failed", [1])
    with pytest.raises(WorkflowFailed, match="on purpose"):
        asyncio.run(flow.start_async(mode=mode, raise_on_failure=True))


def test_the_loop_goes_on(quiet):
    """While a step waits the loop does what the step waits for."""
    gate = threading.Event()
    step, begun = waiting(gate)

    async def main():
        flow = DotFlow(config=quiet)
        flow.task.add(step)
        run = asyncio.create_task(flow.start_async())
        await until(begun)
        gate.set()
        return await run

    assert asyncio.run(main()).ok


def test_many_at_once(quiet):
    """Runs have threads of their own: more of them than an executor has wait for one another."""
    count = 40
    all_there = threading.Barrier(count)

    @action
    def meet():
        all_there.wait(LONG)

    async def main():
        flows = [DotFlow(config=quiet) for _ in range(count)]
        for flow in flows:
            flow.task.add(meet)
        return await asyncio.gather(*(flow.start_async() for flow in flows))

    assert all(manager.ok for manager in asyncio.run(main()))


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_context_variables_come_along(quiet, mode):
    """What is current where it is awaited is current in steps, coroutines too, and callbacks."""
    seen = []

    @action
    def read():
        return current.get()

    @action
    async def read_later():
        await asyncio.sleep(0)
        return current.get()

    async def main():
        current.set("a span")
        flow = DotFlow(config=quiet)
        flow.task.add([read, read_later])
        await flow.start_async(mode=mode, on_success=lambda tasks: seen.append(current.get()))
        return flow.result_storage()

    assert asyncio.run(main()) == ["a span"] * 2
    assert seen == ["a span"]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"mode": "background"}, ValueError, r'call start\(mode="background"\)'),
        ({"mode": "paralel"}, ExecutionModeNotExist, "parallel"),
        ({"on_success": 5}, NotCallableObject, "on_success"),
        ({"mod": "parallel"}, TypeError, "mod"),
    ],
)
def test_wrong_arguments(record, recorded, given, error, said):
    """They are refused as start() does, and background with what to do instead."""
    flow = DotFlow(config=recorded)
    record.clear()

    async def main():
        await flow.start_async(**given)

    with pytest.raises(error, match=said):
        asyncio.run(main())
    assert record.calls == []


@pytest.mark.parametrize("how", ["cancel", "timeout", "end of the loop"])
def test_cancelled(record, recorded, gate, how):
    """The task under way and the run are reported as Failed; no other step starts."""
    step, begun = waiting(gate)
    called = []
    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add([step, echo])
    record.clear()

    def note(tasks):
        called.append(tasks)

    async def main():
        run = asyncio.create_task(flow.start_async(on_success=note, on_failure=note))
        await until(begun)
        if how == "cancel":
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        elif how == "timeout":
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(run, 0.01)

    asyncio.run(main())
    task, other = flow.result_task()
    assert (task.status, other.status, called) == ("Failed", "Not started", [])
    [error] = task.errors
    assert (error.exception, error.message) == ("Interrupted", "interrupted by cancellation")
    assert task.retry_count == 0
    assert record.calls[-1] == "server.update_workflow w Failed"
    assert record.of(1)[-1] == "server.update_task 1 Failed"
    gate.set()
    time.sleep(0.05)
    assert task.current_context.storage is None


def test_cancelled_in_a_loop_that_is_not_woken(quiet, gate):
    """As a notebook does when a cell is interrupted: its signal handler does not wake the loop."""
    step, begun = waiting(gate)
    flow = DotFlow(config=quiet)
    flow.task.add(step)

    async def main():
        run = asyncio.create_task(flow.start_async())
        loop = asyncio.get_running_loop()
        before = signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon(run.cancel))
        await until(begun)
        # By then the loop sleeps; if it does not yet, the test has nothing to find.
        sender = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        sender.start()
        try:
            with pytest.raises(asyncio.CancelledError):
                await run
        finally:
            sender.join()
            signal.signal(signal.SIGUSR1, before)

    asyncio.run(main())
    assert flow.result_task()[0].errors[-1].message == "interrupted by cancellation"


def test_cancelled_between_attempts(quiet):
    """A delay is not waited for."""
    failed = threading.Event()

    @action(retry=2, retry_delay=LONG)
    def step():
        failed.set()
        raise ValueError("x")

    flow = DotFlow(config=quiet)
    flow.task.add(step)

    async def main():
        run = asyncio.create_task(flow.start_async())
        await until(failed)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < LONG / 2
    errors = flow.result_task()[0].errors
    assert errors[-1].message == "interrupted by cancellation"


@pytest.mark.parametrize("mode", ["parallel", "sequential_group"])
def test_cancelled_with_children(record, recorded, mode):
    """Children are killed, and what they ran has failed."""

    @action
    def stay():
        Path("begun").write_text(str(os.getpid()))
        time.sleep(LONG)

    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add(stay)

    async def main():
        run = asyncio.create_task(flow.start_async(mode=mode))
        while not (Path("begun").exists() and Path("begun").read_text()):
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())
    assert flow.result_task()[0].errors[0].message == "interrupted by cancellation"
    assert record.calls[-1] == "server.update_workflow w Failed"
    deadline = time.monotonic() + LONG
    while Path(f"/proc/{Path('begun').read_text()}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert time.monotonic() < deadline


class SlowEnd:
    """A storage that takes its time at a failure."""

    def __init__(self, storage):
        self.begun, self.go = threading.Event(), threading.Event()
        self.post_before = storage.post
        storage.post = self.post

    def post(self, key, context, **more):
        if key == "w-1":
            self.begun.set()
            assert self.go.wait(LONG)
        self.post_before(key, context, **more)


def test_a_second_cancellation_does_not_wait(record, recorded, gate):
    """It raises at once; the end is reported all the same."""
    step, begun = waiting(gate)
    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add(step)
    slow = SlowEnd(recorded.storage)

    async def main():
        run = asyncio.create_task(flow.start_async())
        await until(begun)
        run.cancel()
        await until(slow.begun)
        assert not run.done()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())
    assert "server.update_workflow w Failed" not in record.calls
    slow.go.set()
    deadline = time.monotonic() + LONG
    while record.calls[-1] != "server.update_workflow w Failed" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert record.calls[-1] == "server.update_workflow w Failed"


def test_a_run_within_is_cancelled_too(quiet, gate):
    """A workflow that a step starts ends with the one that the step is of, however it was begun."""
    step, begun = waiting(gate)
    flows = [DotFlow(config=quiet) for _ in range(3)]
    ended = threading.Event()

    @action
    def middle():
        flows[2].start()

    @action
    def outer():
        try:
            asyncio.run(flows[1].start_async())
        finally:
            ended.set()

    for flow, its in zip(flows, (outer, middle, step), strict=True):
        flow.task.add([its, echo])

    async def main():
        run = asyncio.create_task(flows[0].start_async())
        await until(begun)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())
    assert ended.wait(LONG)
    # The innermost run is in a thread that nobody waits for: it looks every tenth of a second.
    deadline = time.monotonic() + LONG
    while flows[2].result_task()[0].status == "In progress" and time.monotonic() < deadline:
        time.sleep(0.01)
    for flow in flows:
        assert [task.status for task in flow.result_task()] == ["Failed", "Not started"]


def test_what_ends_the_program(quiet):
    """SystemExit of a step leaves it, as it leaves start()."""

    @action
    def leave():
        sys.exit(3)

    flow = DotFlow(config=quiet)
    flow.task.add(leave)
    with pytest.raises(SystemExit):
        asyncio.run(flow.start_async())
    assert flow.result_task()[0].status == "Failed"


def test_forked_children_are_not_within(quiet):
    """A child of a run that may be cancelled runs its steps as every child does."""

    @action
    def threads():
        return threading.current_thread().name, process_id()

    flow = DotFlow(config=quiet)
    flow.task.add(threads)
    asyncio.run(flow.start_async(mode="parallel", start_method="fork"))
    [(name, pid)] = flow.result_storage()
    assert not name.startswith("dotflow-threads")
    assert pid != os.getpid()


PROGRAM = """
import asyncio
from dotflow import DotFlow, action
@action
def stay():
    import time
    print("begun", flush=True)
    time.sleep(60)
flow = DotFlow()
flow.task.add(stay)
try:
    asyncio.run(flow.start_async())
finally:
    print(flow.result_task()[0].status, flow.result_task()[0].errors[-1].message, flush=True)
"""


def test_ctrl_c():
    """Ctrl-C in a program ends the run, which is reported, and the program."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env={**os.environ, "DOTFLOW_SERVER": "none"},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "begun\n"
        process.send_signal(2)
        assert process.stdout.readline() == "Failed interrupted by cancellation\n"
        assert process.wait(LONG) != 0


def test_the_current_span_comes_along():
    """The run is a part of the trace that it is awaited in, and its span is current in steps."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    from dotflow.otel import ServerOtel

    provider = TracerProvider()
    server = ServerOtel(tracer_provider=provider, set_global=False)
    flow = DotFlow(config=Config(server=server, log=LogDefault(level="ERROR")))
    seen = []

    @action
    def step():
        seen.append(trace.get_current_span().get_span_context())

    async def main():
        with provider.get_tracer(__name__).start_as_current_span("request") as request:
            flow.task.add(step)
            manager = await flow.start_async()
            return request.get_span_context(), manager.trace_id

    request, trace_id = asyncio.run(main())
    server.close(60)
    assert format(request.trace_id, "032x") == trace_id
    assert [one.trace_id for one in seen] == [request.trace_id]
    assert seen[0].span_id != request.span_id
