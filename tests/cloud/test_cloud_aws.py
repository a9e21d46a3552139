"""What `dotflow cloud ecs` and `dotflow cloud codebuild` write."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from dotflow.cli.setup import Command
from dotflow.cloud import codebuild, ecs
from dotflow.cloud.aws import things
from dotflow.cloud.aws.changes import differences
from dotflow.cloud.aws.cron import expression_of
from dotflow.cloud.aws.plans import CodebuildPlan, EcsPlan
from dotflow.cloud.plan import PlanError

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/etl:1"
ROLE = "arn:aws:iam::123456789012:role/own"
PLAIN = {"workflow": "etl:pipeline", "name": "etl", "image": IMAGE}
WHOLE: dict[str, Any] = {
    **PLAIN,
    "schedule": "*/5 8-18 * * 1-5",
    "time_zone": "Europe/Lisbon",
    "api_url": "https://api.example.com",
    "otlp_endpoint": "https://otlp.example.com",
    "workflow_id": "etl-1",
    "environment": {"GREETING": "a \"b\" 'c' ${AWS::Region}\nünï", "EMPTY": ""},
    "secrets": ("OTEL_EXPORTER_OTLP_HEADERS",),
    "resume": True,
}
ON_NETWORK = {
    "subnets": ("subnet-0a1b2c3d", "subnet-1a1b2c3d"),
    "security_groups": ("sg-0a1b2c3d",),
    "file_system": "fs-0a1b2c3d/fsap-0a1b2c3d",
}
PLANS = {
    "ecs plain": (ecs, EcsPlan(**PLAIN)),
    "ecs whole": (ecs, EcsPlan(**WHOLE, **ON_NETWORK, has_public_ip=True)),
    "ecs with roles": (
        ecs,
        EcsPlan(
            **WHOLE, **ON_NETWORK, parameters="/dotflow/etl", execution_role=ROLE, task_role=ROLE,
            schedule_role=ROLE, architecture="ARM64",
        ),
    ),
    "codebuild plain": (codebuild, CodebuildPlan(**PLAIN)),
    "codebuild whole": (codebuild, CodebuildPlan(**WHOLE)),
    "codebuild with roles": (
        codebuild,
        CodebuildPlan(
            **WHOLE, parameters="/dotflow/etl", service_role=ROLE, schedule_role=ROLE, minutes=480
        ),
    ),
}  # fmt: skip


def read(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_the_checker_of_cloudformation_finds_nothing(name: str) -> None:
    """Each template is what CloudFormation takes, by the schemas of its resources."""
    lint = pytest.importorskip("cfnlint.api").lint
    module, plan = PLANS[name]
    assert [str(one) for one in lint(module.files(plan)["template.yaml"])] == []


@pytest.mark.slow
def test_the_checker_of_cloudformation_finds_what_is_wrong() -> None:
    """The checks above can fail."""
    lint = pytest.importorskip("cfnlint.api").lint
    module, plan = PLANS["ecs plain"]
    assert lint(module.files(plan)["template.yaml"].replace("NetworkMode", "Network"))


def test_a_task_definition_says_what_a_managed_run_needs() -> None:
    """Variables, secrets by reference, the volume, the time after SIGTERM, words and no shell."""
    _, plan = PLANS["ecs whole"]
    resources = read(ecs.files(plan)["template.yaml"])["Resources"]
    definition = resources["TaskDefinition"]["Properties"]
    (container,) = definition["ContainerDefinitions"]
    variables = {one["Name"]: one["Value"] for one in container["Environment"]}
    assert variables["SERVER_BASE_URL"] == "https://api.example.com"
    assert variables["WORKFLOW_ID"] == "etl-1"
    assert variables["DOTFLOW_OUTBOX"] == "network"
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://otlp.example.com"
    between, parts = variables["GREETING"]["Fn::Join"]
    assert between.join(parts) == WHOLE["environment"]["GREETING"]
    assert {one["Name"] for one in container["Secrets"]} == {
        "SERVER_USER_TOKEN",
        "OTEL_EXPORTER_OTLP_HEADERS",
    }
    assert all(
        one["ValueFrom"]["Fn::Sub"].endswith(f":secret:dotflow:{one['Name']}::")
        for one in container["Secrets"]
    )
    assert container["EntryPoint"] + container["Command"] == plan.command
    assert container["StopTimeout"] == plan.grace
    assert int(variables["DOTFLOW_FLUSH_TIMEOUT"]) < plan.grace
    (mount,) = container["MountPoints"]
    (volume,) = definition["Volumes"]
    assert mount["SourceVolume"] == volume["Name"]
    assert variables["DOTFLOW_STATE_DIR"].startswith(f"{mount['ContainerPath']}/")
    assert volume["EFSVolumeConfiguration"]["FilesystemId"] == "fs-0a1b2c3d"
    assert (definition["Cpu"], definition["Memory"]) == ("512", "1024")  # the least with 0.5
    target = resources["Schedule"]["Properties"]["Target"]
    network = target["EcsParameters"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["Subnets"] == ["subnet-0a1b2c3d", "subnet-1a1b2c3d"]


def test_no_role_may_do_more_than_it_needs() -> None:
    """Only what has no name of its own is allowed everywhere."""
    for module, plan in PLANS.values():
        resources = read(module.files(plan)["template.yaml"])["Resources"]
        for one in resources.values():
            for policy in one["Properties"].get("Policies", ()):
                for statement in policy["PolicyDocument"]["Statement"]:
                    assert "*" not in json.dumps(statement["Action"])
                    if statement["Resource"] == ["*"]:
                        assert statement["Action"] == ["ecr:GetAuthorizationToken"]


def test_a_build_runs_the_workflow_and_delivers_what_waits() -> None:
    """The buildspec of the folder is that of the project."""
    _, plan = PLANS["codebuild whole"]
    files = codebuild.files(plan)
    project = read(files["template.yaml"])["Resources"]["Project"]["Properties"]
    assert project["Source"]["BuildSpec"] == files["buildspec.yaml"]
    build = read(files["buildspec.yaml"])["phases"]["build"]
    [command] = build["commands"]
    assert command.startswith("cd /app && ")
    assert command.endswith(" dotflow start --workflow etl:pipeline --resume")
    assert build["finally"][0].startswith("dotflow outbox flush")
    variables = {one["Name"]: one for one in project["Environment"]["EnvironmentVariables"]}
    assert variables["SERVER_USER_TOKEN"]["Type"] == "SECRETS_MANAGER"
    assert variables["SERVER_USER_TOKEN"]["Value"] == "dotflow:SERVER_USER_TOKEN"


@pytest.mark.parametrize(
    ("cron", "expression"),
    [
        ("* * * * *", "cron(* * * * ? *)"),
        ("*/5 * * * *", "cron(0/5 * * * ? *)"),
        ("0 3 * * *", "cron(0 3 * * ? *)"),
        ("15,45 8-18/2 * * *", "cron(15,45 8,10,12,14,16,18 * * ? *)"),
        ("0 0 1 */3 *", "cron(0 0 1 1/3 ? *)"),
        ("0 0 */2 jan,feb *", "cron(0 0 1/2 1,2 ? *)"),
        ("0 0 * * 0", "cron(0 0 ? * SUN *)"),
        ("0 0 * * 7", "cron(0 0 ? * SUN *)"),
        ("0 0 * * 1-5", "cron(0 0 ? * MON-FRI *)"),
        ("0 0 * * 5-7", "cron(0 0 ? * SUN,FRI,SAT *)"),
        ("0 0 * * fri-mon", "cron(0 0 ? * SUN,MON,FRI,SAT *)"),
        ("0 0 * * */2", "cron(0 0 ? * SUN,TUE,THU,SAT *)"),
        ("10/20 22-2 * * *", "cron(10,30,50 0,1,2,22,23 * * ? *)"),
    ],
)
def test_a_schedule_is_said_in_the_words_of_eventbridge(cron: str, expression: str) -> None:
    """It is due at the same times: its week begins at 1, and one of two fields is '?'."""
    assert expression_of(cron) == expression


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ({"schedule": "0 0 1 * 1"}, "second --name"),
        ({"grace": 121}, "--grace 120"),
        ({"subnets": ("vpc-1",)}, "subnet-"),
        ({"file_system": "fs-0a1b2c3d"}, "fsap-"),
        ({"task_role": "own"}, "arn:aws:iam::"),
        ({"memory": 200_000}, "200000 MiB"),
        ({"name": "n" * 47}, "46"),
        ({"parameters": "dotflow"}, "/dotflow"),
    ],
)
def test_what_amazon_does_not_take_is_refused(said: dict[str, Any], remedy: str) -> None:
    """The message names what is allowed."""
    with pytest.raises(PlanError, match=remedy):
        EcsPlan(**{**PLAIN, **said})


@pytest.mark.parametrize(
    ("said", "remedy"),
    [({"schedule": "@daily"}, "--subnets"), ({"secret": "etl-secret"}, "dotflow deploy ecs")],
)
def test_what_a_template_cannot_say_is_refused(said: dict[str, Any], remedy: str) -> None:
    """A schedule without a network; a secret whose name looks as if Amazon had added its end."""
    with pytest.raises(PlanError, match=remedy):
        ecs.files(EcsPlan(**{**PLAIN, **said}))


def test_a_secret_that_somebody_put_into_a_variable_is_not_shown() -> None:
    """Neither its value, nor the password in a URL; references to secrets are shown."""
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:dotflow-ab12cd"
    now = {
        "env": [
            {"name": "API_TOKEN", "value": "hunter2"},
            {"name": "DB", "value": "x://u:hunter3@h"},
        ]
    }
    wanted = {"env": [{"name": "API_TOKEN", "value": arn}, {"name": "DB", "value": "x://h"}]}
    assert list(differences(now, wanted)) == [
        f"env[API_TOKEN].value: *** -> {arn}",
        "env[DB].value: x://u:***@h -> x://h",
    ]


def test_what_a_service_adds_is_no_difference() -> None:
    """Its order, and what it says beside what is wanted; in a policy what is more has to go."""
    now = {"env": [{"name": "B"}, {"name": "A", "type": "PLAIN"}], "arn": "arn:...", "cpu": None}
    assert list(differences(now, {"env": [{"name": "A"}, {"name": "B"}], "cpu": []})) == []
    policy = {"Statement": [{"Action": ["a"], "Condition": {"x": 1}}]}
    gone = differences({"policy": policy}, {"policy": {"Statement": [{"Action": ["a"]}]}})
    assert list(gone) == ["policy.Statement[0].Condition: goes"]


def test_a_role_that_is_new_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services hear of it after a while; another error is not waited for."""
    error = pytest.importorskip("botocore.exceptions").ClientError
    monkeypatch.setattr(things, "PAUSE", 0.0)
    said = ["The role must allow Amazon to assume it", "The role must allow Amazon to assume it"]

    def call() -> None:
        if said:
            raise error({"Error": {"Message": said.pop()}}, "CreateSchedule")

    things.patiently(call)
    assert not said
    said.append("No such thing")
    with pytest.raises(error):
        things.patiently(call)


def test_without_the_extra_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has not installed what talks to Amazon is told what to install."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    words = ["--workflow", "etl:pipeline", "--image", IMAGE]
    assert Command(["deploy", "codebuild", *words]).run() == 1
    assert "pip install 'dotflow[aws]'" in capsys.readouterr().err
