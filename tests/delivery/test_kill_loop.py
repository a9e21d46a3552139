"""Hundreds of processes killed at any moment, and nothing of what they had reported is lost."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support import kill_loop
from support.fault_server import TOKEN, FaultServer, reset, status
from support.truth import compare

from dotflow.api import ApiServer
from dotflow.delivery import dead_letters
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay import Relay
from dotflow.delivery.survey import survey

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

FINAL = ("Completed", "Failed")


def kill_many(url, folder, count, first=0, kinds=kill_loop.KINDS):
    """Have children report and be killed."""
    folder.mkdir(exist_ok=True)
    environment = {
        **os.environ, "PYTHONPATH": str(Path(kill_loop.__file__).parent.parent),
        "DOTFLOW_NEXT_ID_TIMEOUT": "0.1",
    }  # fmt: skip
    script = [sys.executable, kill_loop.__file__, url, str(folder), str(first), str(count)]
    script += kinds
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for complaint in ("raised; the workflow goes on", "The outbox failed", "could not be sent"):
        assert complaint not in done.stderr, done.stderr[-3000:]


def deliver_the_rest(url):
    """One more process, which lives long enough."""
    for dialect in Dialect:
        destination = Destination(url, TOKEN, dialect)
        relay = Relay(Outbox(outbox_name(destination)), Client(destination))
        try:
            relay.adopt()
            counts = relay.flush(60)
        finally:
            relay.close(0)
        assert counts.pending == 0
    assert [one.reason for one in dead_letters.all_letters()] == []
    assert [(one.pending, one.is_owned) for one in survey()] == []


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


def check_what_came(api):
    """Nothing under two keys, no key for two, no way back from an end, no PATCH before its POST."""
    by_key, by_body = {}, {}
    for seen in api.seen:
        is_whole = len(seen.raw) == int(seen.headers.get("content-length", 0))
        if is_whole and seen.method != "GET":
            what = (seen.line, seen.raw)
            assert by_key.setdefault(seen.key, what) == what, "a key for two messages"
            # What was held for the case of its process's death may be put a second time by then.
            if not (seen.method == "POST" and "managed" in seen.path):
                assert by_body.setdefault(what, seen.key) == seen.key, f"under two keys: {what}"
    for history in api.history.values():
        last = {}
        for line in history:
            method, name, new = re.fullmatch(r"(\w+) (workflow|task \d+) (.*)", line).groups()
            assert last.get(name) not in FINAL, history
            assert method == "POST" or name in last or name == "workflow", history
            last[name] = new


def _loop(tmp_path, rounds, count):
    api = FaultServer()
    folder = tmp_path / "journals"

    def read(workflow, task):
        return api.workflows.get(workflow) if task is None else api.tasks.get((workflow, task))

    try:
        for number in range(rounds):
            api.on(".", erratic(api, 0.1))
            kill_many(api.url, folder, count, number * count)
            api.well()
            api.on(".", erratic(api, 0))
            deliver_the_rest(api.url)
            api.well()
        assert compare(folder, read) > rounds * count / 4
        check_what_came(api)
    finally:
        api.close()


def test_200_kills_lose_double_and_reorder_nothing(tmp_path):
    """What a Server method had returned of is at dotflow-api in the end, once, as it was."""
    _loop(tmp_path, 1, 200)


@pytest.mark.soak
def test_5000_kills_lose_double_and_reorder_nothing(tmp_path):
    """The same for longer, with many that deliver what others have left."""
    _loop(tmp_path, 20, 250)


def test_kills_with_the_real_api(tmp_path):
    """The same with dotflow-api itself, on SQLite."""
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        kill_many(api.url, tmp_path / "journals", 40, kinds=("default", "otel"))
        deliver_the_rest(api.url)
        session = requests.Session()
        session.headers["X-User-Token"] = TOKEN

        def read(workflow, task):
            path = f"{api.url}/workflows/{workflow}"
            if task is None:
                return session.get(path).json()
            tasks = session.get(f"{path}/tasks").json()["tasks"]
            return next((one for one in tasks if one["task_id"] == task), None)

        assert compare(tmp_path / "journals", read)
        session.close()
