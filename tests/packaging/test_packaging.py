"""What is released installs, runs and is typed where nothing else is."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dotflow.version import __version__

ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("DOTFLOW_TEST_RELEASE")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="what is released: .ci/packaging builds it and sets DOTFLOW_TEST_RELEASE"
)
BUILT = Path(FOLDER or ".")
PYTHON = BUILT / "environment" / "bin" / "python"

USER = '''
"""What a user writes."""

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import StorageFile


@action(retry=2)
def double(number: int) -> int:
    return 2 * number


half: str = double(21)  # wrong: double gives an int

workflow = DotFlow(config=Config(server=ServerOtel(), storage=StorageFile()))
workflow.task.add(step=double, initial_context=21)
manager = workflow.start(mode="parallel")
ok: bool = manager.ok
workflow.start(mode=3)  # wrong: a mode is a word
'''
WRONG = [line for line, text in enumerate(USER.splitlines(), 1) if "# wrong" in text]


def wheel():
    [found] = BUILT.glob("*.whl")
    return found


def sdist():
    [found] = BUILT.glob("*.tar.gz")
    return found


def run(*command, cwd, **variables):
    """Run a command where no host but this one is to be had; give what it printed."""
    nowhere = "http://127.0.0.1:9"
    env = {**os.environ, "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, **variables}
    env.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(one) for one in command],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_version_is_one():
    """Files' names, metadata and the module say the same version."""
    assert wheel().name == f"dotflow-{__version__}-py3-none-any.whl"
    assert sdist().name == f"dotflow-{__version__}.tar.gz"


def test_the_wheel_has_what_runs_and_nothing_else():
    """Pages, their scripts, examples, licences and `py.typed` are there; tests are not."""
    names = set(zipfile.ZipFile(wheel()).namelist())
    package = {str(one.relative_to(ROOT)) for one in (ROOT / "dotflow").rglob("*") if one.is_file()}
    missing = {one for one in package if "__pycache__" not in one} - names
    assert not missing
    assert "dotflow/py.typed" in names
    assert any(one.endswith("licenses/LICENSE") for one in names)
    tops = {one.split("/")[0] for one in names}
    assert tops == {"dotflow", "pytest_dotflow.py", f"dotflow-{__version__}.dist-info"}


def test_the_sdist_makes_the_same_wheel(tmp_path):
    """Whoever builds from the sdist gets each file of the wheel."""
    with tarfile.open(sdist()) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    subprocess.run(
        [sys.executable, "-m", "uv", "build", "-q", "--wheel", "--out-dir", tmp_path, source],
        check=True, timeout=300,
    )  # fmt: skip
    [again] = tmp_path.glob("*.whl")
    contents = [
        {one.filename: one.CRC for one in zipfile.ZipFile(file).infolist()}
        for file in (wheel(), again)
    ]
    assert contents[0] == contents[1]


def test_the_demo_runs_where_only_the_wheel_is(tmp_path):
    """`dotflow demo` needs the wheel and its dependencies, and no network."""
    done = run(
        PYTHON.with_name("dotflow"),
        "demo",
        "--json",
        cwd=tmp_path,
        DOTFLOW_STATE_DIR=tmp_path / "s",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trace_id"]


def test_a_users_program_is_typed(tmp_path):
    """mypy and pyright know the types of the installed package, and find a user's mistakes."""
    program = tmp_path / "user.py"
    program.write_text(USER, encoding="utf-8")
    for checker in (
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", PYTHON],
        [sys.executable, "-m", "uv", "tool", "run", "-q", "--from", "pyright[nodejs]", "pyright",
         "--pythonpath", PYTHON],
    ):  # fmt: skip
        done = subprocess.run(
            [*checker, program], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        found = {int(one) for one in re.findall(r"user\.py:(\d+).*error", done.stdout)}
        assert sorted(found) == WRONG, done.stdout + done.stderr


def test_the_bill_of_materials_is_whole():
    """It names each package of the environment with its version."""
    [file] = BUILT.glob("*.cdx.json")
    components = {one["name"].lower() for one in json.loads(file.read_text())["components"]}
    assert {"dotflow", "opentelemetry-sdk", "fastapi", "urllib3"} <= components


def test_the_licences_are_those_of_the_page():
    """docs/licences.md has each package that comes along, with its licence."""
    script = ROOT / "docs" / "licences.py"
    said = run(
        PYTHON, "-c",
        f"import json, runpy; print(json.dumps(runpy.run_path({str(script)!r})['licences']()))",
        cwd=BUILT,
    )  # fmt: skip
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    there = json.loads(said.stdout)
    assert len(there) > 30, said.stderr
    missing = {name: one for name, one in there.items() if f"| {name} | {one} |\n" not in page}
    assert not missing, "write the page anew: see docs/licences.py"
    assert runpy.run_path(str(script))["HEAD"] in page
