"""Runs every hostile value through a workflow: python hostile_program.py MODE; prints what came.

A value is hostile in one of its methods, and in one way: the method raises what ends a program,
recurses, never ends, or returns what it must not. The environment says whether it is reported.
"""

from __future__ import annotations

import json
import sys
import threading
import types

from dotflow import Config, DotFlow, action
from dotflow.core import task_error
from dotflow.providers import LogDefault
from dotflow.runlog import shown

METHODS = (
    "__str__", "__repr__", "__reduce__", "__reduce_ex__", "__eq__", "__len__", "__bool__",
    "__iter__", "__getattr__", "__getattribute__", "__hash__", "__format__", "keys", "items",
    "__contains__", "__call__", "__dir__", "__sizeof__", "__copy__", "__deepcopy__", "__float__",
    "__int__", "__index__", "__getitem__", "__enter__", "__await__", "__set_name__",
)  # fmt: skip
PROPERTIES = ("__class__", "__dict__", "__doc__", "__module__", "__wrapped__", "storage")


class Sudden(BaseException):
    """What only a bare `except` catches."""


def raises(kind):
    def method(*_):
        raise kind("hostile")

    return method


def recurses(*arguments):
    return recurses(*arguments)


def never_ends(*_):
    threading.Event().wait()


def wrong(*_):
    return 3.5


WAYS = {
    "KeyboardInterrupt": raises(KeyboardInterrupt), "SystemExit": raises(SystemExit),
    "GeneratorExit": raises(GeneratorExit), "a BaseException": raises(Sudden),
    "an error": raises(ValueError), "a StopIteration": raises(StopIteration),
    "a recursion": recurses, "no end": never_ends, "a wrong type": wrong,
}  # fmt: skip
BASES = {"object": object, "dict": dict, "list": list, "str": str, "int": int, "tuple": tuple}


def values():
    """Each hostile value by its name; made anew each time, for types are remembered."""
    for name in METHODS:
        for way, method in WAYS.items():
            yield f"{name}: {way}", made(object, {name: method})
    for name in PROPERTIES:
        for way in ("KeyboardInterrupt", "a BaseException", "a recursion", "no end"):
            yield f"{name} is {way}", made(object, {name: property(WAYS[way])})
    for base, cls in BASES.items():
        for way in ("KeyboardInterrupt", "a BaseException", "no end"):
            method = WAYS[way]
            hostile = dict.fromkeys(
                ("__iter__", "__len__", "__str__", "__repr__", "items", "keys", "values",
                 "__eq__", "__bool__", "__getitem__", "__contains__"), method,
            )  # fmt: skip
            yield f"a {base}: {way}", made(cls, hostile)
    yield "a metaclass", made(object, {}, Meta)


class Meta(type):
    """Whatever a class of it is asked raises."""

    def __getattribute__(cls, name):
        raise Sudden(name)


def made(base, methods, meta=type):
    cls = types.new_class(
        "Hostile", (base,), {"metaclass": meta}, lambda body: body.update(methods)
    )
    return base.__new__(cls) if base is not object else object.__new__(cls)


def exceptions():
    for name in ("__str__", "__repr__", "__getattribute__", "__reduce__", "__eq__", "__bool__"):
        for way in ("KeyboardInterrupt", "a BaseException", "a recursion", "no end"):
            if (name, way) != ("__getattribute__", "no end"):
                yield f"error {name}: {way}", failing({name: WAYS[way]})
    for name in ("args", "__cause__", "__context__", "__traceback__", "__class__", "__notes__"):
        yield f"error {name}", failing({name: property(WAYS["a BaseException"])})
    yield "error of a metaclass", failing({}, Meta)


def failing(methods, meta=type):
    return types.new_class(
        "HostileError", (Exception,), {"metaclass": meta}, lambda body: body.update(methods)
    )


def outcome(value, mode):
    """What becomes of a value as a context, alone and in containers, and as a result."""
    contexts = {"": value, "in a list": [value], "in a dict": {"k": value}, "twice": (value, value)}
    got = []
    flow = workflow()
    for context in contexts.values():
        flow.task.add(action(lambda: value), initial_context=context)
        flow.task.add(action(lambda previous_context: got.append(previous_context.storage)))
    flow.start(mode=mode, keep_going=True)
    is_same = [one is value for one in got]
    return [(task.status, said(task)) for task in flow.task.queue] + [is_same]


def failure(cls, mode):
    """What becomes of a step that raises a hostile exception."""

    def fail():
        raise cls

    flow = workflow()
    flow.task.add(action(retry=2, retry_delay=0)(fail))
    flow.task.add(action(lambda: "well"))
    flow.start(mode=mode, keep_going=True)
    return [(task.status, task.retry_count, said(task)) for task in flow.task.queue]


def said(task):
    return [(error.attempt, error.exception, error.message) for error in task.errors]


def workflow():
    return DotFlow(config=Config(log=LogDefault(output="file", path="flow.log", level="ERROR")))


def main():
    # What never ends is waited for less long than in a user's program.
    shown.PATIENCE = task_error.PATIENCE = 0.2
    from dotflow.core.children import child, result, wire

    child.PATIENCE = result.PATIENCE = wire.PATIENCE = 0.5
    mode = sys.argv[1]
    # A class that is made here cannot go to another process, and its exceptions can as text.
    for name, value in values() if mode == "sequential" else ():
        told = outcome(value, mode)
        print(json.dumps([name, told]), flush=True)  # noqa: T201 - to the one who compares
    for name, cls in exceptions():
        print(json.dumps([name, failure(cls, mode)]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
