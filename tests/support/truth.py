"""What dotflow-api has to hold of a process that was killed, by the diary that it wrote."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from support.kill_loop import diaries

ENDED = ("Completed", "Failed")
UNDER_WAY = ("In progress", "Retry")
ADDED = ("New", "Not started")


class Record:
    """A workflow or a task: what was surely reported of it, and what perhaps."""

    def __init__(self):
        self.done = []
        self.begun = None

    def note(self, line):
        if line["is_done"]:
            self.done.append(line)
            self.begun = None
        else:
            self.begun = line

    @property
    def is_cut(self):
        """Whether its process died while it was surely under way."""
        return self.done[-1]["status"] in UNDER_WAY and self.begun is None


@dataclass
class Compared:
    """How many records were held against an API: by child, by kind of server, by their state."""

    children: Counter = field(default_factory=Counter)
    kinds: Counter = field(default_factory=Counter)
    states: Counter = field(default_factory=Counter)

    @property
    def total(self):
        return sum(self.kinds.values())


def records(kind, lines):
    """The records of one process by workflow and task, as far as its server reports them."""
    found = {}
    for line in lines:
        if "otel" in kind and line["status"] in ADDED:
            continue  # there is no span of it yet
        found.setdefault((line["workflow"], line["task"]), Record()).note(line)
    return {lane: record for lane, record in found.items() if record.done}


def compare(folder, read):
    """Hold all diaries of a folder against an API.

    Args:
        folder: Where the diaries are.
        read: Gives the record of a workflow (no task number) or task; None where there is none.

    Returns:
        How many records there were.
    """
    compared = Compared()
    for index, kind, lines in diaries(folder):
        for (workflow, task), record in records(kind, lines).items():
            _compare(record, read(workflow, task), f"{kind} {workflow} {task}")
            compared.children[index] += 1
            compared.kinds[kind] += 1
            compared.states[_state(record)] += 1
    return compared


def _state(record):
    if record.done[-1]["status"] in ENDED:
        return "ended"
    return "cut" if record.is_cut else "other"


def _compare(record, actual, name):
    assert actual is not None, f"{name} is not there"
    last = record.done[-1]
    # Nobody knows how far what was begun came.
    allowed = {_settled(one) for one in (last, record.begun) if one is not None}
    assert actual["status"] in allowed, f"{name} is {actual['status']}, and not {allowed}"
    if last["task"] is None:
        return
    if last["status"] in ENDED:
        assert actual["current_context"] == last["result"], (name, actual, last)
    if record.is_cut:
        assert actual["errors"][-1]["exception"] == "ProcessEnded", (name, actual)


def _settled(line):
    return "Failed" if line["status"] in UNDER_WAY else line["status"]


def check_what_came(api):
    """Nothing under two keys, no key for two, no way back from an end, no PATCH before its POST.

    Returns:
        How many messages there were.
    """
    by_key, by_body = {}, {}
    for seen in api.seen:
        is_whole = len(seen.raw) == int(seen.headers.get("content-length", 0))
        if is_whole and seen.method != "GET":
            what = (seen.line, seen.raw)
            assert by_key.setdefault(seen.key, what) == what, "a key for two messages"
            # What was held for the case of its process's death may be put a second time by then.
            if not (seen.method == "POST" and "managed" in seen.path):
                assert by_body.setdefault(what, seen.key) == seen.key, f"under two keys: {what}"
    for history in api.history.values():
        _check_history(history)
    return len(by_key)


def _check_history(history):
    last = {}
    for line in history:
        method, name, new = re.fullmatch(r"(\w+) (workflow|task \d+) (.*)", line).groups()
        assert last.get(name) not in ENDED, history
        assert method == "POST" or name in last or name == "workflow", history
        last[name] = new
