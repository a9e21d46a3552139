"""What a platform makes of its file: the words of the command and the variables of the process."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from dotflow.cli.setup import Command
from dotflow.cloud.plan import STATE

ODD = "q\"'$HOME $(HOME) ${HOME} $$x ${{ secrets.X }} \\ ü\nnew: # line"
"""A value in which every reader finds something of its own."""

PODS = {
    "metadata.namespace": "data", "metadata.name": "etl-x1", "metadata.uid": "u-1",
    "spec.nodeName": "node-7", "metadata.labels['batch.kubernetes.io/job-name']": "etl-1",
}  # fmt: skip


@dataclass
class Started:
    """What is started, and what was asked of the platform's secret."""

    command: list[str]
    variables: dict[str, str]
    optional: set[str] = field(default_factory=set)


def cloud(*words):
    return Command(["cloud", *map(str, words)]).run()


def read(folder, name):
    return yaml.safe_load((Path(folder) / name).read_text())


def of_compose(folder, secrets):
    """As `docker compose` has it from its environment."""
    [service] = read(folder, "compose.yaml")["services"].values()
    optional = {name for name, value in service["environment"].items() if value is None}

    def text(value):
        def found(match):
            if match["plain"]:
                return "$"
            assert match["rest"].startswith(":?"), "it would be empty without a word"
            return secrets[match["name"]]

        return re.sub(r"\$((?P<plain>\$)|\{(?P<name>\w+)(?P<rest>[^}]*)\})", found, value)

    variables = {
        name: text(value) for name, value in service["environment"].items() if name not in optional
    }
    return Started([text(word) for word in service["command"]], variables, optional)


def of_kubernetes(folder, secrets):
    """As the kubelet has it from the secret and the pod."""
    [path] = Path(folder).glob("*job.yaml")
    spec = read(folder, path.name)["spec"]
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    [container] = spec["template"]["spec"]["containers"]
    started = Started([], {})

    def text(value):
        def found(match):
            return "$" if match["plain"] else started.variables.get(match["name"], match[0])

        return re.sub(r"\$((?P<plain>\$)|\((?P<name>[-._\w]+)\))", found, value)

    for one in container["env"]:
        source = one.get("valueFrom", {})
        if "secretKeyRef" in source:
            if source["secretKeyRef"].get("optional"):
                started.optional.add(one["name"])
                continue
            started.variables[one["name"]] = secrets[source["secretKeyRef"]["key"]]
        elif "fieldRef" in source:
            started.variables[one["name"]] = PODS[source["fieldRef"]["fieldPath"]]
        else:
            started.variables[one["name"]] = text(one["value"])
    started.command = [text(word) for word in container["command"]]
    return started


def of_ecs(folder, secrets):
    """As Fargate has it from Secrets Manager."""
    resources = read(folder, "template.yaml")["Resources"]
    [container] = resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    variables = {one["Name"]: of_template(one["Value"]) for one in container["Environment"]}
    for one in container["Secrets"]:
        key = of_template(one["ValueFrom"]).removesuffix("::").rpartition(":")[2]
        variables[one["Name"]] = secrets[key]
    return Started([*container["EntryPoint"], *container["Command"]], variables)


def of_codebuild(folder, secrets):
    """As CodeBuild has it from Secrets Manager: what is run, and what is run at the end."""
    environment = read(folder, "template.yaml")["Resources"]["Project"]["Properties"]["Environment"]
    variables = {"CODEBUILD_BUILD_ID": "dotflow-etl:b-1"}
    for one in environment["EnvironmentVariables"]:
        value = of_template(one["Value"])
        is_secret = one["Type"] == "SECRETS_MANAGER"
        variables[one["Name"]] = secrets[value.partition(":")[2]] if is_secret else value
    build = read(folder, "buildspec.yaml")["phases"]["build"]
    words = " && ".join(build["commands"]).replace("/app", str(Path.cwd()))
    return Started(["sh", "-c", f"{words}; status=$?; {'; '.join(build['finally'])}; exit $status"],
                   variables)  # fmt: skip


def of_template(value):
    """A text as CloudFormation makes it."""
    if isinstance(value, str):
        return value
    [(name, inside)] = value.items()
    if name == "Fn::Join":
        return inside[0].join(inside[1])
    assert name == "Fn::Sub"
    return re.sub(r"\$\{AWS::(\w+)\}", r"\1", inside).replace("${!", "${")


def of_github(folder, secrets):
    """As a runner has it from the repository's secrets and variables."""
    [path] = (Path(folder) / ".github" / "workflows").iterdir()
    job = read(path.parent, path.name)["jobs"]["run"]
    [step] = [one for one in job["steps"] if one.get("name") == "Run the workflow"]
    known = {f"secrets.{name}": value for name, value in secrets.items()}
    known |= {"vars.SERVER_BASE_URL": secrets["SERVER_BASE_URL"], "github.workspace": STATE}

    def found(match):
        for word in match[1].split(" || "):
            value = word[1:-1] if word.startswith("'") else known.get(word, "")
            if value:
                return value
        return ""

    variables = {
        name: re.sub(r"\$\{\{ (.*?) \}\}", found, value)
        for name, value in {**job["env"], **step["env"]}.items()
    }
    Path("step.sh").write_text(step["run"])
    return Started(["bash", "-e", "step.sh"], variables, {
        name for name, value in variables.items() if name.startswith("OTEL") and not value
    })  # fmt: skip
