"""Hundreds of processes killed at any moment, and nothing of what they had reported is lost."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support import command, kill_loop, mutants
from support.fault_server import TOKEN, FaultServer, reset, status
from support.truth import check_what_came, compare

from dotflow.api import ApiServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

MANY_LINES, THEIR_RECORDS = 16, 3
"""Whoever was seen to write so many lines of its diary has reported so many records at least."""

FIND_A_MUTANT = 40
"""Kills that find a planted fault, which spoils each third of some ten reports of a child. Four
find a dropped report or a reused key each time, a lost receipt in five of seven tries: ten times
four miss one once in 100,000 tries. What is sound has 60, so that there is enough to compare."""

LEAST_IN_ALL = 3
"""Records a child that are compared at least."""

LEAST = {"ended": 1, "cut": 0.4, "other": 0.2}
"""The same, by the state that they were left in."""

LEAST_OF_A_KIND = 1.5
"""The same, for the children of each kind of server."""


def execute(module, *arguments, **variables):
    """Run a program of the tests, and return what it says."""
    tests = str(Path(module.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, module.__file__, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": tests, **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    for complaint in ("raised; the workflow goes on", "The outbox failed", "could not be sent"):
        assert complaint not in done.stderr, done.stderr[-3000:]
    return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout


def kill_many(url, folder, count, first=0, kinds=kill_loop.KINDS):
    """Have children report and be killed; return how many lines each was seen to write."""
    folder.mkdir(exist_ok=True)
    seen = execute(kill_loop, url, folder, first, count, *kinds, DOTFLOW_NEXT_ID_TIMEOUT="0.1")
    return {int(index): lines for index, lines in seen.items()}


def deliver_the_rest(url):
    """One more process, which lives long enough; nothing is left, and nothing was refused."""
    variables = dict.fromkeys(("DOTFLOW_SERVER_URL", "SERVER_BASE_URL"), url)
    variables |= dict.fromkeys(("DOTFLOW_USER_TOKEN", "SERVER_USER_TOKEN"), TOKEN)
    execute(command, "outbox", "flush", "--timeout", 600, **variables)
    left = execute(command, "outbox", "status", "--json", **variables)
    assert left["dead_letters"] == []
    assert [(one["pending"], one["in_use"]) for one in left["destinations"]] == []


def check_how_many(compared, seen, kinds=kill_loop.KINDS):
    """There was enough to compare, of each child, each kind of server, and each state."""
    busy = [index for index, lines in seen.items() if lines >= MANY_LINES]
    assert len(busy) > len(seen) / 4
    for index in busy:
        assert compared.children[index] >= THEIR_RECORDS, f"{index}: {compared.children[index]}"
    assert compared.total > LEAST_IN_ALL * len(seen)
    for kind in kinds:
        assert compared.kinds[kind] > LEAST_OF_A_KIND * len(seen) / len(kinds), compared.kinds
    for state, least in LEAST.items():
        assert compared.states[state] > least * len(seen), compared.states


def erratic(api, rate):
    """Take what comes, but now and then fail: before, after, or instead of an answer."""
    faults = [
        status(500), status(503), status(429), status(502, effect=True), reset(),
        reset(effect=True),
    ]  # fmt: skip

    def fault(handler, seen):
        _make_managed(api, seen)
        if random.random() < rate:
            random.choice(faults)(handler, seen)
        else:
            handler.answer(*api.apply(seen), {})

    return fault


def _make_managed(api, seen):
    """Somebody else has made the record of a managed workflow."""
    found = re.match(r"/workflows/(managed[^/]*)", seen.path)
    if found:
        with api._lock:
            api.workflows.setdefault(found[1], {"id": found[1], "status": "New"})


def _loop(tmp_path, rounds, count):
    api = FaultServer()
    folder = tmp_path / "diaries"
    seen = {}

    def read(workflow, task):
        return api.workflows.get(workflow) if task is None else api.tasks.get((workflow, task))

    try:
        for number in range(rounds):
            api.on(".", erratic(api, 0.1))
            seen |= kill_many(api.url, folder, count, number * count)
            api.well()
            api.on(".", erratic(api, 0))
            deliver_the_rest(api.url)
            api.well()
        assert len(seen) == rounds * count
        compared = compare(folder, read)
        came = check_what_came(api)
        check_how_many(compared, seen)
        assert came >= compared.total
    finally:
        api.close()


@pytest.mark.skipif(
    mutants.VARIABLE not in os.environ, reason="the next one does more; tests/mutants runs this one"
)
def test_few_kills_lose_double_and_reorder_nothing(tmp_path):
    """A short loop, which is enough to find a planted fault."""
    _loop(tmp_path, 1, FIND_A_MUTANT if os.environ[mutants.VARIABLE] else 60)


def test_200_kills_lose_double_and_reorder_nothing(tmp_path):
    """What the program had seen happen is at dotflow-api in the end, once, as it was."""
    _loop(tmp_path, 1, 200)


@pytest.mark.soak
def test_5000_kills_lose_double_and_reorder_nothing(tmp_path):
    """The same for longer, with many that deliver what others have left."""
    _loop(tmp_path, 20, 250)


def test_kills_with_the_real_api(tmp_path):
    """The same with dotflow-api itself, on SQLite."""
    kinds = ("default", "otel")
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api, requests.Session() as session:
        seen = kill_many(api.url, tmp_path / "diaries", 60, kinds=kinds)
        deliver_the_rest(api.url)
        session.headers["X-User-Token"] = TOKEN

        def read(workflow, task):
            path = f"{api.url}/workflows/{workflow}"
            if task is None:
                return session.get(path).json()
            answer = session.get(f"{path}/tasks/{task}")
            return answer.json() if answer.ok else None

        check_how_many(compare(tmp_path / "diaries", read), seen, kinds)
