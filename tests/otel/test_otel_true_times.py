"""When runs, tasks and attempts began and ended is known to dotflow-api by the run's own clock."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

import pytest
import requests
from support.processes import dies

from dotflow import DotFlow, action
from dotflow.api import ApiServer
from dotflow.main import main
from dotflow.providers import ServerAPI, ServerDefault, StorageFile

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-the-tests"
WID = "orders/11"
tries = []


@action
def one():
    return 1


@action(retry=3, retry_delay=0.01)
def third_time():
    tries.append(1)
    if len(tries) % 3:
        raise ConnectionError("not yet")
    return len(tries)


@action
def breaks(initial_context):
    if initial_context.storage:
        raise KeyError("no such order")


def get(api, path=""):
    url = f"{api.url}/workflows/orders%2F11{path}"
    answer = requests.get(url, headers={"X-User-Token": TOKEN}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def spans(api):
    """The spans that the pages of the tasks name."""
    found = []
    for number in (1, 2, 3):
        url = f"{api.url}/runs/orders%2F11/tasks/{number}"
        page = requests.get(url, headers={"X-User-Token": TOKEN}, timeout=60).text
        found += re.findall("<dt>Span</dt><dd><code>([0-9a-f]{16})</code>", page)
    return found


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def now():
    return datetime.now(timezone.utc)


class Away:
    """Where a dotflow-api will be."""

    def __init__(self, tmp_path):
        self.database = f"sqlite:///{tmp_path}/api.db"
        with ApiServer(self.database, TOKEN) as api:
            self.url = api.url
            headers = {"X-User-Token": TOKEN}
            self.make = lambda url: requests.post(
                f"{url}/workflows", json={"id": WID}, headers=headers, timeout=60
            )

    def back(self):
        return ApiServer(self.database, TOKEN, port=int(self.url.rpartition(":")[2]))


def made(kind, url, servers):
    if kind == "otel":
        return servers(url, TOKEN)
    return (ServerDefault if kind == "default" else ServerAPI)(url, TOKEN)


def run(config, broken, resume=False):
    flow = DotFlow(config=config, workflow_id=WID, name="orders")
    flow.task.add(one)
    flow.task.add(third_time)
    flow.task.add(breaks, initial_context=broken)
    flow.start(resume=resume)


@pytest.mark.parametrize("kind", ["otel", "default", "managed"])
def test_times_are_the_runs_own(kind, tmp_path, servers, quiet, monkeypatch):
    """Also where the server was away: reports that were merged, retries, a resumed run."""
    away = Away(tmp_path)
    monkeypatch.setenv("DOTFLOW_NEXT_ID_TIMEOUT", "0.1")
    if kind == "managed":
        with away.back() as api:
            assert away.make(api.url).status_code == 201
    server = made(kind, away.url, servers)
    config = quiet(server, storage=StorageFile(path=tmp_path / "kept"))
    began = now()
    run(config, broken=True)
    ended = now()
    time.sleep(0.05)
    with away.back() as api:
        assert server.flush(60).complete
        first, before, places = get(api), get(api, "/tasks")["tasks"], spans(api)
        run(config, broken=False, resume=True)
        assert server.flush(60).complete
        second, after, later = get(api), get(api, "/tasks")["tasks"], spans(api)
    server.close(60)

    assert began <= at(first["started_at"]) <= at(first["finished_at"]) <= ended
    assert first["status"] == "Failed"
    assert second["started_at"] == first["started_at"]
    assert at(second["finished_at"]) > ended
    assert [one["status"] for one in second["openings"]] == ["Failed", "Completed"]
    assert second["openings"][0]["finished_at"] == first["finished_at"]
    for task in before:
        assert began <= at(task["started_at"]) <= at(task["finished_at"]) <= ended
    retried = before[1]
    flat = [at(moment) for pair in retried["attempts"] for moment in pair]
    assert len(flat) == 6
    assert flat == sorted(flat)
    assert at(retried["started_at"]) <= flat[0] <= flat[-1] <= at(retried["finished_at"])
    # What was restored keeps the times of the run that did the work; what ran again has new ones.
    said = ("started_at", "finished_at", "attempts")
    assert [[task[name] for name in said] for task in after[:2]] == [
        [task[name] for name in said] for task in before[:2]
    ]
    assert at(after[2]["started_at"]) > ended
    assert (len(places), later[:2]) == ((3, places[:2]) if kind == "otel" else (0, []))
    assert not later or later[2] != places[2]


@pytest.mark.parametrize("kind", ["otel", "default"])
def test_a_killed_run_ends_when_it_was_last_alive(kind, tmp_path, servers, quiet, monkeypatch):
    """Its end is told by another process, with the times of the one that died."""
    away = Away(tmp_path)

    def work(say):
        @action
        def hangs():
            say()
            time.sleep(600)

        flow = DotFlow(config=quiet(made(kind, away.url, servers)), workflow_id=WID, name="orders")
        flow.task.add(one)
        flow.task.add(hangs)
        flow.start()

    began = now()
    dies(work, after=1)
    ended = now()
    with away.back() as api:
        monkeypatch.setenv("DOTFLOW_SERVER_URL", api.url)
        monkeypatch.setenv("DOTFLOW_USER_TOKEN", TOKEN)
        monkeypatch.setattr("sys.argv", ["dotflow", "outbox", "flush", "--timeout", "60"])
        with pytest.raises(SystemExit) as over:
            main()
        record, tasks = get(api), get(api, "/tasks")["tasks"]
    assert not over.value.code
    assert record["status"] == "Failed"
    for said in (record, *tasks):
        assert began <= at(said["started_at"]) <= at(said["finished_at"]) <= ended
    assert record["openings"][0]["finished_at"] == record["finished_at"]
