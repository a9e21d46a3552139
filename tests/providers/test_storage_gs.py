"""StorageFile on Google Cloud Storage: a server that answers as Google's does, over a socket."""

from __future__ import annotations

import subprocess
import sys
from uuid import uuid4

import pytest
from support.aws import begin_threads
from support.storage_values import check_values_and_keys

from dotflow import Config, Context, DotFlow, action
from dotflow.core.exception import ValueNotKept
from dotflow.providers import StorageFile
from dotflow.providers.server_none import ServerNone
from dotflow.testing import StorageContract

pytestmark = pytest.mark.slow
pytest.importorskip("gcp_storage_emulator", reason=".ci/cloud installs it")
pytest.importorskip("gcsfs", reason=".ci/cloud installs it")

KEY = "k" * 40
BUCKET = "results"
SERVER = """
import sys
from gcp_storage_emulator.server import create_server

server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=sys.argv[1])
server.start()
print(server._api._httpd.server_port, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server():
    """Its address; a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, BUCKET],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        begin_threads()
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


@pytest.fixture(autouse=True)
def environment(server, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    monkeypatch.setenv("DOTFLOW_STORAGE_KEY", KEY)


@pytest.fixture
def path():
    return f"gs://{BUCKET}/{uuid4()}"


class TestContract(StorageContract):
    def make_storage(self):
        return StorageFile(path=f"gs://{BUCKET}/{uuid4()}")


def test_values_and_keys(path):
    """Whatever the key and the value, it comes back, is listed, and is deleted alone."""
    keys = ["a/b", "..", "%2F", "a[bc]", "ab", "a*b?", "half\udc80pair", "ü" * 300, " ", "gs://b/k"]
    storage = check_values_and_keys(lambda: StorageFile(path=path), keys)
    assert len(storage.list_keys("")) == len(keys) - 4


def test_a_run_goes_on_with_what_is_there(path):
    """What one object has kept, another one finds; without a key there is no pickle."""
    ran = []

    @action
    def first():
        ran.append("first")
        return {1, 2}

    @action
    def second(previous_context):
        ran.append("second")
        if ran.count("second") == 1:
            raise ConnectionError
        return len(previous_context.storage)

    def run():
        storage = StorageFile(path=path)
        workflow = DotFlow(config=Config(storage=storage, server=ServerNone()), workflow_id="w")
        workflow.task.add(step=[first, second])
        return workflow.start(resume=True), workflow.result_storage()

    assert not run()[0].ok
    manager, results = run()
    assert (manager.ok, results) == (True, [{1, 2}, 2])
    assert ran == ["first", "second", "second"]


def test_a_pickle_without_a_key(path, monkeypatch):
    """Nothing that somebody else could replace is unpickled, so none is kept."""
    monkeypatch.delenv("DOTFLOW_STORAGE_KEY")
    with pytest.raises(ValueNotKept, match="DOTFLOW_STORAGE_KEY"):
        StorageFile(path=path).post("k", Context({1, 2}))


def test_no_bucket():
    """A wrong name is no empty bucket, and the error says what mends it."""
    with pytest.raises(OSError, match="Make the bucket, or mend its name"):
        StorageFile(path=f"gs://{uuid4()}/x").post("k", Context(1))
