"""The lines that a task's steps leave in the run log of a process of the histories."""

from __future__ import annotations

from dotflow.abc import facts

PADDING = '"' + "x" * 60 + '"'


def line_of(lines, task, step, status, n, now):
    """The next line about a task, and the status that it has then.

    Args:
        lines: The lines of its run.
        task: Its number.
        step: "retry", "end" or "restore"; a task that has not begun begins, or is restored.
        status: The status that it has; None where it has not begun.
        n: The number of the fact.
        now: When, by the clock of the books.
    """
    at = 10**18 + now
    if status is None and step == "restore":
        fact = facts.TaskRestored(n, task, at, None)
        line = lines.task_restored(fact, "step", "default", PADDING, "null", str(now))
        return line, "Completed"
    if status is None:
        fact = facts.TaskBegan(n, task, at)
        return lines.task_began(fact, "step", "default", PADDING, "null"), "In progress"
    if step == "retry":
        return lines.retried(facts.Retried(n, task, at, 1, None), '{"message":"no"}'), "Retry"
    status = "Completed" if now % 3 else "Failed"
    return lines.task_ended(facts.TaskEnded(n, task, at, 1.0, status, 0, None), str(now)), status
