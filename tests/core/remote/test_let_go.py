"""Runs that are ended from outside: what waits is not begun, what runs is let go, and both said."""

from __future__ import annotations

import asyncio
import time

import pytest
from remote_steps import LONG, nine, says_and_fails, says_and_waits

from dotflow import DotFlow
from dotflow.executors import StandardExecutor

MAY_RUN = "its step may still run on a worker"


@pytest.mark.parametrize("pool", ["threads", "processes"], indirect=True)
def test_a_cancelled_run(pool, tmp_path):
    """Its tasks that run are Failed, none is tried again, and the others never begin."""
    flow = DotFlow()
    flow.task.add(says_and_waits, initial_context=(str(tmp_path), 1))
    flow.task.add(says_and_fails, initial_context=(str(tmp_path), 2))
    flow.task.add([says_and_waits] * 2, initial_context=(str(tmp_path), 3))

    async def cancelled():
        run = asyncio.ensure_future(flow.start_async(mode="parallel", executor=pool))
        end = time.monotonic() + LONG
        while len(list(tmp_path.glob("ran.*"))) < 2 and time.monotonic() < end:
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancelled())
    (tmp_path / "go").touch()
    tasks = flow.result_task()
    assert [task.status for task in tasks] == ["Failed", "Failed", "Not started", "Not started"]
    said = [task.errors[-1].message for task in tasks[:2]]
    assert said == [f"interrupted by cancellation; {MAY_RUN}"] * 2
    pool.shutdown()
    assert {path.name for path in tmp_path.glob("ran.*")} == {"ran.1", "ran.2"}
    assert len((tmp_path / "ran.2").read_text().splitlines()) == 1  # of five tries


class Faulty(StandardExecutor):
    """One whose adapter raises whatever it is asked."""

    def is_worker_lost(self, error):
        raise ValueError("on purpose")

    def release(self, future):
        raise ValueError("on purpose")


def test_an_adapter_that_raises_is_counted(threads):
    """As any provider's fault: the run goes on."""
    flow = DotFlow()
    flow.task.add([nine] * 2)
    manager = flow.start(mode="parallel", executor=Faulty(threads))
    assert manager.ok
    assert flow.config.guard.failures == {"Faulty.release": 2}
