"""Which run opened a record, and whose posthumous end is believed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

_OPENINGS = ("openings", "opened")
FAILED = {"status": "Failed", "duration": 9}


@dataclass
class Record:
    """A workflow or a task, made by the way and changed by the way that a test is about."""

    api: Any
    path: str
    patch_path: str
    in_bulk: bool

    def patch(self, body: Any, key: str | None = None, **headers: str) -> int:
        """Changes it and gives the status of the answer."""
        named = {f"Dotflow-{name.capitalize()}": value for name, value in headers.items()}
        if not self.in_bulk:
            answer = self.api.call("PATCH", self.patch_path, key, json=body, headers=named)
            return int(answer.status_code)
        item = {"method": "PATCH", "path": self.patch_path, "headers": named, "body": body}
        answer = self.api.post("/bulk", {"items": [{**item, "idempotency_key": key}]})
        return int(answer.json()["items"][0]["status"])

    def now(self) -> Any:
        """Gives the record; which runs opened it when is not a part of it."""
        answer = self.api.get(self.path).json()
        answer = answer["tasks"][0] if self.path.endswith("/tasks") else answer
        return {name: value for name, value in answer.items() if name not in _OPENINGS}

    def status(self) -> Any:
        """Gives its status."""
        return self.now()["status"]


@pytest.fixture(params=["single", "bulk"])
def in_bulk(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "bulk")


@pytest.fixture(params=["workflow", "task", "managed task"])
def made(request: pytest.FixtureRequest, api: Any, in_bulk: bool) -> Callable[..., Record]:
    """Makes records by a POST that says which run it is."""

    def make(opens: str | None = None) -> Record:
        headers = {"Dotflow-Opens": opens} if opens else {}
        workflow_id = uuid4().hex
        path = f"/workflows/{workflow_id}"
        is_task = request.param != "workflow"

        def post(where: str, body: Any) -> Any:
            if in_bulk:
                item = {"method": "POST", "path": where, "headers": headers, "body": body}
                return api.post("/bulk", {"items": [item]}).json()["items"][0]["body"]
            return api.call("POST", where, json=body, headers=headers).json()

        post("/workflows", {"id": workflow_id})
        if not is_task:
            return Record(api, path, path, in_bulk)
        task = post(f"{path}/tasks", {"id": 1, "name": "step"})
        default = request.param == "task" and not in_bulk
        patched = f"/tasks/{task['id']}" if default else f"{path}/tasks/1"
        return Record(api, f"{path}/tasks", patched, in_bulk)

    return make


def test_end_of_the_run_that_opened_it_is_applied(made: Any) -> None:
    """A posthumous end of the run that made the record, or began it last, is believed."""
    record = made("a")
    assert record.patch(FAILED, run="a") == 200
    assert record.status() == "Failed"
    record = made("a")
    assert record.patch({"status": "In progress"}, opens="b") == 200
    assert record.patch(FAILED, run="b") == 200
    assert record.status() == "Failed"


def test_end_of_another_run_changes_nothing(made: Any) -> None:
    """A posthumous end of a run that did not open the record last is answered, not applied."""
    record = made("a")
    assert record.patch({"status": "In progress"}, opens="b") == 200
    before = record.now()
    assert record.patch(FAILED, run="a") == 200
    assert record.now() == before


def test_run_completed_elsewhere_stays_completed(made: Any) -> None:
    """A run that was killed on one host and completed on another is not set back."""
    record = made("host one")
    assert record.patch({"status": "In progress"}, opens="host one") == 200
    assert record.patch({"status": "In progress"}, opens="host two") == 200
    assert record.patch({"status": "Completed", "duration": 2}) == 200
    before = record.now()
    assert record.patch(FAILED, run="host one") == 200
    assert record.now() == before
    assert before["status"] == "Completed"


def test_client_that_names_no_run_is_not_set_back(made: Any) -> None:
    """A run that did not say its name keeps its end, and takes another's while it is open."""
    record = made("a")
    assert record.patch({"status": "In progress"}) == 200
    assert record.patch({"status": "Completed"}) == 200
    before = record.now()
    assert record.patch(FAILED, run="a") == 200
    assert record.now() == before
    assert record.patch({"status": "In progress"}) == 200
    assert record.patch(FAILED, run="a") == 200
    assert record.status() == "Failed"


def test_record_of_a_client_without_runs_takes_the_end(made: Any) -> None:
    """A record that nobody ever opened by name takes a posthumous end while it is open."""
    record = made()
    assert record.patch(FAILED, run="a") == 200
    assert record.status() == "Failed"


def test_other_changes_leave_the_run_as_it_is(made: Any) -> None:
    """Only a beginning, or a message that says so, changes whose record it is."""
    record = made("a")
    assert record.patch({"status": "Completed"}) == 200
    assert record.patch({"duration": 3}) == 200
    assert record.patch(FAILED, run="a") == 200
    assert record.status() == "Failed"


def test_one_message_may_begin_and_end(made: Any) -> None:
    """A change that tells a whole run at once opens the record, whatever its status."""
    record = made("a")
    assert record.patch({"status": "Completed"}, opens="b") == 200
    assert record.patch(FAILED, run="a") == 200
    assert record.status() == "Completed"
    assert record.patch(FAILED, run="b") == 200
    assert record.status() == "Failed"


def test_posthumous_beginning_opens_nothing_for_another(made: Any) -> None:
    """A posthumous message that also opens is judged by who had the record before."""
    record = made("a")
    assert record.patch({"status": "Completed"}, opens="b") == 200
    assert record.patch(FAILED, opens="a", run="a") == 200
    assert record.patch({**FAILED, "duration": 1}, run="a") == 200
    assert record.status() == "Completed"


def test_posthumous_end_whose_beginning_did_not_arrive(made: Any) -> None:
    """A posthumous message that also opens ends what another run, which is dead, left open."""
    record = made("a")
    assert record.patch({"status": "In progress"}, opens="a") == 200
    assert record.patch(FAILED, run="b") == 200
    assert record.status() == "In progress"
    assert record.patch(FAILED, uuid4().hex, opens="b", run="b") == 200
    assert record.status() == "Failed"


def test_end_that_was_not_applied_is_done(made: Any) -> None:
    """A posthumous end that came in vain comes in vain again, though the record changed hands."""
    record = made("b")
    key = uuid4().hex
    assert record.patch(FAILED, key, run="a") == 200
    assert record.patch({"status": "In progress"}, opens="a") == 200
    assert record.patch(FAILED, key, run="a") == 200
    assert record.status() == "In progress"
    assert record.patch(FAILED, uuid4().hex, run="a") == 200
    assert record.status() == "Failed"


def test_end_of_an_unknown_record_is_404(api: Any, in_bulk: bool) -> None:
    """A posthumous end makes no record, and says that there is none."""
    for path in ("/workflows/nobody", "/workflows/nobody/tasks/1"):
        record = Record(api, path, path, in_bulk)
        assert record.patch(FAILED, uuid4().hex, run="a") == 404


@pytest.mark.parametrize("value", ["", "x" * 256])
def test_run_has_a_name_of_some_length(made: Any, value: str) -> None:
    """A run's name has 1 to 255 characters; any other is refused, and changes nothing."""
    record = made("a")
    assert record.patch(FAILED, run=value) == 422
    assert record.patch(FAILED, opens=value) == 422
    assert record.status() != "Failed"
    assert record.patch(FAILED, opens="x" * 255) == 200
    assert record.patch({"duration": 1}, run="x" * 255) == 200
    assert record.now()["duration"] == 1


def test_name_that_no_column_holds_is_refused(api: Any) -> None:
    """A NUL, which a bulk can carry and PostgreSQL cannot keep, is a fault of its item."""
    workflow = api.workflow()
    for fields in (
        {"headers": {"Dotflow-Opens": "a\0"}},
        {"headers": {"Dotflow-Run": "\0"}},
        {"headers": {"Dotflow-Run": 1}},
        {"idempotency_key": "\0"},
        {"idempotency_key": ["x"]},
    ):
        item = {"method": "PATCH", "path": workflow, "body": FAILED, **fields}
        (answer,) = api.post("/bulk", {"items": [item]}).json()["items"]
        assert answer["status"] == 422
        assert answer["body"]["detail"][0]["loc"][0] == "header"
    assert api.get(workflow).json()["status"] == "New"
