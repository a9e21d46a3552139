"""Python's last looks through all objects are left out only where no program can tell."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
from support.fault_server import TOKEN, FaultServer
from support.otlp import OtlpReceiver

SPARED = """
import gc, json, os, sys, weakref
from dotflow.process import last_look

class Held:
    def __init__(self, *held):
        self.held, self.itself = held, self

class Last:
    def __del__(self):
        print("gone")

def steps():
    yield 1
    yield 2

def begun():
    found = steps()
    next(found)
    return found

def ended():
    found = steps()
    list(found)
    return found

class Odd(__import__("io").IOBase):
    @property
    def closed(self):
        raise RuntimeError("odd")

    def close(self):
        pass

    __del__ = close

def lazy():
    from importlib.util import LazyLoader, find_spec, module_from_spec
    spec = find_spec("this")  # which prints when it is loaded
    spec.loader = LazyLoader(spec.loader)
    sys.modules["this"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)

def foreign():
    sys.modules["foreign"] = type(sys)("foreign")
    spec = __import__("_json").__spec__
    sys.modules["foreign"].__spec__ = type(spec)("foreign", ForeignLoader("foreign", "foreign.so"))

from importlib.machinery import ExtensionFileLoader as ForeignLoader

def closed():
    with open(sys.argv[1], "w") as file:
        return file

CASES = {
    "nothing": lambda: None,
    "plain": lambda: Held(),
    "finalizer": lambda: Held(Last()),
    "open file": lambda: Held(open(sys.argv[1], "w")),
    "bytes": lambda: Held(open(sys.argv[1], "wb")),
    "closed file": lambda: Held(closed()),
    "begun generator": lambda: Held(begun()),
    "ended generator": lambda: Held(ended()),
    "socket": lambda: Held(__import__("socket").socket()),
    "watched": lambda: [held := Held(), weakref.ref(held, lambda _: print("gone"))],
    "weak": lambda: [held := Held(), weakref.ref(held), weakref.WeakSet([held])],
    "foreign code": foreign,
    "odd file": lambda: Held(Odd()),
    "lazy module": lazy,
    "switched off": gc.disable,
    "followed": lambda: gc.callbacks.append(lambda *_: None),
    "debugged": lambda: gc.set_debug(gc.DEBUG_UNCOLLECTABLE),
}
for name, make in CASES.items():
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        kept, before = make(), gc.get_freeze_count()  # of Python's own there may be some
        last_look.spare()
        os.write(writer, str(gc.get_freeze_count() > before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    print(json.dumps([name, os.read(reader, 10).decode() == "True"]))
    os.close(reader), os.close(writer)
"""

UNNOTICED = {"nothing", "plain", "closed file", "ended generator", "weak", "lazy module"}


def test_only_what_does_nothing_at_its_end_is_spared(tmp_path):
    """Files, finalizers, generators, sockets and who watches: with one of them all is as ever."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", SPARED, tmp_path / "file"], capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert "Zen" not in done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    spared = dict(json.loads(line) for line in done.stdout.splitlines())
    assert len(spared) > len(UNNOTICED)
    assert {name for name, is_spared in spared.items() if is_spared} == UNNOTICED, done.stderr


REPORTS = """
import atexit, gc
before = gc.get_freeze_count()
atexit.register(lambda: print(f"frozen {gc.get_freeze_count() > before}"))
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel

class Held:
    def __init__(self, *held):
        self.held, self.itself = held, self

@action
def step():
    return 1

workflow = DotFlow(config=Config(server=ServerOtel()))
workflow.task.add(step)
workflow.start()
"""


@pytest.fixture
def servers(monkeypatch):
    """A dotflow-api and an OTLP endpoint, which the environment names."""
    api = FaultServer()
    with OtlpReceiver() as otlp:
        monkeypatch.setenv("DOTFLOW_SERVER_URL", api.url)
        monkeypatch.setenv("DOTFLOW_USER_TOKEN", TOKEN)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
        yield api, otlp
    api.close()


@pytest.mark.slow
@pytest.mark.parametrize("has_file", [False, True])
def test_a_file_that_a_program_leaves_open_in_a_cycle_is_written(servers, tmp_path, has_file):
    """All is delivered; the objects of the program are spared unless there is such a file."""
    path = tmp_path / "written"
    body = f"""
        held = Held(open({str(path)!r}, "w"))
        held.held[0].write("all of it")
    """
    done = subprocess.run(
        [sys.executable, "-c", REPORTS + textwrap.dedent(body if has_file else "")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert f"frozen {not has_file}" in done.stdout, done.stderr
    assert not has_file or path.read_text() == "all of it"
    api, otlp = servers
    assert len(otlp.spans) == 2
    assert [one["status"] for one in api.workflows.values()] == ["Completed"]
