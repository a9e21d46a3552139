"""Tells whoever listens which runs changed, as Server-Sent Events; never what is in them.

While somebody listens, one task asks the database for what changed of late: so it hears of what
other processes write too. A change that this process makes has it ask at once.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime, timedelta, timezone
from typing import Annotated, TypeAlias

from anyio import CancelScope, CapacityLimiter, move_on_after, sleep, to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dotflow.api import schemas
from dotflow.api.strict import check_query

logger = logging.getLogger(__name__)

Found: TypeAlias = list[tuple[str, datetime]]

MAX_LISTENERS = 200
PAUSE_SECONDS = 0.5
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_BEAT_SECONDS = 15.0
# Who listens on asks anew then: so it needs a token, or a session, that is still good.
_STREAM_SECONDS = 600.0
# A change is seen when its transaction ends, some time after the moment that it carries.
_WINDOW = timedelta(seconds=10)
_MOST_RUNS = 1000
"""Runs that are told one by one; where more change at once, one event stands for all."""

_ALL: None = None
_BEGIN = b"retry: 2000\n: only ids are told here; ask for what you show\n\n"
_BEAT = b": nothing new\n\n"


class Listener:
    """What one client has not been told yet; the event loop's alone.

    Args:
        workflow_id: The run that it wants to hear of; None for all.
    """

    def __init__(self, workflow_id: str | None) -> None:
        self._workflow_id = workflow_id
        self._waiting: dict[str | None, None] = {}
        self._woken = asyncio.Event()
        self._is_over = False

    def tell(self, runs: Collection[str | None]) -> None:
        """Keeps runs for the client; it may be slow, so each waits once, and not too many do."""
        if self._workflow_id is not None:
            runs = [self._workflow_id] if {self._workflow_id, _ALL} & set(runs) else ()
        self._waiting.update(dict.fromkeys(runs))
        if len(self._waiting) > _MOST_RUNS:
            self._waiting = {_ALL: None}
        if self._waiting:
            self._woken.set()

    def end(self) -> None:
        """Has the stream end."""
        self._is_over = True
        self._woken.set()

    async def stream(self) -> AsyncIterator[bytes]:
        """Gives what is sent, until it is over or has gone on for long."""
        until = time.monotonic() + _STREAM_SECONDS
        yield _BEGIN
        while not self._is_over and time.monotonic() < until:
            with move_on_after(_BEAT_SECONDS):
                await self._woken.wait()
            self._woken.clear()
            waiting, self._waiting = self._waiting, {}
            yield b"".join(_event(run) for run in waiting) or _BEAT


class Changes:
    """Knows who listens, and tells them.

    Args:
        find: Gives the runs that changed at a moment or later, with the last moment of each, at
            most so many, the latest first; it is called in a thread.
    """

    def __init__(self, find: Callable[[datetime, int], Found]) -> None:
        self._find = find
        self._listeners: set[Listener] = set()
        self._known: dict[str, datetime] = {}
        self._nudged = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking: asyncio.Task[None] | None = None
        self._scope: CancelScope | None = None
        self._is_at_fault = False

    def nudge(self) -> None:
        """Says that this process changed something; may be called by any thread."""
        loop = self._loop
        # Where nobody listens there is nothing to do; one nudge is enough until it was heard.
        if loop is not None and not self._nudged.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._nudged.set)

    def join(self, workflow_id: str | None) -> Listener | None:
        """Gives a new listener; None where there are as many as this server bears.

        Args:
            workflow_id: The run that it wants to hear of; None for all.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            return None
        listener = Listener(workflow_id)
        self._listeners.add(listener)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._known, self._scope = {}, (scope := CancelScope())
            self._asking = self._loop.create_task(self._ask_on(scope))
        return listener

    def leave(self, listener: Listener) -> None:
        """Forgets a listener, and rests if it was the last one."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._rest()

    def end(self) -> None:
        """Ends every stream, so that the server can; a client may join again."""
        for listener in self._listeners:
            listener.end()

    async def close(self) -> None:
        """Returns when nothing asks the database any more."""
        self.end()
        self._rest()
        if self._asking is not None:
            await self._asking

    def _rest(self) -> None:
        self._loop = None
        # A question that the database has is waited for: nothing else could end it.
        if self._scope is not None:
            self._scope.cancel()

    async def _ask_on(self, scope: CancelScope) -> None:
        # Not one of the threads for requests: those may all be waiting to write.
        limiter = CapacityLimiter(1)
        with scope:
            while True:
                try:
                    await self._ask(limiter)
                    self._is_at_fault = False
                except Exception as error:  # noqa: BLE001  # those who listen would never know
                    self._say(error)
                await sleep(_RETRY_SECONDS if self._is_at_fault else PAUSE_SECONDS)
                with move_on_after(_IDLE_SECONDS):
                    await self._nudged.wait()

    async def _ask(self, limiter: CapacityLimiter) -> None:
        self._nudged.clear()
        since = datetime.now(timezone.utc) - _WINDOW
        found = dict(await to_thread.run_sync(self._find, since, _MOST_RUNS + 1, limiter=limiter))
        news: list[str | None] = [*self._news(found)]
        if len(found) > _MOST_RUNS:
            news = [_ALL]
        for listener in self._listeners:
            listener.tell(news)

    def _say(self, error: Exception) -> None:
        if not self._is_at_fault:
            words = "changes are not told until the database answers again: %s"
            logger.warning(words, getattr(error, "orig", error))
        self._is_at_fault = True

    def _news(self, found: dict[str, datetime]) -> list[str]:
        """Those that changed; and once more those of which nothing new was heard for a while.

        A writer that was slow may stand behind a later one, which has been told already.
        """
        known, self._known = self._known, found
        changed = [run for run, moment in found.items() if known.get(run) != moment]
        return changed + [run for run in known if run not in found]


router = APIRouter(dependencies=[Depends(check_query)])


# OpenAPI has no words for an answer that does not end, and what tries each route would wait for it.
@router.get("/events", include_in_schema=False)
async def listen(
    request: Request,
    workflow_id: Annotated[
        schemas.PlainText | None, Query(description="only of this run, which may be still to come")
    ] = None,
) -> Response:
    """Tell which runs change, as Server-Sent Events.

    Each event is a `changed` with `{"workflow_id": "..."}`, at most one for a run in half a
    second; null stands for many at once. Whoever has begun to listen asks once for what it shows.
    A stream ends after ten minutes: clients that follow the standard listen anew by themselves.
    """
    changes: Changes = request.app.state.changes
    listener = changes.join(workflow_id)
    if listener is None:
        detail = f"{MAX_LISTENERS} clients listen already: ask every few seconds instead"
        return JSONResponse({"detail": detail}, status_code=503, headers={"Retry-After": "30"})
    return _Stream(changes, listener)


class _Stream(StreamingResponse):
    def __init__(self, changes: Changes, listener: Listener) -> None:
        # No proxy keeps what was sent for later.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(listener.stream(), headers=headers, media_type="text/event-stream")
        self._changes = changes
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._changes.leave(self._listener)


def _event(run: str | None) -> bytes:
    return b"event: changed\ndata: %s\n\n" % json.dumps({"workflow_id": run}).encode()
