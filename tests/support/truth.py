"""What dotflow-api has to hold of a process that was killed, by the journal that it wrote."""

from __future__ import annotations

from support.kill_loop import journals

ENDED = ("Completed", "Failed")
UNDER_WAY = ("In progress", "Retry")


class Record:
    """A workflow or a task: what was surely reported of it, and what perhaps."""

    def __init__(self):
        self.made = []
        self.begun = None

    def note(self, line):
        if line["is_made"]:
            self.made.append(line)
            self.begun = None
        else:
            self.begun = line


def records(kind, lines):
    """The records of one process by workflow and task, as far as its server reports them."""
    found = {}
    for line in lines:
        report, lane = line["report"], (line["workflow"], line.get("task"))
        if "otel" in kind and report.startswith("create"):
            continue  # which reports nothing
        found.setdefault(lane, Record()).note(line)
    return found


def compare(folder, read):
    """Hold all journals of a folder against an API.

    Args:
        folder: Where the journals are.
        read: Gives the record of a workflow (no task number) or task; None where there is none.

    Returns:
        How many records there were.
    """
    count = 0
    for kind, lines in journals(folder):
        found = records(kind, lines)
        for (workflow, task), record in found.items():
            if record.made:
                count += 1
                of_workflow = found.get((workflow, None))
                _compare(record, of_workflow, read(workflow, task), f"{kind} {workflow} {task}")
    return count


def _compare(record, of_workflow, actual, name):
    assert actual is not None, f"{name} is not there"
    allowed = _allowed(record, of_workflow)
    assert actual["status"] in allowed, f"{name} is {actual['status']}, and not {allowed}"
    last = record.made[-1]
    if last["report"].endswith("task") and last["status"] in ENDED:
        assert actual["current_context"] == last["result"], (name, actual, last, record.begun)
    is_cut = last["status"] in UNDER_WAY and record.begun is None
    if is_cut and last["report"] == "update_task":
        assert actual["errors"][-1]["exception"] == "ProcessEnded", (name, actual)


def _allowed(record, of_workflow):
    """The statuses that a record may have when all is delivered."""
    last = record.made[-1]
    allowed = {_settled(last, of_workflow)}
    if record.begun is not None:  # nobody knows how far that came
        allowed.add(_settled(record.begun, of_workflow))
    return allowed


def _settled(line, of_workflow):
    if line["report"] == "create_workflow":
        return "New"
    return "Failed" if line["status"] in UNDER_WAY else line["status"]
