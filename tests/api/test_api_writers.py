from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from api_client import Api

WRITERS = 16


@pytest.fixture
def together(server: Any) -> Callable[[Callable[[Api, int], Any]], list[Any]]:
    """Runs a call in 16 threads, each with a connection of its own, all at the same moment."""

    def run(call: Callable[[Api, int], Any]) -> list[Any]:
        gate = Barrier(WRITERS)

        def one(number: int) -> Any:
            client = Api(server)
            with client.session:
                client.get("/healthz")
                gate.wait(20)
                return call(client, number)

        with ThreadPoolExecutor(WRITERS) as pool:
            return list(pool.map(one, range(WRITERS)))

    return run


def test_one_of_many_posts_wins(api: Any, together: Any) -> None:
    """Of 16 POSTs of one id at once exactly one is a 201, all others are 409."""
    body = {"id": uuid4().hex}
    answers = together(lambda client, _: client.post("/workflows", body, uuid4().hex).status_code)
    assert Counter(answers) == {201: 1, 409: WRITERS - 1}
    path = f"/workflows/{body['id']}/tasks"
    task = {"id": 1, "name": "step"}
    answers = together(lambda client, _: client.post(path, task).status_code)
    assert Counter(answers) == {201: 1, 409: WRITERS - 1}


def test_fields_of_all_writers_survive(api: Any, together: Any) -> None:
    """Writers that set different fields of one record at once lose nothing."""
    workflow = api.workflow()
    task = api.task(workflow)
    changes: list[dict[str, Any]] = [
        {"status": "Retry"},
        {"duration": 2.5},
        {"retry_count": 3},
        {"initial_context": "i"},
        {"current_context": "c"},
        {"previous_context": "p"},
    ]

    def change(client: Api, number: int) -> list[int]:
        body = changes[number % len(changes)]
        return [client.patch(task, body, uuid4().hex).status_code for _ in range(5)]

    assert set(chain(*together(change))) == {200}
    record = api.get(task).json()
    wanted = {name: value for body in changes for name, value in body.items()}
    assert {name: record[name] for name in wanted} == wanted


@pytest.mark.slow
def test_many_writers_of_many_records(api: Any, together: Any) -> None:
    """16 writers and readers at once see no error, and every record is there after."""
    workflow = api.workflow()

    def work(client: Api, number: int) -> list[int]:
        seen = []
        for step in range(5):
            task_id = number * 100 + step
            body = {"id": task_id, "name": "step"}
            seen.append(client.post(f"{workflow}/tasks", body, uuid4().hex).status_code)
            path = f"{workflow}/tasks/{task_id}"
            seen.append(client.patch(path, {"status": "Completed"}).status_code)
            seen.append(client.get("/workflows?limit=1").status_code)
        return seen

    assert Counter(chain(*together(work))) == {201: 5 * WRITERS, 200: 10 * WRITERS}
    tasks = api.get(f"{workflow}/tasks").json()["tasks"]
    assert len(tasks) == 5 * WRITERS
    assert {task["status"] for task in tasks} == {"Completed"}


def test_a_deleted_workflow_gets_no_task(api: Any, together: Any) -> None:
    """While others add tasks a workflow goes with all of them, and none is left or added."""
    for _ in range(3):
        workflow = api.workflow()

        def call(client: Api, number: int, workflow: str = workflow) -> int:
            if number == 0:
                return client.call("DELETE", workflow).status_code
            body = {"id": number, "name": "step"}
            return client.post(f"{workflow}/tasks", body).status_code

        deleted, *added = together(call)
        assert deleted == 204
        assert set(added) <= {201, 404}
        assert api.get(f"{workflow}/tasks").status_code == 404
        assert api.post("/workflows", {"id": workflow.rpartition("/")[2]}).status_code == 201
        assert api.get(f"{workflow}/tasks").json() == {"tasks": [], "next": None}
