"""The things that a deployment looks after, on ECS and on CodeBuild."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws import checks, documents, policies
from dotflow.cloud.aws.things import LogGroup, Project, Role, Schedule, TaskDefinition
from dotflow.cloud.codebuild import buildspec_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.cloud.aws.account import Account
    from dotflow.cloud.aws.changes import Thing
    from dotflow.cloud.aws.plans import AwsPlan, CodebuildPlan, EcsPlan

Document = dict[str, Any]


def on_ecs(plan: EcsPlan, account: Account) -> list[Thing]:
    """What a plan needs on ECS, each before what needs it.

    Args:
        plan: What is to run.
        account: Where.

    Raises:
        AwsError: Something that others make is not there, or Amazon does not say.
    """
    place = account.place
    cluster = checks.cluster(account, plan.cluster)
    checks.network(account, plan)
    secret = checks.secret(account, plan)
    execution = plan.execution_role or _role_name(account, plan, "execution")
    own = plan.task_role or _role_name(account, plan, "task")
    definition = documents.task_definition(plan, place, execution, own, secret)
    tasks = policies.trust("ecs-tasks", place)
    found: list[Thing] = [LogGroup(account, plan.log_group)]
    found.append(
        _role(account, plan, "execution", None if plan.execution_role else tasks,
              policies.reading(place, plan.image, plan.log_group,
                               documents.secrets_of(plan, place, secret)))
    )  # fmt: skip
    mounting = plan.efs and policies.mounting(place, plan.efs)
    found.append(_role(account, plan, "task", None if plan.task_role else tasks, mounting))
    found.append(TaskDefinition(account, plan.own, definition))
    family = place.arn("ecs", f"task-definition/{plan.own}")
    revisions = place.arn("ecs", f"task-definition/{plan.own}:*")
    starting = policies.starting(
        ["ecs:RunTask"], [family, revisions], policies.in_cluster(cluster), [execution, own]
    )
    target = documents.starting_task(plan, cluster, family, _starter(account, plan))
    return [*found, *_scheduled(account, plan, starting, target)]


def on_codebuild(plan: CodebuildPlan, account: Account) -> list[Thing]:
    """What a plan needs on CodeBuild, each before what needs it.

    Args:
        plan: What is to run.
        account: Where.

    Raises:
        AwsError: Something that others make is not there, or Amazon does not say.
    """
    place = account.place
    secret = checks.secret(account, plan)
    role = plan.service_role or _role_name(account, plan, "build")
    reading = policies.reading(
        place, plan.image, plan.log_group, documents.secrets_of(plan, place, secret)
    )
    trust = None if plan.service_role else policies.trust("codebuild", place)
    text = buildspec_text(plan)
    project = documents.project(plan, place, role, text, secret)
    name = place.arn("codebuild", f"project/{plan.own}")
    starting = policies.starting(["codebuild:StartBuild"], [name], None, [])
    target = documents.starting_build(name, _starter(account, plan))
    return [
        LogGroup(account, plan.log_group),
        _role(account, plan, "build", trust, reading),
        Project(account, plan.own, project),
        *_scheduled(account, plan, starting, target),
    ]


def gone(platform: str, plan: AwsPlan, account: Account) -> list[Thing]:
    """The same, with nothing of it wanted any more; the log group stays.

    Args:
        platform: "ecs" or "codebuild".
        plan: What was to run.
        account: Where.
    """
    on_it: dict[str, list[Thing]] = {
        "ecs": [
            Role(account, f"{plan.own}-execution", None),
            Role(account, f"{plan.own}-task", None),
            TaskDefinition(account, plan.own, None),
        ],
        "codebuild": [Role(account, f"{plan.own}-build", None), Project(account, plan.own, None)],
    }
    return [
        *on_it[platform],
        Role(account, f"{plan.own}-schedule", None),
        Schedule(account, plan.own, None),
    ]


ON: dict[str, Callable[[Any, Account], list[Thing]]] = {"ecs": on_ecs, "codebuild": on_codebuild}
"""What finds the things, by the platform's name."""


def _scheduled(
    account: Account, plan: AwsPlan, starting: Document, target: Document
) -> list[Thing]:
    is_due = plan.schedule is not None
    is_made = is_due and plan.schedule_role is None
    trust = policies.trust("scheduler", account.place) if is_made else None
    wanted = documents.schedule(plan, target) if is_due else None
    return [
        _role(account, plan, "schedule", trust, starting),
        Schedule(account, plan.own, wanted),
    ]


def _starter(account: Account, plan: AwsPlan) -> str:
    return plan.schedule_role or _role_name(account, plan, "schedule")


def _role(
    account: Account, plan: AwsPlan, what: str, trust: Document | None, policy: Document | None
) -> Role:
    return Role(account, f"{plan.own}-{what}", trust, policy)


def _role_name(account: Account, plan: AwsPlan, what: str) -> str:
    return account.place.arn("iam", f"role/{plan.own}-{what}")
