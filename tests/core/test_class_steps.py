"""@action on classes: each action method is a part of the step."""

from __future__ import annotations

import pytest

from dotflow import Context, DotFlow, Task, action
from dotflow.providers import StorageFile


def run(step, **kwargs):
    return step(task=Task(task_id=1, step=step), **kwargs).storage


def values(contexts):
    return [one.storage for one in contexts]


@action
class Both:
    def __init__(self, initial_context):
        self.seen = initial_context.storage

    def helper(self):
        raise AssertionError("an undecorated method does not run")

    @action
    def zulu(self, previous_context):
        return f"{self.seen}-{previous_context.storage}"

    @action
    def alpha(previous_context):  # noqa: N805 - without self, as the contract allows
        return previous_context.storage + "!"

    @action
    def mike(self, initial_context, previous_context):
        return [initial_context.storage, previous_context.storage]

    @action
    def __hidden(self):
        return "mangled names begin with one underscore"

    def __len__(self):
        return 0


def test_methods_run_in_source_order_each_with_the_one_before():
    """Methods run in source order; the first gets the task's previous_context, others the last."""
    results = run(Both, initial_context="i", previous_context="p")
    assert values(results)[:3] == ["i-p", "i-p!", ["i", "i-p!"]]


def test_results_are_numbered_contexts():
    """The result is a list of Contexts with the task ids 0, 1, 2, ..."""
    results = run(Both, initial_context="i", previous_context="p")
    assert [one.task_id for one in results] == list(range(len(results)))
    assert all(isinstance(one, Context) for one in results)


def test_inherited_methods_run():
    """Inherited action methods run, those of the base first; an override takes their place."""

    class Base:
        @action
        def first(self):
            return "base first"

        @action
        def second(self):
            return "base second"

    @action
    class Derived(Base):
        @action
        def third(self):
            return "third"

        @action
        def first(self):
            return "derived first"

    assert values(run(Derived)) == ["derived first", "base second", "third"]


def test_class_without_source():
    """A class that no file holds (exec, REPL) runs in definition order."""
    names = {"action": action}
    exec(
        "@action\nclass Made:\n"
        "    @action\n    def b(self): return 1\n"
        "    @action\n    def a(self, previous_context): return previous_context.storage + 1\n",
        names,
    )
    assert values(run(names["Made"])) == [1, 2]


def test_class_without_actions_is_its_instance():
    """A class without action methods gives the instance as the result."""

    @action
    class Plain:
        def __init__(self, previous_context):
            self.value = previous_context.storage

    assert run(Plain, previous_context=3).value == 3


def test_static_and_class_methods_are_methods_too():
    """Actions may be static or class methods."""

    @action
    class Step:
        @staticmethod
        @action
        def one(initial_context):
            return initial_context.storage

        @action
        @staticmethod
        def two(previous_context):
            return previous_context.storage + 1

        @classmethod
        @action
        def three(cls, previous_context):
            return (cls.__name__, previous_context.storage)

    assert values(run(Step, initial_context=1)) == [1, 2, ("Step", 2)]


def test_properties_are_not_read():
    """Looking for actions reads no property."""

    @action
    class Step:
        @property
        def trap(self):
            raise AssertionError("read")

        @action
        def one(self):
            return 1

    assert values(run(Step)) == [1]


def test_actions_of_the_instance_run():
    """An action that the constructor hangs on the instance runs as well."""

    @action
    class Step:
        def __init__(self):
            self.later = action(lambda previous_context: previous_context.storage + 1)

        @action
        def first(self):
            return 1

    assert values(run(Step)) == [1, 2]


def test_async_methods():
    """Methods may be coroutines."""

    @action
    class Step:
        @action
        async def one(self, initial_context):
            return initial_context.storage

    assert values(run(Step, initial_context=2)) == [2]


def test_retry_of_the_class_runs_it_anew_and_methods_do_not_retry(quiet):
    """A retry makes a new instance and runs all methods; a method's own options are not used."""
    made, calls = [], []

    @action(retry=2, retry_delay=0)
    class Step:
        def __init__(self):
            made.append(self)

        @action(retry=5, retry_delay=0)
        def first(self):
            calls.append("first")

        @action(retry=5, retry_delay=0)
        def second(self):
            calls.append("second")
            if len(made) == 1:
                raise ValueError("an initial_context is missing")
            return "ok"

    flow = DotFlow(config=quiet)
    flow.task.add(Step)
    flow.start()
    assert len(made) == 2
    assert calls == ["first", "second"] * 2
    assert flow.task.queue[0].retry_count == 1
    assert values(flow.result_storage()[0]) == [None, "ok"]


def test_methods_are_steps_of_their_own_instance():
    """A method that is called by hand runs on the instance it is taken from."""

    class Holder:
        def __init__(self, value):
            self.value = value

        @action
        def read(self):
            return self.value

    assert [Holder(n).read() for n in (1, 2)] == [1, 2]
    assert Holder(3).read(task=None).storage == 3


@pytest.mark.parametrize("mode", ["sequential", "parallel", "background", "sequential_group"])
@pytest.mark.parametrize("in_file", [False, True])
def test_class_results_in_every_mode(quiet, mode, in_file):
    """A class step's list of Contexts comes back from every mode and storage."""
    if in_file:
        quiet.storage = StorageFile(path="out")
    flow = DotFlow(config=quiet)
    flow.task.add(Both, initial_context="i")
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join()
    assert values(flow.result_storage()[0])[:2] == ["i-None", "i-None!"]
    kept = quiet.storage.get(quiet.storage.key(flow.task.queue[0])).storage
    assert [(one.task_id, one.storage) for one in kept] == [
        (one.task_id, one.storage) for one in flow.result_storage()[0]
    ]
