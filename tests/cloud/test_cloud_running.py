"""What the files of platforms start is started, with nothing but what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from cloud_support import ODD, cloud, of_codebuild, of_compose, of_ecs, of_github, of_kubernetes
from support.otlp import OtlpReceiver

from dotflow.api import ApiServer
from dotflow.cloud.plan import STATE

pytestmark = pytest.mark.slow  # it starts programs

TIME = 60
STEPS = """
import os, time
from pathlib import Path
from dotflow import DotFlow, action

@action
def ask():
    return {name: os.environ[name] for name in ("ODD", "ORDERS_PASSWORD")}

@action
def wait():
    Path("waiting").touch()
    while not Path("go").exists():
        time.sleep(0.02)

def pipeline():
    flow = DotFlow(name="made")
    flow.task.add([ask, wait])
    return flow
"""


@pytest.mark.parametrize(
    ("name", "of", "flush", "told", "status"),
    [
        ("compose", of_compose, "20", signal.SIGTERM, 143),
        ("kubernetes", of_kubernetes, "20", signal.SIGTERM, 143),
        ("github", of_github, "5", signal.SIGINT, 130),
        ("ecs", of_ecs, "20", signal.SIGTERM, 143),
    ],
)
def test_command(name, of, flush, told, status, tmp_path, wait_for):
    """A run is told to go while dotflow-api is away, and the next one delivers its report too: what
    the volume keeps. Values arrive as they were given, spans with where they are from."""
    Path("etl.py").write_text(STEPS)
    api = ApiServer(f"sqlite:///{tmp_path}/api.db", "t")
    with api:
        url = api.url
    with OtlpReceiver() as receiver:
        words = ("--otlp-endpoint", receiver.http_url, "--env", f"ODD={ODD}", "--mode", "parallel",
                 "--secret-env", "ORDERS_PASSWORD", "--workflow", "etl:pipeline")  # fmt: skip
        assert cloud(name, "--out", "files", *words) == 0
        secrets = {"SERVER_USER_TOKEN": "t", "SERVER_BASE_URL": url, "ORDERS_PASSWORD": "geheim"}
        started = of("files", secrets)
        assert started.optional == ({"OTEL_EXPORTER_OTLP_HEADERS"} if name != "ecs" else set())
        assert started.variables["DOTFLOW_FLUSH_TIMEOUT"] == flush
        started.variables["DOTFLOW_FLUSH_TIMEOUT"] = "2"  # dotflow-api is away all that time
        first = _start(started, tmp_path)
        wait_for(Path("waiting").exists)
        first.send_signal(told)
        said, _ = first.communicate(timeout=TIME)
        assert first.returncode == status, said
        assert "geheim" not in said
        Path("go").touch()
        started.variables["DOTFLOW_FLUSH_TIMEOUT"] = str(TIME)
        with api:
            second = _start(started, tmp_path)
            said, _ = second.communicate(timeout=TIME)
            assert second.returncode == 0, said
            runs = _get(url, "workflows")["workflows"]
            assert sorted(run["status"] for run in runs) == ["Completed", "Failed"]
            assert {run["name"] for run in runs} == {"made"}
            [done] = [run["id"] for run in runs if run["status"] == "Completed"]
            tasks = _get(url, f"workflows/{done}/tasks?include=contexts")["tasks"]
        wait_for(lambda: sum(span.name == "made" for span in receiver.spans) >= 2)
        resources = [span.resource for span in receiver.spans]
    assert tasks[0]["current_context"] == {"ODD": ODD, "ORDERS_PASSWORD": "***"}
    assert {one["service.name"] for one in resources} == {"etl-pipeline"}
    if name == "kubernetes":
        assert {one["k8s.pod.name"] for one in resources} == {"etl-x1"}
        assert {one["k8s.job.name"] for one in resources} == {"etl-1"}
    if name == "ecs":
        assert {one["cloud.region"] for one in resources} == {"Region"}
        assert {one["aws.ecs.task.family"] for one in resources} == {"dotflow-etl-pipeline"}


def test_a_build_gives_delivery_more_time(tmp_path, wait_for):
    """dotflow-api comes back after the run has ended, and what its last command sends is there."""
    Path("etl.py").write_text(STEPS)
    Path("go").touch()
    api = ApiServer(f"sqlite:///{tmp_path}/api.db", "t")
    with api:
        url = api.url
    with OtlpReceiver() as receiver:
        words = ("--otlp-endpoint", receiver.http_url, "--env", f"ODD={ODD}",
                 "--secret-env", "ORDERS_PASSWORD", "--workflow", "etl:pipeline")  # fmt: skip
        assert cloud("codebuild", "--out", "files", *words) == 0
        secrets = {"SERVER_USER_TOKEN": "t", "SERVER_BASE_URL": url, "ORDERS_PASSWORD": "geheim"}
        started = of_codebuild("files", secrets)
        started.variables["DOTFLOW_FLUSH_TIMEOUT"] = "1"
        build = _start(started, tmp_path)
        wait_for(lambda: any(span.name == "made" for span in receiver.spans))
        resources = [span.resource for span in receiver.spans]
        with api:
            said, _ = build.communicate(timeout=2 * TIME)
            assert build.returncode == 0, said
            assert [run["status"] for run in _get(url, "workflows")["workflows"]] == ["Completed"]
    assert {one["cicd.pipeline.run.id"] for one in resources} == {"dotflow-etl:b-1"}
    assert {one["cicd.pipeline.name"] for one in resources} == {"dotflow-etl-pipeline"}


def _start(started, folder):
    """The process: no variable of ours but what finds programs; the volume is a folder of ours."""
    variables = {
        name: value.replace(STATE, str(folder / "volume"))
        for name, value in started.variables.items()
    }
    scripts = Path(sys.executable).parent
    return subprocess.Popen(
        started.command, env={"PATH": f"{scripts}:{os.environ['PATH']}", **variables},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _get(url, path):
    answer = requests.get(f"{url}/{path}", headers={"Authorization": "Bearer t"}, timeout=TIME)
    assert answer.status_code == 200, answer.text
    return answer.json()
