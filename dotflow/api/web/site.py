"""Puts the pages together."""

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException

from dotflow.api.web import assets, docs, login, rows, run, runs, task, trends
from dotflow.api.web.page import problem


def add_pages(app: FastAPI) -> None:
    """Has an application answer people as well as programs.

    Args:
        app: The application; its state has what is read from, as ``reading``.
    """
    for part in (assets, login, docs, runs, run, rows, task, trends):
        app.include_router(part.router)
    app.add_exception_handler(404, _answer_lost)


async def _answer_lost(request: Request, error: Exception) -> Response:
    """Answers where there is neither a page nor a route: people with a page."""
    if "text/html" in request.headers.get("Accept", ""):
        text = "There is nothing at this address: it may have been cut off as it was copied."
        return problem(request, 404, "Not found", text)
    lost = error if isinstance(error, HTTPException) else HTTPException(404)
    return await http_exception_handler(request, lost)
