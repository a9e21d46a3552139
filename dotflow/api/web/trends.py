"""How workflows went of late: all of them in short, and one."""

from typing import Annotated

from fastapi import Path, Query, Request, Response

from dotflow.api.errors import NotFoundError
from dotflow.api.limits import decode_part
from dotflow.api.web.page import pages, reading, show
from dotflow.api.web.plots import plot

WORKFLOWS = 100
"""Workflows that the overview shows at most."""

FEW = 24
"""Runs that it shows of each."""

SELDOM = 5000
"""Milliseconds between two refreshes of the overview: it asks for many runs."""

CHOICES = (20, 50, 100, 200)

router = pages()


@router.get("/trends")
def list_workflows(request: Request) -> Response:
    """Show the workflows that ran lately, each with its last runs."""
    read = reading(request)
    names = [one for one in read.names(limit=WORKFLOWS + 1) if one]
    found = [(name, plot(read.trend(name, FEW), FEW)) for name in names[:WORKFLOWS]]
    return show(
        request,
        "workflows.html",
        title="Workflows",
        here="workflows",
        live=True,
        often=SELDOM,
        workflows=[(name, past) for name, past in found if past.bars],
        more=len(names) > WORKFLOWS,
        few=FEW,
    )


@router.get("/trends/{name}")
def show_trends(
    request: Request,
    name: Annotated[str, Path()],
    last: Annotated[int, Query(ge=1, le=CHOICES[-1])] = 50,
) -> Response:
    """Show the last runs of a workflow: how long they took, and which failed."""
    name = decode_part(name)
    past = plot(reading(request).trend(name, last))
    if not past.bars:
        raise NotFoundError("workflow", name)
    return show(
        request,
        "trends.html",
        title=f"{name} · Trends",
        live=True,
        name=name,
        last=last,
        choices=CHOICES,
        plot=past,
    )
