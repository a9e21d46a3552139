"""Puts the application together: routes, guards in front of them, answers to errors."""

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from dotflow.api import schemas
from dotflow.api.database import CONNECTIONS, open_engine
from dotflow.api.errors import (
    UNAVAILABLE,
    BadCursorError,
    ConflictError,
    KeyReusedError,
    NotFoundError,
)
from dotflow.api.events import Changes
from dotflow.api.events import router as events
from dotflow.api.guard.described import describe
from dotflow.api.guard.forms import Compressed, SetOut
from dotflow.api.guard.gate import Gate
from dotflow.api.guard.prefix import Prefix, check_prefix
from dotflow.api.guard.sessions import Sessions
from dotflow.api.guard.tokens import check_token
from dotflow.api.keeping import KEY_AGE, Keeper, read_keep, read_key_age
from dotflow.api.limits import BodyLimit, EncodedPath
from dotflow.api.methods import answer_method
from dotflow.api.reading import Reading
from dotflow.api.reads import reads
from dotflow.api.routes import bulk_router, router
from dotflow.api.store import Store
from dotflow.api.strict import answer_invalid
from dotflow.api.web import add_pages

logger = logging.getLogger(__name__)

# In each answer: what a page may load is ours, and what we offer to programs.
_HEADERS = (
    (b"dotflow-bulk", str(schemas.MAX_ITEMS).encode()),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    # Others are told nothing. With "no-referrer" our own forms could not say that they are ours.
    (b"referrer-policy", b"same-origin"),
)


def create_app(
    database_url: str,
    token: str | None = None,
    *,
    read_only: bool = False,
    keep: str | None = None,
    keep_keys: str | None = None,
    root_path: str = "",
    behind_proxy: bool = False,
    allowed_hosts: Collection[str] = (),
    is_worker: bool = False,
    connections: int = CONNECTIONS,
) -> FastAPI:
    """Make the dotflow-api application for a server such as uvicorn.

    `/docs`, `/openapi.json` and `/healthz` need no token: they say nothing about runs. No page
    loads anything from elsewhere.

    Args:
        database_url: `sqlite:///FILE` (missing folders are made) or `postgresql://...`.
        token: The token that programs carry and people log in with; None lets everybody in.
        read_only: Whether the application only shows what is in the database.
        root_path: The path below which a proxy serves the application, as `/dotflow`; the proxy may
            remove the path or keep it.
        behind_proxy: Whether the application believes a request's `X-Forwarded-Prefix`, `-Proto`
        and
            `-Host`; set it only if a proxy sets these headers.
        allowed_hosts: Further names by which a server without a token may be asked, besides
            localhost. It refuses other names, because any web page could have its own name lead
            here.
        keep: Which ended runs are kept: an age, as `30d`, or a number, as `1000`; None keeps all.
        keep_keys: How long the key of a message is known, as `7d`; None stands for 60 days.
        is_worker: Whether another process has brought the tables up to date, and deletes what is
            not kept.
        connections: How many connections to the database the application has at once, at least
            three; it works on two requests fewer.

    Raises:
        ValueError: The URL, the token, the prefix or `keep` cannot be used; the message names the
            remedy.
        ImportError: The database's driver is not installed; the message names the extra.
        ConnectionError: The PostgreSQL server does not answer.
    """
    if token is not None:
        check_token(token)
    kept = None if keep is None else read_keep(keep)
    key_age = KEY_AGE if keep_keys is None else read_key_age(keep_keys)
    prefix = check_prefix(root_path)
    engine = open_engine(database_url, is_prepared=is_worker, connections=connections)
    reading = Reading(engine)
    changes = Changes(reading.changes)
    store = Store(engine, changes.nudge)
    sessions = None if token is None else Sessions(token, store)
    keeper = Keeper(engine, store, kept, key_age)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = max(1, connections - 2)
        if not (read_only or is_worker):
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
        docs_url=None,
        redoc_url=None,
    )
    app.state.store = store
    app.state.reading = reading
    app.state.changes = changes
    app.state.keeper = keeper
    app.state.read_only = read_only
    app.state.sessions = sessions
    writes = (_only_reading(router),) if read_only else (router, bulk_router)
    # What is asked most is looked for first.
    for routes in (*writes, reads, events):
        app.include_router(routes, responses={503: {"model": schemas.Refusal}})
    add_pages(app)
    _add_error_answers(app)
    # The last one added is the first to see a request: no stranger's body is ever held.
    app.add_middleware(EncodedPath)
    app.add_middleware(BodyLimit)
    app.add_middleware(SetOut)
    app.add_middleware(Compressed)
    app.add_middleware(Gate, token=token, sessions=sessions, allowed_hosts=allowed_hosts)
    app.add_middleware(Prefix, root_path=prefix, behind_proxy=behind_proxy)
    _describe_guard(app, has_token=token is not None)
    return app


def _only_reading(router: APIRouter) -> APIRouter:
    found = APIRouter()
    found.routes += [one for one in router.routes if getattr(one, "methods", None) == {"GET"}]
    return found


class _Application(FastAPI):
    """An application that says in each of its answers, errors too, what holds for all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def offer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await super().__call__(scope, receive, offer)


def _describe_guard(app: FastAPI, *, has_token: bool) -> None:
    write = app.openapi

    def describe_guarded() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe(write(), has_token=has_token)
        return write()

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
