"""StorageFile on S3: a real server, real sockets, and processes in folders of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from aiobotocore.session import get_session
from support.aws import CREDENTIALS, answering, aws, begin_threads, client
from support.storage_values import check_values_and_keys

from dotflow import Config, Context, DotFlow, action
from dotflow.providers import StorageFile, storage_bucket
from dotflow.providers.server_none import ServerNone
from dotflow.testing import StorageContract

pytestmark = pytest.mark.slow
pytest.importorskip("moto", reason=".ci/cloud installs it")

KEY = "k" * 40
BUCKET = "results"


@pytest.fixture(scope="module")
def server():
    with aws(bucket=BUCKET) as variables:
        begin_threads()
        yield variables


@pytest.fixture(autouse=True)
def environment(server, monkeypatch):
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DOTFLOW_STORAGE_KEY", KEY)


@pytest.fixture
def path():
    return f"s3://{BUCKET}/{uuid4()}"


def names(server, path):
    found = client(server).list_objects_v2(Bucket=BUCKET, Prefix=path.rpartition("/")[2])
    return sorted(one["Key"].partition("/tasks/")[2] for one in found.get("Contents", ()))


class TestContract(StorageContract):
    session = get_session()  # so that each storage need not read what S3 is like

    def make_storage(self):
        return StorageFile(path=f"s3://{BUCKET}/{uuid4()}", options={"session": self.session})


def test_the_address():
    """Both names of S3 are known, and what is there lasts; whoever makes one asks nothing of it."""
    storage = StorageFile(path="s3a://no-such-bucket")
    assert (storage.path, storage.lasts) == ("s3a://no-such-bucket/tasks", True)


def test_options(server, path, monkeypatch):
    """What fsspec's file system takes comes from the argument, or from fsspec's own variables."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = {"endpoint_url": server["AWS_ENDPOINT_URL"], "config_kwargs": {"read_timeout": 7}}
    storage = StorageFile(path=path, options=options)
    storage.post("k", Context(1))
    files = storage._place._files
    config = files.s3.meta.config
    assert (config.read_timeout, config.connect_timeout) == (7, 5)
    assert config.retries["total_max_attempts"] == 4
    conf = {"endpoint_url": server["AWS_ENDPOINT_URL"]}
    monkeypatch.setitem(fsspec.config.conf, "s3", conf)
    assert StorageFile(path=path).get("k").storage == 1


def test_values_and_keys(server, path):
    """Whatever the key and the value, it comes back, is listed, and is deleted alone."""
    keys = ["a/b", "..", "%2F", "a[bc]", "ab", "a*b?", "nul\0", "half\udc80pair", "ü" * 300, " ",
            "s3://b/k", "x?versionId=1"]  # fmt: skip
    check_values_and_keys(lambda: StorageFile(path=path), keys)
    assert len(names(server, path)) == len(keys) - 4


def test_swaps_of_many_programs(path):
    """Of objects that share nothing but the bucket, each swap replaces what it has seen."""

    def count():
        storage = StorageFile(path=path)
        for _ in range(3):
            while not storage.atomic_swap("n", seen := storage.get("n").storage, (seen or 0) + 1):
                pass

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert StorageFile(path=path).get("n").storage == 12


PROGRAM = """
import os, signal, sys
from pathlib import Path
from dotflow import Config, DotFlow, action
from dotflow.providers import StorageFile

def note(word):
    with open(os.environ["TRUTH"], "a") as truth:
        truth.write(word + "\\n")

@action
def extract():
    note("extract")
    return {1, 2, 3}

@action
def transform(previous_context):
    note("transform")
    if "die" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"sum": sum(previous_context.storage)}

@action
def load(previous_context):
    note("load")
    return (previous_context.storage["sum"],)

workflow = DotFlow(config=Config(storage=StorageFile()), workflow_id="orders-2026-11")
for step in (extract, transform, load):
    workflow.task.add(step=step)
workflow.start(resume=True).raise_for_failure()
print(workflow.result_storage())
"""


def test_another_process_goes_on(server, path, tmp_path):
    """What a killed process has done, others find in the bucket: in other folders, two at once."""
    environment = {
        **os.environ,
        "DOTFLOW_STORAGE_PATH": path,
        "TRUTH": str(tmp_path / "truth"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def begin(name, *arguments):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "program.py").write_text(PROGRAM)
        return subprocess.Popen(
            [sys.executable, "program.py", *arguments],
            cwd=folder,
            env={**environment, "DOTFLOW_STATE_DIR": str(folder / "state")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(process):
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err.count("rror")

    assert ended(begin("first", "die"))[0] == -signal.SIGKILL
    assert Path("truth").read_text().split() == ["extract", "transform"]
    for done in [ended(one) for one in (begin("second"), begin("third"))]:
        assert done == (0, "[{1, 2, 3}, {'sum': 6}, (6,)]\n", 0)
    said = Path("truth").read_text().split()
    assert said.count("extract") == 1
    assert ended(begin("fourth"))[1] == "[{1, 2, 3}, {'sum': 6}, (6,)]\n"
    assert Path("truth").read_text().split() == said
    assert {one.name for one in Path("fourth").iterdir()} == {"program.py"}
    storage = StorageFile(path=path)
    storage.clear("orders-2026-11")
    assert names(server, path) == []


def run(storage):
    ran = []

    @action
    def step():
        ran.append(1)

    workflow = DotFlow(config=Config(storage=storage, server=ServerNone()), workflow_id="w")
    workflow.task.add(step=step)
    try:
        workflow.start(resume=True)
    except OSError as error:
        return ran, str(error)
    return ran, None


class TestFailures:
    """A bucket that cannot be had fails the run, before a step has run, and says what mends it."""

    def test_no_bucket(self):
        """A wrong name is no empty bucket."""
        ran, said = run(StorageFile(path="s3://no-such-bucket/x"))
        assert ran == []
        assert "s3://no-such-bucket/x/tasks: FileNotFoundError: The specified bucket" in said
        assert "Make the bucket, or mend its name." in said

    def test_no_credentials(self, monkeypatch, path):
        """Without credentials the error says where they come from."""
        for name in CREDENTIALS:
            if "KEY" in name:
                monkeypatch.delenv(name)
        ran, said = run(StorageFile(path=path))
        assert ran == []
        assert "Give credentials as other programs of that service have them" in said

    def test_no_permission(self, monkeypatch, path):
        """What is denied is named, and no secret."""
        with answering(*[(403, "AccessDenied")] * 20) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            ran, said = run(StorageFile(path=path))
            for act in ("list_keys", "delete_prefix"):
                with pytest.raises(OSError, match="Let these credentials read, write, list"):
                    getattr(StorageFile(path=path), act)("")
        assert ran == []
        assert "PermissionError: AccessDenied. Let these credentials" in said
        assert "s3cr3t" not in said

    def test_a_service_that_is_busy(self, monkeypatch, path):
        """What fails at first is tried again; not for ever."""
        faults = [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")]
        with answering(*faults, (500, "InternalError")) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            storage = StorageFile(path=path)
            with pytest.raises(OSError, match=r"Could not keep 'k' in .*can be reached from here"):
                storage.post("k", Context(1))
            assert server.asked == ["PUT"] * 4
            storage.post("k", Context(1))
            assert server.asked == ["PUT"] * 5

    def test_a_service_that_never_answers(self, monkeypatch, path):
        """It is waited for so long, and no longer."""
        monkeypatch.setattr(storage_bucket, "PATIENCE", 0.5)
        with answering(*[(0, "")] * 20) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            with pytest.raises(OSError, match="Could not keep 'k' in"):
                StorageFile(path=path).post("k", Context(1))

    def test_what_may_not_be_deleted(self, server, monkeypatch, path):
        """One deletion of many that is refused is no success."""
        storage = StorageFile(path=path)
        for number in range(3):
            storage.post(f"w-{number}", Context(1))
        monkeypatch.setattr(storage._place._files, "rm", lambda paths: None)
        storage.clear("w")
        assert names(server, path) == []
