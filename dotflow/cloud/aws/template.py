"""The same as CloudFormation takes it: other letters, and the place's variables."""

from __future__ import annotations

from typing import Any

from dotflow.cloud.aws.place import Arn

Document = dict[str, Any]

POLICY = "dotflow"
"""The name of what a role may do."""

OTHERS = {
    "efsVolumeConfiguration": "EFSVolumeConfiguration",
    "fileSystemId": "FilesystemId",
    "iam": "IAM",
    "buildspec": "BuildSpec",
}
"""What CloudFormation calls in another way than with a capital first."""

OPEN = frozenset({"options"})
"""What has keys of the user's or of a driver's."""


def properties(document: Document) -> Document:
    """The properties of a resource, of what its service takes.

    Args:
        document: As `dotflow.cloud.aws.documents` has it.
    """
    return {_name(key): substituted(value) if key in OPEN else _value(value)
            for key, value in document.items()}  # fmt: skip


def _name(key: str) -> str:
    return OTHERS.get(key) or key[0].upper() + key[1:]


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return value if _is_function(value) else properties(value)
    if isinstance(value, list):
        return [_value(one) for one in value]
    return substituted(value)


def substituted(value: Any) -> Any:
    """The value with its full names in the form that puts in the place's variables.

    Args:
        value: Texts, numbers, lists and dicts; keys stay as they are.
    """
    if isinstance(value, str) and "${" in value:
        if isinstance(value, Arn):
            return {"Fn::Sub": str(value)}
        return {"Fn::Join": ["$", value.split("$")]}  # what looks like a variable, and is none
    if isinstance(value, dict):
        return {key: substituted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [substituted(one) for one in value]
    return str(value) if isinstance(value, Arn) else value


def attribute(resource: str, name: str = "Arn") -> Document:
    """What another resource of the template is called.

    Args:
        resource: Its name there.
        name: What is asked of it.
    """
    return {"Fn::GetAtt": [resource, name]}


def role(trust: Document, policy: Document | None) -> Document:
    """The resource of a role.

    Args:
        trust: Who may take it.
        policy: What it may do; None: nothing.
    """
    inside: Document = {"AssumeRolePolicyDocument": substituted(trust)}
    if policy is not None:
        inside["Policies"] = [{"PolicyName": POLICY, "PolicyDocument": substituted(policy)}]
    return {"Type": "AWS::IAM::Role", "Properties": inside}


def schedule(document: Document) -> Document:
    """The resource of a schedule.

    Args:
        document: As `dotflow.cloud.aws.documents` has it.
    """
    return {"Type": "AWS::Scheduler::Schedule", "Properties": properties(document)}


def stack(description: str, resources: Document) -> Document:
    """The template.

    Args:
        description: What the stack is.
        resources: What is in it, by names of its own.
    """
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": description,
        "Resources": resources,
    }


def log_group(name: str) -> Document:
    """The resource of a log group, which stays when the stack goes.

    Args:
        name: Its name.
    """
    return {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"LogGroupName": name, "RetentionInDays": DAYS},
    }


DAYS = 30
"""Days that a log group which was made here keeps its lines."""


def _is_function(value: Document) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref"))
