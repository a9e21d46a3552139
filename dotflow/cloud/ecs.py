"""ECS: a task definition for Fargate, its roles and a schedule, as one stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws import documents, policies, template
from dotflow.cloud.aws.flags import add_aws_flags, ids
from dotflow.cloud.aws.next_steps import push_steps, secret_steps, stack_step
from dotflow.cloud.aws.place import OF_TEMPLATE as PLACE
from dotflow.cloud.aws.plans import EcsPlan
from dotflow.cloud.image import build_step, image_files
from dotflow.cloud.plan import PlanError
from dotflow.cloud.yaml_text import yaml_text

if TYPE_CHECKING:
    import argparse

PLAN = EcsPlan
OUT = "deploy/ecs"
FILE = "template.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only this platform has."""
    add = parser.add_argument
    add_aws_flags(parser)
    add("--cluster", default="default", metavar="NAME", help="the ECS cluster (default)")
    add(
        "--subnets", type=ids, default=(), metavar="ID,ID",
        help="its subnets; a schedule needs at least one",
    )  # fmt: skip
    add(
        "--security-groups", type=ids, default=(), metavar="ID,ID",
        help="its security groups (the default of the network)",
    )  # fmt: skip
    add(
        "--public-ip", dest="has_public_ip", action="store_true",
        help="give it a public address: a subnet without a NAT gateway needs one",
    )  # fmt: skip
    add(
        "--efs", dest="file_system", metavar="FS/AP",
        help="an EFS file system and its access point, as fs-1a/fsap-2b, for the outbox and for "
        "results (none: what was not delivered goes with the task)",
    )  # fmt: skip
    add(
        "--execution-role",
        metavar="ARN",
        help="the role that pulls the image and reads the secrets (a new role)",
    )
    add("--task-role", metavar="ARN", help="the role of the workflow's own code (a new role)")


def files(plan: EcsPlan) -> dict[str, str]:
    """The texts by their paths."""
    check_schedule(plan)
    if not plan.is_found_by_part:
        raise PlanError(
            f"a template cannot name the secret '{plan.secret}': Secrets Manager takes what is "
            "after the dash for an ending of its own. Give it another '--secret', or have "
            "`dotflow deploy ecs` look it up"
        )
    above = f"The workflow {plan.workflow} on ECS.\n{stack_step(plan, plan.path(FILE))}"
    return {FILE: yaml_text(_template(plan), above=above), **image_files(plan)}


def check_schedule(plan: EcsPlan) -> None:
    """Refuse a schedule that has no network to start in.

    Args:
        plan: What is to run.

    Raises:
        PlanError: It has none.
    """
    if plan.schedule is not None and not plan.subnets:
        raise PlanError("a schedule needs to know the network: give '--subnets subnet-...'")


def next_steps(plan: EcsPlan) -> list[str]:
    """What is to be done with the files."""
    steps = [*push_steps(plan, build_step(plan)), *secret_steps(plan)]
    return [*steps, stack_step(plan, plan.path(FILE)), *run_steps(plan)]


def run_steps(plan: EcsPlan) -> list[str]:
    """How a run is started by hand."""
    network = {
        "subnets": ",".join(plan.subnets) or "subnet-...",
        "securityGroups": ",".join(plan.security_groups),
        "assignPublicIp": "ENABLED" if plan.has_public_ip else "",
    }
    said = ",".join(
        f"{name}=[{value}]" if name != "assignPublicIp" else f"{name}={value}"
        for name, value in network.items()
        if value
    )
    run = f"aws ecs run-task --launch-type FARGATE --cluster {plan.cluster}"
    where = f"--network-configuration 'awsvpcConfiguration={{{said}}}'"
    return ["# a run by hand:", f"{run} --task-definition {plan.own} {where}"]


def _template(plan: EcsPlan) -> dict[str, Any]:
    execution = plan.execution_role or template.attribute("ExecutionRole")
    own = plan.task_role or template.attribute("TaskRole")
    resources = {"LogGroup": template.log_group(plan.log_group)}
    if plan.execution_role is None:
        resources["ExecutionRole"] = template.role(
            policies.trust("ecs-tasks", PLACE), reading_policy(plan)
        )
    if plan.task_role is None:
        mounting = plan.efs and policies.mounting(PLACE, plan.efs)
        resources["TaskRole"] = template.role(policies.trust("ecs-tasks", PLACE), mounting)
    definition = documents.task_definition(plan, PLACE, execution, own)
    resources["TaskDefinition"] = {
        "Type": "AWS::ECS::TaskDefinition",
        "DependsOn": "LogGroup",
        "Properties": template.properties(definition),
    }
    if plan.schedule is not None:
        resources |= _scheduled(plan, execution, own)
    return template.stack(f"The workflow {plan.workflow} on ECS", resources)


def reading_policy(plan: EcsPlan) -> dict[str, Any]:
    """What the execution role may do, as a template says it."""
    return policies.reading(PLACE, plan.image, plan.log_group, documents.secrets_of(plan, PLACE))


def _scheduled(plan: EcsPlan, execution: Any, own: Any) -> dict[str, Any]:
    resources = {}
    role = plan.schedule_role or template.attribute("ScheduleRole")
    definition = {"Ref": "TaskDefinition"}
    cluster = PLACE.arn("ecs", f"cluster/{plan.cluster}")
    if plan.schedule_role is None:
        policy = policies.starting(
            ["ecs:RunTask"], [definition], policies.in_cluster(cluster), [execution, own]
        )
        resources["ScheduleRole"] = template.role(policies.trust("scheduler", PLACE), policy)
    target = documents.starting_task(plan, cluster, definition, role)
    resources["Schedule"] = template.schedule(documents.schedule(plan, target))
    return resources
