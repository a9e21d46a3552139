"""Metrics and log records, read back the way a user's tools read them."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request

from stack_jaeger import get


def query(prometheus, expression):
    """What an expression of PromQL gives now: labels and value of each series."""
    answer = _ask(prometheus, "query", query=expression)
    return [(one["metric"], float(one["value"][1])) for one in answer["result"]]


def exemplars(prometheus, expression):
    """The labels and values of the exemplars of the last hour, of all series in an expression."""
    now = time.time()
    answer = _ask(prometheus, "query_exemplars", query=expression, start=now - 3600, end=now + 60)
    return [
        (one["labels"], float(one["value"])) for series in answer for one in series["exemplars"]
    ]


def _ask(prometheus, what, **asked):
    answer = get(f"{prometheus.url}/api/v1/{what}?{urllib.parse.urlencode(asked)}")
    assert answer["status"] == "success", answer
    return answer["data"]


def log_records(victorialogs, trace_id):
    """The log records of a trace, each with its fields."""
    asked = urllib.parse.urlencode({"query": f"trace_id:={trace_id}", "limit": 10_000})
    with urllib.request.urlopen(
        f"{victorialogs.url}/select/logsql/query?{asked}", timeout=30
    ) as answer:
        return [json.loads(line) for line in answer.read().splitlines()]
