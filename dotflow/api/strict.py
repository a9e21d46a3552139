"""Reads JSON bodies strictly, and says what is wrong with one without repeating it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic_core import from_json


class StrictRequest(Request):
    """A request whose JSON is held to the standard.

    NaN, infinities, lone surrogates, bytes that are not UTF-8 and more than 200 levels of nesting
    are refused.
    """

    async def json(self) -> Any:
        """Gives the body's value.

        Raises:
            json.JSONDecodeError: The body is not JSON.
        """
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class StrictRoute(APIRoute):
    """A route whose handler gets a `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Gives FastAPI's own handler, fed with our kind of request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


async def answer_invalid(_request: Request, error: Exception) -> Response:
    """Answers 422 with the place and the reason of each fault.

    What was sent is left out: it may be large, secret, or nothing that JSON can say.

    Args:
        error: A `RequestValidationError`.
    """
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": [_fault(fault) for fault in faults]}, status_code=422)


def _fault(fault: dict[str, Any]) -> dict[str, Any]:
    if fault["type"] != "json_invalid":
        return {"loc": list(fault["loc"]), "msg": fault["msg"], "type": fault["type"]}
    # FastAPI's second element is a position; ours stands in the parser's own words.
    reason = fault.get("ctx", {}).get("error", "cannot be read")
    return {"loc": ["body"], "msg": f"JSON decode error: {reason}", "type": fault["type"]}
