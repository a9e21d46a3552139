"""The routes by which programs read: what they take, and that they answer what they describe."""

from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from dotflow.api import answered, queries, times

TIMES = '{"started_at":"2031-02-03T04:05:06+02:00","finished_at":"2031-02-03T02:05:07.5Z"}'
SAID = ("2031-02-03T02:05:06Z", "2031-02-03T02:05:07.500000Z")
BAD_TIMES = (
    *("", "x", "[]", '{"started_at":"2031-02-03T04:05:06"}', '{"started_at":17}'),
    *('{"finished_at":"9999-12-31T23:59:59-10:00"}', '{"attempts":[["x",1]]}'),
)
PLAN = [{"id": 1, "name": "step", "group_name": "g"}]


def check(model: type[BaseModel], record: Any, *absent: str) -> Any:
    """Gives a record that has the fields that its model describes, but for some."""
    model.model_validate(record)
    assert set(record) == set(model.model_fields) - set(absent)
    return record


def test_answers_are_as_described(api: Any) -> None:
    """Each route gives what the OpenAPI page says; lists leave out what is large unless asked."""
    name = uuid4().hex
    run = api.workflow(name=name, tasks=PLAN, status="In progress")
    task = api.task(run)
    contexts = ("initial_context", "current_context", "previous_context")
    check(answered.WorkflowRecord, api.get(run).json())
    for query, absent in ((f"?name={name}", ("openings", "tasks")), (
        f"?name={name}&include=plan", ("openings",)
    )):  # fmt: skip
        page = check(answered.WorkflowPage, api.get(f"/workflows{query}").json())
        (record,) = page["workflows"]
        check(answered.WorkflowRecord, record, *absent)
        assert (record["counts"], record["planned"]) == ({"Not started": 1}, 1)
    check(answered.TaskRecord, api.get(task).json())
    check(answered.TaskRecord, api.get(f"{run}/tasks/1").json())
    for query, absent in (("", contexts), ("?include=contexts", ())):
        page = check(answered.TaskPage, api.get(f"{run}/tasks{query}").json())
        check(answered.TaskRecord, page["tasks"][0], *absent)
    check(answered.TaskRecord, api.patch(task, {"duration": 1}).json(), *contexts)
    check(answered.WorkflowRecord, api.patch(run, {"duration": 1}).json(), "openings", "tasks")
    for unknown in ("/tasks/9999999", f"{run}/tasks/9", "/workflows/nobody/tasks/1"):
        assert api.get(unknown).status_code == 404


def test_times_come_beside_the_body(api: Any) -> None:
    """A header says them, in a bulk the item; of a run's beginnings the first one stays."""
    run = api.workflow()
    said = {"headers": {"Dotflow-Times": TIMES}}
    api.call("POST", f"{run}/tasks", json={"id": 1, "name": "alone"}, **said)
    api.call("PATCH", run, json={"status": "Completed"}, **said)
    attempts = [["2031-02-03T02:05:06Z", None]] * 30
    items = [
        {"method": "POST", "path": f"{run}/tasks", "body": {"id": 2, "name": "in a bulk"},
         "times": {"started_at": "2031-02-03T02:05:06Z", "attempts": attempts}},
        {"method": "PATCH", "path": run, "body": {"status": "Failed"},
         "times": {"started_at": "2031-02-03T02:59:59Z", "finished_at": "2031-02-03T03:00:00Z"}},
    ]  # fmt: skip
    statuses = [one["status"] for one in api.post("/bulk", {"items": items}).json()["items"]]
    assert statuses == [201, 200]
    first, second = api.get(f"{run}/tasks").json()["tasks"]
    assert (first["started_at"], first["finished_at"]) == SAID
    assert (second["started_at"], second["finished_at"]) == (SAID[0], None)
    assert second["attempts"] == [[SAID[0], None]] * 20
    record = api.get(run).json()
    assert (record["started_at"], record["finished_at"]) == (SAID[0], "2031-02-03T03:00:00Z")
    found = api.get("/workflows?since=2031-02-03T02:05:06&until=2031-02-03T02:05:07Z").json()
    assert record["id"] in [one["id"] for one in found["workflows"]]


def test_no_report_is_lost_for_its_times(
    api: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Times that cannot be read are passed over, and said once."""
    monkeypatch.setattr(times, "_complaints", count())
    run = api.workflow()
    for bad in BAD_TIMES:
        said = {"headers": {"Dotflow-Times": bad}}
        assert api.call("PATCH", run, json={"status": "In progress"}, **said).status_code == 200
        item = {"method": "PATCH", "path": run, "times": bad, "body": {"status": "In progress"}}
        in_headers = {**item, "times": None, "headers": {"Dotflow-Times": 17}}
        answers = api.post("/bulk", {"items": [item, in_headers]}).json()["items"]
        assert [one["status"] for one in answers] == [200, 200]
    assert api.get(run).json()["started_at"] is None
    assert caplog.text.count("said once") == 1


def test_unknown_parameters_are_refused(api: Any) -> None:
    """A filter that is not known is none: the 422 names those that are, of a DELETE too."""
    run = api.workflow()
    for method, path, allowed in (
        ("GET", "/workflows?state=Failed&limit=1", "after, include, limit, name"),
        ("GET", f"{run}/tasks?offset=1", "give after, include, limit, status"),
        ("GET", f"{run}?x", "none is taken"),
        ("GET", "/tasks/1?include=contexts", "none is taken"),
        ("DELETE", f"{run}?dry_run=1", "none is taken"),
    ):
        answer = api.call(method, path)
        assert answer.status_code == 422
        (fault,) = answer.json()["detail"]
        assert allowed in fault["msg"]
    assert len(api.get("/workflows?" + "&".join(map(str, range(999)))).json()["detail"]) == 10
    assert api.get(run).status_code == 200
    assert api.get("/healthz?at=1").status_code == 200


def test_large_pages_end_early(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends where it becomes large, has one record at least, and says how to go on."""
    monkeypatch.setattr(queries, "PAGE_BYTES", 10_000)
    name = uuid4().hex
    runs = [api.workflow(name=name, tasks=PLAN * 100) for _ in range(5)]
    for number in range(5):
        api.task(runs[0], number, initial_context="x" * 6_000)

    def pages(path: str, field: str) -> list[int]:
        found, after = [], ""
        while True:
            page = api.get(path + after).json()
            found.append(len(page[field]))
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    assert pages(f"{runs[0]}/tasks?include=contexts", "tasks") == [2, 2, 1]
    assert pages(f"{runs[0]}/tasks?limit=3", "tasks") == [3, 2]
    assert pages(f"/workflows?name={name}&include=plan", "workflows") == [3, 2]
    assert pages(f"/workflows?name={name}&status=New&limit=4", "workflows") == [4, 1]
