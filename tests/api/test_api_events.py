"""Whoever listens is told which runs change, whoever changes them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
from api_client import TOKEN, Api, faults

from dotflow.api import ApiServer, events
from dotflow.api.database import open_engine
from dotflow.api.events import Changes, Listener
from dotflow.api.store import Store

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Ear:
    """What one listener is sent."""

    def __init__(self, answer: requests.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines(chunk_size=1)

    def heard(self) -> str | None:
        """Waits for the next event."""
        assert next(line for line in self._lines if line.startswith(b"event")) == b"event: changed"
        said: dict[str, str | None] = json.loads(next(self._lines).removeprefix(b"data: "))
        assert set(said) == {"workflow_id"}
        return said["workflow_id"]

    def wait_for(self, run: str) -> None:
        while self.heard() != run:
            pass


@contextmanager
def listening(api: Api, **asked: Any) -> Iterator[Ear]:
    answer = api.call("GET", "/events", params=asked, stream=True)
    with answer:
        assert answer.status_code == 200
        yield Ear(answer)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(events, "_IDLE_SECONDS", 0.1)


def test_whoever_listens_hears_of_every_change(api: Api, database: str) -> None:
    """A run is told when it is made, changed, has a new task, is written elsewhere, or deleted."""
    with listening(api) as ear:
        assert ear.answer.headers["Content-Type"].startswith("text/event-stream")
        assert ear.answer.headers["Cache-Control"] == "no-store"
        path = api.workflow(id='a/b "%')
        ear.wait_for('a/b "%')
        task = api.task(path)
        ear.wait_for('a/b "%')
        assert api.patch(task, {"status": "Completed"}).ok
        ear.wait_for('a/b "%')
        other = Store(open_engine(database))  # as another process would
        with other.writing() as writing:
            writing.add_workflow({"id": "elsewhere", "status": "New", "tasks": "[]"})
        ear.wait_for("elsewhere")
        assert api.call("DELETE", path).status_code == 204
        ear.wait_for('a/b "%')
        with other.writing() as writing:
            writing.delete_workflow("elsewhere")
        other.close()
        ear.wait_for("elsewhere")


def test_listener_of_one_run_hears_of_no_other(api: Api) -> None:
    """It may listen before the run begins."""
    with listening(api, workflow_id="late") as ear, listening(api) as other:
        early = api.workflow(id="early")
        other.wait_for("early")
        late = api.workflow(id="late")
        assert ear.heard() == "late"
    for path in (early, late):
        api.call("DELETE", path)


def test_listeners_are_let_in_like_all_others(
    api: Api, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener needs the token, asks for what there is, and finds a place."""
    url = f"{server.url}/events"
    assert requests.get(url, timeout=60, stream=True).status_code == 401
    assert faults(api.get("/events?workflow=x")) == [["query", "workflow"]]
    monkeypatch.setattr(events, "MAX_LISTENERS", 1)
    with listening(api):
        refused = api.get("/events")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
    while (answer := api.call("GET", "/events", stream=True)).status_code == 503:
        time.sleep(0.05)
    answer.close()


def test_server_that_stops_ends_its_streams(sqlite_url: str) -> None:
    """The stream has an end, as a stream that was cut off has not."""
    with ApiServer(sqlite_url, TOKEN) as server:
        api = Api(server)
        answer = api.call("GET", "/events", stream=True)
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines) == b"retry: 2000"
    assert not [line for line in lines if line.startswith(b"event")]
    api.session.close()


def test_slow_listener_costs_little() -> None:
    """A run waits once for a client; of very many, none is named."""
    listener, of_one = Listener(None), Listener("7")
    for _ in range(3):
        listener.tell(["1", "2"])
    assert list(listener._waiting) == ["1", "2"]
    for one in (listener, of_one):
        one.tell([str(number) for number in range(2000)])
    assert list(listener._waiting) == [None]
    assert list(of_one._waiting) == ["7"]


def test_change_behind_a_later_one_is_told_in_the_end() -> None:
    """What was told is told anew where it changed, and once more where it has become quiet."""
    changes = Changes(lambda _since, _limit: [])
    assert changes._news({"1": NOW, "2": NOW}) == ["1", "2"]
    assert changes._news({"1": NOW, "2": NOW.replace(second=1)}) == ["2"]
    assert changes._news({"2": NOW.replace(second=1)}) == ["1"]
    assert changes._news({}) == ["2"]
    assert changes._news({}) == []
