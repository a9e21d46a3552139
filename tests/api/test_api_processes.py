"""`dotflow api --workers 3` on PostgreSQL, as people start it, with and without a proxy."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import requests
from api_client import TOKEN, Api, postgres_url
from typing_extensions import Self

PROXY = Path(__file__).parents[1] / "page" / "page_proxy.py"
DOTFLOW = Path(sys.executable).with_name("dotflow")
WORKERS = 3
DEADLINE = 60


@dataclass
class Program:
    """A program that says on its first line where it serves."""

    command: list[Any]
    environment: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [str(one) for one in self.command],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://[\w.:/-]+\w", self.process.stdout.readline())
        assert found
        self.url = found[0]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def workers(self) -> set[int]:
        pid = self.process.pid
        return {
            int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        }


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with serving() as running:
        yield running


def serving(workers: int = WORKERS) -> Program:
    command = [DOTFLOW, "api", "--port", 0, "--workers", workers, "--behind-proxy"]
    return Program([*command, "--database", postgres_url()], {"DOTFLOW_API_TOKEN": TOKEN})


@pytest.fixture
def connect(program: Program) -> Iterator[Callable[[], Api]]:
    """Gives clients, each with a connection of its own: one worker answers all its calls."""
    with ExitStack() as clients:

        def new() -> Api:
            client: Any = Api(SimpleNamespace(url=program.url))  # type: ignore[arg-type]
            clients.enter_context(client.session)
            return client  # type: ignore[no-any-return]

        yield new


def wait_for(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def sockets(pid: int) -> int:
    links = [one.readlink() for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()]
    return sum(str(one).startswith("socket:") for one in links)


def test_every_worker_serves(program: Program, connect: Callable[[], Api]) -> None:
    """Connections are shared out: none of them stays without."""
    before = {pid: sockets(pid) for pid in program.workers()}
    assert len(before) == WORKERS

    def all_have_more() -> bool:
        assert connect().get("/workflows?limit=1").ok
        return all(sockets(pid) > number for pid, number in before.items())

    wait_for(all_have_more)


def test_a_message_counts_once_whoever_gets_it(connect: Callable[[], Api]) -> None:
    """The same message at many connections at once is applied once, and answered alike."""
    clients = [connect() for _ in range(12)]
    run, key = uuid4().hex, uuid4().hex
    task = {"id": 1, "name": "step", "status": "In progress"}
    paths = {"/workflows": {"id": run}, f"/workflows/{run}/tasks": task}
    items = [
        {"method": "POST", "path": path, "idempotency_key": key + path, "body": body}
        for path, body in paths.items()
    ]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = [*pool.map(lambda one: one.post("/bulk", {"items": items}).json(), clients)]
        assert [[item["status"] for item in one["items"]] for one in answers] == [[201, 201]] * 12
        assert len({str(one) for one in answers}) == 1
        path = f"/workflows/{run}/tasks/1"
        done = {"status": "Completed"}
        patched = [*pool.map(lambda one: one.patch(path, done, key), clients)]
    assert {one.status_code for one in patched} == {200}
    assert clients[0].get(f"/workflows/{run}").json()["counts"] == {"Completed": 1}


def test_who_listens_hears_of_what_any_worker_does(connect: Callable[[], Api]) -> None:
    """A change and a deletion are told by all of them, whichever made it."""
    run = uuid4().hex
    answers = [
        connect().call("GET", f"/events?workflow_id={run}", stream=True) for _ in range(2 * WORKERS)
    ]
    lines = [answer.iter_lines(chunk_size=1) for answer in answers]

    def all_hear() -> None:
        for one in lines:
            assert next(line for line in one if line.startswith(b"data")) == (
                b'data: {"workflow_id": "%s"}' % run.encode()
            )

    path = connect().workflow(id=run)
    all_hear()
    assert connect().call("DELETE", path).status_code == 204
    all_hear()
    for answer in answers:
        answer.close()


def test_whoever_is_let_out_behind_a_proxy_is_out_of_all(program: Program) -> None:
    """People log in and out below the proxy's path; no worker takes the cookie after that."""
    with Program([sys.executable, PROXY, program.url, "/flow"]) as proxy:
        page = requests.Session()
        page.headers.update({"Origin": proxy.url.removesuffix("/flow"), "Accept": "text/html"})
        with page:
            answer = page.post(f"{proxy.url}/login", data={"token": TOKEN}, timeout=DEADLINE)
            assert (answer.status_code, "Log out" in answer.text) == (200, True)
            cookies = dict(page.cookies)
            for _ in range(WORKERS):
                seen = page.get(f"{proxy.url}/workflows", timeout=DEADLINE)
                assert seen.status_code == 200
            page.post(f"{proxy.url}/logout", timeout=DEADLINE)
        for _ in range(4 * WORKERS):
            refused = requests.get(f"{proxy.url}/workflows", cookies=cookies, timeout=DEADLINE)
            assert refused.status_code == 401


def test_a_worker_that_is_killed_costs_nothing(
    program: Program, connect: Callable[[], Api]
) -> None:
    """Another takes its place; clients repeat what was under way, and each task is there once."""
    before = program.workers()
    run = connect().workflow()
    over = threading.Event()

    def report(number: int) -> int:
        client = connect()
        done = 0
        while not over.is_set() or not done:
            body = {"id": 100_000 * number + done, "name": "step", "status": "Completed"}
            key = uuid4().hex
            while True:
                try:
                    assert client.post(f"{run}/tasks", body, key).status_code == 201
                    break
                except requests.ConnectionError:
                    pass
            done += 1
        return done

    with ThreadPoolExecutor(6) as pool:
        working = [pool.submit(report, number) for number in range(6)]
        for replaced, victim in enumerate([*before][:2]):
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda wanted=replaced + 1: len(program.workers() - before) == wanted)
        over.set()
        wanted = sum(one.result(DEADLINE) for one in working)
    assert len(program.workers() & before) == WORKERS - 2
    assert connect().get(run).json()["counts"] == {"Completed": wanted}


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_first_process(kind: signal.Signals) -> None:
    """However that ends, its address is free after."""
    with serving(2) as program:
        workers = program.workers()
        assert len(workers) == 2
        program.process.send_signal(kind)
        assert program.process.wait(DEADLINE) == -kind
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        with pytest.raises(requests.ConnectionError):
            requests.get(program.url, timeout=DEADLINE)
