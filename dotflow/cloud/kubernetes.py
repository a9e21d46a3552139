"""Kubernetes: a Job, or a CronJob with a schedule, and the volume of its outbox."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.cloud.image import build_step, image_files, push_step
from dotflow.cloud.plan import ATTRIBUTES, STATE, USER, Plan, PlanError, attributes_text
from dotflow.cloud.yaml_text import Noted, yaml_text

if TYPE_CHECKING:
    import argparse

OUT = "deploy/kubernetes"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
WRONG_WORDS = 2  # the exit status of a command line that is wrong, and stays so
TRIES = 3
WEEK = 604_800  # seconds
PLACES = {
    "k8s.namespace.name": ("POD_NAMESPACE", "metadata.namespace"),
    "k8s.pod.name": ("POD_NAME", "metadata.name"),
    "k8s.pod.uid": ("POD_UID", "metadata.uid"),
    "k8s.node.name": ("NODE_NAME", "spec.nodeName"),
    "k8s.job.name": ("JOB_NAME", "metadata.labels['batch.kubernetes.io/job-name']"),
}
"""The resource's attributes that say where a run ran: variable, and the pod's field."""


@dataclass(frozen=True, kw_only=True)
class KubernetesPlan(Plan):
    """What Kubernetes has to know beside.

    Args:
        namespace: Where it runs; None: where `kubectl` says.
        storage: The size of the volume, in GiB.
    """

    namespace: str | None = None
    storage: int = 2

    def __post_init__(self) -> None:
        """Refuse what Kubernetes does not take."""
        super().__post_init__()
        for what, name in (("secret", self.secret), ("namespace", self.namespace or "a")):
            if not _NAME.fullmatch(name):
                raise PlanError(
                    f"'{name}' cannot be the name of a {what} there: small letters, digits, dashes"
                )
        if self.storage < 1:
            raise PlanError("the volume has to have 1 GiB at least")


PLAN = KubernetesPlan


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only this platform has."""
    parser.add_argument(
        "--namespace", metavar="NAME", help="its namespace (that of kubectl's context)"
    )
    parser.add_argument(
        "--storage", type=int, default=2, metavar="GIB", help="size of the volume, in GiB (2)"
    )


def files(plan: KubernetesPlan) -> dict[str, str]:
    """The texts by their paths."""
    if plan.schedule:
        name, document = "cronjob.yaml", _cron_job(plan)
        above = f"{plan.workflow} as a CronJob."
    else:
        name, document = "job.yaml", _job(plan)
        above = (
            f"{plan.workflow} as a Job, which runs once. For the next run:\n"
            f"{_kubectl(plan)} delete job {plan.name}; {_apply(plan)}"
        )
    volume = "The outbox and the results of all runs: what one run left the next one delivers."
    return {
        name: yaml_text(document, above=above),
        "volume.yaml": yaml_text(_claim(plan), above=volume),
        "kustomization.yaml": yaml_text(_kustomization(plan, name), above=_apply(plan)),
        **image_files(plan),
    }


def next_steps(plan: KubernetesPlan) -> list[str]:
    """What is to be done with the files."""
    kubectl = _kubectl(plan)
    values = " ".join(f'--from-literal={name}="${name}"' for name in plan.secret_variables)
    steps = [
        build_step(plan),
        push_step(plan),
        f"{kubectl} create secret generic {plan.secret} {values}",
        _apply(plan),
    ]
    if plan.schedule:
        return [*steps, f"{kubectl} create job --from=cronjob/{plan.name} {plan.name}-now"]
    return [*steps, f"{kubectl} logs --follow job/{plan.name}"]


def _kubectl(plan: KubernetesPlan) -> str:
    return f"kubectl --namespace {plan.namespace}" if plan.namespace else "kubectl"


def _apply(plan: Plan) -> str:
    return f"kubectl apply --kustomize {shlex.quote(plan.folder)}"


def _labels(plan: Plan) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": plan.name,
        "app.kubernetes.io/component": "workflow",
        "app.kubernetes.io/managed-by": "dotflow",
    }


def _head(plan: Plan, version: str, kind: str) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": plan.name, "labels": _labels(plan)},
    }


def _job(plan: KubernetesPlan) -> dict[str, Any]:
    return _head(plan, "batch/v1", "Job") | {"spec": _job_spec(plan)}


def _cron_job(plan: KubernetesPlan) -> dict[str, Any]:
    template = {"metadata": {"labels": _labels(plan)}, "spec": _job_spec(plan)}
    return _head(plan, "batch/v1", "CronJob") | {
        "spec": {
            "schedule": plan.schedule,
            "timeZone": plan.time_zone,
            "concurrencyPolicy": Noted("Forbid", "One run at a time has the volume."),
            "startingDeadlineSeconds": Noted(
                600, "A run that could not begin within ten minutes is left out."
            ),
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": template,
        }
    }


def _job_spec(plan: KubernetesPlan) -> dict[str, Any]:
    tries = (
        Noted(TRIES, "A run that failed goes on in a new pod, so often at most.")
        if plan.resume
        else Noted(0, "Steps have their own retries; with --resume a new pod would go on.")
    )
    spec = {"backoffLimit": tries, "podFailurePolicy": {"rules": _rules(plan)}}
    if plan.schedule is None:
        spec["ttlSecondsAfterFinished"] = Noted(WEEK, "The Job and its logs go after a week.")
    template = {"metadata": {"labels": _labels(plan)}, "spec": _pod(plan)}
    return spec | {"template": template}


def _rules(plan: Plan) -> list[Any]:
    codes = {"operator": "In", "values": [WRONG_WORDS]}
    wrong = Noted(
        {"action": "FailJob", "onExitCodes": codes}, "A command line that is wrong stays wrong."
    )
    if not plan.resume:
        return [wrong]
    moved = [{"type": "DisruptionTarget", "status": "True"}]
    drained = {"action": "Ignore", "onPodConditions": moved}
    return [wrong, Noted(drained, "A pod that had to leave its node does not count as failed.")]


def _pod(plan: KubernetesPlan) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": Noted(
            plan.grace, "From SIGTERM, which is reported as the end, to the kill."
        ),
        "automountServiceAccountToken": Noted(False, "It asks nothing of the cluster."),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": Noted(USER, "The volume is this group's to write to."),
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan)],
        "volumes": [
            {"name": "state", "persistentVolumeClaim": {"claimName": plan.name}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def _container(plan: KubernetesPlan) -> dict[str, Any]:
    memory = f"{plan.memory}Mi"
    return {
        "name": plan.name,
        "image": plan.image,
        "command": Noted(
            [_literal(word) for word in plan.command],
            "Not through a shell, which would keep SIGTERM to itself.",
        ),
        "env": _environment(plan),
        "resources": {
            "requests": {"cpu": f"{max(1, round(plan.cpu * 1000))}m", "memory": memory},
            "limits": Noted({"memory": memory}, "None of processor time: it would only wait."),
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": Noted(True, "Nothing is written but to the two volumes."),
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": STATE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ],
    }


def _environment(plan: KubernetesPlan) -> list[Any]:
    said = {name: _literal(value) for name, value in plan.variables.items()}
    where = {name: f"$({variable})" for name, (variable, _) in PLACES.items()}
    where["k8s.container.name"] = plan.name
    if plan.schedule:
        where["k8s.cronjob.name"] = plan.name
    own = said.pop(ATTRIBUTES, "")
    places: list[Any] = [
        {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for variable, path in PLACES.values()
    ]
    places[0] = Noted(places[0], "Where it runs: attributes of each trace, log record and metric.")
    attributes = ",".join(text for text in (attributes_text(where), own) if text)
    required = [_from_secret(plan, name) for name in plan.secret_variables]
    required[0] = Noted(required[0], f"No value is here: the secret '{plan.secret}' has them.")
    return [
        *({"name": name, "value": value} for name, value in said.items()),
        *required,
        *(_from_secret(plan, name, optional=True) for name in plan.optional_secrets),
        *places,
        {"name": ATTRIBUTES, "value": attributes},
    ]


def _from_secret(plan: Plan, name: str, *, optional: bool = False) -> Any:
    reference: dict[str, Any] = {"name": plan.secret, "key": name}
    if optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _claim(plan: KubernetesPlan) -> dict[str, Any]:
    return _head(plan, "v1", "PersistentVolumeClaim") | {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {
                "requests": {
                    "storage": Noted(f"{plan.storage}Gi", "The outbox takes 1 GiB of it at most.")
                }
            },
        }
    }


def _kustomization(plan: KubernetesPlan, job: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
    }
    if plan.namespace:
        said["namespace"] = plan.namespace
    return said | {"resources": ["volume.yaml", job]}


def _literal(text: str) -> str:
    """A text in which Kubernetes finds no variable."""
    return text.replace("$", "$$")
