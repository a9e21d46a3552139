"""What a deployment makes at Amazon: how each thing is read, written and taken away."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws.account import code_of, plain
from dotflow.cloud.aws.template import DAYS, POLICY

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.cloud.aws.account import Account

Document = dict[str, Any]

PATIENCE, PAUSE = 60.0, 2.0
"""Seconds in which the services hear of a new role, and between two tries."""

OF_OWNER = ("State", "StartDate", "EndDate", "ActionAfterCompletion", "KmsKeyArn")
"""What of a schedule is its owner's to say, and would be lost in a change."""

NOT_YET = ("assume", "AssumeRole", "Role is not valid")
"""What the message of a service has in it that has not yet heard of a role."""


class LogGroup:
    """Where the lines are. One that is there stays as it is, and none is taken away."""

    kind = "log group"

    def __init__(self, account: Account, name: str) -> None:
        self._logs = account.client("logs")
        self.name = name
        self.wanted: Document | None = {"retentionInDays": DAYS}

    def read(self) -> Document | None:
        """What is wanted, if it is there: how long it keeps lines is its owner's to say."""
        with plain(f"describe the log group {self.name}"):
            found = self._logs.describe_log_groups(logGroupNamePrefix=self.name)["logGroups"]
        return self.wanted if any(one["logGroupName"] == self.name for one in found) else None

    def write(self, _now: Document | None) -> None:
        """Make it."""
        with plain(f"make the log group {self.name}"):
            self._logs.create_log_group(logGroupName=self.name)
            self._logs.put_retention_policy(logGroupName=self.name, retentionInDays=DAYS)

    def delete(self) -> None:
        """Leave it: the lines are all that is left of the runs."""


class Role:
    """A role, and the one policy in it that is ours; what its owner adds stays."""

    kind = "role"

    def __init__(
        self, account: Account, name: str, trust: Document | None, policy: Document | None = None
    ) -> None:
        self._iam = account.client("iam")
        self.name = name
        self.wanted = None if trust is None else {"trust": trust, "policy": policy}

    def read(self) -> Document | None:
        """Who may take it, and what our policy says."""
        with plain(f"read the role {self.name}"):
            try:
                role = self._iam.get_role(RoleName=self.name)["Role"]
            except self._iam.exceptions.NoSuchEntityException:
                return None
            return {"trust": role["AssumeRolePolicyDocument"], "policy": self._policy()}

    def _policy(self) -> Document | None:
        try:
            found = self._iam.get_role_policy(RoleName=self.name, PolicyName=POLICY)
        except self._iam.exceptions.NoSuchEntityException:
            return None
        document: Document = found["PolicyDocument"]
        return document

    def write(self, now: Document | None) -> None:
        """Make it, or put our documents in the place of those that it has."""
        wanted = self.wanted or {}
        trust = json.dumps(wanted["trust"])
        with plain(f"make the role {self.name}"):
            if now is None:
                self._iam.create_role(
                    RoleName=self.name,
                    AssumeRolePolicyDocument=trust,
                    Description="Made by dotflow deploy",
                )
            else:
                self._iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=trust)
            if wanted["policy"] is not None:
                self._iam.put_role_policy(
                    RoleName=self.name,
                    PolicyName=POLICY,
                    PolicyDocument=json.dumps(wanted["policy"]),
                )
            elif now is not None and now["policy"] is not None:
                self._iam.delete_role_policy(RoleName=self.name, PolicyName=POLICY)

    def delete(self) -> None:
        """Take it away with our policy; one that has others too stays, and Amazon says so."""
        with plain(f"delete the role {self.name}"):
            if self._policy() is not None:
                self._iam.delete_role_policy(RoleName=self.name, PolicyName=POLICY)
            self._iam.delete_role(RoleName=self.name)


class TaskDefinition:
    """The newest revision of a task definition; older ones stay, for going back."""

    kind = "task definition"

    def __init__(self, account: Account, name: str, wanted: Document | None) -> None:
        self._ecs = account.client("ecs")
        self.name = name
        self.wanted = wanted

    def read(self) -> Document | None:
        """What it says."""
        from botocore.exceptions import ClientError

        with plain(f"describe the task definition {self.name}"):
            try:
                found = self._ecs.describe_task_definition(taskDefinition=self.name)
            except ClientError as error:
                if code_of(error) != "ClientException":
                    raise
                return None
        definition: Document = found["taskDefinition"]
        # A family without a revision in force is described by its last one.
        return definition if definition.get("status") == "ACTIVE" else None

    def write(self, _now: Document | None) -> None:
        """Register a revision."""
        wanted = self.wanted or {}
        with plain(f"register the task definition {self.name}"):
            patiently(lambda: self._ecs.register_task_definition(**wanted))

    def delete(self) -> None:
        """Take all revisions out of force; what runs goes on."""
        with plain(f"deregister the task definition {self.name}"):
            pages = self._ecs.get_paginator("list_task_definitions")
            for page in pages.paginate(familyPrefix=self.name, status="ACTIVE"):
                for one in page["taskDefinitionArns"]:
                    if one.rpartition("/")[2].rpartition(":")[0] == self.name:
                        self._ecs.deregister_task_definition(taskDefinition=one)


class Project:
    """A project of CodeBuild's."""

    kind = "project"

    def __init__(self, account: Account, name: str, wanted: Document | None) -> None:
        self._codebuild = account.client("codebuild")
        self.name = name
        self.wanted = wanted

    def read(self) -> Document | None:
        """What it says."""
        with plain(f"read the project {self.name}"):
            found: list[Document] = self._codebuild.batch_get_projects(names=[self.name])[
                "projects"
            ]
        return found[0] if found else None

    def write(self, now: Document | None) -> None:
        """Make it, or change it."""
        wanted = self.wanted or {}
        call = self._codebuild.create_project if now is None else self._codebuild.update_project
        with plain(f"make the project {self.name}"):
            patiently(lambda: call(**wanted))

    def delete(self) -> None:
        """Take it away, with what is known of its builds."""
        with plain(f"delete the project {self.name}"):
            self._codebuild.delete_project(name=self.name)


class Schedule:
    """A schedule of EventBridge's. One that somebody has paused, or bounded, stays so."""

    kind = "schedule"

    def __init__(self, account: Account, name: str, wanted: Document | None) -> None:
        self._scheduler = account.client("scheduler")
        self.name = name
        self.wanted = wanted

    def read(self) -> Document | None:
        """What it says."""
        with plain(f"read the schedule {self.name}"):
            try:
                found: Document = self._scheduler.get_schedule(Name=self.name)
            except self._scheduler.exceptions.ResourceNotFoundException:
                return None
        return found

    def write(self, now: Document | None) -> None:
        """Make it, or change it."""
        wanted = dict(self.wanted or {})
        call = self._scheduler.create_schedule
        if now is not None:
            call = self._scheduler.update_schedule
            wanted |= {key: now[key] for key in OF_OWNER if now.get(key)}
            if letters := now["Target"].get("DeadLetterConfig"):
                wanted["Target"] = {**wanted["Target"], "DeadLetterConfig": letters}
        with plain(f"make the schedule {self.name}"):
            patiently(lambda: call(**wanted))

    def delete(self) -> None:
        """Take it away."""
        with plain(f"delete the schedule {self.name}"):
            self._scheduler.delete_schedule(Name=self.name)


def patiently(call: Callable[[], Any]) -> None:
    """Call a service, and again while it has not yet heard of a role that is new.

    Args:
        call: The call.
    """
    deadline = time.monotonic() + PATIENCE
    while not _is_done(call, is_last=time.monotonic() > deadline):
        time.sleep(PAUSE)


def _is_done(call: Callable[[], Any], is_last: bool) -> bool:
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        words = str(error.response.get("Error", {}).get("Message", ""))
        if is_last or not any(one in words for one in NOT_YET):
            raise
        return False
    return True
