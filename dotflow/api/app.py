"""Puts the application together: routes, guards in front of them, answers to errors."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from dotflow.api import schemas
from dotflow.api.auth import TokenCheck, check_token, describe_security
from dotflow.api.database import open_engine
from dotflow.api.errors import (
    UNAVAILABLE,
    BadCursorError,
    ConflictError,
    KeyReusedError,
    NotFoundError,
)
from dotflow.api.events import Changes
from dotflow.api.events import router as events
from dotflow.api.keeping import Keeper, read_keep
from dotflow.api.limits import BodyLimit, EncodedPath
from dotflow.api.methods import answer_method
from dotflow.api.reading import Reading
from dotflow.api.reads import reads
from dotflow.api.routes import bulk_router, router
from dotflow.api.store import Store
from dotflow.api.strict import answer_invalid
from dotflow.api.web import add_pages

logger = logging.getLogger(__name__)

_OFFER = (b"dotflow-bulk", str(schemas.MAX_ITEMS).encode())


def create_app(
    database_url: str,
    token: str | None = None,
    *,
    read_only: bool = False,
    keep: str | None = None,
) -> FastAPI:
    """Gives the dotflow-api application, ready to be served.

    The page at ``/docs`` loads its script and style from a CDN; ``/openapi.json`` needs nothing
    from outside. Both are open, like ``/healthz``: they tell nothing of any run.

    Args:
        database_url: ``sqlite:///FILE`` (missing folders are made) or ``postgresql://...``.
        token: What requests must carry; None lets everybody in.
        read_only: Whether it only shows what is in the database: no request changes anything.

        keep: Which runs that have ended are kept: an age, as ``30d``, or a number, as ``1000``;
            None keeps all.

    Raises:
        ValueError: The URL, the token or ``keep`` cannot be used; the message names the remedy.
        ImportError: The database's driver is not installed; the message names the extra.
        ConnectionError: The PostgreSQL server does not answer.
    """
    if token is not None:
        check_token(token)
    kept = None if keep is None else read_keep(keep)
    engine = open_engine(database_url)
    reading = Reading(engine)
    changes = Changes(reading.changes)
    store = Store(engine, changes.nudge)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        keeper = Keeper(engine, store, kept)
        if not read_only:
            keeper.start()
        yield
        await changes.close()
        await to_thread.run_sync(keeper.close)
        store.close()

    app = _Application(
        title="dotflow-api",
        summary="Records of workflow runs and their tasks",
        description=f"Every answer carries `Dotflow-Bulk: {schemas.MAX_ITEMS}`: "
        "this server takes as many items in a `POST /bulk`.",
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.store = store
    app.state.reading = reading
    app.state.changes = changes
    app.state.read_only = read_only
    writes = (_only_reading(router),) if read_only else (router, bulk_router)
    for routes in (reads, events, *writes):
        app.include_router(routes, responses={503: {"model": schemas.Refusal}})
    add_pages(app)
    _add_error_answers(app)
    # The last one added is the first to see a request: no stranger's body is ever held.
    app.add_middleware(EncodedPath)
    app.add_middleware(BodyLimit)
    if token is not None:
        app.add_middleware(TokenCheck, token=token)
        _describe_guard(app)
    return app


def _only_reading(router: APIRouter) -> APIRouter:
    found = APIRouter()
    found.routes += [one for one in router.routes if getattr(one, "methods", None) == {"GET"}]
    return found


class _Application(FastAPI):
    """An application that says in each of its answers, errors too, that it takes bulks."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def offer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], _OFFER]}
            await send(message)

        await super().__call__(scope, receive, offer)


def _describe_guard(app: FastAPI) -> None:
    describe = app.openapi

    def describe_guarded() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe_security(describe())
        return describe()

    app.openapi = describe_guarded  # type: ignore[method-assign]


def _add_error_answers(app: FastAPI) -> None:
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(405, answer_method)
    app.add_exception_handler(NotFoundError, _answer_unknown)
    app.add_exception_handler(ConflictError, _answer_conflict)
    app.add_exception_handler(KeyReusedError, _answer_fault)
    app.add_exception_handler(BadCursorError, _answer_fault)
    for unavailable in UNAVAILABLE:
        app.add_exception_handler(unavailable, _answer_unavailable)


async def _answer_unknown(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, status_code=404)


async def _answer_conflict(_request: Request, error: Exception) -> Response:
    existing = error.existing if isinstance(error, ConflictError) else {}
    return JSONResponse({"detail": str(error), **existing}, status_code=409)


async def _answer_fault(_request: Request, error: Exception) -> Response:
    fault = error.fault() if isinstance(error, (KeyReusedError, BadCursorError)) else {}
    return JSONResponse({"detail": [fault]}, status_code=422)


async def _answer_unavailable(_request: Request, error: Exception) -> Response:
    # The driver's own words, without SQLAlchemy's: those would quote the statement.
    logger.error("the database does not answer: %s", getattr(error, "orig", error))
    detail = "the database does not answer; try again"
    return JSONResponse({"detail": detail}, status_code=503, headers={"Retry-After": "1"})
