"""What the tests of the command line share: modules to run, a dotflow-api, and processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import requests

from dotflow.api import ApiServer
from dotflow.cli.setup import Command

TOKEN = "t"
MAIN = "from dotflow.main import main; main()"

STEPS = '''
import os, sys, time
from pathlib import Path
from dotflow import Config, DotFlow, action

def note(name):
    Path(f"{name}.{os.getpid()}").touch()

def callback(task):
    Path("called").write_text(f"{task.task_id} {task.status}")

@action
def extract(initial_context):
    note("extract")
    return {"got": initial_context.storage}

@action
def total(previous_context):
    print("totalling")
    return len(previous_context.storage or "")

@action
def fail():
    raise ValueError("no luck\\nat all")

@action
def flaky():
    if not Path("mended").exists():
        raise ValueError("not yet")
    return "mended"

@action
def slow():
    note("slow")
    time.sleep(600)

@action(timeout=500)
def slow_in_time():
    note("slow")
    time.sleep(600)

@action(retry=5)
def stubborn():
    note("slow")
    time.sleep(600)

@action
async def slow_coroutine():
    import asyncio
    note("slow")
    await asyncio.sleep(600)

@action
def pool():
    """What multiprocessing does to its workers: SIGTERM, and wait for them."""
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(1) as workers:
        return workers.map(abs, [-1])[0]

plain = len
not_callable = 5

def pipeline():
    flow = DotFlow(name="pipeline")
    flow.task.add(extract, initial_context="abc").add(total)
    return flow

def failing():
    flow = DotFlow(name="failing")
    flow.task.add([extract, fail, total])
    return flow

def resumable():
    from dotflow.providers import StorageFile
    flow = DotFlow(config=Config(storage=StorageFile(path="kept")))
    flow.task.add([extract, flaky])
    return flow

def slow_flow():
    flow = DotFlow(name="slow")
    flow.task.add([extract, slow, total])
    return flow

def slow_in_time_flow():
    flow = DotFlow(name="slow")
    flow.task.add([extract, slow_in_time, total])
    return flow

def stubborn_flow():
    flow = DotFlow(name="slow")
    flow.task.add([extract, stubborn, total])
    return flow

def coroutine_flow():
    flow = DotFlow(name="slow")
    flow.task.add([extract, slow_coroutine, total])
    return flow

def groups():
    flow = DotFlow(name="slow")
    flow.task.add([slow, total], group_name="one").add([slow, total], group_name="two")
    return flow

def two_slow():
    flow = DotFlow(name="slow")
    flow.task.add([slow, slow])
    return flow

def pooled(pool):
    flow = DotFlow(name="slow", config=Config(executor=pool))
    flow.task.add([slow, slow, total])
    return flow

def in_threads():
    from concurrent.futures import ThreadPoolExecutor
    return pooled(ThreadPoolExecutor(2))

def in_processes():
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    return pooled(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")))

def needs_an_argument(name):
    return DotFlow()

def gives_five():
    return 5

def starts_it():
    started = DotFlow()
    started.task.add(step=extract)
    started.start()
    return started

def broken():
    raise RuntimeError("from the factory")
'''


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A module `steps_of_a_user` in the current folder, imported anew by each test."""
    (tmp_path / "steps_of_a_user.py").write_text(STEPS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "steps_of_a_user"
    sys.modules.pop("steps_of_a_user", None)


@pytest.fixture
def command(steps, monkeypatch):
    """Runs `dotflow WORDS` in this process; `{}` stands for the module. The exit status."""
    monkeypatch.setenv("DOTFLOW_SERVER", "")  # so that what the command sets is taken back

    def run(*words):
        return Command([word.replace("{}", steps) for word in words]).run()

    return run


class Api:
    """A dotflow-api, and what it has."""

    def __init__(self, server):
        self.server = server
        self.url = server.url
        self.session = requests.Session()
        self.session.headers["X-User-Token"] = TOKEN

    def get(self, path):
        answer = self.session.get(f"{self.url}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def make(self, workflow):
        body = {"id": workflow, "name": "made by somebody else"}
        self.session.post(f"{self.url}/workflows", json=body, timeout=30).raise_for_status()

    def workflows(self):
        return self.get("/workflows")["workflows"]

    def tasks(self, workflow=None):
        if workflow is None:
            (workflow,) = [one["id"] for one in self.workflows()]
        return self.get(f"/workflows/{workflow}/tasks?include=contexts")["tasks"]

    def statuses(self, workflow=None):
        return [(task["task_id"], task["name"], task["status"]) for task in self.tasks(workflow)]


@pytest.fixture
def api(tmp_path, monkeypatch):
    """A real dotflow-api; `default_dialect` and `managed_dialect` point to it."""
    with ApiServer(f"sqlite:///{tmp_path}/records.db", TOKEN) as server:
        made = Api(server)
        with made.session:
            yield made


@pytest.fixture
def default_dialect(api, monkeypatch):
    monkeypatch.setenv("DOTFLOW_SERVER_URL", api.url)
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", TOKEN)
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "30")
    return api


@pytest.fixture
def managed_dialect(api, monkeypatch):
    monkeypatch.setenv("SERVER_BASE_URL", api.url)
    monkeypatch.setenv("SERVER_USER_TOKEN", TOKEN)
    monkeypatch.setenv("WORKFLOW_ID", "orders")
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "30")
    api.make("orders")
    return api


@pytest.fixture
def spawn(steps):
    """Starts `dotflow WORDS` in a process of its own."""
    started = []

    def start(*words, **options):
        words = [word.replace("{}", steps) for word in words]
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *words], text=True, env=dict(os.environ), **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
