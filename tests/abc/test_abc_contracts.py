"""The other contracts: what a provider must implement, and what it may leave out."""

from __future__ import annotations

import pytest

from dotflow import Context
from dotflow.abc.file import FileClient
from dotflow.abc.flow import Flow
from dotflow.abc.http import HTTPRequest
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.storage import Storage
from dotflow.abc.tcp import TCPClient, TCPServer
from dotflow.abc.tracer import Tracer


@pytest.mark.parametrize(
    ("contract", "methods"),
    [
        (Notify, {"hook_status_task"}),
        (Tracer, {"start_workflow", "end_workflow", "start_task", "end_task"}),
        (Metrics, {
            "workflow_started", "workflow_completed", "workflow_failed", "task_completed",
            "task_failed", "task_retried",
        }),
        (Scheduler, {"start", "stop"}),
        (Storage, {"post", "get", "key"}),
        (Flow, {"setup_queue", "get_tasks", "run"}),
    ],
)  # fmt: skip
def test_abstract_methods(contract, methods):
    """Each contract asks for its methods, and for no others."""
    assert contract.__abstractmethods__ == methods
    with pytest.raises(TypeError):
        contract()


class Least(Storage):
    def post(self, key, context, ttl=None, fingerprint=None):
        pass

    def get(self, key):
        return Context()

    def key(self, task):
        return ""


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("delete", ("k",)),
        ("delete_prefix", ("p",)),
        ("list_keys", ("p",)),
        ("atomic_swap", ("k", None, 1)),
        ("clear", ("w",)),
    ],
)
def test_optional_methods_of_a_storage(method, arguments):
    """The optional methods are not implemented in the contract, and say whose they are not."""
    with pytest.raises(NotImplementedError, match="Least"):
        getattr(Least(), method)(*arguments)


def test_clear_forgets_a_prefix():
    """clear() deletes the keys that begin with the workflow's id and a dash."""
    prefixes = []

    class Prefixed(Least):
        def delete_prefix(self, prefix):
            prefixes.append(prefix)
            return 2

    assert Prefixed().clear(workflow_id="w") is None
    assert prefixes == ["w-"]


def test_a_flow_prepares_then_runs_in_its_constructor():
    """A Flow sets its attributes, calls setup_queue(), then run()."""
    seen = []

    class Made(Flow):
        def setup_queue(self):
            seen.append(("setup", self.queue))
            self.queue = []

        def get_tasks(self):
            return self.queue

        def run(self):
            seen.append(("run", self.tasks, self.workflow_id, self.ignore, self.groups))

    made = Made(tasks=[1], workflow_id="w", ignore=True, groups={"g": [1]})
    assert seen == [("setup", None), ("run", [1], "w", True, {"g": [1]})]
    assert (made.get_tasks(), made.resume) == ([], False)


def test_unused_contracts():
    """The contracts for files, HTTP and TCP hold what they are given."""
    request = HTTPRequest(url="http://x", context=1)
    assert (request.url, request.context) == ("http://x", 1)
    assert TCPClient(url="x").url == "x"
    server = TCPServer(url="x", handler=print)
    assert (server.url, server.handler) == ("x", print)
    assert isinstance(FileClient(), FileClient)
