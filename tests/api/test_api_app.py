from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests
from api_client import TOKEN
from sqlalchemy.exc import OperationalError

from dotflow.api import ApiServer, create_app
from dotflow.api.reading import Reading
from dotflow.api.store import Store

PLAN = [{"id": 1, "name": "a", "group_name": "g"}, {"id": 7, "name": "b", "group_name": "g"}]
ERROR = {"attempt": 1, "exception": "ValueError", "message": "no\0", "traceback": "Traceback …"}


def test_workflow_record_is_what_was_posted(api: Any) -> None:
    """A workflow's record holds what its POST said, and two moments of the server's clock."""
    body = {"id": uuid4().hex, "name": "etl", "mode": "parallel", "trace_id": "0af7" * 8}
    body = {**body, "status": "In progress", "tasks": PLAN}
    answer = api.post("/workflows", body)
    assert (answer.status_code, answer.json()) == (201, {"id": body["id"]})
    record = api.get(f"/workflows/{body['id']}").json()
    created = datetime.fromisoformat(record.pop("created_at").replace("Z", "+00:00"))
    assert abs(datetime.now(timezone.utc) - created) < timedelta(minutes=1)
    assert record.pop("updated_at").endswith("Z")
    opening = record.pop("openings")[0]
    assert opening.pop("created_at")
    times = {"started_at": None, "finished_at": None}
    assert opening == {"run": None, "status": "In progress", **times}
    assert record == {
        **body, "duration": None, "planned": len(PLAN), "counts": {}, "opened": 1, **times,
    }  # fmt: skip


def test_workflow_starts_as_new_with_an_empty_plan(api: Any) -> None:
    """A POST needs an id alone."""
    record = api.get(api.workflow()).json()
    assert (record["status"], record["tasks"], record["name"]) == ("New", [], None)


def test_workflow_patch_sets_what_it_names(api: Any) -> None:
    """A PATCH answers with the record; what it does not name stays as it was."""
    path = api.workflow(name="etl", tasks=PLAN)
    record = api.patch(path, {"status": "Completed", "duration": 1.5}).json()
    assert (record["status"], record["duration"]) == ("Completed", 1.5)
    assert (record["name"], record["planned"], "tasks" in record) == ("etl", len(PLAN), False)
    assert api.get(path).json()["tasks"] == PLAN
    assert record["updated_at"] > record["created_at"]
    again = api.patch(path, {"status": "In progress", "name": None, "mode": "sequential"})
    assert again.status_code == 200
    assert (again.json()["status"], again.json()["name"]) == ("In progress", None)


def test_task_post_answers_both_ids(api: Any) -> None:
    """Two workflows may number alike; the server's own ids are all different."""
    answers = [
        api.post(f"{api.workflow()}/tasks", {"id": 1, "name": "step"}).json() for _ in range(2)
    ]
    assert [answer["task_id"] for answer in answers] == [1, 1]
    assert answers[0]["id"] != answers[1]["id"]
    assert set(answers[0]) == {"id", "task_id", "workflow_id"}


def test_workflow_can_be_deleted(api: Any) -> None:
    """A DELETE takes a workflow and its tasks, and no others; both headers let one in."""
    path, other = api.workflow(name="etl"), api.workflow()
    task, kept = api.task(path), api.task(other)
    key = uuid4().hex
    added = {"id": 2, "name": "step"}
    assert api.post(f"{path}/tasks", added, key).status_code == 201
    assert requests.delete(api.server.url + path, timeout=60).status_code == 401
    answer = requests.delete(
        api.server.url + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
    )
    assert (answer.status_code, answer.content) == (204, b"")
    for method, gone, body in (
        ("GET", path, None), ("PATCH", path, {"status": "Completed"}), ("DELETE", path, None),
        ("PATCH", task, {"status": "Completed"}), ("POST", f"{path}/tasks", added),
    ):  # fmt: skip
        assert api.call(method, gone, json=body).status_code == 404
    assert api.patch(kept, {"status": "Completed"}).status_code == 200
    assert len(api.get(f"{other}/tasks").json()["tasks"]) == 1
    strange = api.workflow(id="a/b %2F 🚲")
    assert api.call("DELETE", strange).status_code == 204


@pytest.mark.parametrize("dialect", ["default", "managed"])
def test_task_patch_sets_all_seven_fields(api: Any, dialect: str) -> None:
    """Either dialect sets the seven fields of a task, contexts as JSON values."""
    workflow = api.workflow()
    path = api.task(workflow, 5, initial_context=[1, "\0", None])
    changes = {
        "status": "Failed",
        "duration": 0.25,
        "retry_count": 2,
        "errors": [ERROR, {**ERROR, "attempt": None}],
        "initial_context": {"a": [1.5, None, True]},
        "current_context": "Zürich 🚲 \0",
        "previous_context": [[], {}],
    }
    answer = api.patch(path if dialect == "default" else f"{workflow}/tasks/5", changes)
    assert answer.status_code == 200
    record = answer.json()
    whole = api.get(path).json()
    assert {name: whole[name] for name in changes} == changes
    assert {name: whole[name] for name in record} == record
    assert set(whole) - set(record) == {name for name in changes if name.endswith("_context")}
    assert api.get(f"{workflow}/tasks/5").json() == whole
    assert api.get(f"{workflow}/tasks").json() == {"tasks": [record], "next": None}
    asked = api.get(f"{workflow}/tasks?include=contexts").json()
    assert asked == {"tasks": [whole], "next": None}
    assert (record["task_id"], record["name"], record["group_name"]) == (5, "step", "default")


def test_posted_task_has_defaults(api: Any) -> None:
    """A task that was only posted is not started, with no errors and empty contexts."""
    workflow = api.workflow()
    record = api.get(api.task(workflow, 2**63 - 1, initial_context=10**30)).json()
    assert (record["status"], record["errors"], record["retry_count"]) == ("Not started", [], 0)
    assert record["task_id"] == 2**63 - 1
    assert (record["initial_context"], record["current_context"]) == (10**30, None)


def test_tasks_are_listed_by_their_ids(api: Any) -> None:
    """Tasks come in the order of their ids, whatever the order of their POSTs."""
    workflow = api.workflow()
    for task_id in (3, 0, 2):
        api.task(workflow, task_id)
    tasks = api.get(f"{workflow}/tasks").json()["tasks"]
    assert [task["task_id"] for task in tasks] == [0, 2, 3]


def test_workflows_are_listed_newest_first(api: Any) -> None:
    """A page has the newest first; total counts all pages, which go on by key."""
    name = uuid4().hex
    failed = f"/workflows?status=Failed&name={name}"
    ids = [api.workflow(status="Failed", name=name).removeprefix("/workflows/") for _ in range(3)]
    page = api.get(f"{failed}&limit=2").json()
    assert [record["id"] for record in page["workflows"]] == ids[:0:-1]
    assert page["total"] == 3
    rest = api.get(f"{failed}&limit=1&offset=2").json()
    assert [record["id"] for record in rest["workflows"]] == ids[:1]
    after = api.get(f"{failed}&limit=2&after={page['next']}").json()
    assert after["workflows"][0]["id"] == ids[0]
    assert "total" not in after
    assert api.get("/workflows?limit=1").json()["total"] >= 3
    assert api.get("/workflows?limit=500").status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        (f"offset={2**63}", "offset"),
        ("status=Done", "status"),
        ("status=%00", "status"),
        ("status=", "status"),
        ("since=x", "since"),
        ("until=9999-12-31T23:59:59-23:00", "until"),
        ("after=x", "after"),
        ("include=contexts", "include"),
        ("state=Failed", "state"),
    ],
)
def test_listing_refuses_what_it_cannot_do(api: Any, query: str, field: str) -> None:
    """A query out of bounds is a 422 that names it."""
    answer = api.get(f"/workflows?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["query", field]


def test_next_id_follows_tasks_and_plan(api: Any) -> None:
    """The next id is one more than the highest of the tasks and of the plan, or 1."""
    workflow = api.workflow()
    numbers = [api.get(f"{workflow}/tasks/next-id").json()]
    api.task(workflow, 4)
    numbers.append(api.get(f"{workflow}/tasks/next-id").json())
    api.patch(workflow, {"tasks": PLAN})
    numbers.append(api.get(f"{workflow}/tasks/next-id").json())
    assert numbers == [{"next_id": 1}, {"next_id": 5}, {"next_id": 8}]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/workflows/nobody"),
        ("PATCH", "/workflows/nobody"),
        ("GET", "/workflows/nobody/tasks"),
        ("GET", "/workflows/nobody/tasks/next-id"),
        ("PATCH", "/workflows/nobody/tasks/1"),
        ("PATCH", f"/tasks/{2**63 - 1}"),
    ],
)
def test_unknown_records_are_404(api: Any, method: str, path: str) -> None:
    """What is not there is a 404 with a reason, also for a key that was never seen."""
    answer = api.call(method, path, uuid4().hex, json={"status": "Completed"})
    assert answer.status_code == 404
    assert "not known" in answer.json()["detail"]


def test_task_of_unknown_workflow_is_404(api: Any) -> None:
    """A task needs its workflow, and a key used in vain is free for the next try."""
    key = uuid4().hex
    name = uuid4().hex
    body = {"id": 1, "name": "step"}
    assert api.post(f"/workflows/{name}/tasks", body, key).status_code == 404
    api.workflow(id=name)
    assert api.post(f"/workflows/{name}/tasks", body, key).status_code == 201


@pytest.mark.parametrize("name", ["a/b", "a%2Fb", "a b?c#d", "é🚲", "x/tasks/1", "100%", "%", "/"])
def test_any_id_can_be_addressed(api: Any, name: str) -> None:
    """A workflow id may hold what a URL has to encode, slashes too."""
    name += uuid4().hex
    path = api.workflow(id=name)
    assert path == "/workflows/" + quote(name, safe="")
    assert api.get(path).json()["id"] == name
    api.task(path, 1)
    assert api.patch(f"{path}/tasks/1", {"status": "Retry"}).json()["workflow_id"] == name


def test_repeated_post_answers_the_same(api: Any) -> None:
    """A POST that comes again with its key gets its first answer; any other gets a 409."""
    body = {"id": uuid4().hex}
    key = uuid4().hex
    first, again = (api.post("/workflows", body, key) for _ in range(2))
    assert (again.status_code, again.content) == (201, first.content)
    for other in (None, uuid4().hex):
        answer = api.post("/workflows", body, other)
        assert (answer.status_code, answer.json()["id"]) == (409, body["id"])


def test_repeated_task_post_answers_the_same(api: Any) -> None:
    """A 409 for a task tells the server's id for it, and 201 is repeated only for the key."""
    path = f"{api.workflow()}/tasks"
    body = {"id": 3, "name": "step"}
    key = uuid4().hex
    first, again = (api.post(path, body, key) for _ in range(2))
    assert (again.status_code, again.content) == (201, first.content)
    for other in (None, uuid4().hex):
        answer = api.post(path, body, other)
        assert answer.status_code == 409
        assert {**first.json(), "detail": answer.json()["detail"]} == answer.json()


def test_repeated_patch_changes_nothing(api: Any) -> None:
    """A PATCH whose key was applied answers with the record as it is now."""
    workflow = api.workflow()
    task = api.task(workflow)
    for path in (workflow, task):
        key = uuid4().hex
        assert api.patch(path, {"status": "In progress"}, key).status_code == 200
        latest = api.patch(path, {"status": "Completed"}, uuid4().hex).json()
        late = api.patch(path, {"status": "In progress"}, key)
        assert (late.status_code, late.json()) == (200, latest)


def test_key_of_another_request_is_refused(api: Any) -> None:
    """A key names one message: with another target nothing is lost in silence."""
    key = uuid4().hex
    path = api.workflow()
    assert api.patch(path, {"status": "Completed"}, key).status_code == 200
    answer = api.patch(api.workflow(), {"status": "Completed"}, key)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    assert api.post("/workflows", {"id": uuid4().hex}, key).status_code == 422


def test_key_has_a_longest_length(api: Any) -> None:
    """A key of 255 characters is good, a longer one is a 422."""
    path = api.workflow()
    long = uuid4().hex.ljust(255, "x")
    assert api.patch(path, {"status": "Failed"}, long).status_code == 200
    answer = api.patch(path, {"status": "Failed"}, long + "x")
    assert answer.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


def test_both_dialects_share_their_keys(api: Any) -> None:
    """A task PATCH repeated through the other dialect's route is still known as a repeat."""
    workflow = api.workflow()
    task = api.task(workflow, 9)
    key = uuid4().hex
    assert api.patch(task, {"retry_count": 1}, key).status_code == 200
    late = api.patch(f"{workflow}/tasks/9", {"retry_count": 5}, key)
    assert (late.status_code, late.json()["retry_count"]) == (200, 1)


def test_database_that_fails_is_503(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that does not answer is a 503 to be tried again, in health checks too."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("gone away"))

    monkeypatch.setattr(Store, "check", fail)
    monkeypatch.setattr(Reading, "runs", fail)
    with ApiServer(sqlite_url) as server:
        for path in ("/healthz", "/workflows"):
            answer = requests.get(server.url + path, timeout=60)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "gone away" in caplog.text
    assert "secret" not in caplog.text


def test_app_checks_its_arguments(tmp_path: Path, sqlite_url: str) -> None:
    """A bad token or URL is refused before anything is created."""
    for token in ("", " x", "tökén", "a\nb"):
        with pytest.raises(ValueError, match="token"):
            create_app(sqlite_url, token)
    assert not list(tmp_path.iterdir())


def test_wrong_method_names_the_right_ones(api: Any) -> None:
    """A 405 says every method of its address, whichever of its routes knows it."""
    for method, path, allowed in (
        ("PUT", "/workflows/a%2Fb", "DELETE, GET, PATCH"),
        ("DELETE", "/workflows", "GET, POST"),
        ("GET", "/bulk", "POST"),
        ("POST", "/", "GET"),
    ):
        answer = api.call(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
        assert answer.json()["detail"].endswith(f"give {allowed}")
