"""Reads the items of a bulk: which call each makes, on which record, and whether it can be made."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.routing import compile_path

from dotflow.api import schemas
from dotflow.api.envelope import Envelope
from dotflow.api.limits import decode_part, decode_path
from dotflow.api.strict import Unreadable, name_fault
from dotflow.api.times import read_value
from dotflow.api.writing import Record, Writing

Parts: TypeAlias = dict[str, Any]
Faults: TypeAlias = list[dict[str, Any]]
Name: TypeAlias = tuple[object, object]
"""A record as the items name it: the workflow's id, and the task's, None for the workflow's own."""

# The answers to a whole bulk are to be read at once: no item may fill them with its faults.
_MOST_FAULTS = 3

_PARTS: dict[str, TypeAdapter[Any]] = {
    "workflow_id": TypeAdapter(schemas.PathWorkflowId),
    "task_id": TypeAdapter(schemas.PathTaskId),
}


@dataclass(frozen=True)
class Call:
    """What an item asks for.

    Args:
        name: The record that it is about, as far as it can be told.
        is_post: It makes the record.
        faults: What is wrong with it; it can be made if there is nothing.
        make: Makes it within a transaction, and gives the body of its answer.
    """

    name: Name | None
    is_post: bool
    faults: Faults
    make: Callable[[Writing], Record]


@dataclass(frozen=True)
class _Route:
    method: str
    path: re.Pattern[str]
    body: type[schemas.Body]
    headers: type[schemas.PostHeaders]
    make: Callable[[Writing, Parts, Record, Envelope], Record]


def read_call(item: schemas.BulkItem) -> Call:
    """Gives what an item asks for.

    Args:
        item: The item as it was sent.
    """
    path = decode_path(item.path.partition("?")[0])
    for route in _ROUTES:
        matched = route.path.match(path)
        if matched and route.method == item.method:
            return _read(route, matched.groupdict(), item)
    return Call(None, False, [_NO_ROUTE], _refuse)


def _read(route: _Route, raw: Mapping[str, str], item: schemas.BulkItem) -> Call:
    faults: Faults = []
    parts = {
        name: _valid("path", (name,), _PARTS[name].validate_python, part, faults)
        for name, part in raw.items()
    }
    headers = _valid("header", (), route.headers.model_validate, _headers(route, item), faults)
    body = _valid("body", (), _reader(route.body), item.body, faults)
    is_post = route.method == "POST"
    name = _name(parts, raw, item.body if is_post else None)
    if faults:
        return Call(name, is_post, faults[:_MOST_FAULTS], _refuse)
    values, envelope = body.columns(), headers.envelope()
    if item.times is not None:
        envelope = replace(envelope, times=read_value(item.times))
    return Call(name, is_post, [], lambda writing: route.make(writing, parts, values, envelope))


def _valid(
    place: str, within: tuple[str, ...], read: Callable[[Any], Any], value: Any, faults: Faults
) -> Any:
    try:
        return read(value)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            faults.append(name_fault({**fault, "loc": (place, *within, *fault["loc"])}))
        return None


def _reader(model: type[BaseModel]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if isinstance(value, Unreadable):
            raise ValidationError.from_exception_data(
                model.__name__,
                [
                    {
                        "type": "json_invalid",
                        "loc": (),
                        "input": None,
                        "ctx": {"error": value.reason},
                    }
                ],
            )
        return model.model_validate(value, from_attributes=True)

    return read


def _headers(route: _Route, item: schemas.BulkItem) -> dict[str, Any]:
    sent = {name.lower(): value for name, value in (item.headers or {}).items()}
    if item.idempotency_key is not None:
        sent["idempotency-key"] = item.idempotency_key
    names = (str(field.alias) for field in route.headers.model_fields.values())
    return {name: sent[name.lower()] for name in names if name.lower() in sent}


def _name(parts: Parts, raw: Mapping[str, str], posted: Any) -> Name | None:
    """Names the record also where the item cannot be made: those after it have to know."""
    known = {name: decode_part(raw[name]) if parts[name] is None else parts[name] for name in raw}
    if posted is not None:
        own = posted.get("id") if isinstance(posted, dict) else None
        if type(own) not in {str, int}:
            return None
        known["task_id" if "workflow_id" in known else "workflow_id"] = own
    return known["workflow_id"], known.get("task_id")


def _refuse(_writing: Writing) -> Record:
    raise AssertionError("this item cannot be made")


def _add_workflow(writing: Writing, _parts: Parts, values: Record, envelope: Envelope) -> Record:
    return writing.add_workflow(values, envelope)


def _change_workflow(writing: Writing, parts: Parts, values: Record, envelope: Envelope) -> Record:
    writing.change_workflow(parts["workflow_id"], values, envelope)
    return {"id": parts["workflow_id"]}


def _add_task(writing: Writing, parts: Parts, values: Record, envelope: Envelope) -> Record:
    return writing.add_task(parts["workflow_id"], values, envelope)


def _change_task(writing: Writing, parts: Parts, values: Record, envelope: Envelope) -> Record:
    server_id = writing.server_id(parts["workflow_id"], parts["task_id"])
    writing.change_task(server_id, values, envelope)
    return {"id": server_id, **parts}


def _path(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]


_TASK = "/workflows/{workflow_id}/tasks/{task_id}"
_ROUTES = (
    _Route(
        *("POST", _path("/workflows"), schemas.WorkflowPost, schemas.PostHeaders),
        make=_add_workflow,
    ),
    _Route(
        *("PATCH", _path("/workflows/{workflow_id}"), schemas.WorkflowPatch, schemas.PatchHeaders),
        make=_change_workflow,
    ),
    _Route(
        *("POST", _path("/workflows/{workflow_id}/tasks"), schemas.TaskPost, schemas.PostHeaders),
        make=_add_task,
    ),
    _Route("PATCH", _path(_TASK), schemas.TaskPatch, schemas.PatchHeaders, _change_task),
)
_NO_ROUTE = {
    "loc": ["path"],
    "msg": "a bulk takes POST /workflows, PATCH /workflows/{id}, POST /workflows/{id}/tasks "
    "and PATCH /workflows/{id}/tasks/{task_id}",
    "type": "not_in_bulk",
}
