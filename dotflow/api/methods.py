"""Answers 405 with all methods that there are for an address, on however many routes."""

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import compile_path


async def answer_method(request: Request, _error: Exception) -> Response:
    """Answers a request whose method is none of its address.

    Args:
        request: It.
    """
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    described = request.app.openapi()["paths"].items()
    known = [routes for template, routes in described if compile_path(template)[0].match(path)]
    allowed = sorted({method.upper() for routes in known for method in routes}) or ["GET"]
    detail = f"{request.method[:20]} is not taken here: give {', '.join(allowed)}"
    return JSONResponse({"detail": detail}, 405, {"Allow": ", ".join(allowed)})
