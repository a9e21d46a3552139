"""The list of runs."""

from fastapi import Request, Response

from dotflow.api.errors import BadCursorError
from dotflow.api.reading import Page, Run
from dotflow.api.web.asked import PERIODS, STATUSES, Asked
from dotflow.api.web.page import pages, reading, show
from dotflow.api.web.shares import shares

LIMIT = 50
NAMES = 200
"""Workflows that can be chosen from; others can be searched for."""

router = pages()


@router.get("/")
def list_runs(request: Request) -> Response:
    """Show runs, newest first."""
    asked = Asked.of(request.query_params)
    page: Page[Run, str] = Page([])
    fault = ""
    try:
        page = reading(request).runs(asked.wanted(), LIMIT, asked.after or None)
    except ValueError as error:
        fault = str(error)
    except BadCursorError:
        fault = "this page of the list is not known: begin with the newest runs"
    return show(
        request,
        "runs.html",
        title=asked.title(),
        here="runs",
        status=422 if fault else 200,
        live=True,
        asked=asked,
        fault=fault,
        runs=page.items,
        failed=reading(request).first_failed(
            [one.id for one in page.items if one.counts.get("Failed")]
        ),
        older=page.next,
        statuses=STATUSES,
        periods=PERIODS,
        names=_names(request),
        shares=shares,
        address=str(request.base_url).rstrip("/"),
    )


def _failed(runs: list[Run]) -> list[str]:
    return [one.id for one in runs if one.counts.get("Failed")]


def _names(request: Request) -> list[str]:
    # Whoever asks for the list anew has the form already.
    if "HX-Request" in request.headers:
        return []
    return [one for one in reading(request).names(limit=NAMES) if one]
