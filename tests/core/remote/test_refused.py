"""What cannot be: an executor that is none, a run or a step that does not go with it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest
from remote_steps import give, nine

from dotflow import Config, DotFlow, action
from dotflow.core.exception import NotCallableObject


def loop():
    made = asyncio.new_event_loop()
    made.close()
    return made


def pool():
    with ThreadPool(1) as made:
        pass
    made.join()
    return made


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: 4, "of type int"),
        (lambda: ThreadPoolExecutor, "not an instance"),
        (pool, "whose place a ProcessPoolExecutor takes"),
        (loop, "start_async"),
    ],
)
def test_what_is_no_executor_is_refused(make, word):
    """Where it is given, with what is allowed."""
    executor = make()
    with pytest.raises(NotCallableObject, match=word) as config:
        Config(executor=executor)
    with pytest.raises(NotCallableObject, match=word):
        DotFlow().start(mode="parallel", executor=executor)
    assert "ThreadPoolExecutor" in str(config.value)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({}, 'mode="parallel" or mode="sequential_group"'),
        ({"mode": "background"}, "background"),
        ({"mode": "parallel", "start_method": "spawn"}, "leave one of the two out"),
    ],
)
def test_what_does_not_go_with_an_executor_is_refused(threads, more, word):
    """Before anybody is told of the run."""
    flow = DotFlow()
    flow.task.add(give)
    with pytest.raises(ValueError, match=word):
        flow.start(executor=threads, **more)
    assert flow.task.queue[0].status == "Not started"


def test_that_of_the_config_is_for_the_modes_that_it_goes_with(threads):
    """Other modes, and a run with a start method, are as ever."""
    config = Config(executor=threads)
    assert "executor=ThreadPoolExecutor" in repr(config)
    assert "executor" not in repr(Config())
    places = []
    for more in ({}, {"mode": "parallel", "start_method": "fork"}, {"mode": "parallel"}):
        flow = DotFlow(config=config)
        flow.task.add(nine)
        assert flow.start(**more).ok
        places.append(flow.task.queue[0].place is not None)
    assert places == [False, False, True]


def errors_of(flow, executor):
    manager = flow.start(mode="parallel", keep_going=True, executor=executor)
    assert [task.status for task in manager.tasks] == ["Failed"] * len(manager.tasks)
    return [task.errors[-1].message for task in manager.tasks]


def test_an_executor_that_takes_no_work(threads):
    """Each task is Failed with the reason; nothing waits for ever."""
    threads.shutdown()
    flow = DotFlow()
    flow.task.add([nine, nine])
    first, second = errors_of(flow, threads)
    assert "task 1 ('nine') was not run, for the executor takes no work" in first
    assert "after shutdown" in second


class Asynchronous(Executor):
    """One whose submit gives a coroutine."""

    def submit(self, fn, /, *args, **kwargs):
        return 5


def test_a_future_that_is_none():
    """An executor that is asynchronous is not waited for."""
    flow = DotFlow()
    flow.task.add(nine)
    assert "submit() returned int" in errors_of(flow, Asynchronous())[0]


def test_a_run_on_the_executor_of_its_own_step_is_refused(threads):
    """It might wait for ever; one on another executor is none of that."""

    @action
    def nests():
        inner = DotFlow(config=Config(executor=threads))
        inner.task.add(nine)
        return inner.start(mode="parallel").status

    @action
    def nests_elsewhere():
        with ThreadPoolExecutor(1) as other:
            inner = DotFlow(config=Config(executor=other))
            inner.task.add(nine)
            return inner.start(mode="parallel").status

    flow = DotFlow()
    flow.task.add([nests, nests_elsewhere])
    manager = flow.start(mode="parallel", keep_going=True, executor=threads)
    refused, other = manager.tasks
    assert "on the executor that runs the step itself" in refused.errors[-1].message
    assert other.current_context.storage == "Completed"


def test_what_cannot_be_sent_is_refused_with_its_name(processes, monkeypatch):
    """In the parent; the other tasks run."""
    monkeypatch.setattr("dotflow.core.remote.packing._has_cloudpickle", lambda: False)

    @action
    def local():
        return 1

    flow = DotFlow()
    flow.task.add(give, initial_context=threading.Lock())
    flow.task.add(local)
    first, second = errors_of(flow, processes)
    assert "the initial context of step 'give' cannot be sent to its worker" in first
    assert "use data that can be pickled, or install cloudpickle" in first
    assert "step 'local' cannot be sent to its worker" in second
    assert "define it at the top level of a module" in second
    assert all(task.place is None for task in flow.task.queue)
