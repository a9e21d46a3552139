"""The description of the API for people, drawn from the one for programs."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fastapi import Request, Response

from dotflow.api.web.page import pages, show

router = pages()

_KIND = {"array": "list", "object": "object", "integer": "integer", "number": "number"}


class Kind(NamedTuple):
    """What a value may be, in words, and the schema that says more."""

    words: str
    schema: str | None = None


class Field(NamedTuple):
    """A parameter, or a property of a body."""

    name: str
    where: str
    kind: Kind
    is_required: bool
    text: str


class Operation(NamedTuple):
    """A route with one of its methods."""

    anchor: str
    method: str
    path: str
    text: str
    fields: list[Field]
    body: Kind | None
    answers: list[tuple[str, str, Kind | None]]
    is_guarded: bool


@router.get("/docs")
def describe(request: Request) -> Response:
    """Show the routes, and what their bodies hold."""
    whole = request.app.openapi()
    return show(
        request,
        "docs.html",
        title="API",
        here="docs",
        operations=list(_operations(whole["paths"])),
        schemas={name: _schema(one) for name, one in _schemas(whole).items()},
    )


def kind(schema: Mapping[str, Any]) -> Kind:
    """Gives a schema in words.

    Args:
        schema: It, as OpenAPI has it.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Kind(name, name)
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("prefixItems")
    if choices:
        found = [kind(one) for one in choices]
        words = ", ".join if "prefixItems" in schema else " or ".join
        return Kind(words(dict.fromkeys(one.words for one in found)), _first_schema(found))
    if "enum" in schema or "const" in schema:
        return Kind(" or ".join(f'"{one}"' for one in schema.get("enum") or [schema["const"]]))
    if schema.get("type") == "array" and schema.get("items"):
        inner = kind(schema["items"])
        return Kind(f"list of {inner.words}", inner.schema)
    name = str(schema.get("format") or schema.get("type") or "any JSON")
    return Kind(_KIND.get(name, name) + _bounds(schema))


def _first_schema(kinds: list[Kind]) -> str | None:
    return next((one.schema for one in kinds if one.schema), None)


def _bounds(schema: Mapping[str, Any]) -> str:
    least = schema.get("minimum", schema.get("minLength"))
    most = schema.get("maximum", schema.get("maxLength"))
    if least is None and most is None:
        return ""
    unit = " characters" if schema.get("type") == "string" else ""
    bounds = f"{least} to {most}" if None not in {least, most} else _one_bound(least, most)
    return f", {bounds}{unit}"


def _one_bound(least: object, most: object) -> str:
    return f"at least {least}" if most is None else f"at most {most}"


def _operations(paths: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in paths.items():
        for method, said in methods.items():
            body = said.get("requestBody")
            answers = said["responses"].items()
            yield Operation(
                anchor=said["operationId"],
                method=method.upper(),
                path=path,
                text=said.get("description", ""),
                fields=[_parameter(one) for one in said.get("parameters", ())],
                body=_content(body) if body else None,
                answers=[(code, one["description"], _content(one)) for code, one in answers],
                is_guarded=bool(said.get("security")),
            )


def _parameter(said: Mapping[str, Any]) -> Field:
    text = said.get("description") or said["schema"].get("description") or ""
    return Field(said["name"], said["in"], kind(said["schema"]), said.get("required", False), text)


def _content(said: Mapping[str, Any]) -> Kind | None:
    schema = said.get("content", {}).get("application/json", {}).get("schema")
    return kind(schema) if schema else None


def _schemas(whole: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = whole.get("components", {}).get("schemas", {})
    return found


def _schema(said: Mapping[str, Any]) -> tuple[str, list[Field]]:
    required = said.get("required", ())
    fields = [
        Field(name, "", kind(one), name in required, one.get("description", ""))
        for name, one in said.get("properties", {}).items()
    ]
    return said.get("description", ""), fields
