"""Traces and records, read back the way a user's tools read them."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

from stack_servers import TOKEN


@dataclass(frozen=True)
class Span:
    """A span as Jaeger answers it; times in seconds since the epoch."""

    id: str
    name: str
    parent: str | None
    begun: float
    duration: float
    tags: dict
    events: list = field(default_factory=list)
    links: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    service: str = ""

    @property
    def ended(self):
        return self.begun + self.duration

    @property
    def is_error(self):
        return self.tags.get("error") is True


def get(url, **headers):
    """The answer as JSON; None where there is no such thing."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=30
        ) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return None
            raise


def trace(jaeger, trace_id, *, raw=True):
    """The spans of a trace; `raw` as they are stored, else as Jaeger's page shows them."""
    answer = get(f"{jaeger.url}/api/traces/{trace_id}?raw={str(raw).lower()}")
    if answer is None:
        return []
    [found] = answer["data"]
    return [_span(one, found["processes"]) for one in found["spans"]]


def otlp_ids(jaeger, trace_id):
    """The ids of a trace's spans by version 3 of the query API, which answers in OTLP."""
    answer = get(f"{jaeger.url}/api/v3/traces/{trace_id}")
    return [
        span["spanId"]
        for resource in (answer or {"result": {"resourceSpans": []}})["result"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope.get("spans", ())
    ]


def search(jaeger, service, **tags):
    """The ids of the traces that a search for tags finds."""
    asked = urllib.parse.urlencode({"service": service, "tags": json.dumps(tags), "limit": 100})
    answer = get(f"{jaeger.url}/api/traces?{asked}")
    return [one["traceID"] for one in answer["data"]]


def _span(one, processes):
    references = {"CHILD_OF": [], "FOLLOWS_FROM": []}
    for reference in one["references"]:
        references[reference["refType"]].append(reference["spanID"])
    return Span(
        one["spanID"],
        one["operationName"],
        references["CHILD_OF"][0] if references["CHILD_OF"] else None,
        one["startTime"] / 1e6,
        one["duration"] / 1e6,
        _tags(one["tags"]),
        [_tags(log["fields"]) for log in one["logs"]],
        references["FOLLOWS_FROM"] + references["CHILD_OF"][1:],
        one["warnings"] or [],
        processes[one["processID"]]["serviceName"],
    )


def _tags(tags):
    return {tag["key"]: tag["value"] for tag in tags}


class Records:
    """What a dotflow-api has."""

    def __init__(self, api):
        self._url = api.url

    def workflow(self, workflow):
        return self._get(f"workflows/{workflow}")

    def tasks(self, workflow):
        answer = self._get(f"workflows/{workflow}/tasks?include=contexts")
        return [] if answer is None else answer["tasks"]

    def _get(self, path):
        return get(f"{self._url}/{path}", **{"X-User-Token": TOKEN})
