"""Says in the description of the API what is answered before a route is reached."""

from typing import Any

from dotflow.api.guard.tokens import is_open

_READS = frozenset({"get", "head"})


def describe(openapi: dict[str, Any], *, has_token: bool) -> None:
    """Adds the refusals, and both headers where there is a token, to each operation.

    FastAPI would describe them if they were dependencies; those run after the body was read, and
    cost each request a third of a millisecond.

    Args:
        openapi: The document; it is changed in place.
        has_token: Whether programs have to send one.
    """
    if has_token:
        openapi.setdefault("components", {})["securitySchemes"] = {
            "UserToken": {"type": "apiKey", "in": "header", "name": "X-User-Token"},
            "BearerToken": {"type": "http", "scheme": "bearer"},
        }
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            is_guarded = has_token and not is_open(path)
            if is_guarded:
                operation["security"] = [{"UserToken": []}, {"BearerToken": []}]
            for status, words in _refusals(method, operation, is_guarded, has_token).items():
                operation["responses"][status] = _refused(words)


def _refusals(
    method: str, operation: dict[str, Any], is_guarded: bool, has_token: bool
) -> dict[str, str]:
    found = {"401": "No token, or a wrong one"} if is_guarded else {}
    if not has_token:
        found["421"] = "Asked by a name that this server does not answer to"
    if method not in _READS:
        found["403"] = "Sent by a page of another site"
    if "requestBody" in operation:
        found["415"] = "The body is not sent as application/json"
    return found


def _refused(words: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {"description": words, "content": {"application/json": {"schema": schema}}}
