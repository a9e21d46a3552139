"""The rules and the dashboard that people copy, on a real Prometheus with real runs."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from stack_jaeger import get
from stack_runs import Program, run
from stack_servers import ROOT, until
from stack_signals import exemplars, query

FILES = ROOT / "observability"
RULES = (FILES / "dotflow.rules.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
VARIABLES = {"$__range": "1h", "$__interval": "5m", "$job": ".*", "$workflow": ".*"}
"""What Grafana puts in their place."""


@pytest.fixture(scope="module")
def measured(collector, prometheus, api, tmp_path_factory):
    """Runs that ended, one of them failed, and one that is under way; their metrics are there."""
    otlp = f"http://localhost:{collector.http_port}"
    run(tmp_path_factory.mktemp("shop"), "shop", otlp=otlp, api=api, FLUSH=60)
    with Program(
        tmp_path_factory.mktemp("gates"), "gates", otlp=otlp, api=api, FLUSH=60,
        OTEL_METRIC_EXPORT_INTERVAL=500,
    ) as program:  # fmt: skip
        program.reach("first")
        until(lambda: query(prometheus, "dotflow_workflow_active == 1"), "no run is under way")
        yield program
        for gate in ("first", "second", "third"):
            program.open(gate)
        program.end()


def _filled(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def test_every_query_of_the_dashboard_gives_data(measured, prometheus):
    """Each panel shows something of these runs; where it asks for exemplars there are some."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            expression = _filled(target["expr"])
            where = f"{panel['title']}: {expression}"
            found = until(lambda asked=expression: query(prometheus, asked), where)
            assert all(value >= 0 for _, value in found), (where, found)
            # Grafana writes nothing in a legend where there is no such label.
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert any(label in labels for labels, _ in found), (where, label)
            if target.get("exemplar"):
                assert exemplars(prometheus, expression), where
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(
                r"label_values\((\w+), (\w+)\)", variable["query"]["query"]
            ).groups()
            answer = get(f"{prometheus.url}/api/v1/label/{label}/values?match[]={metric}")
            assert answer["data"], variable


def test_the_dashboard_counts_right(measured, prometheus):
    """A run that is a process of its own counts, though its series begins with it."""
    [panel] = [one for one in DASHBOARD["panels"] if (one["title"], one["type"]) == (
        "Runs that ended", "stat")]  # fmt: skip
    expression = _filled(panel["targets"][0]["expr"])
    ended = "last_over_time(dotflow_workflow_duration_seconds_count[1h])"
    counted = {labels["dotflow_workflow_status"]: value for labels, value in query(
        prometheus, expression)}  # fmt: skip
    assert counted["Failed"] >= 1
    assert counted == {
        labels["dotflow_workflow_status"]: value
        for labels, value in query(prometheus, f"sum by (dotflow_workflow_status) ({ended})")
    }


def test_a_failed_run_is_an_alert(measured, prometheus):
    """Prometheus has loaded the rules, evaluates them, and says that a run failed."""

    def is_firing():
        alerts = get(f"{prometheus.url}/api/v1/alerts")["data"]["alerts"]
        return any(
            alert["labels"]["alertname"] == "DotflowRunFailed"
            and alert["labels"]["dotflow_workflow_name"] == "shop"
            and alert["state"] == "firing"
            for alert in alerts
        )

    until(is_firing, "no alert for a failed run")
    groups = get(f"{prometheus.url}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(re.findall(r"- (?:alert|record):", RULES))
    assert {rule.get("lastError", "") for rule in rules} == {""}


def test_the_rules_do_what_they_say(binaries):
    """The unit tests of the rules, by Prometheus' own tool."""
    done = subprocess.run(
        [binaries / "promtool", "test", "rules", FILES / "dotflow.rules.test.yml"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
