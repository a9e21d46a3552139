"""Metrics and log records, read back the way a user's tools read them."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections import Counter
from typing import NamedTuple

from stack_jaeger import get
from stack_runs import check_whole_run
from stack_servers import Jaeger, Prometheus, VictoriaLogs, until

TASKS = "dotflow_task_duration_seconds"
RUNS = "dotflow_workflow_duration_seconds"


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


# What of a run has to be there.


class Stores(NamedTuple):
    """Where the three signals of a run end up."""

    traces: Jaeger
    metrics: Prometheus
    logs: VictoriaLogs


def check_signals(stores, program):
    """A run is in each store what it was, and has the same trace id in all three."""
    spans = check_whole_run(stores.traces, program)
    until(lambda: _whole_logs(stores.logs, program), "the log records are not whole")
    until(lambda: _whole_metrics(stores.metrics, program), "the metrics are not whole")
    until(lambda: _whole_exemplars(stores.metrics, program, spans), "exemplars are missing")


def _whole_logs(victorialogs, program):
    """Each record of a step is there once, in the span that it was written in."""
    told = Counter((one["text"], one["span"]) for one in program.truth("log"))
    found = [
        one for one in log_records(victorialogs, program.trace_id) if one["scope.name"] == "shop"
    ]
    assert Counter((one["_msg"], one["span_id"]) for one in found) == told
    assert {(one["service.name"], one["severity_text"]) for one in found} == {("dotflow", "WARN")}
    return told


def _whole_metrics(prometheus, program):
    """How many runs and tasks of which name and end there were, their retries, and their time."""
    [begun], [end] = program.truth("run"), program.truth("end")
    tasks = [task for task in program.truth("task") if task["status"] != "Not started"]
    of_run = f'{{dotflow_workflow_name="{begun["name"]}"}}'
    by = "by (dotflow_task_name, dotflow_task_group, dotflow_task_status)"

    def named(expression):
        return {
            (labels["dotflow_task_name"], labels["dotflow_task_group"],
             labels["dotflow_task_status"]): value
            for labels, value in query(prometheus, expression)
        }  # fmt: skip

    told = [((task["name"], task["group"], task["status"]), task["duration"]) for task in tasks]
    counts = Counter(what for what, _ in told)
    assert named(f"sum {by} (last_over_time({TASKS}_count{of_run}[1h]))") == counts
    for what, seconds in named(f"sum {by} (last_over_time({TASKS}_sum{of_run}[1h]))").items():
        expected = sum(duration for other, duration in told if other == what)
        assert abs(seconds - expected) < 0.001 * counts[what]
    [(labels, runs)] = query(prometheus, f"last_over_time({RUNS}_count{of_run}[1h])")
    assert (labels["dotflow_workflow_status"], runs) == (end["status"], 1)
    assert (labels["job"], bool(labels["instance"])) == ("dotflow", True)
    [(_, retries)] = query(
        prometheus, f"sum(last_over_time(dotflow_task_retries_total{of_run}[1h]))"
    )
    assert retries == sum(task["retry_count"] for task in tasks)
    return True


def _whole_exemplars(prometheus, program, spans):
    """The exemplars of durations name the trace, and in it the task or run that took so long."""
    [begun] = program.truth("run")
    known = {span.id: span for span in spans}
    for metric, names in ((TASKS, {task["name"] for task in program.truth("task")}),
                          (RUNS, {begun["name"]})):  # fmt: skip
        found = exemplars(prometheus, f'{metric}_bucket{{dotflow_workflow_name="{begun["name"]}"}}')
        assert found
        assert {labels["trace_id"] for labels, _ in found} == {program.trace_id}
        for labels, seconds in found:
            span = known[labels["span_id"]]
            assert span.name in names
            assert abs(span.duration - seconds) < 1.0
    return True
