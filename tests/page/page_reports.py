"""Runs that were reported: what the pages show, without the time that it takes to run them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import requests

NAMES = ("fetch_orders", "fetch_customers", "clean", "join", "validate", "score", "publish",
         "notify", "archive", "report")  # fmt: skip
TRACEBACK = """\
Traceback (most recent call last):
  File "/app/etl.py", line 57, in clean
    raise ValueError(text)
ValueError: order 4711 has no customer
"""
ERROR = {
    "exception": "ValueError",
    "message": "order 4711 has no customer",
    "traceback": TRACEBACK,
}
MADE = {"rows": [{"id": one, "total": one * 3.5} for one in range(6)], "ok": True}
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\u202e\x01{{7*7}}"
HOSTILE_ID = "a/../b%2F c?d#e&\"'<b>\u202e"
MANY = 10_000


class Reports:
    """Reports runs to a server, in bulk.

    Args:
        url: The server's address.
    """

    def __init__(self, url):
        self._url = url
        self._random = random.Random(7)
        self.now = datetime.now(timezone.utc)

    def run(self, workflow_id, name, *, ago, tasks=10, groups=("default",), lanes=3, **fate):
        """Report a run that began some time ago.

        Args:
            workflow_id: Its id.
            name: The workflow's name.
            ago: How long ago it began, a timedelta.
            tasks: How many tasks it has.
            groups: Their groups, one after the other.
            lanes: How many of them run at the same time.
            fate: `failed`, `retried` and `running` have the ids of such tasks; `waiting` says
                how many more are planned.
        """
        failed, retried = fate.get("failed", ()), fate.get("retried", ())
        running, waiting = fate.get("running", ()), fate.get("waiting", 0)
        total = tasks + waiting
        plan = [
            {"id": number, "name": _name(number, total), "group_name": group}
            for number in range(1, total + 1)
            for group in [groups[(number - 1) * len(groups) // total]]
        ]
        begin = self.now - ago
        path = f"/workflows/{quote(workflow_id, safe='')}"
        body = {"id": workflow_id, "name": name, "mode": "parallel", "status": "In progress",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "tasks": plan}  # fmt: skip
        items = [_item("POST", "/workflows", body, (begin, None))]
        free = [begin] * lanes
        for one in plan[:tasks]:
            lane = free.index(min(free))
            start = free[lane]
            end = start + timedelta(seconds=self._random.lognormvariate(-1, 0.8))
            free[lane] = end
            fate_of = {"failed": one["id"] in failed, "retried": one["id"] in retried}
            items += _task(path, one, start, None if one["id"] in running else end, **fate_of)
        end = max(free)
        if not running and not waiting:
            status = "Failed" if failed else "Completed"
            body = {"status": status, "duration": (end - begin).total_seconds()}
            items.append(_item("PATCH", path, body, (begin, end)))
        self.send(items)

    def send(self, items):
        """Report items, as many at once as the server takes."""
        with requests.Session() as session:
            for first in range(0, len(items), 500):
                answer = session.post(
                    self._url + "/bulk", json={"items": items[first : first + 500]}, timeout=90
                )
                assert answer.ok, answer.text[:2000]
                bad = [one for one in answer.json()["items"] if one["status"] >= 300]
                assert not bad, bad[:3]


def fill(reports):
    """Report a run of each kind."""
    for day in range(9, 0, -1):
        failed = (6,) if day in (3, 4) else ()
        reports.run(f"nightly-{day}", "nightly_orders", ago=timedelta(days=day), failed=failed)
    groups = ("extract", "transform", "load")
    kinds = {"groups": groups, "lanes": 4}
    reports.run("broken", "nightly_orders", ago=timedelta(minutes=4), failed=(6,), retried=(2,),
                **kinds)  # fmt: skip
    reports.run("going", "nightly_orders", ago=timedelta(seconds=9), tasks=14, failed=(5,),
                retried=(3,), running=(13, 14), waiting=6, **kinds)  # fmt: skip
    reports.run("small", "hello", ago=timedelta(minutes=40), tasks=3, lanes=1)
    reports.run("nothing", "nothing", ago=timedelta(hours=1), tasks=0)


def hostile(reports):
    """Report a run whose every word wants to be more than a word."""
    path = f"/workflows/{quote(HOSTILE_ID, safe='')}"
    error = {"attempt": 1, "exception": HOSTILE, "message": HOSTILE, "traceback": HOSTILE * 30}
    began, over = (reports.now, None), (reports.now, reports.now)
    task = {"id": 1, "name": HOSTILE, "group_name": HOSTILE, "initial_context": {HOSTILE: HOSTILE}}
    end = {"status": "Failed", "errors": [error], "current_context": HOSTILE}
    reports.send(
        [
            _item("POST", "/workflows", {"id": HOSTILE_ID, "name": HOSTILE}, began),
            _item("POST", f"{path}/tasks", {**task, "status": "In progress"}, began),
            _item("PATCH", f"{path}/tasks/1", end, over),
            _item("PATCH", path, {"status": "Failed", "duration": 1.0}, over),
        ]
    )


def many(reports):
    """Report a run of very many tasks, a few of which failed."""
    groups = tuple(f"part {one}" for one in range(8))
    fate = {"failed": (77, 4321, 4322, 9000), "retried": range(50, MANY, 97)}
    ago = timedelta(hours=2)
    reports.run("many", "crawl", ago=ago, tasks=MANY, lanes=64, groups=groups, **fate)


def _name(one, total):
    name = NAMES[(one - 1) % len(NAMES)]
    return name if total <= len(NAMES) else f"{name}_{one:05}"


def _task(path, one, start, end, *, failed, retried):
    body = {"id": one["id"], "name": one["name"], "group_name": one["group_name"],
            "status": "In progress", "initial_context": {"n": one["id"]}}  # fmt: skip
    items = [_item("POST", f"{path}/tasks", body, (start, None))]
    if end is None:
        return items
    attempts, errors = [(start, end)], []
    if failed or retried:
        third = (end - start) / 3
        attempts = [(start, start + third), (start + 2 * third, end)]
        errors = [{"attempt": number, **ERROR} for number in ((1, 2) if failed else (1,))]
    body = {"status": "Failed" if failed else "Completed", "retry_count": len(attempts) - 1}
    body |= {"errors": errors, "duration": (end - start).total_seconds(), "current_context": MADE}
    items.append(_item("PATCH", f"{path}/tasks/{one['id']}", body, (start, end), attempts))
    return items


def _item(method, path, body, times, attempts=()):
    said = {"started_at": _iso(times[0]), "finished_at": _iso(times[1])}
    if attempts:
        said["attempts"] = [[_iso(began), _iso(ended)] for began, ended in attempts]
    return {"method": method, "path": path, "headers": {}, "body": body, "times": said}


def _iso(moment):
    return moment and moment.isoformat()
