"""Bring a workflow to ECS or CodeBuild: say what that changes, and do it if asked to."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotflow.cli.commands.cloud import add_plan_flags, plan_of
from dotflow.cli.errors import CommandError, UsageError
from dotflow.cloud.plan import PlanError
from dotflow.cloud.platforms import PLATFORMS, platform
from dotflow.cloud.yaml_text import MISSING

if TYPE_CHECKING:
    from dotflow.cloud.aws.account import Account
    from dotflow.cloud.aws.changes import Change, Thing

NAMES = ("ecs", "codebuild")
SIGNS = {"create": "+", "update": "~", "delete": "-", "keep": "="}
DONE = {"create": "made", "update": "changed", "delete": "deleted"}

EPILOG = """\
  dotflow deploy ecs --workflow etl:pipeline --image REGISTRY/etl:1 --cluster main \\
      --subnets subnet-0a1b2c3d --schedule '0 3 * * *'
Without '--apply' the command changes nothing. It shows each thing with '+' (made), '~' (changed),
'-' (deleted) or '=' (as it is). Run the same line again to bring changes: what exists is not made
again. Exit status: 0; 1 Amazon refused, or something is missing; 2 wrong flags."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the platforms and their flags."""
    platforms = parser.add_subparsers(title="platforms", metavar="PLATFORM", required=True)
    for name in NAMES:
        text = PLATFORMS[name]
        one = platforms.add_parser(
            name, help=text, description=text, epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        one.set_defaults(platform=name, out=Path())
        add_plan_flags(one)
        platform(name).configure(one)
        _add_flags(one)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--region", metavar="NAME", help="the region, as eu-west-1 (AWS_REGION, or the profile's)")
    add("--profile", metavar="NAME", help="a profile of ~/.aws/config (AWS_PROFILE)")
    add("--endpoint-url", metavar="URL", help="an address in place of Amazon's, for tests")
    add("--apply", action="store_true", help="make the changes (without it: only show them)")
    add(
        "--remove", action="store_true",
        help="remove the schedule, roles and project or task definition; keep logs and secrets",
    )  # fmt: skip
    add("--json", action="store_true", help="write one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Say what would be changed; change it if asked to."""
    from dotflow.cloud.aws.account import Account, AwsError
    from dotflow.cloud.aws.changes import changes

    if not arguments.image and not arguments.remove:
        raise UsageError("--image is missing: an image in a registry, where Amazon can pull it.")
    module: Any = platform(arguments.platform)
    plan = plan_of(arguments, module.PLAN)
    try:
        account = Account(arguments.region, arguments.profile, arguments.endpoint_url)
        found = changes(_things(arguments, plan, account))
        page = Page(arguments, plan, account)
        page.begin()
        for one in found:
            page.tell(one)
            if arguments.apply:
                page.carry_out(one)
        page.end(found, module.run_steps(plan))
    except ModuleNotFoundError as error:
        raise CommandError(f"{MISSING}.") from error
    except (AwsError, PlanError) as error:
        words = str(error)
        raise CommandError(words if "\n" in words else f"{words}.") from error
    return 0


def _things(arguments: argparse.Namespace, plan: Any, account: Account) -> list[Thing]:
    from dotflow.cloud.aws import deployments

    if arguments.remove:
        return deployments.gone(arguments.platform, plan, account)
    return deployments.ON[arguments.platform](plan, account)


class Page:
    """What is shown of a deployment, as lines or as one JSON object.

    Args:
        arguments: The flags.
        plan: What is to run.
        account: Where.
    """

    def __init__(self, arguments: argparse.Namespace, plan: Any, account: Account) -> None:
        self._arguments = arguments
        self._plan = plan
        self._account = account
        self._is_json = arguments.json

    def begin(self) -> None:
        """Say what is deployed where."""
        where = self._account.place
        self._say(
            f"{self._plan.workflow} on {self._arguments.platform}, {where.region}, account "
            f"{where.account}"
        )

    def tell(self, change: Change) -> None:
        """Say what is done with one thing."""
        self._say(f"{SIGNS[change.action]} {change.thing.kind} {change.thing.name}")
        for line in change.lines:
            self._say(f"    {line}")

    def carry_out(self, change: Change) -> None:
        """Do it, and say so.

        Raises:
            CommandError: It was not done; what was done before it stays.
        """
        from dotflow.cloud.aws.account import AwsError

        try:
            change.carry_out()
        except AwsError as error:
            raise CommandError(
                f"{error}. What is above it is done; the same command goes on from there."
            ) from error
        if change.action in DONE:
            self._say(f"    {DONE[change.action]}")

    def end(self, found: list[Change], steps: list[str]) -> None:
        """Say what came of it."""
        if self._is_json:
            sys.stdout.write(json.dumps(self._described(found), ensure_ascii=False) + "\n")
            return
        is_same = all(one.action == "keep" for one in found)
        if is_same:
            self._say("All is as it should be.")
        elif not self._arguments.apply:
            self._say("Nothing was changed: '--apply' does it.")
        if self._arguments.apply and not self._arguments.remove:
            steps = [*steps, f"aws logs tail {self._plan.log_group} --follow"]
            self._say("\n".join(["", "What comes next:", *steps]))

    def _described(self, found: list[Change]) -> dict[str, Any]:
        where = self._account.place
        return {
            "platform": self._arguments.platform,
            "workflow": self._plan.workflow,
            "region": where.region,
            "account": where.account,
            "applied": self._arguments.apply,
            "changes": [
                {
                    "action": one.action,
                    "kind": one.thing.kind,
                    "name": one.thing.name,
                    "details": list(one.lines),
                }
                for one in found
            ],
        }

    def _say(self, line: str) -> None:
        if not self._is_json:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
