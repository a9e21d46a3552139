"""Reads single calls itself: FastAPI's way through their parts costs more than the work."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, get_type_hints

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError

from dotflow.api.strict import StrictRoute

Faults: TypeAlias = list[dict[str, Any]]

_BODY, _HEADERS, _REQUEST = "body", "headers", "request"
_MISSING = {"type": "missing", "loc": (_BODY,), "msg": "Field required"}


class DirectRoute(StrictRoute):
    """A route whose function gets parts of the path, `headers`, a `body` and the `request`.

    What these may be is what its signature says, as with FastAPI, which describes the route; the
    faults of a call have FastAPI's words and order. A route with dependencies is FastAPI's to call.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Gives what reads a call, and has the function answer it in a thread."""
        if self.dependant.dependencies:
            return super().get_route_handler()
        call: Callable[..., Response] = self.endpoint
        hints = get_type_hints(call, include_extras=True)
        taken = inspect.signature(call).parameters
        readers = {name: TypeAdapter(hints[name]) for name in taken if name != _REQUEST}
        aliases = _aliases_of(get_type_hints(call).get(_HEADERS))

        async def handle(request: Request) -> Response:
            given: dict[str, Any] = dict(request.path_params)
            if _BODY in readers:
                given[_BODY] = await self._body_of(request)
            if _HEADERS in readers:
                sent = request.headers
                given[_HEADERS] = {name: sent[name] for name in aliases if name in sent}
            values = _valid(readers, given)
            if _REQUEST in taken:
                values[_REQUEST] = request
            return await run_in_threadpool(call, **values)

        return handle

    async def _body_of(self, request: Request) -> Any:
        """Gives the value of the body; None if there is none."""
        asked = self.request_class(request.scope, request.receive)
        try:
            return await asked.json() if await asked.body() else None
        except ValueError as error:
            words = getattr(error, "msg", str(error))
            fault = {"type": "json_invalid", "loc": (_BODY,), "msg": "", "ctx": {"error": words}}
            raise RequestValidationError([fault]) from error


def _aliases_of(headers: type[BaseModel] | None) -> list[str]:
    fields = headers.model_fields.values() if headers is not None else ()
    return [str(field.alias) for field in fields]


def _valid(readers: Mapping[str, TypeAdapter[Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the values that a function gets.

    Raises:
        RequestValidationError: Some of what was given cannot be taken.
    """
    faults: Faults = []
    of_body: Faults = []
    values: dict[str, Any] = {}
    for name, reader in readers.items():
        if name == _BODY and given[name] is None:
            of_body.append(_MISSING)
            continue
        try:
            values[name] = reader.validate_python(given[name], from_attributes=True)
        except ValidationError as error:
            place = {_BODY: (_BODY,), _HEADERS: ("header",)}.get(name, ("path", name))
            found = error.errors(include_url=False, include_input=False)
            (of_body if name == _BODY else faults).extend(
                {**fault, "loc": (*place, *fault["loc"])} for fault in found
            )
    if faults or of_body:
        raise RequestValidationError([*faults, *of_body])
    return values
