"""What each platform reads is read as it is there: by Docker's own code, by linters, by schemas."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cloud_support import ODD, cloud

FOLDER = os.environ.get("DOTFLOW_TEST_PLATFORMS")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="readers of platforms: .ci/cloud builds them and sets DOTFLOW_TEST_PLATFORMS"
)

ROOT = Path(__file__).parents[2]
HADOLINT = Path(sys.executable).with_name("hadolint")
OLDEST = "1.31"  # of Kubernetes, as docs/guides/deploy.md says
WHOLE = (
    "--schedule", "*/15 8-18 * jan-jun mon-fri", "--time-zone", "Europe/Lisbon", "--resume",
    "--mode", "parallel", "--env", f"ODD={ODD}", "--env", "NUMBER=1e3", "--env", "ON=yes",
    "--env", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=prod", "--secret-env", "DB",
    "--otlp-endpoint", "https://otel:4318", "--workflow-id", "it's ${{ 1 }}", "--grace", "90",
)  # fmt: skip
VARIABLES = {"ODD": ODD, "NUMBER": "1e3", "ON": "yes", "WORKFLOW_ID": "it's ${{ 1 }}"}


def written(name, *words):
    assert cloud(name, "--workflow", "étl.daily:made_Here", "--out", "files", *words) == 0
    return Path("files")


def read(*words, **variables):
    given = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        [Path(FOLDER) / words[0], *words[1:]], env=given, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [(), ("--with-api", *WHOLE)])
def test_compose(words):
    """Docker Compose refuses it without the secrets, and with them reads each value as it was."""
    path = written("compose", *words) / "compose.yaml"
    refused = read("readers", "compose", path)
    assert refused.returncode == 1
    assert "required variable SERVER_USER_TOKEN is missing a value" in refused.stderr
    done = read("readers", "compose", path, SERVER_USER_TOKEN="t$x", SERVER_BASE_URL="u", DB="d")
    assert done.returncode == 0, done.stderr
    project = json.loads(done.stdout)
    service = project["services"]["tl-daily-made-here"]
    assert service["environment"]["SERVER_USER_TOKEN"] == "t$x"
    assert service["build"]["context"] == str(Path.cwd())
    assert (Path(service["build"]["context"]) / service["build"]["dockerfile"]).is_file()
    if words:
        assert service["environment"].items() >= {**VARIABLES, "TZ": "Europe/Lisbon"}.items()
        assert service["stop_grace_period"] == "1m30s"
        assert service["command"] == [
            "dotflow", "schedule", "--workflow", "étl.daily:made_Here", "--mode", "parallel",
            "--resume", "--cron", "*/15 8-18 * jan-jun mon-fri",
        ]  # fmt: skip
        assert project["services"]["dotflow-api"]["environment"] == {"DOTFLOW_API_TOKEN": "t$x"}


def hadolint(path, *ignored):
    """What the linter says, without the rules that are named."""
    words = [HADOLINT, "--no-color", "--failure-threshold=warning"]
    words += [f"--ignore={rule}" for rule in ignored]
    return subprocess.run([*words, path], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["api", "workflow"])
def test_our_own_dockerfiles(name, tmp_path):
    """BuildKit and hadolint have nothing to say against them, and both do look."""
    path = ROOT / "docker" / f"{name}.Dockerfile"
    worse = tmp_path / "Dockerfile"
    for check, spoilt in (
        (lambda file: read("readers", "dockerfile", file), "RUN --mont=type=bind id\n"),
        (hadolint, "RUN sudo id\n"),
    ):
        done = check(path)
        assert done.returncode == 0, done.stdout + done.stderr
        worse.write_text(path.read_text() + spoilt)
        assert check(worse).returncode == 1


@pytest.mark.parametrize("path", ["docs/compose.yaml", "docs/collector/compose.yaml"])
def test_our_own_compose_files(path):
    """Docker Compose takes them without any variable, and what they name is there and pinned."""
    done = read("readers", "compose", ROOT / path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    services = json.loads(done.stdout)["services"]
    for name, one in services.items():
        if built := one.get("build"):
            assert (Path(built["context"]) / built["dockerfile"]).is_file(), name
        else:
            assert re.search(r":v?\d+\.\d+\.\d+$", one["image"]), one["image"]
        for volume in one.get("volumes", ()):
            assert volume["type"] == "volume" or Path(volume["source"]).exists(), volume
        for port in one.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1", name


def test_dockerfiles():
    """BuildKit and hadolint read them, and have nothing to say against them."""
    folder = written("compose", "--with-api")
    for requirements in ("pyproject.toml", "requirements.txt"):
        Path(requirements).touch()
        written("kubernetes", "--force")
        (folder / "Dockerfile").rename(folder / f"Dockerfile.{requirements}")
    written("lambda", "--force")
    (folder / "Dockerfile").rename(folder / "Dockerfile.lambda")
    written("kubernetes", "--force")
    paths = [path for path in folder.glob("Dockerfile*") if not path.name.endswith("ignore")]
    assert len(paths) == 5
    for path in paths:
        done = read("readers", "dockerfile", path)
        assert done.returncode == 0, f"{path}: {done.stderr}"
        done = hadolint(
            path, *["DL3045"] if path.suffix == ".lambda" else []
        )  # its base has a WORKDIR
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("words", [(), WHOLE])
def test_github(words):
    """Actionlint, which knows actions' inputs and expressions' types, has no complaint."""
    [path] = (written("github", *words) / ".github" / "workflows").iterdir()
    done = read("actionlint", path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    path.write_text(path.read_text().replace("github.run_id", "github.nothing"))
    assert read("actionlint", path).returncode == 1  # it does look


def is_taken(documents):
    """Every release since the oldest takes them."""
    from kubernetes_validate import validate
    from kubernetes_validate.utils import all_versions

    versions = [re.sub(r"^(\d+\.\d+).*", r"\1", one) for one in all_versions()]
    versions = versions[versions.index(OLDEST) :]
    assert len(versions) >= 5
    for document in documents:
        for version in versions:
            assert validate(document, version, strict=True) == version


def test_the_manifest_of_the_page():
    """What people copy from the guide is taken as it stands."""
    page = (ROOT / "docs" / "guides" / "kubernetes.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    documents = list(yaml.safe_load_all(block))
    assert [one["kind"] for one in documents] == ["PersistentVolumeClaim", "CronJob"]
    is_taken(documents)


@pytest.mark.parametrize("words", [(), ("--namespace", "data", *WHOLE)])
def test_kubernetes(words):
    """Each release since the oldest takes it, with no field that it does not know."""
    from kubernetes_validate import ValidationError, validate

    folder = written("kubernetes", *words)
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    documents = [yaml.safe_load((folder / name).read_text()) for name in kustomization["resources"]]
    is_taken(documents)
    documents[1]["spec"]["schedul"] = "x"
    with pytest.raises(ValidationError):
        validate(documents[1], OLDEST, strict=True)
