"""`dotflow deploy` on a real server that answers as Amazon does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dotflow.cli.setup import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow
pytest.importorskip("moto", reason=".ci/cloud installs it")

REGION, ACCOUNT = "eu-west-1", "123456789012"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/etl:1"
TOKEN = "tok-8d1f"
Deploy = "Callable[..., str]"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    program = Path(__file__).with_name("aws_server.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:  # fmt: skip
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def amazon(address: str) -> Callable[[str], Any]:
    """Clients of an account in which there is a cluster and a secret, and nothing else."""
    import boto3

    reset(address)
    session = boto3.Session(region_name=REGION)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=address)

    client("ecs").create_cluster(clusterName="main")
    client("secretsmanager").create_secret(
        Name="dotflow", SecretString=json.dumps({"SERVER_USER_TOKEN": TOKEN})
    )
    return client


def reset(address: str, path: str = "reset", data: bytes = b"") -> None:
    request = urllib.request.Request(
        f"{address}/moto-api/{path}", data, {"Content-Type": "text/plain"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=60).close()


def allowed() -> set[str]:
    """What the policy of the page allows."""
    page = (Path(__file__).parents[2] / "docs" / "guides" / "deploy.md").read_text(encoding="utf-8")
    policy = json.loads(page.partition("```json\n")[2].partition("```")[0])
    return {action for one in policy["Statement"] for action in one["Action"]}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The actions that are asked of Amazon while it is told to remember them."""
    from botocore.client import BaseClient

    made: set[str] = set()
    call = BaseClient._make_api_call

    def remembered(self: Any, name: str, arguments: Any) -> Any:
        made.add(f"{self.meta.service_model.signing_name}:{name}")
        return call(self, name, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", remembered)
    return made


@pytest.fixture
def deploy(address: str, calls: set[str], capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(platform: str, *words: str, status: int = 0, region: str = REGION) -> str:
        command = ["deploy", platform, "--workflow", "etl:pipeline", "--name", "etl"]
        if region:
            command += ["--region", region]
        if "--image" not in words:
            command += ["--image", IMAGE]
        calls.clear()
        assert Command([*command, "--endpoint-url", address, *words]).run() == status
        assert calls - {"sts:GetCallerIdentity"} <= allowed(), "the page allows all that is asked"
        written = capfd.readouterr()
        return written.out if status == 0 else " ".join(written.err.split())

    return run


def signs(page: str) -> dict[str, str]:
    """What is done with each thing, by the page."""
    return {line[2:]: line[0] for line in page.splitlines() if line[:2] in ("+ ", "~ ", "- ", "= ")}


def a_subnet(amazon: Callable[[str], Any]) -> str:
    return str(amazon("ec2").describe_subnets()["Subnets"][0]["SubnetId"])


def may(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ON_ECS = {
    "log group /dotflow/etl", "role dotflow-etl-execution", "role dotflow-etl-task",
    "task definition dotflow-etl", "role dotflow-etl-schedule", "schedule dotflow-etl",
}  # fmt: skip


def test_a_dry_run_changes_nothing_and_says_all(amazon, deploy) -> None:
    """Each thing that would be made is shown with what is in it, and none is there after that."""
    words = ("--cluster", "main", "--subnets", a_subnet(amazon), "--schedule", "0 3 * * *")
    page = deploy("ecs", *words)
    assert signs(page) == dict.fromkeys(ON_ECS, "+")
    assert "policy.Statement[1].Action: secretsmanager:GetSecretValue" in page
    assert "Nothing was changed: '--apply' does it." in page
    assert TOKEN not in page
    assert amazon("iam").list_roles()["Roles"] == []
    assert amazon("ecs").list_task_definitions()["taskDefinitionArns"] == []
    assert amazon("scheduler").list_schedules()["Schedules"] == []
    assert amazon("logs").describe_log_groups()["logGroups"] == []


def test_what_is_applied_can_run_and_is_not_made_again(amazon, deploy) -> None:
    """The task runs with its variables and roles; the same command finds nothing to do."""
    subnet = a_subnet(amazon)
    words = ("--cluster", "main", "--subnets", subnet, "--schedule", "@daily",
             "--public-ip", "--api-url", "https://api.example.com",
             "--efs", "fs-0a1b2c3d/fsap-0a1b2c3d")  # fmt: skip
    assert signs(deploy("ecs", *words, "--apply")) == dict.fromkeys(ON_ECS, "+")
    again = deploy("ecs", *words, "--apply")
    assert signs(again) == dict.fromkeys(ON_ECS, "=")
    assert "All is as it should be." in again

    definition = amazon("ecs").describe_task_definition(taskDefinition="dotflow-etl")[
        "taskDefinition"
    ]
    assert definition["revision"] == 1
    (container,) = definition["containerDefinitions"]
    variables = {one["name"]: one["value"] for one in container["environment"]}
    assert variables["SERVER_BASE_URL"] == "https://api.example.com"
    secret = amazon("secretsmanager").describe_secret(SecretId="dotflow")["ARN"]
    assert container["secrets"] == [
        {"name": "SERVER_USER_TOKEN", "valueFrom": f"{secret}:SERVER_USER_TOKEN::"}
    ]
    role = amazon("iam").get_role_policy(RoleName="dotflow-etl-execution", PolicyName="dotflow")
    assert [secret] in [one["Resource"] for one in role["PolicyDocument"]["Statement"]]
    target = amazon("scheduler").get_schedule(Name="dotflow-etl")["Target"]
    network = target["EcsParameters"]["NetworkConfiguration"]["awsvpcConfiguration"]
    assert (network["Subnets"], network["AssignPublicIp"]) == ([subnet], "ENABLED")
    assert definition["taskDefinitionArn"].startswith(
        target["EcsParameters"]["TaskDefinitionArn"] + ":"
    )
    (group,) = amazon("logs").describe_log_groups()["logGroups"]
    assert group["logGroupName"] == container["logConfiguration"]["options"]["awslogs-group"]


def test_a_change_is_shown_alone_and_made(amazon, deploy) -> None:
    """Only what differs is shown; a paused schedule stays so, and what owners added stays."""
    subnets = [one["SubnetId"] for one in amazon("ec2").describe_subnets()["Subnets"]][:2]
    guard = amazon("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    words = ("--cluster", "main", "--schedule", "@daily")
    deploy("ecs", *words, "--subnets", ",".join(subnets), "--security-groups", guard,
           "--env", "OLD=1", "--env", "KEPT=1", "--apply")  # fmt: skip
    scheduler = amazon("scheduler")
    now = scheduler.get_schedule(Name="dotflow-etl")
    letters = {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"}
    scheduler.update_schedule(
        **{key: now[key] for key in ("Name", "ScheduleExpression", "FlexibleTimeWindow")},
        Target={**now["Target"], "DeadLetterConfig": letters}, State="DISABLED",
    )  # fmt: skip
    amazon("iam").put_role_policy(
        RoleName="dotflow-etl-task", PolicyName="own", PolicyDocument=may("s3:GetObject")
    )
    changed = (*words, "--subnets", subnets[0], "--env", "KEPT=2",
               "--image", IMAGE.replace(":1", ":2"))  # fmt: skip
    page = deploy("ecs", *changed)
    assert {name for name, sign in signs(page).items() if sign == "~"} == {
        "task definition dotflow-etl",
        "schedule dotflow-etl",
    }
    assert f"containerDefinitions[workflow].image: {IMAGE} -> {IMAGE.replace(':1', ':2')}" in page
    assert "environment[OLD]: goes" in page
    assert "SecurityGroups: goes" in page
    assert "environment[KEPT].value: 1 -> 2" in page
    deploy("ecs", *changed, "--apply")
    assert signs(deploy("ecs", *changed)) == dict.fromkeys(ON_ECS, "=")
    now = scheduler.get_schedule(Name="dotflow-etl")
    assert (now["State"], now["Target"]["DeadLetterConfig"]) == ("DISABLED", letters)
    assert amazon("iam").list_role_policies(RoleName="dotflow-etl-task")["PolicyNames"] == ["own"]
    page = deploy("ecs", "--remove", "--apply", status=1)
    assert "delete the role dotflow-etl-task: DeleteConflict" in page
    assert "the same command goes on from there" in page
    assert amazon("ecs").list_task_definitions(status="ACTIVE")["taskDefinitionArns"] == []


def test_a_schedule_that_is_not_wanted_any_more_goes(amazon, deploy) -> None:
    """Without `--schedule` the schedule and its role are deleted; `--remove` deletes the rest."""
    words = ("--cluster", "main")
    deploy("ecs", *words, "--subnets", a_subnet(amazon), "--schedule", "@daily", "--apply")
    gone = {name for name, sign in signs(deploy("ecs", *words, "--apply")).items() if sign == "-"}
    assert gone == {"schedule dotflow-etl", "role dotflow-etl-schedule"}
    report = json.loads(deploy("ecs", "--remove", "--apply", "--json"))
    done = [(one["kind"], one["name"]) for one in report["changes"] if one["action"] == "delete"]
    assert done == [
        ("task definition", "dotflow-etl"),
        ("role", "dotflow-etl-task"),
        ("role", "dotflow-etl-execution"),
    ]
    assert amazon("iam").list_roles()["Roles"] == []
    assert amazon("ecs").list_task_definitions(status="ACTIVE")["taskDefinitionArns"] == []
    assert amazon("logs").describe_log_groups()["logGroups"], "the lines stay"


def test_a_project_of_codebuild_is_made_changed_and_started(amazon, deploy) -> None:
    """With parameters in place of the secret; a build of it can be started."""
    for name in ("SERVER_USER_TOKEN", "SERVER_BASE_URL"):
        amazon("ssm").put_parameter(Name=f"/dotflow/etl/{name}", Value=TOKEN, Type="SecureString")
    words = ("--parameters", "/dotflow/etl", "--schedule", "@hourly")
    made = signs(deploy("codebuild", *words, "--apply"))
    assert set(made) == {
        "log group /dotflow/etl", "role dotflow-etl-build", "project dotflow-etl",
        "role dotflow-etl-schedule", "schedule dotflow-etl",
    }  # fmt: skip
    page = deploy("codebuild", *words, "--minutes", "90", "--apply")
    assert "timeoutInMinutes: 60 -> 90" in page
    assert TOKEN not in page
    again = deploy("codebuild", *words, "--minutes", "90")
    assert set(signs(again).values()) == {"="}, again
    (project,) = amazon("codebuild").batch_get_projects(names=["dotflow-etl"])["projects"]
    target = amazon("scheduler").get_schedule(Name="dotflow-etl")["Target"]
    assert target["Arn"] == project["arn"]
    assert amazon("codebuild").start_build(projectName="dotflow-etl")["build"]
    deploy("codebuild", "--remove", "--apply")
    assert amazon("codebuild").list_projects()["projects"] == []


def test_roles_of_somebody_else_are_left_alone(amazon, deploy) -> None:
    """With roles that are given, none is made or changed."""
    role = f"arn:aws:iam::{ACCOUNT}:role/own"
    words = ("--cluster", "main", "--subnets", a_subnet(amazon), "--schedule", "@daily",
             "--execution-role", role, "--task-role", role, "--schedule-role", role)  # fmt: skip
    deploy("ecs", *words, "--apply")
    assert amazon("iam").list_roles()["Roles"] == []
    assert amazon("scheduler").get_schedule(Name="dotflow-etl")["Target"]["RoleArn"] == role


def test_what_is_not_there_is_named_with_the_remedy(amazon, deploy) -> None:
    """A cluster, a subnet, a secret, parameters: before anything is made."""
    subnet = a_subnet(amazon)
    assert "there is main" in deploy("ecs", status=1)
    page = deploy("ecs", "--cluster", "main", "--schedule", "@daily", status=1)
    assert "--subnets" in page
    assert subnet in page
    wrong = ("--cluster", "main", "--subnets", "subnet-0a0b0c0d")
    assert "subnet-0a0b0c0d" in deploy("ecs", *wrong, "--apply", status=1)
    page = deploy("codebuild", "--secret", "other", "--apply", status=1)
    assert "aws secretsmanager create-secret" in page
    page = deploy("codebuild", "--parameters", "/none", "--apply", status=1)
    assert "/none/SERVER_USER_TOKEN" in page
    assert amazon("logs").describe_log_groups()["logGroups"] == []


def test_who_may_not_is_told_what_and_how(amazon, deploy, address, monkeypatch) -> None:
    """Keys that nobody knows; a user who may only look, and is told what that one may not."""
    user = amazon("iam")
    user.create_user(UserName="reader")
    look = may("sts:*", "ecs:Describe*", "logs:Describe*", "secretsmanager:*")
    user.put_user_policy(UserName="reader", PolicyName="look", PolicyDocument=look)
    key = user.create_access_key(UserName="reader")["AccessKey"]
    reset(address, "reset-auth", b"0")
    try:
        assert "does not know these credentials" in deploy("ecs", status=1)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        page = deploy("ecs", "--cluster", "main", status=1)
        assert "You may not read the role dotflow-etl-execution" in page
        assert "iam:GetRole" in page
        assert "docs/guides/deploy.md" in page
    finally:
        reset(address, "reset-auth", b"1000000")


def test_a_machine_without_settings_is_told_of_them(deploy, monkeypatch) -> None:
    """No region, no profile, no credentials, nobody at the address: each with its remedy."""
    assert "--region" in deploy("ecs", status=1, region="")
    assert "none-of-these" in deploy("ecs", "--profile", "none-of-these", status=1)
    page = deploy("ecs", "--endpoint-url", "http://127.0.0.1:9", status=1)
    assert "not reached" in page
    for name in KEYS:
        monkeypatch.delenv(name)
    page = deploy("ecs", status=1)
    assert "no credentials" in page
    assert "AWS_PROFILE" in page
