"""Write the files that run a workflow on a platform."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotflow.cli.errors import CommandError, UsageError
from dotflow.cloud.image import needs_wheel, wheel_step
from dotflow.cloud.plan import MODES, PAIRS, PROTOCOLS, Plan, PlanError, label_of
from dotflow.cloud.platforms import PLATFORMS, platform
from dotflow.cloud.writing import FilesChangedError, write
from dotflow.cloud.yaml_text import MISSING
from dotflow.logging import logger

if TYPE_CHECKING:
    from dotflow.cloud.writing import Written

REQUIREMENTS = ("requirements.txt", "pyproject.toml")
"""What names the packages of a project; the first of them that there is counts."""

EPILOG = """\
  dotflow cloud kubernetes --workflow etl:pipeline --out deploy --schedule '0 3 * * *'
Read, change and keep the files. They hold no secret: the platform's own secret has
SERVER_USER_TOKEN, and SERVER_BASE_URL too if you give no '--api-url'
(DOTFLOW_USER_TOKEN and DOTFLOW_SERVER_URL with '--dialect default').

The command overwrites a file that was changed only with '--force'."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the platforms and their flags."""
    platforms = parser.add_subparsers(title="platforms", metavar="PLATFORM", required=True)
    for name, text in PLATFORMS.items():
        one = platforms.add_parser(
            name, help=text, description=text, epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        one.set_defaults(platform=name)
        add_plan_flags(one)
        module = platform(name)
        module.configure(one)
        one.add_argument(
            "--out", type=Path, default=Path(module.OUT), metavar="FOLDER",
            help=f"where the files are written ({module.OUT})",
        )  # fmt: skip
        one.add_argument(
            "--python", default="3.13", metavar="VERSION", help="Python of the image (3.13)"
        )
        one.add_argument(
            "--install", default="", metavar="REQUIREMENT",
            help="what pip installs as dotflow: a version, a wheel, an address (what the project's "
            "requirements name, else a wheel in the folder of the files)",
        )  # fmt: skip
        one.add_argument("--force", action="store_true", help="overwrite files that were changed")


def add_plan_flags(parser: argparse.ArgumentParser) -> None:
    """Declare a flag for each field of a plan."""
    add = parser.add_argument
    add(
        "-w", "--workflow", required=True, metavar="IMPORT",
        help="'module:name' of a function without arguments that returns a DotFlow",
    )  # fmt: skip
    add(
        "--name",
        metavar="NAME",
        help="its name on the platform (from the workflow, as etl-pipeline)",
    )
    add("--image", metavar="IMAGE", help="the container image that has the workflow (NAME:1)")
    add("-m", "--mode", choices=MODES, default=MODES[0], help="how it runs (sequential)")
    add(
        "--schedule",
        metavar="CRON",
        help="when it runs: five fields, or a word as @daily (one run)",
    )
    add(
        "--time-zone", default="Etc/UTC", metavar="ZONE", help="time zone of the schedule (Etc/UTC)"
    )
    add("--resume", action="store_true", help="restore what an earlier run completed")
    add("--api-url", metavar="URL", help="address of dotflow-api (the platform's secret has it)")
    add(
        "--dialect", choices=list(PAIRS), default=next(iter(PAIRS)),
        help="default: for a workflow whose id is in its code (managed)",
    )  # fmt: skip
    add("--secret", default="dotflow", metavar="NAME", help="the platform's secret (dotflow)")
    add(
        "--workflow-id", metavar="ID",
        help="the existing record in dotflow-api for all runs (a new record for each run)",
    )  # fmt: skip
    add("--otlp-endpoint", metavar="URL", help="where OpenTelemetry's signals go (nowhere)")
    add(
        "--otlp-protocol", choices=PROTOCOLS, default=PROTOCOLS[0],
        help="protocol of that endpoint (http/protobuf)",
    )  # fmt: skip
    add(
        "--env", action="append", default=[], metavar="NAME=VALUE",
        help="a further variable (may be repeated)",
    )  # fmt: skip
    add(
        "--secret-env", action="append", default=[], metavar="NAME",
        help="a further variable, with its value in the platform's secret (may be repeated)",
    )  # fmt: skip
    add(
        "--grace",
        type=int,
        default=30,
        metavar="S",
        help="seconds that a run has after SIGTERM (30)",
    )
    add("--memory", type=int, default=512, metavar="MIB", help="memory, in MiB (512)")
    add("--cpu", type=float, default=0.5, metavar="N", help="processors (0.5)")


def run(arguments: argparse.Namespace) -> int:
    """Write them, and say what comes next."""
    chosen = platform(arguments.platform)
    plan = plan_of(arguments, chosen.PLAN)
    try:
        files = chosen.files(plan)
        written = write(arguments.out, files, force=arguments.force)
    except ModuleNotFoundError as error:
        raise CommandError(f"{MISSING}.") from error
    except PlanError as error:
        raise UsageError(f"{error}.") from error
    except FilesChangedError as error:
        raise CommandError(f"{error}.") from error
    except OSError as error:
        raise CommandError(
            f"'--out {arguments.out}' cannot be used: {error.strerror or error}."
        ) from error
    _look_for(arguments.workflow)
    first = [wheel_step(plan)] if needs_wheel(plan) else []
    _say(arguments.out, written, [*first, *chosen.next_steps(plan)])
    return 0


def plan_of(arguments: argparse.Namespace, kind: type[Plan]) -> Any:
    """The plan that the flags say.

    Args:
        arguments: The flags, each named as the field that it fills.
        kind: The class of the plan.

    Raises:
        UsageError: A flag has a value that no platform takes.
    """
    said = {
        one.name: getattr(arguments, one.name)
        for one in dataclasses.fields(kind)
        if hasattr(arguments, one.name)
    }
    said["name"] = arguments.name or label_of(arguments.workflow)
    said["image"] = arguments.image or f"{said['name']}:1"
    said["environment"] = _variables(arguments.env)
    said["secrets"] = tuple(dict.fromkeys(arguments.secret_env))
    said["requirements"] = next((name for name in REQUIREMENTS if Path(name).is_file()), "")
    said["folder"] = Path(os.path.relpath(arguments.out)).as_posix()
    try:
        return kind(**said)
    except PlanError as error:
        raise UsageError(f"{error}.") from error


def _look_for(workflow: str) -> None:
    """Warn of a module that is not where the image gets it from; none is imported."""
    name = workflow.partition(":")[0].partition(".")[0]
    if not any((Path(folder) / found).exists() for folder in (".", "src")
               for found in (name, f"{name}.py")):  # fmt: skip
        logger.warning(
            "There is no module '%s' in this folder: run the command in the project's folder, if "
            "the image is to be built of it.", name,
        )  # fmt: skip


def _variables(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"'--env {pair}' has no value: write NAME=VALUE.")
        found[name] = value
    return found


def _say(folder: Path, written: Written, steps: list[str]) -> None:
    lines = [f"{folder / path}" for path in (*written.new, *written.changed)]
    lines += [f"{folder / path} (as it was)" for path in written.same]
    sys.stdout.write("\n".join([*lines, "", "What comes next:", *steps]) + "\n")
