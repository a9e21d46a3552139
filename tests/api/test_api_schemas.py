from typing import Any
from uuid import uuid4

import pytest
from api_client import faults

NESTED = b"[" * 100_000 + b"]" * 100_000
ERROR = {"attempt": 1, "exception": "E", "message": "m", "traceback": "t"}
PLANNED = {"id": 1, "name": "a", "group_name": "g"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 256),
        ("id", 1),
        ("id", None),
        ("id", "a\0b"),
        ("id", ".."),
        ("status", "Done"),
        ("status", None),
        ("status", "Paused"),
        ("name", 5),
        ("name", "a\0b"),
        ("mode", ["parallel"]),
        ("trace_id", "0" * 31),
        ("trace_id", "g" * 32),
        ("trace_id", "0" * 32 + "\n"),
        ("tasks", None),
        ("tasks", "x"),
        ("tasks", [{**PLANNED, "id": -1}]),
        ("tasks", [{**PLANNED, "extra": 1}]),
        ("tasks", [{"id": 1}]),
        ("tasks", [0] * 100_000),
        ("duration", 1),
        ("surprise", 1),
    ],
)
def test_workflow_post_names_the_bad_field(api: Any, field: str, value: Any) -> None:
    """A field that is unknown or out of bounds is a 422 that names it."""
    places = faults(api.post("/workflows", {"id": uuid4().hex, field: value}))
    assert len(places) == 1 or field == "tasks"
    assert all(place[:2] == ["body", field] for place in places)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "x"),
        ("status", None),
        ("tasks", None),
        ("duration", -0.5),
        ("duration", "1"),
        ("duration", 10**400),
        ("duration", True),
        ("surprise", 1),
    ],
)
def test_workflow_patch_names_the_bad_field(api: Any, field: str, value: Any) -> None:
    """A PATCH is held to the same: none of it is applied."""
    path = api.workflow()
    places = faults(api.patch(path, {field: value, "name": "changed"}))
    assert places == [["body", field]]
    assert api.get(path).json()["name"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", -1),
        ("id", 2**63),
        ("id", "1"),
        ("id", 1.0),
        ("id", True),
        ("id", None),
        ("name", None),
        ("name", "\0"),
        ("group_name", None),
        ("status", "New"),
        ("errors", []),
        ("retry_count", 0),
    ],
)
def test_task_post_names_the_bad_field(api: Any, field: str, value: Any) -> None:
    """A task's POST takes its own five fields, and ids of 64 bits."""
    body = {"id": 1, "name": "step", field: value}
    assert faults(api.post(f"{api.workflow()}/tasks", body)) == [["body", field]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "done"),
        ("status", None),
        ("duration", -1),
        ("retry_count", -1),
        ("retry_count", 2**63),
        ("retry_count", None),
        ("errors", None),
        ("errors", {}),
        ("errors", [{**ERROR, "attempt": "1"}]),
        ("errors", [{**ERROR, "message": None}]),
        ("errors", [{**ERROR, "extra": 1}]),
        ("errors", [{}] * 100_000),
        ("errors", [{str(number): 0 for number in range(100_000)}]),
        ("id", 1),
        ("name", "x"),
        ("group_name", "x"),
        ("workflow_id", "x"),
    ],
)
@pytest.mark.parametrize("dialect", ["default", "managed"])
def test_task_patch_names_the_bad_field(api: Any, dialect: str, field: str, value: Any) -> None:
    """A task's PATCH takes exactly seven fields, in either dialect."""
    workflow = api.workflow()
    path = api.task(workflow)
    path = path if dialect == "default" else f"{workflow}/tasks/1"
    places = faults(api.patch(path, {field: value}))
    assert places
    assert all(place[:2] == ["body", field] for place in places)


def test_missing_fields_are_named(api: Any) -> None:
    """What a POST must have is named when it is missing."""
    assert faults(api.post("/workflows", {})) == [["body", "id"]]
    places = faults(api.post(f"{api.workflow()}/tasks", {}))
    assert places == [["body", "id"], ["body", "name"]]


def test_empty_patch_is_refused(api: Any) -> None:
    """A PATCH that names no field is a mistake of its sender."""
    workflow = api.workflow()
    for path in (workflow, api.task(workflow), f"{workflow}/tasks/1"):
        assert faults(api.patch(path, {})) == [["body"]]


def test_fields_may_be_cleared(api: Any) -> None:
    """What a record may lack can be set to null."""
    path = api.workflow(name="x", mode="y", trace_id="A" * 32)
    cleared = {"name": None, "mode": None, "trace_id": None, "duration": None}
    record = api.patch(path, cleared).json()
    assert {name: record[name] for name in cleared} == cleared


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"12",
        b"{",
        b"{} {}",
        b"{'id': 1}",
        b'{"id": NaN}',
        b'{"id": "x", "tasks": Infinity}',
        b'{"id": -Infinity}',
        b'{"id": "\\ud800"}',
        b'{"id": "\\udc00\\ud800"}',
        b'{"id": "\xff"}',
        b'{"id": "\xed\xa0\x80"}',
        b'{"id": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        NESTED,
        b'{"id":' * 100_000,
        b"{" + b",".join(b'"f%d":0' % number for number in range(100_000)) + b"}",
    ],
    ids=range(20),
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_body_that_is_no_json_object_is_refused(api: Any, method: str, body: bytes) -> None:
    """What a strict parser refuses is a 422 about the body, whatever it is."""
    path = "/workflows" if method == "POST" else api.workflow()
    (place, *_rest) = faults(api.raw(method, path, body))
    assert place[0] == "body"


@pytest.mark.parametrize("text", ["1e400", "[-1e999]", '{"a": 1e400}', "NaN", '"\\ud83d"'])
def test_context_must_be_sayable_in_json(api: Any, text: str) -> None:
    """A context that could not be given back as JSON is refused, and changes nothing."""
    path = api.task(api.workflow())
    body = f'{{"status": "Retry", "current_context": {text}}}'.encode()
    assert faults(api.raw("PATCH", path, body))[0][0] == "body"


def test_context_may_nest_200_levels(api: Any) -> None:
    """Nesting that any program produces on purpose comes back as it went in."""
    deep: Any = 1
    for _ in range(198):
        deep = [deep]
    workflow = api.workflow()
    task = api.task(workflow)
    assert api.patch(task, {"current_context": deep}).status_code == 200
    assert api.get(task).json()["current_context"] == deep


def test_body_must_say_that_it_is_json(api: Any) -> None:
    """JSON under another name is not read: no web page can send it by a form."""
    body = b'{"id": "by-a-form"}'
    assert api.raw("POST", "/workflows", body, "text/plain").status_code == 415
    assert api.get("/workflows/by-a-form").status_code == 404


@pytest.mark.parametrize("part", ["-1", str(2**63), "x", "1.5", "%00"])
def test_task_id_in_the_path_is_checked(api: Any, part: str) -> None:
    """A path that can name no task is a 422 that says which part is wrong."""
    change = {"status": "Retry"}
    assert faults(api.patch(f"/tasks/{part}", change)) == [["path", "server_id"]]
    path = f"{api.workflow()}/tasks/{part}"
    assert faults(api.patch(path, change)) == [["path", "task_id"]]


@pytest.mark.parametrize("part", ["a%00b", "x" * 256, "%00"])
def test_workflow_id_in_the_path_is_checked(api: Any, part: str) -> None:
    """A path that can name no workflow is a 422, not an error of the database."""
    assert faults(api.get(f"/workflows/{part}")) == [["path", "workflow_id"]]


def test_faults_do_not_repeat_what_was_sent(api: Any) -> None:
    """A 422 says where and why; it gives none of the body back."""
    answer = api.post("/workflows", {"id": uuid4().hex, "name": ["hush-hush"]})
    assert answer.status_code == 422
    assert "hush-hush" not in answer.text
