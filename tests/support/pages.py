"""A server with pages, and runs for it to show."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

from api_client import Api

from support.elements import Element, read

NOW = datetime.now(timezone.utc)


def ago(**spans: float) -> datetime:
    return NOW - timedelta(**spans)


def times(begin: datetime, end: datetime | None = None) -> dict[str, str]:
    said = {"started_at": begin.isoformat(), "finished_at": end and end.isoformat()}
    return {"Dotflow-Times": json.dumps(said)}


class Site(Api):
    """Reports runs to a server, and looks at its pages."""

    def look(self, address: str, status: int = 200) -> Element:
        answer = self.call("GET", address, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        return read(answer.text)

    def run(
        self,
        workflow_id: str,
        name: str | None = None,
        begin: datetime | None = None,
        status: str = "Completed",
        seconds: float | None = 1.0,
        tasks: tuple[str, ...] = (),
        planned: int = 0,
        errors: dict[int, str] | None = None,
    ) -> None:
        """Reports a run; `errors` has the messages of its tasks by their place."""
        plan = [{"id": one, "name": "step", "group_name": "g"} for one in range(1, planned + 1)]
        body: dict[str, Any] = {"id": workflow_id, "name": name, "tasks": plan}
        headers = times(begin) if begin else {}
        body["status"] = "In progress"
        answer = self.call("POST", "/workflows", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        path = "/workflows/" + quote(workflow_id, safe="")
        for place, one in enumerate(tasks, 1):
            self.task(path, place, status=one)
            if errors and place in errors:
                error = {"attempt": 1, "exception": "E", "message": errors[place], "traceback": ""}
                assert self.patch(f"{path}/tasks/{place}", {"errors": [error]}).ok
        if status != "In progress":
            if begin:
                headers = times(begin, begin + timedelta(seconds=seconds or 0))
            body = {"status": status, "duration": seconds}
            assert self.call("PATCH", path, json=body, headers=headers).ok


def rows(page: Element) -> list[Element]:
    return [row for body in page.all("tbody") for row in body.all("tr")]


def names(page: Element) -> list[str]:
    """The names that the list has, from top to bottom."""
    return [row.one("a", class_="cover").text for row in rows(page)]
