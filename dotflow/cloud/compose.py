"""Docker Compose: a service for the run, and one for dotflow-api if asked for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.cloud.image import API_NAME, API_PORT, NAME, api_image_files, image_files
from dotflow.cloud.plan import API, STATE, Plan
from dotflow.cloud.yaml_text import Noted, yaml_text
from dotflow.version import __version__

if TYPE_CHECKING:
    import argparse

OUT = "deploy/compose"
FILE = "compose.yaml"


@dataclass(frozen=True, kw_only=True)
class ComposePlan(Plan):
    """What Compose has to know beside.

    Args:
        with_api: Whether a dotflow-api runs there too, to which the run is reported.
    """

    with_api: bool = False

    def __post_init__(self) -> None:
        """Report to the dotflow-api that runs there."""
        if self.with_api and self.api_url is None:
            object.__setattr__(self, "api_url", f"http://{API}:{API_PORT}")
        super().__post_init__()


PLAN = ComposePlan


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only this platform has."""
    parser.add_argument(
        "--with-api", action="store_true", help="run a dotflow-api beside it, and report to that"
    )


def files(plan: ComposePlan) -> dict[str, str]:
    """The texts by their paths."""
    services = {plan.name: _service(plan)}
    volumes = {"state": Noted(None, "The outbox and the results: the next run needs them.")}
    texts = image_files(plan, *(["scheduler"] if plan.schedule else []))
    if plan.with_api:
        services[API] = _api(plan)
        volumes["records"] = Noted(None, "The database of dotflow-api.")
        texts |= api_image_files(plan)
    document = {"name": plan.name, "services": services, "volumes": volumes}
    above = "\n".join([f"{plan.workflow} with Docker Compose:", *next_steps(plan)])
    return {FILE: yaml_text(document, above=above), **texts}


def next_steps(plan: ComposePlan) -> list[str]:
    """What is to be done with the files."""
    steps = [f"export {name}=..." for name in plan.secret_variables]
    compose = f"docker compose --file {shlex.quote(plan.path(FILE))}"
    if plan.with_api:
        steps.append(f"{compose} up --build --detach {API}  # http://localhost:{API_PORT}")
    if plan.schedule:
        return [*steps, f"{compose} up --build --detach"]
    return [*steps, f"{compose} run --build --rm {plan.name}"]


def _service(plan: ComposePlan) -> dict[str, Any]:
    grace = Noted(f"{plan.grace}s", "From SIGTERM, which is reported as the end, to the kill.")
    service = {
        "image": plan.image,
        "build": {"context": plan.to_project, "dockerfile": plan.path(NAME)},
        "command": [_literal(word) for word in _command(plan)],
        "environment": _environment(plan),
        "volumes": [f"state:{STATE}"],
        "stop_grace_period": grace,
        "restart": "unless-stopped" if plan.schedule else "no",
        **_confined(),
        "deploy": {"resources": {"limits": {"cpus": str(plan.cpu), "memory": f"{plan.memory}M"}}},
    }
    if plan.with_api:
        service["depends_on"] = {API: {"condition": "service_healthy"}}
    return service


def _command(plan: ComposePlan) -> list[str]:
    """Compose has no schedule: the service waits for the times itself."""
    if plan.schedule is None:
        return plan.command
    return ["dotflow", "schedule", *plan.command[2:], "--cron", plan.schedule]


def _environment(plan: ComposePlan) -> dict[str, Any]:
    open_ones = {name: _literal(value) for name, value in plan.variables.items()}
    if plan.schedule:
        open_ones.setdefault("TZ", plan.time_zone)
    asked: dict[str, Any] = {name: _asked(name) for name in plan.secret_variables}
    why = "Of the environment of `docker compose`: no value is here."
    asked[plan.token] = Noted(asked[plan.token], why)
    return open_ones | asked | dict.fromkeys(plan.optional_secrets)


def _api(plan: ComposePlan) -> dict[str, Any]:
    return {
        "image": f"{API}:{__version__}",
        "build": {"context": plan.to_project, "dockerfile": plan.path(API_NAME)},
        "environment": {"DOTFLOW_API_TOKEN": _asked(plan.token)},
        "volumes": [f"records:{STATE}"],
        "ports": Noted([f"127.0.0.1:{API_PORT}:{API_PORT}"], "For this machine only."),
        "restart": "unless-stopped",
        **_confined(),
    }


def _confined() -> dict[str, Any]:
    return {
        "init": True,
        "read_only": Noted(True, "Nothing is written but to the volume and to /tmp."),
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _asked(name: str) -> str:
    return f"${{{name}:?is not set}}"


def _literal(text: str) -> str:
    """A text in which Compose finds no variable."""
    return text.replace("$", "$$")
