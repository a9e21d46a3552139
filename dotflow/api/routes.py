"""The routes by which programs write, in both dialects; each says what it takes and answers."""

from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json

from dotflow.api import answered, schemas
from dotflow.api.answers import answer, write_run, write_task
from dotflow.api.bulk import apply_all
from dotflow.api.direct import DirectRoute
from dotflow.api.limits import BULK_PATH
from dotflow.api.store import Store
from dotflow.api.strict import BulkRoute, check_query

Responses: TypeAlias = dict[int | str, dict[str, Any]]

_INVALID: Responses = {422: {"model": schemas.Invalid}}
_UNKNOWN: Responses = {404: {"model": schemas.Refusal}}
_TOO_LARGE: Responses = {413: {"model": schemas.Refusal}}
_CHANGES: Responses = {**_UNKNOWN, **_TOO_LARGE, **_INVALID}

router = APIRouter(route_class=DirectRoute)
bulk_router = APIRouter(route_class=BulkRoute)


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


WorkflowId = Annotated[schemas.PathWorkflowId, Path()]
TaskId = Annotated[schemas.PathTaskId, Path()]
PostHeaders = Annotated[schemas.PostHeaders, Header()]
PatchHeaders = Annotated[schemas.PatchHeaders, Header()]


@router.get("/healthz", response_model=schemas.Health)
def check_health(request: Request) -> Response:
    """Say whether the server and its database answer."""
    _store(request).check()
    return answer(b'{"status":"ok"}')


@router.post(
    "/workflows",
    status_code=201,
    response_model=schemas.WorkflowCreated,
    responses={409: {"model": schemas.WorkflowConflict}, **_TOO_LARGE, **_INVALID},
)
def add_workflow(body: schemas.WorkflowPost, request: Request, headers: PostHeaders) -> Response:
    """Record a new workflow run."""
    with _store(request).writing() as writing:
        created = writing.add_workflow(body.columns(), headers.envelope())
    return answer(to_json(created), 201)


@router.patch(
    "/workflows/{workflow_id}", response_model=answered.WorkflowRecord, responses=_CHANGES
)
def change_workflow(
    workflow_id: WorkflowId, body: schemas.WorkflowPatch, request: Request, headers: PatchHeaders
) -> Response:
    """Set the given fields of a workflow run; the answer leaves the plan out."""
    with _store(request).writing() as writing:
        writing.change_workflow(workflow_id, body.columns(), headers.envelope())
        record = writing.workflow(workflow_id)
    return answer(write_run(record))


@router.delete(
    "/workflows/{workflow_id}",
    status_code=204,
    response_class=Response,
    responses={**_UNKNOWN, **_INVALID},
    dependencies=[Depends(check_query)],
)
def delete_workflow(workflow_id: WorkflowId, request: Request) -> Response:
    """Delete a workflow run and its tasks; messages of it that come later are answered 404."""
    with _store(request).writing() as writing:
        writing.delete_workflow(workflow_id)
    return Response(status_code=204)


@router.post(
    "/workflows/{workflow_id}/tasks",
    status_code=201,
    response_model=schemas.TaskCreated,
    responses={409: {"model": schemas.TaskConflict}, **_CHANGES},
)
def add_task(
    workflow_id: WorkflowId, body: schemas.TaskPost, request: Request, headers: PostHeaders
) -> Response:
    """Record a new task of a workflow run."""
    created = _store(request).add_task(workflow_id, body.columns(), headers.envelope())
    return answer(to_json(created), 201)


@router.patch("/tasks/{server_id}", response_model=answered.TaskRecord, responses=_CHANGES)
def change_task(
    server_id: TaskId, body: schemas.TaskPatch, request: Request, headers: PatchHeaders
) -> Response:
    """Set the given fields of a task, named by the id that its POST answered.

    The answer leaves the contexts out.
    """
    record = _store(request).change_task(server_id, body.columns(), headers.envelope())
    return answer(write_task(record))


@router.patch(
    "/workflows/{workflow_id}/tasks/{task_id}",
    response_model=answered.TaskRecord,
    responses=_CHANGES,
)
def change_task_of_workflow(
    workflow_id: WorkflowId,
    task_id: TaskId,
    body: schemas.TaskPatch,
    request: Request,
    headers: PatchHeaders,
) -> Response:
    """Set the given fields of a task, named by the caller's own id (the managed dialect).

    The answer leaves the contexts out.
    """
    with _store(request).writing() as writing:
        server_id = writing.server_id(workflow_id, task_id)
        writing.change_task(server_id, body.columns(), headers.envelope())
        record = writing.task(server_id)
    return answer(write_task(record))


@bulk_router.post(
    BULK_PATH, response_model=schemas.BulkAnswers, responses={**_TOO_LARGE, **_INVALID}
)
def apply_bulk(body: schemas.Bulk, request: Request) -> Response:
    """Make many calls at once, each a change of its own with the rules of the single call.

    At most 500 items in 5 MiB. After an item that was not taken, later items of its record are
    answered 424; after a workflow that was not made, or is not known, all later ones of that
    workflow are. Work ends after five seconds: items without an answer were not tried.
    """
    if len(body.items) > schemas.MAX_ITEMS:
        detail = f"more than {schemas.MAX_ITEMS} items: send them in several"
        return JSONResponse({"detail": detail}, status_code=413)
    answers = apply_all(_store(request), body.items)
    return JSONResponse({"items": [answer.as_json() for answer in answers]})
