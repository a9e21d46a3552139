"""Messages as tests make them, each with an id of its own."""

from __future__ import annotations

import itertools
import json

from dotflow.delivery.message import Kind, Message

_ids = itertools.count(1)


def message(kind, workflow="w", task=None, body=None, final=False, **fields):
    raw = json.dumps(fields).encode() if body is None else body
    number = next(_ids)
    return Message(kind, workflow, task, raw, number, f"key-{number:032d}", final)


def workflow_post(workflow="w"):
    return message(Kind.WORKFLOW_POST, workflow, id=workflow)


def workflow_open(workflow="w", **fields):
    return message(Kind.WORKFLOW_OPEN, workflow, **fields)


def workflow_patch(workflow="w", final=False, **fields):
    return message(Kind.WORKFLOW_PATCH, workflow, final=final, **fields)


def task_post(task=1, workflow="w", **fields):
    return message(Kind.TASK_POST, workflow, task, id=task, **fields)


def task_patch(task=1, workflow="w", **fields):
    return message(Kind.TASK_PATCH, workflow, task, **fields)
