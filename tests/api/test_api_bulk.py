import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests
from api_client import TOKEN, faults

from dotflow.api import ApiServer, bulk
from dotflow.api.limits import MAX_BODY_BYTES, MAX_BULK_BYTES

MOMENTS = ("created_at", "updated_at")


@pytest.fixture(autouse=True)
def as_much_time_as_a_busy_machine_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bulk is not over before all of it is done."""
    monkeypatch.setattr(bulk.apply_all, "__defaults__", (60.0,))


def item(method: str, path: str, body: Any, key: str | None = None, **fields: Any) -> Any:
    """Gives an item with a key of its own."""
    named = {"method": method, "path": path, "body": body}
    return {"idempotency_key": key or uuid4().hex, "headers": {}, "times": None, **named, **fields}


def run_of(workflow_id: str, tasks: int = 2) -> list[Any]:
    """Gives what a run reports: its workflow, its tasks, and all their ends."""
    path = f"/workflows/{workflow_id}"
    begun = [item("POST", "/workflows", {"id": workflow_id, "status": "In progress"})]
    for number in range(tasks):
        begun.append(item("POST", f"{path}/tasks", {"id": number, "name": f"step {number}"}))
        end = {"status": "Completed", "duration": 0.5, "current_context": [number]}
        begun.append(item("PATCH", f"{path}/tasks/{number}", end))
    return [*begun, item("PATCH", path, {"status": "Completed", "duration": 1})]


def send(api: Any, items: list[Any]) -> list[Any]:
    """Sends a bulk and gives the answers to its items."""
    answer = api.post("/bulk", {"items": items})
    assert answer.status_code == 200, answer.text
    answers: list[Any] = answer.json()["items"]
    assert all(
        set(one) in ({"status", "body"}, {"status", "body", "retry_after"}) for one in answers
    )
    return answers


def statuses(api: Any, items: list[Any]) -> list[int]:
    return [answer["status"] for answer in send(api, items)]


def records(api: Any, workflow_id: str, *without: str) -> Any:
    """Gives all that is recorded of a workflow, but for what no two runs have in common."""
    path = f"/workflows/{quote(workflow_id, safe='')}"
    workflow = api.get(path).json()
    tasks = api.get(f"{path}/tasks?include=contexts").json()["tasks"]

    def stripped(records: Any) -> Any:
        return [{k: v for k, v in record.items() if k not in without} for record in records]

    return stripped([{**workflow, "openings": stripped(workflow["openings"])}, *tasks])


def test_bulk_does_what_the_single_calls_do(api: Any) -> None:
    """A run sent in one bulk leaves the records that its calls leave one by one."""
    alone, together = uuid4().hex, uuid4().hex
    single = [
        api.call(one["method"], one["path"], one["idempotency_key"], json=one["body"])
        for one in run_of(alone)
    ]
    answers = send(api, run_of(together))
    assert [one["status"] for one in answers] == [one.status_code for one in single]
    assert [one["status"] for one in answers] == [201, 201, 200, 201, 200, 200]
    differs = ("id", "workflow_id", *MOMENTS)
    assert records(api, together, *differs) == records(api, alone, *differs)


def test_answers_name_the_records(api: Any) -> None:
    """An item that was taken is answered with the ids of its record, a task's as in its POST."""
    workflow_id = uuid4().hex
    bodies = [answer["body"] for answer in send(api, run_of(workflow_id, 1))]
    (task,) = api.get(f"/workflows/{workflow_id}/tasks").json()["tasks"]
    ids = {name: task[name] for name in ("id", "task_id", "workflow_id")}
    assert bodies == [{"id": workflow_id}, ids, ids, {"id": workflow_id}]


def test_answers_are_short_whatever_the_records_hold(api: Any) -> None:
    """Five hundred changes of a large record are answered in less than 256 KiB."""
    workflow = api.workflow()
    api.task(workflow, 1, initial_context="x" * 100_000)
    items = [item("PATCH", f"{workflow}/tasks/1", {"retry_count": n}) for n in range(500)]
    answer = api.post("/bulk", {"items": items})
    assert (len(answer.json()["items"]), len(answer.content) < 2**18) == (500, True)


def test_repeated_bulk_changes_nothing(api: Any) -> None:
    """A bulk that comes again with its keys gets its first answers, and applies nothing."""
    workflow_id = uuid4().hex
    items = run_of(workflow_id, 30)
    first = send(api, items)
    path = f"/workflows/{workflow_id}"
    assert api.patch(path, {"status": "Failed"}).status_code == 200
    before = records(api, workflow_id)
    assert send(api, items) == first
    assert records(api, workflow_id) == before


def test_one_key_serves_bulk_and_single_call(api: Any) -> None:
    """A message that was applied by one way is known by the other, for its own target alone."""
    workflow = api.workflow()
    task = api.task(workflow, 4)
    key = uuid4().hex
    assert api.patch(task, {"retry_count": 1}, key).status_code == 200
    again = item("PATCH", f"{workflow}/tasks/4", {"retry_count": 5}, key)
    in_headers = {**again, "idempotency_key": None, "headers": {"idempotency-KEY": key}}
    other = item("PATCH", workflow, {"status": "Failed"}, key)
    answers = send(api, [again, in_headers, other])
    assert [answer["status"] for answer in answers] == [200, 200, 422]
    assert answers[2]["body"]["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    (record,) = api.get(f"{workflow}/tasks").json()["tasks"]
    assert record["retry_count"] == 1


def test_refused_items_spoil_no_others(api: Any) -> None:
    """Among items that are refused, each for its own reason, the others are applied."""
    taken, new = uuid4().hex, uuid4().hex
    path = api.workflow(id=taken)
    held = api.post(f"{path}/tasks", {"id": 1, "name": "held"}).json()
    answers = send(
        api,
        [
            item("POST", "/workflows", {"id": new}),
            item("POST", "/workflows", {"id": taken}),
            item("POST", f"{path}/tasks", {"id": 1, "name": "other"}),
            item("POST", f"{path}/tasks", {"id": 2, "name": "step", "colour": "red"}),
            item("PATCH", f"{path}/tasks/99", {"status": "Failed"}),
            item("PATCH", "/workflows/nobody", {"status": "Failed"}),
            item("PATCH", f"{path}/tasks/x", {"status": "Lost"}),
            item("PATCH", f"/workflows/{new}", {"status": "Failed"}, "k" * 256),
            item("PATCH", path, {"status": "Completed"}),
        ],
    )
    assert [one["status"] for one in answers] == [201, 409, 409, 422, 404, 404, 422, 422, 200]
    bodies = [one["body"] for one in answers]
    assert bodies[1]["id"] == taken
    assert bodies[2] == {"detail": bodies[2]["detail"], **held}
    assert [fault["loc"] for fault in bodies[3]["detail"]] == [["body", "colour"]]
    assert "not known" in bodies[4]["detail"]
    assert [one["loc"] for one in bodies[6]["detail"]] == [["path", "task_id"], ["body", "status"]]
    assert [fault["loc"] for fault in bodies[7]["detail"]] == [["header", "Idempotency-Key"]]
    assert api.get(f"/workflows/{new}").json()["status"] == "New"
    assert records(api, taken)[0]["status"] == "Completed"
    assert [task["name"] for task in records(api, taken)[1:]] == ["held"]


def test_faults_are_those_of_the_single_call(api: Any) -> None:
    """What an item's 422 says is what the single call's says."""
    path = api.workflow()
    for method, place, body in (
        ("POST", "/workflows", {"id": ".", "status": "Done"}),
        ("PATCH", path, {}),
        ("PATCH", path, []),
        ("POST", f"{path}/tasks", {"id": -1}),
        ("PATCH", f"{path}/tasks/-1", {"errors": [{"attempt": 1}]}),
    ):
        alone = api.call(method, place, json=body).json()["detail"]
        (answer,) = send(api, [item(method, place, body)])
        assert answer["status"] == 422
        assert answer["body"]["detail"] == alone[:3]


def test_refused_items_leave_their_keys_free(api: Any) -> None:
    """An item that was refused can be sent again with its key once it can be taken."""
    name = uuid4().hex
    task = item("POST", f"/workflows/{name}/tasks", {"id": 1, "name": "step"})
    assert statuses(api, [task]) == [404]
    assert statuses(api, [item("POST", "/workflows", {"id": name}), task]) == [201, 201]


def test_items_after_a_refused_one_of_their_record_wait(api: Any) -> None:
    """After an item that was not taken those of its record are 424, those of others are not."""
    workflow = api.workflow()
    api.task(workflow, 2)
    items = [
        item("POST", f"{workflow}/tasks", {"id": 1}),
        item("PATCH", f"{workflow}/tasks/1", {"status": "Completed"}),
        item("PATCH", f"{workflow}/tasks/2", {"status": "Completed"}),
        item("PATCH", workflow, {"status": "Lost"}),
        item("POST", f"{workflow}/tasks", {"id": 3, "name": "step"}),
        item("PATCH", workflow, {"status": "Failed"}),
        item("PATCH", f"{workflow}/tasks/1", {"status": "Failed"}),
    ]
    assert statuses(api, items) == [422, 424, 200, 422, 201, 424, 424]
    assert api.get(workflow).json()["status"] == "New"
    good = {"id": 1, "name": "step"}
    later = [{**items[0], "body": good}, items[1], items[5]]
    assert statuses(api, later) == [201, 200, 200]


@pytest.mark.parametrize("first", ["refused", "unknown", "after one that was not taken"])
def test_workflow_that_is_not_there_stops_all_of_it(api: Any, first: str) -> None:
    """After a workflow that was not made, or is not known, all items of that workflow are 424."""
    name, other = uuid4().hex, uuid4().hex
    good = item("POST", "/workflows", {"id": name})
    begins = {
        "refused": [item("POST", "/workflows", {"id": name, "mode": 1})],
        "unknown": [item("PATCH", f"/workflows/{name}", {"status": "In progress"})],
        "after one that was not taken": [
            item("PATCH", f"/workflows/{name}", {"status": "Lost"}),
            good,
        ],
    }[first]
    rest = [
        item("POST", f"/workflows/{name}/tasks", {"id": 1, "name": "step"}),
        item("PATCH", f"/workflows/{name}/tasks/1", {"status": "Failed"}),
        item("PATCH", f"/workflows/{name}", {"status": "Failed"}),
    ]
    got = statuses(api, [*begins, *rest, *run_of(other, 1)])
    assert got[0] == (404 if first == "unknown" else 422)
    assert got[1:] == [424] * (len(begins) - 1 + 3) + [201, 201, 200, 200]
    assert api.get(f"/workflows/{name}").status_code == 404
    assert statuses(api, [good, *rest]) == [201, 201, 200, 200]


def test_record_that_others_made_stops_nothing(api: Any) -> None:
    """A POST that conflicts has its record: the items after it are applied."""
    name = uuid4().hex
    api.task(api.workflow(id=name), 0)
    assert statuses(api, run_of(name, 1)) == [409, 409, 200, 200]
    assert {record["status"] for record in records(api, name)} == {"Completed"}


@pytest.mark.parametrize("name", ["a/b", "a%2Fb", "a b?c#d", "é🚲", "x/tasks/1", "100%", "%", "/"])
def test_any_id_can_be_addressed(api: Any, name: str) -> None:
    """An item's path is decoded as the single call's, whatever the workflow's id."""
    name += uuid4().hex
    path = f"/workflows/{quote(name, safe='')}"
    items = [
        item("POST", "/workflows", {"id": name}),
        item("POST", f"{path}/tasks?a=b", {"id": 1, "name": "step"}),
        item("PATCH", f"{path}/tasks/1", {"status": "Retry"}),
        item("PATCH", path, {"name": "odd"}),
    ]
    assert statuses(api, items) == [201, 201, 200, 200]
    workflow, task = records(api, name)
    assert (workflow["id"], workflow["name"], task["status"]) == (name, "odd", "Retry")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/workflows"),
        ("PATCH", "/tasks/1"),
        ("DELETE", "/workflows/x"),
        ("patch", "/workflows/x"),
        ("POST", "/bulk"),
        ("PATCH", "/workflows/a/b"),
        ("POST", "http://localhost/workflows"),
        ("", ""),
    ],
)
def test_only_writing_routes_are_taken(api: Any, method: str, path: str) -> None:
    """An item that is none of the four writing calls is refused, and named ones are listed."""
    (answer,) = send(api, [item(method, path, {"status": "Failed"})])
    assert answer["status"] == 422
    (fault,) = answer["body"]["detail"]
    assert fault["loc"] == ["path"]
    assert "PATCH /workflows/{id}/tasks/{task_id}" in fault["msg"]


def test_unknown_fields_are_let_through(api: Any) -> None:
    """Times, headers and fields that the server does not know are no fault."""
    one = item("POST", "/workflows", {"id": uuid4().hex}, times={"started_at": 1}, colour="red")
    one["headers"] = {"traceparent": "00-x", "Odd": None}
    bare = {"method": "POST", "path": "/workflows", "body": {"id": uuid4().hex}}
    answer = api.post("/bulk", {"items": [one, bare], "more": 1})
    assert [each["status"] for each in answer.json()["items"]] == [201, 201]
    assert send(api, []) == []


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", ["body"]),
        (b"{", ["body"]),
        (b"[]", ["body"]),
        (b"{}", ["body", "items"]),
        (b'{"items": {}}', ["body", "items"]),
        (b'{"items": [1]}', ["body", "items", 0]),
        (b'{"items": [{"method": "POST"}]}', ["body", "items", 0, "path"]),
        (b'{"items": [{"path": 1, "method": "POST"}]}', ["body", "items", 0, "path"]),
        (b'{"items": [{"path": "\\ud800", "method": "POST"}]}', ["body"]),
        (b'{"items": [{"path": "", "method": "", "idempotency_key": "\\ud800"}]}', ["body"]),
        (b'{"items": [{"path": "", "method": "", "headers": [NaN]}]}', ["body"]),
        (b'{"items": ["\xff"]}', ["body"]),
        (b'{"items":' + b"[" * 10**6, ["body"]),
    ],
)
def test_malformed_bulk_is_refused(api: Any, raw: bytes, place: list[Any]) -> None:
    """What is no list of items is a 422 that says where."""
    assert faults(api.raw("POST", "/bulk", raw)) == [place]


@pytest.mark.parametrize("text", ["NaN", '"\\ud800"', "[" * 199 + "]" * 199, "[" * 500 + "]" * 500])
def test_unreadable_item_spoils_no_other(api: Any, text: str) -> None:
    """A body that is refused alone is refused in a bulk, and one that is taken alone is taken."""
    workflow = api.workflow()
    path = api.task(workflow, 1).removeprefix("/")
    api.task(workflow, 2)
    body = f'{{"current_context": {text}}}'
    alone = api.raw("PATCH", f"/{path}", body).status_code
    assert alone == (200 if len(text) == 398 else 422)
    marked = [item("PATCH", f"{workflow}/tasks/{n}", "here" if n == 1 else {"duration": 1})
              for n in (2, 1)]  # fmt: skip
    raw = json.dumps({"items": marked}).replace('"here"', body)
    answers = api.raw("POST", "/bulk", raw).json()["items"]
    assert [answer["status"] for answer in answers] == [200, alone]
    if alone == 422:
        assert answers[1]["body"]["detail"][0]["type"] == "json_invalid"


def test_too_much_is_413(api: Any) -> None:
    """At most 500 items and 5 MiB are taken, which is less than a single call may bring."""
    workflow = api.workflow()
    items = [item("PATCH", workflow, {"duration": n}) for n in range(501)]
    answer = api.post("/bulk", {"items": items})
    assert (answer.status_code, "500 items" in answer.json()["detail"]) == (413, True)
    assert api.get(workflow).json()["duration"] is None
    assert statuses(api, items[:500]) == [200] * 500
    raw = json.dumps({"items": items[:1]}).encode()
    assert api.raw("POST", "/bulk", raw.ljust(MAX_BULK_BYTES)).status_code == 200
    assert api.raw("POST", "/bulk", raw.ljust(MAX_BULK_BYTES + 1)).status_code == 413
    assert MAX_BULK_BYTES <= MAX_BODY_BYTES


def test_either_header_lets_in(server: ApiServer) -> None:
    """A bulk needs the token as any call does, in the header of either dialect."""
    for headers, status in (
        ({"X-User-Token": TOKEN}, 200),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({}, 401),
    ):
        url = f"{server.url}/bulk"
        answer = requests.post(url, json={"items": []}, headers=headers, timeout=60)
        assert (answer.status_code, answer.headers["Dotflow-Bulk"]) == (status, "500")


def test_every_answer_offers_bulk(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked and whatever is answered, the answer says how many items are taken."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("dotflow.api.reading.Reading.tasks", fail)
    path = api.workflow()
    answers = [
        api.get("/healthz"),
        api.post("/workflows", {"id": uuid4().hex}),
        api.patch("/workflows/nobody", {"status": "Failed"}),
        api.call("DELETE", "/workflows"),
        api.post("/workflows", {"id": path.rpartition("/")[2]}),
        api.raw("POST", "/workflows", b" " * (MAX_BODY_BYTES + 1)),
        api.post("/workflows", {}),
        api.get("/openapi.json"),
        api.get(f"{path}/tasks"),
    ]
    assert [answer.status_code for answer in answers] == [
        *(200, 201, 404, 405, 409, 413, 422, 200, 500)
    ]
    assert {answer.headers.get("Dotflow-Bulk") for answer in answers} == {"500"}


def test_one_bulk_sent_many_times_at_once_is_applied_once(api: Any) -> None:
    """Several deliveries of one bulk at the same moment all get the same answers."""
    workflow_id = uuid4().hex
    items = run_of(workflow_id, 60)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: send(api, items), range(4)))
    assert all(one == answers[0] for one in answers)
    assert {one["status"] for one in answers[0]} == {200, 201}
    assert [record["status"] for record in records(api, workflow_id)] == ["Completed"] * 61
