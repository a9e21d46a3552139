"""Decorators that are not steps."""

from __future__ import annotations

import time as clock
from types import SimpleNamespace

from dotflow.core.decorators import time
from dotflow.core.decorators.time import time as same


def test_time_sets_the_duration():
    """`time` sets the seconds that a function took on the task it returns."""

    @time
    def work(task, *, pause):
        """Take a pause."""
        clock.sleep(pause)
        return task

    task = SimpleNamespace()
    assert work(task, pause=0.01) is task
    assert 0.01 <= task.duration < 60
    assert (work.__name__, work.__doc__) == ("work", "Take a pause.")
    assert time is same
