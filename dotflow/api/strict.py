"""Reads JSON bodies strictly, and says what is wrong with one without repeating it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

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


class BulkRequest(StrictRequest):
    """A request whose items are each held to the standard: one that breaks it spoils no other."""

    async def json(self) -> Any:
        """Gives the body's value, with an `Unreadable` in place of each item's body that is.

        Raises:
            json.JSONDecodeError: The body is not JSON, whatever the items say.
        """
        try:
            return await super().json()
        except json.JSONDecodeError as error:
            return _read_leniently(await self.body(), error)


# What of an item is read beside its body.
_READ = ("method", "path", "idempotency_key", "headers")

# Parameters that are named in an answer, and characters of each.
_MOST_UNKNOWN, _MOST_NAME = 10, 100


@dataclass(frozen=True)
class Unreadable:
    """Stands for an item's body that is no JSON by the standard."""

    reason: str


def _read_leniently(raw: bytes, error: json.JSONDecodeError) -> Any:
    try:
        value = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise error from None
    items = value.get("items") if isinstance(value, dict) else None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            if isinstance(_checked([item.get(name) for name in _READ]), Unreadable):
                raise error
            item["body"] = _checked(item.get("body"))
    return value


def _checked(body: Any) -> Any:
    try:
        return from_json(json.dumps(body, separators=(",", ":")), allow_inf_nan=False)
    except RecursionError:
        return Unreadable("recursion limit exceeded")
    except ValueError as error:
        return Unreadable(str(error))


class StrictRoute(APIRoute):
    """A route whose handler gets a `StrictRequest`."""

    request_class: ClassVar[type[StrictRequest]] = StrictRequest

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Gives FastAPI's own handler, fed with our kind of request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(self.request_class(request.scope, request.receive))

        return handle_strictly


class BulkRoute(StrictRoute):
    """A route whose handler gets a `BulkRequest`."""

    request_class: ClassVar[type[StrictRequest]] = BulkRequest


async def check_query(request: Request) -> None:
    """Returns if the route knows each parameter of the query: a mistyped filter is no filter.

    Args:
        request: It, with the route that it was led to.

    Raises:
        RequestValidationError: It does not; the fault names those that it knows.
    """
    route = request.scope["route"]
    known = {str(one.alias) for one in route.dependant.query_params}
    unknown = [name for name in request.query_params if name not in known]
    allowed = f"give {', '.join(sorted(known))}" if known else "none is taken here"
    if unknown:
        raise RequestValidationError(
            [
                {
                    "loc": ("query", name[:_MOST_NAME]),
                    "msg": f"is no parameter of this route: {allowed}",
                    "type": "unknown_parameter",
                }
                for name in unknown[:_MOST_UNKNOWN]
            ]
        )


async def answer_invalid(_request: Request, error: Exception) -> Response:
    """Answers 422 with the place and the reason of each fault.

    What was sent is left out: it may be large, secret, or nothing that JSON can say.

    Args:
        error: A `RequestValidationError`.
    """
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": [name_fault(fault) for fault in faults]}, status_code=422)


def name_fault(fault: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a fault's place, reason and kind, without what was sent.

    Args:
        fault: One of a validation error's.
    """
    if fault["type"] != "json_invalid":
        return {"loc": list(fault["loc"]), "msg": fault["msg"], "type": fault["type"]}
    # FastAPI's second element is a position; ours stands in the parser's own words.
    reason = fault.get("ctx", {}).get("error", "cannot be read")
    return {"loc": ["body"], "msg": f"JSON decode error: {reason}", "type": fault["type"]}
