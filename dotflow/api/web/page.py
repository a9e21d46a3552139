"""What every page has in common: the templates, the answer, and what is said when one fails."""

import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from dotflow.api.errors import UNAVAILABLE, NotFoundError
from dotflow.api.guard.sessions import SESSION
from dotflow.api.reading import Reading
from dotflow.api.schemas import PathTaskId, PathWorkflowId
from dotflow.api.web import words
from dotflow.api.web.links import Links
from dotflow.version import __version__
from dotflow.waterfall import texts

logger = logging.getLogger(__name__)

_environment = Environment(
    loader=PackageLoader("dotflow.api.web"),
    autoescape=True,  # whatever the template's name
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
for _filter in (
    *(words.lasting, words.clock, words.exactly, words.since),
    *(words.even, words.many, words.shown, words.brief, texts.whole),
):
    _environment.filters[_filter.__name__] = _filter
_environment.globals["version"] = __version__

WorkflowId = Annotated[PathWorkflowId, Path()]
TaskId = Annotated[PathTaskId, Path()]

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def show(
    request: Request, template: str, *, title: str, status: int = 200, **values: Any
) -> Response:
    """Gives a page.

    Args:
        request: What is answered; links are made for its prefix.
        template: The template's name.
        title: What the browser's tab says, before "dotflow".
        status: The HTTP status.
        values: What the template shows besides; ``here`` is the link at the top that leads to it,
            ``live`` the address of its events (True for those of all runs), ``often`` the
            milliseconds between two refreshes.
    """
    common = {
        "links": Links.of(request),
        "title": title,
        "here": "",
        "live": None,
        "often": None,
        "now": datetime.now(timezone.utc),
        "app": request.app.state,
        "has_session": request.scope.get(SESSION, False),
    }
    page = _environment.get_template(template).render({**common, **values})
    # Half a surrogate pair has no bytes; what it stands in is still worth a look.
    content = page.encode("utf-8", "replace")
    headers = {"Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8"}
    return Response(content, status, headers)


def reading(request: Request) -> Reading:
    """Gives what the pages read from."""
    found: Reading = request.app.state.reading
    return found


class PageRoute(APIRoute):
    """A route that answers people: what goes wrong is a page too."""

    def get_route_handler(self) -> _Handler:
        """Gives the handler, with an answer for what it may raise."""
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                return await handle(request)
            except NotFoundError as error:
                return problem(request, 404, "Not found", _unknown(error))
            except RequestValidationError:
                return problem(request, 422, "Not understood", "This address is not complete.")
            except UNAVAILABLE as error:
                return _unavailable(request, error)

        return handle_for_people


def pages() -> APIRouter:
    """Gives a router for pages: programs are not told of them."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def problem(request: Request, status: int, title: str, text: str) -> Response:
    """Gives the page that says why there is no other.

    Args:
        request: What is answered.
        status: The HTTP status.
        title: In two words.
        text: In a sentence or two, with what to do.
    """
    return show(request, "problem.html", title=title, status=status, text=text)


def _unavailable(request: Request, error: Exception) -> Response:
    # The driver's own words, without SQLAlchemy's: those would quote the statement.
    logger.error("the database does not answer: %s", getattr(error, "orig", error))
    text = "The database does not answer. This page tries again by itself."
    answer = problem(request, 503, "Not available", text)
    answer.headers["Refresh"] = "5"  # seconds
    return answer


def _unknown(error: NotFoundError) -> str:
    return f"The {error}: it was deleted, or never reported to this server."
