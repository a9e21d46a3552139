"""What Lambda gets is checked by CloudFormation's rules, and its handler called by Lambda's own
client, with a real server of secrets."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from cloud_support import ODD, cloud, read
from ruamel.yaml import YAML
from support.aws import aws, client

from dotflow.api import ApiServer
from dotflow.cloud.aws.secrets import SecretMissing, load_secrets
from dotflow.cloud.lambda_ import HANDLER, TEMPORARY, LambdaPlan, files
from dotflow.cloud.plan import PlanError

TIME = 60
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/etl:1"
STEPS = """
import os, time
from pathlib import Path
from dotflow import DotFlow, action

@action
def work():
    if Path("hold").exists():
        time.sleep(600)
    return {name: os.environ[name] for name in ("ODD", "ORDERS_PASSWORD")}

def pipeline():
    flow = DotFlow(name="made")
    flow.task.add([work])
    return flow
"""


def plan(**said):
    return LambdaPlan(**{"workflow": "etl:pipeline", "name": "etl", "image": IMAGE} | said)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"timeout": 901}, "900 seconds at most"),
        ({"timeout": 30}, "longer than the grace"),
        ({"memory": 64}, "128 to 10240 MiB"),
        ({"file_system": "fs-0a1b2c3d/fsap-0a1b2c3d"}, "'--efs' needs one"),
        ({"subnets": ("subnet-0a1b2c3d",)}, "both"),
        ({"role": "me"}, "as 'arn:aws:iam"),
    ],
)
def test_refused(said, words):
    """What Lambda does not take is refused with what it does."""
    with pytest.raises(PlanError, match=words):
        plan(**said)


@pytest.mark.slow
def test_template():
    """CloudFormation's rules have nothing to say against a plan with all that there is."""
    lint = pytest.importorskip("cfnlint.api", reason=".ci/cloud installs it").lint

    whole = plan(
        schedule="@daily", resume=True, environment={"ODD": ODD}, parameters="/dotflow/etl",
        subnets=("subnet-0a1b2c3d",), security_groups=("sg-0a1b2c3d",), architecture="ARM64",
        file_system=f"fs-0a1b2c3d/fsap-{'0a1b2c3d4' * 2}"[:-1],
    )  # fmt: skip
    assert [str(found) for found in lint(files(whole)["template.yaml"])] == []


class Runtime(BaseHTTPRequestHandler):
    """Lambda's side: one event after another, and what came of each."""

    def do_GET(self):
        event, seconds = self.server.events.get()
        body = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "r1")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + seconds) * 1000)))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answers.put((self.path.rpartition("/")[2], body))

    def log_message(self, *_):
        pass


@pytest.fixture
def runtime():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    server.events, server.answers = queue.Queue(), queue.Queue()
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.events.put(({}, 0))  # for whoever still asks
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def place():
    """The environment that leads to Amazon's services."""
    pytest.importorskip("moto", reason=".ci/cloud installs it")
    with aws() as variables:
        yield variables


@pytest.mark.slow
def test_parameters(place, monkeypatch):
    """Secrets may be parameters of Systems Manager; what is set already stays, what is missing is
    named, and so is a secret that is no object."""
    text = files(plan(parameters="/dotflow/etl", secrets=("A", "B")))["template.yaml"]
    said = YAML(typ="safe").load(text)["Resources"]["Function"]["Properties"]["Environment"]
    for name, value in {**place, "DOTFLOW_PARAMETERS": said["Variables"]["DOTFLOW_PARAMETERS"],
                        "DOTFLOW_SECRET_NAMES": said["Variables"]["DOTFLOW_SECRET_NAMES"],
                        "A": "mine"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("SERVER_USER_TOKEN", "SERVER_BASE_URL", "A", "B"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that it goes after the test
    for name in ("SERVER_USER_TOKEN", "SERVER_BASE_URL"):
        client(place, "ssm").put_parameter(Name=f"/dotflow/etl/{name}", Value="v", Type="String")
    with pytest.raises(SecretMissing, match="'/dotflow/etl' has no B: add it there"):
        load_secrets()
    client(place, "ssm").put_parameter(Name="/dotflow/etl/B", Value="b", Type="SecureString")
    load_secrets()
    assert [os.environ[name] for name in ("SERVER_USER_TOKEN", "A", "B")] == ["v", "mine", "b"]
    client(place, "secretsmanager").create_secret(Name="odd", SecretString="v")
    monkeypatch.delenv("DOTFLOW_PARAMETERS")
    monkeypatch.setenv("DOTFLOW_SECRET", "odd")
    monkeypatch.setenv("B", "")
    with pytest.raises(SecretMissing, match="'odd' is no JSON object"):
        load_secrets()


@pytest.mark.slow
def test_handler(runtime, place, tmp_path):
    """A call is a run, whose id the event may give; one that has no time left is told to end, and
    reported; the next one goes well."""
    Path("etl.py").write_text(STEPS)
    assert cloud("lambda", "--workflow", "etl:pipeline", "--out", "files", "--env", f"ODD={ODD}",
                 "--grace", "10", "--secret-env", "ORDERS_PASSWORD") == 0  # fmt: skip
    function = read("files", "template.yaml")["Resources"]["Function"]["Properties"]
    variables = {
        name: _resolved(value).replace(TEMPORARY, str(tmp_path / "place"))
        for name, value in function["Environment"]["Variables"].items()
    }
    with ApiServer(f"sqlite:///{tmp_path}/api.db", "t") as api:
        secrets = {"SERVER_USER_TOKEN": "t", "SERVER_BASE_URL": api.url, "ORDERS_PASSWORD": "p"}
        client(place, "secretsmanager").create_secret(
            Name="dotflow", SecretString=json.dumps(secrets)
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", HANDLER],
            env={"PATH": os.environ["PATH"], **place, **variables,
                 "AWS_LAMBDA_RUNTIME_API": "{}:{}".format(*runtime.server_address)},
        )  # fmt: skip
        try:
            runtime.events.put(({"detail-type": "Scheduled Event"}, 900))
            assert runtime.answers.get(timeout=TIME) == ("response", {"status": "Completed"})
            _post(api, {"id": "w1", "status": "New"})
            Path("hold").touch()
            runtime.events.put(({"workflow_id": "w1"}, 13))
            kind, said = runtime.answers.get(timeout=TIME)
            assert (kind, said["errorType"]) == ("error", "RunInterrupted"), said
            Path("hold").unlink()
            runtime.events.put(("anything", 900))
            assert runtime.answers.get(timeout=TIME) == ("response", {"status": "Completed"})
        finally:
            process.kill()
            process.wait(TIME)
        runs = {run["id"]: run["status"] for run in _get(api, "workflows")["workflows"]}
        assert runs.pop("w1") == "Failed"
        assert list(runs.values()) == ["Completed", "Completed"]
        [task] = _get(api, "workflows/w1/tasks")["tasks"]
        assert "interrupted by SIGTERM" in task["errors"][-1]["message"]
        [task] = _get(api, f"workflows/{next(iter(runs))}/tasks?include=contexts")["tasks"]
        assert task["current_context"] == {"ODD": ODD, "ORDERS_PASSWORD": "***"}


def _resolved(value):
    """A value as CloudFormation puts it into the function."""
    if isinstance(value, str):
        return value
    [(name, given)] = value.items()
    if name == "Fn::Join":
        return given[0].join(given[1])
    return given.replace("${AWS::Region}", "us-east-1").replace("${!", "${")


def _post(api, body):
    headers = {"Authorization": "Bearer t"}
    requests.post(f"{api.url}/workflows", json=body, headers=headers, timeout=TIME)


def _get(api, path):
    headers = {"Authorization": "Bearer t"}
    return requests.get(f"{api.url}/{path}", headers=headers, timeout=TIME).json()
