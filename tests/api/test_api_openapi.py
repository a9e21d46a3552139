from typing import Any

import requests

from dotflow.api import ApiServer

METHODS = {
    "/healthz": {"get"},
    "/workflows": {"get", "post"},
    "/workflows/{workflow_id}": {"get", "patch", "delete"},
    "/workflows/{workflow_id}/tasks": {"get", "post"},
    "/workflows/{workflow_id}/tasks/next-id": {"get"},
    "/workflows/{workflow_id}/tasks/{task_id}": {"get", "patch"},
    "/tasks/{server_id}": {"get", "patch"},
    "/bulk": {"post"},
}


def described(server: ApiServer) -> Any:
    return requests.get(f"{server.url}/openapi.json", timeout=60).json()


def test_every_route_is_described(server: ApiServer) -> None:
    """The description names the routes of both dialects and no others."""
    paths = described(server)["paths"]
    assert {path: set(operations) for path, operations in paths.items()} == METHODS


def test_every_status_is_described(server: ApiServer) -> None:
    """Each route's description names every status that it answers, with a model."""
    document = described(server)
    wanted = {
        ("post", "/workflows"): {"201", "401", "403", "409", "413", "415", "422", "503"},
        ("patch", "/workflows/{workflow_id}"): {
            "200",
            "401",
            "403",
            "404",
            "413",
            "415",
            "422",
            "503",
        },
        ("post", "/workflows/{workflow_id}/tasks"): {
            *("201", "401", "403", "404", "409", "413", "415", "422", "503")
        },
        ("delete", "/workflows/{workflow_id}"): {"204", "401", "403", "404", "422", "503"},
        ("post", "/bulk"): {"200", "401", "403", "413", "415", "422", "503"},
        ("get", "/workflows"): {"200", "401", "422", "503"},
        ("get", "/healthz"): {"200", "503"},
    }
    for (method, path), statuses in wanted.items():
        responses = document["paths"][path][method]["responses"]
        assert set(responses) == statuses
        for status, response in responses.items():
            if status == "204":
                assert "content" not in response
                continue
            name = response["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
            assert name in document["components"]["schemas"]


def test_both_schemes_are_described(server: ApiServer, sqlite_url: str) -> None:
    """Either header will do where there is a token, and none is named where there is not."""
    document = described(server)
    assert set(document["components"]["securitySchemes"]) == {"UserToken", "BearerToken"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            wanted = None if path == "/healthz" else [{"UserToken": []}, {"BearerToken": []}]
            assert operation.get("security") == wanted
    with ApiServer(sqlite_url) as without:
        document = described(without)
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/workflows"]["get"]["responses"]


def test_bodies_are_described_as_they_are_taken(server: ApiServer) -> None:
    """The models name all fields, refuse others, and need one in a PATCH."""
    schemas = described(server)["components"]["schemas"]
    for name in ("WorkflowPost", "WorkflowPatch", "TaskPost", "TaskPatch"):
        assert schemas[name]["additionalProperties"] is False
    assert schemas["TaskPatch"]["minProperties"] == 1
    assert set(schemas["TaskPatch"]["properties"]) == {
        *("status", "duration", "retry_count", "errors"),
        *("initial_context", "current_context", "previous_context"),
    }
    assert not any("default" in field for field in schemas["TaskPatch"]["properties"].values())
    assert schemas["WorkflowPost"]["required"] == ["id"]
    assert schemas["WorkflowPost"]["properties"]["tasks"]["default"] == []
    assert schemas["TaskPost"]["required"] == ["id", "name"]
    assert {"loc", "msg", "type"} == set(schemas["Fault"]["properties"])


def test_headers_of_runs_are_described(server: ApiServer) -> None:
    """A POST may say which run opens its record, a PATCH also whose end it is."""
    paths = described(server)["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            named = {
                one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"
            }
            wanted = {"Idempotency-Key", "Dotflow-Opens", "Dotflow-Times", "traceparent"}
            if method in ("get", "delete") or path == "/bulk":
                wanted = set()
            assert named == wanted | ({"Dotflow-Run"} if method == "patch" else set())


def test_bulk_is_described(server: ApiServer) -> None:
    """The description says how many items a bulk may have, and that every answer tells."""
    document = described(server)
    items = document["components"]["schemas"]["Bulk"]["properties"]["items"]
    assert items["maxItems"] == 500
    assert "Dotflow-Bulk: 500" in document["info"]["description"]
