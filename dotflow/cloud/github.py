"""GitHub Actions: a workflow file, which a schedule, a button or a call starts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from dotflow.cloud.image import OTHERS, requirement
from dotflow.cloud.plan import ADDRESSES, ATTRIBUTES, RUN, STATE, Plan, attributes_text
from dotflow.cloud.yaml_text import Block, Noted, yaml_text
from dotflow.otel.attributes import CICD_PIPELINE_NAME

if TYPE_CHECKING:
    import argparse

PLAN = Plan
OUT = "."
FOLDER = "${{ github.workspace }}/.dotflow"
KEPT = ".dotflow"
INPUT = "workflow_id"
LONGEST = 360  # minutes that a job may take there
LONGEST_FLUSH = 5  # seconds; a run that is cancelled gets a second signal after 7.5
PLACES = {
    CICD_PIPELINE_NAME: "${{ github.workflow }}",
    "cicd.pipeline.run.id": "${{ github.run_id }}",
    "cicd.pipeline.run.url.full": (
        "${{ github.server_url }}/${{ github.repository }}/actions/runs/${{ github.run_id }}"
    ),
    "vcs.repository.url.full": "${{ github.server_url }}/${{ github.repository }}",
    "vcs.ref.head.revision": "${{ github.sha }}",
}
"""The resource's attributes that say which run of GitHub's it was."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only this platform has."""


def files(plan: Plan) -> dict[str, str]:
    """The texts by their paths."""
    asked = {INPUT: {"description": "The record of dotflow-api that the run is of"}}
    triggers: dict[str, Any] = {"workflow_dispatch": {"inputs": asked}}
    if plan.schedule:
        triggers["schedule"] = [{"cron": plan.schedule, "timezone": plan.time_zone}]
    document = {
        "name": plan.name,
        "on": triggers,
        "permissions": {"contents": "read"},
        "concurrency": Noted(
            {"group": plan.name, "cancel-in-progress": False}, "One run at a time has the outbox."
        ),
        "jobs": {"run": _job(plan)},
    }
    above = f"{plan.workflow} with GitHub Actions; `gh workflow run {_file(plan)}` starts it."
    return {f".github/workflows/{_file(plan)}": yaml_text(document, above=above)}


def next_steps(plan: Plan) -> list[str]:
    """What is to be done with the files."""
    secrets = [name for name in plan.secret_variables if name != plan.address]
    steps = [f"gh secret set {name}" for name in secrets]
    if plan.address in plan.secret_variables:
        steps.append(f"gh variable set {plan.address}")
    return [
        *steps,
        f"# commit {plan.path(f'.github/workflows/{_file(plan)}')} to the default branch, then:",
        f"gh workflow run {_file(plan)}",
    ]


def _file(plan: Plan) -> str:
    return f"{plan.name}.yaml"


def _job(plan: Plan) -> dict[str, Any]:
    secret = {name: _secret(name) for name in (*plan.secret_variables, *plan.optional_secrets)}
    of_reports = {name: value for name, value in secret.items() if name not in plan.secrets}
    asked = " ".join(f'"${{{name}:?is not set}}"' for name in plan.secret_variables)
    command = shlex.join(plan.command)
    start = {
        "name": "Run the workflow",
        "env": secret,
        "run": Block(
            f": {asked}\n# In the shell's place: a cancelled run is told so.\nexec {command}\n"
        ),
    }
    flush = {
        "name": "Deliver what is left",
        "if": "${{ always() }}",
        "continue-on-error": True,
        "env": of_reports,
        "run": "dotflow outbox flush --timeout 60",
    }
    return {
        "runs-on": "ubuntu-latest",
        "timeout-minutes": LONGEST,
        "env": _environment(plan),
        "steps": [
            {"uses": "actions/checkout@v6", "with": {"persist-credentials": False}},
            {"uses": "actions/setup-python@v6", "with": _python(plan)},
            Noted({"run": f"pip install {requirement(plan)}"}, OTHERS),
            Noted(_cache(plan, "restore"), "There is no volume: the next run gets what is left."),
            start,
            flush,
            _cache(plan, "save"),
        ],
    }


def _environment(plan: Plan) -> dict[str, str]:
    said = {name: _literal(value) for name, value in plan.variables.items()}
    own = said.pop(ATTRIBUTES, "")
    said.pop(RUN, None)
    flush = min(plan.flush_timeout, LONGEST_FLUSH)
    return {
        **{name: value.replace(STATE, FOLDER) for name, value in said.items()},
        RUN: f"${{{{ inputs.{INPUT} || {_quoted(plan.workflow_id or '')} }}}}",
        "DOTFLOW_FLUSH_TIMEOUT": str(flush),
        ATTRIBUTES: ",".join(text for text in (attributes_text(PLACES), own) if text),
    }


def _python(plan: Plan) -> dict[str, str]:
    found = {"python-version": plan.python}
    if plan.requirements:
        found |= {"cache": "pip", "cache-dependency-path": plan.requirements}
    return found


def _cache(plan: Plan, verb: str) -> dict[str, Any]:
    key = f"dotflow-{plan.name}-"
    inside = {"path": KEPT, "key": f"{key}${{{{ github.run_id }}}}-${{{{ github.run_attempt }}}}"}
    step: dict[str, Any] = {"uses": f"actions/cache/{verb}@v5"}
    if verb == "restore":
        return step | {"with": {**inside, "restore-keys": key}}
    return step | {"if": "${{ always() }}", "with": inside}


def _secret(name: str) -> str:
    return f"${{{{ {'vars' if name in ADDRESSES else 'secrets'}.{name} }}}}"


def _literal(text: str) -> str:
    """A text in which GitHub finds no expression."""
    return text.replace("${{", "${{ '${{' }}")


def _quoted(text: str) -> str:
    """A text within an expression."""
    return "'" + text.replace("'", "''") + "'"
