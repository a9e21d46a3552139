"""CodeBuild: a project that runs the workflow, its role and a schedule, as one stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws import documents, policies, template
from dotflow.cloud.aws.flags import add_aws_flags
from dotflow.cloud.aws.next_steps import push_steps, secret_steps, stack_step
from dotflow.cloud.aws.place import OF_TEMPLATE as PLACE
from dotflow.cloud.aws.plans import MINUTES, CodebuildPlan
from dotflow.cloud.image import build_step, image_files
from dotflow.cloud.yaml_text import Noted, yaml_text

if TYPE_CHECKING:
    import argparse

PLAN = CodebuildPlan
OUT = "deploy/codebuild"
FILE, BUILDSPEC = "template.yaml", "buildspec.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only this platform has."""
    add_aws_flags(parser)
    least, most = MINUTES
    parser.add_argument(
        "--minutes", type=int, default=60, metavar="N",
        help=f"how many minutes a run may take, {least} to {most} (60)",
    )  # fmt: skip
    parser.add_argument(
        "--service-role",
        metavar="ARN",
        help="the role of the build: image, secrets and the workflow's own code (a new role)",
    )


def files(plan: CodebuildPlan) -> dict[str, str]:
    """The texts by their paths."""
    above = f"The workflow {plan.workflow} on CodeBuild.\n{stack_step(plan, plan.path(FILE))}"
    return {
        FILE: yaml_text(_template(plan), above=above),
        BUILDSPEC: buildspec_text(plan),
        **image_files(plan),
    }


def next_steps(plan: CodebuildPlan) -> list[str]:
    """What is to be done with the files."""
    steps = [*push_steps(plan, build_step(plan)), *secret_steps(plan)]
    return [*steps, stack_step(plan, plan.path(FILE)), *run_steps(plan)]


def run_steps(plan: CodebuildPlan) -> list[str]:
    """How a run is started by hand."""
    return ["# a run by hand:", f"aws codebuild start-build --project-name {plan.own}"]


def buildspec_text(plan: CodebuildPlan) -> str:
    """The buildspec, which the project has in it."""
    document = documents.buildspec(plan)
    build = document["phases"]["build"]
    build["finally"] = Noted(build["finally"], "The disk goes with the build: deliver what waits.")
    return yaml_text(document, above=f"A run of {plan.workflow}, in its image.")


def _template(plan: CodebuildPlan) -> dict[str, Any]:
    resources = {"LogGroup": template.log_group(plan.log_group)}
    role = plan.service_role or template.attribute("ServiceRole")
    if plan.service_role is None:
        policy = policies.reading(
            PLACE, plan.image, plan.log_group, documents.secrets_of(plan, PLACE)
        )
        resources["ServiceRole"] = template.role(policies.trust("codebuild", PLACE), policy)
    project = documents.project(plan, PLACE, role, buildspec_text(plan))
    resources["Project"] = {
        "Type": "AWS::CodeBuild::Project",
        "DependsOn": "LogGroup",
        "Properties": template.properties(project),
    }
    if plan.schedule is not None:
        name = template.attribute("Project")
        starter = plan.schedule_role or template.attribute("ScheduleRole")
        if plan.schedule_role is None:
            policy = policies.starting(["codebuild:StartBuild"], [name], None, [])
            resources["ScheduleRole"] = template.role(policies.trust("scheduler", PLACE), policy)
        target = documents.starting_build(name, starter)
        resources["Schedule"] = template.schedule(documents.schedule(plan, target))
    return template.stack(f"The workflow {plan.workflow} on CodeBuild", resources)
