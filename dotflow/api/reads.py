"""The routes by which programs read; each says what it takes, what it answers and nothing else."""

from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator

from dotflow.api import answered, schemas
from dotflow.api.answers import answer, write_page, write_run, write_task
from dotflow.api.reading import Reading, RunFilter
from dotflow.api.strict import StrictRoute, check_query

Responses: TypeAlias = dict[int | str, dict[str, Any]]

_INVALID: Responses = {422: {"model": schemas.Invalid}}
_READS: Responses = {404: {"model": schemas.Refusal}, **_INVALID}

reads = APIRouter(route_class=StrictRoute, dependencies=[Depends(check_query)])


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("is out of range") from error


WorkflowId = Annotated[schemas.PathWorkflowId, Path()]
TaskId = Annotated[schemas.PathTaskId, Path()]
Offset = Annotated[int, Query(ge=0, le=schemas.MAX_INTEGER)]
Moment = Annotated[
    datetime, AfterValidator(_in_utc), Query(description="RFC 3339; without a zone it is UTC")
]
Statuses = Annotated[
    list[schemas.WorkflowStatus], Query(description="one of these, if it is given")
]
TaskStatuses = Annotated[list[schemas.TaskStatus], Query(description="one of these")]


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


@reads.get("/workflows", response_model=answered.WorkflowPage, responses=_INVALID)
def list_workflows(
    request: Request,
    status: Statuses = [],  # noqa: B006  # FastAPI copies it
    name: schemas.PlainText | None = None,
    text: Annotated[
        schemas.PlainText | None,
        Query(description="in the name or id, or in the errors of a task or its name"),
    ] = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[str | None, Query(description="the `next` of the page before")] = None,
    offset: Offset = 0,
    include: Annotated[list[Literal["plan"]], Query()] = [],  # noqa: B006
) -> Response:
    """List workflow runs, those that began last first.

    A page may end before the limit, where it becomes large: `next` is null on the last one alone.
    `total` is said on a first page without `text`.
    """
    wanted = RunFilter(tuple(status), name, text, since, until)
    reading = _reading(request)
    page = reading.runs(wanted, limit, after, offset=offset, plans="plan" in include)
    records = [write_run(run) for run in page.items]
    counted = {"total": reading.count(wanted)} if after is None and text is None else {}
    return answer(write_page("workflows", records, page, **counted))


@reads.get("/workflows/{workflow_id}", response_model=answered.WorkflowRecord, responses=_READS)
def read_workflow(workflow_id: WorkflowId, request: Request) -> Response:
    """Give the record of one workflow run, with its plan and the runs that opened it."""
    run = _reading(request).run(workflow_id, plan=True)
    return answer(write_run(run, _reading(request).openings(workflow_id)))


@reads.get("/workflows/{workflow_id}/tasks", response_model=answered.TaskPage, responses=_READS)
def list_tasks(
    workflow_id: WorkflowId,
    request: Request,
    status: TaskStatuses = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=2000)] = 200,
    after: Annotated[
        int | None,
        Query(ge=-1, le=schemas.MAX_INTEGER, description="the `next` of the page before"),
    ] = None,
    include: Annotated[list[Literal["contexts"]], Query()] = [],  # noqa: B006
) -> Response:
    """List a workflow run's tasks in the order of their ids.

    A page may end before the limit, where it becomes large: `next` is null on the last one alone.
    """
    page = _reading(request).tasks(
        workflow_id, status=status, limit=limit, after=after, contexts="contexts" in include
    )
    return answer(write_page("tasks", [write_task(task) for task in page.items], page))


@reads.get(
    "/workflows/{workflow_id}/tasks/next-id", response_model=schemas.NextId, responses=_READS
)
def next_task_id(workflow_id: WorkflowId, request: Request) -> Response:
    """Give the first task id that neither a task nor the plan has taken."""
    return answer(b'{"next_id":%d}' % _reading(request).next_task_id(workflow_id))


@reads.get(
    "/workflows/{workflow_id}/tasks/{task_id}", response_model=answered.TaskRecord, responses=_READS
)
def read_task_of_workflow(workflow_id: WorkflowId, task_id: TaskId, request: Request) -> Response:
    """Give one task with its contexts, named by the caller's own id."""
    return answer(write_task(_reading(request).task(workflow_id, task_id)))


@reads.get("/tasks/{server_id}", response_model=answered.TaskRecord, responses=_READS)
def read_task(server_id: TaskId, request: Request) -> Response:
    """Give one task with its contexts, named by the id that its POST answered."""
    return answer(write_task(_reading(request).task_by_server_id(server_id)))
