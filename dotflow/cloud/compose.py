"""Docker Compose: a service for the run, and one for dotflow-api if asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.cloud.image import NAME, image_files
from dotflow.cloud.plan import STATE, Plan
from dotflow.cloud.yaml_text import Noted, yaml_text

if TYPE_CHECKING:
    import argparse

PLAN = Plan
OUT = "deploy/compose"
FILE = "compose.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only this platform has."""


def files(plan: Plan) -> dict[str, str]:
    """The texts by their paths."""
    document = {
        "name": plan.name,
        "services": {plan.name: _service(plan)},
        "volumes": {"state": Noted(None, "The outbox and the results: the next run needs them.")},
    }
    above = f"A run of {plan.workflow}. {_start(plan)}"
    return {FILE: yaml_text(document, above=above), **image_files(plan)}


def next_steps(plan: Plan) -> list[str]:
    """What is to be done with the files."""
    steps = [f"export {name}=..." for name in plan.secret_variables]
    return [*steps, _start(plan)]


def _start(plan: Plan) -> str:
    return f"docker compose --file {plan.path(FILE)} up --build"


def _service(plan: Plan) -> dict[str, Any]:
    return {
        "image": plan.image,
        "build": {"context": plan.to_project, "dockerfile": plan.path(NAME)},
        "command": [_literal(word) for word in plan.command],
        "environment": _environment(plan),
        "volumes": [f"state:{STATE}"],
        "stop_grace_period": Noted(
            f"{plan.grace}s", "Between SIGTERM, which is reported as the end, and the kill."
        ),
        "restart": "no",
        "init": True,
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "deploy": {"resources": {"limits": {"cpus": str(plan.cpu), "memory": f"{plan.memory}M"}}},
    }


def _environment(plan: Plan) -> dict[str, Any]:
    asked = {name: f"${{{name}:?is not set}}" for name in plan.secret_variables}
    passed = dict.fromkeys(plan.optional_secrets)
    first = next(iter(asked))
    noted = {
        **asked,
        first: Noted(asked[first], "Of the environment of docker compose: no value is here."),
    }
    return {name: _literal(value) for name, value in plan.variables.items()} | noted | passed


def _literal(text: str) -> str:
    """A text in which Compose finds no variable."""
    return text.replace("$", "$$")
