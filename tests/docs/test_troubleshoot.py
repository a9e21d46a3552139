"""Each symptom of the page happens, and dotflow's words are those that people search for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.fault_server import FaultServer
from support.fault_server import status as answers
from support.otlp import OtlpReceiver

from dotflow import Config, DotFlow, action
from dotflow.cli.setup import Command
from dotflow.core.children.wire import server_class_for
from dotflow.otel import ServerOtel
from dotflow.providers import ServerDefault, StorageFile
from dotflow.providers.storage_pickle import MAGIC

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshoot.md").read_text(encoding="utf-8")
SYMPTOMS = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith('| "')]
QUOTED = [re.match(r'\| "(.*?)"(?= \||$)', line + " |")[1] for line in SYMPTOMS]

ELSEWHERE = {
    "spans for OTLP endpoint ... wait in": (
        "cli/test_cli_outbox_words.py", "test_spans_have_words_too"),
    "messages to dotflow-api at ... wait in": (
        "cli/test_cli_outbox_words.py", "test_the_end_of_a_program_names_the_remedies"),
    "They were held in memory, and are lost": (
        "cli/test_cli_outbox_words.py",
        "test_the_end_of_a_program_without_a_disk_says_what_is_lost"),
    "is on a network disk": ("runlog/test_runlog_folder.py", "test_a_network_disk"),
    "Two tokens were given for": (
        "delivery/test_channel.py", "test_a_newer_token_takes_the_place_of_an_older_one"),
    "is not in this dotflow": (
        "utils/test_utils_upstream.py", "test_a_class_that_is_not_here_names_what_is"),
    "pip install 'dotflow[api]'": (
        "cli/test_cli.py", "test_without_the_extra_the_remedy_is_named"),
}  # fmt: skip
"""Symptoms that other tests make happen."""


@action
def step(initial_context):
    return initial_context.storage


@action
def takes_the_context_for_its_value(initial_context):
    return initial_context["rows"]


@action
def adds_to_the_context(initial_context):
    return initial_context + 1


@action
def other_name(rows):
    return rows


@action
def locked():
    return threading.Lock()


@action
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def workflow(what=step, value=1, **config):
    made = DotFlow(config=Config(**config), workflow_id="orders")
    made.task.add(step=what, initial_context=value)
    return made


def error_of(call):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the words are compared
        call()
    return str(raised.value)


def failure(what, **start):
    return workflow(what).start(**start).failed_tasks[0].errors[-1].message


def starts_its_workflow():
    made = workflow()
    made.start()
    return made


def command(*words, status=1):
    assert Command(words).run() == status


def resumed(count, **start):
    made = DotFlow(config=Config(storage=StorageFile(path="kept")), workflow_id="orders")
    for _ in range(count):
        made.task.add(step, initial_context=start.get("fingerprint", "the same"))
    made.start(resume=True, **start)


def equal_steps():
    resumed(2)
    return error_of(lambda: resumed(3))


def other_input():
    resumed(1, fingerprint="one", on_input_change="raise")
    return error_of(lambda: resumed(1, fingerprint="two", on_input_change="raise"))


def running_twice():
    gate = threading.Event()
    made = workflow(action(lambda: gate.wait(60)))
    manager = made.start(mode="background")
    try:
        return error_of(made.start)
    finally:
        gate.set()
        manager.wait()


def damaged():
    storage = StorageFile(path="kept")
    (storage.path / "orders-1.json").write_bytes(MAGIC + b"junk")
    workflow(storage=storage).start(resume=True)


def raising_callback():
    made = DotFlow()
    made.task.add(step, callback=lambda task: 1 / 0)
    made.start()


def local_server():
    class Mine(ServerDefault):
        pass

    server_class_for(Config(server=Mine()), is_forked=False)


def with_variables(**variables):
    def construct():
        os.environ.update(variables)  # which `clean_environment` takes back
        try:
            Config()
        finally:
            for name in variables:
                del os.environ[name]

    return construct


def resume_nothing():
    Path("etl_of_page.py").write_text(
        "from dotflow import action\n@action\ndef extract():\n    return 1\n"
    )
    Command(["start", "--step", "etl_of_page.extract", "--resume"]).run()


HERE = {
    "DOTFLOW_SERVER_URL is set and DOTFLOW_USER_TOKEN is not": with_variables(
        DOTFLOW_SERVER_URL="http://localhost:8000"),
    "DOTFLOW_SERVER is 'otle', which is none of": with_variables(DOTFLOW_SERVER="otle"),
    "which is no http or https address": lambda: error_of(
        lambda: ServerOtel(endpoint="localhost:4318", set_global=False)),
    "dotflow-api needs an address and a token": lambda: error_of(
        lambda: ServerOtel("http://localhost:4318")),
    "'Context' object is not subscriptable": lambda: failure(takes_the_context_for_its_value),
    "unsupported operand type(s) for +: 'Context' and ...": lambda: failure(adds_to_the_context),
    "A step needs the '@action' decorator": lambda: error_of(lambda: workflow(len)),
    "has a parameter 'rows', for which a run passes nothing": lambda: error_of(
        lambda: workflow(other_name)),
    "There is no such mode": lambda: error_of(lambda: workflow().start(mode="paralel")),
    "is not an object of the kind that is needed here": lambda: error_of(
        lambda: Config(storage={})),
    "cannot be sent to its process": lambda: failure(
        action(lambda: 1), mode="parallel", start_method="spawn"),
    "cannot be sent to the parent process": lambda: failure(locked, mode="parallel"),
    "was killed by SIGKILL before it reported a result": lambda: failure(killed, mode="parallel"),
    "cannot be restored, so its step runs again": damaged,
    "'--resume' restores nothing": resume_nothing,
    "cannot be resumed: step ... is there more or fewer times than before": equal_steps,
    "ran before with another initial_context, or with other steps": other_input,
    "is running already, and its tasks have one run at a time": running_twice,
    "raised; the workflow goes on": raising_callback,
    "Spans of steps do not nest under their tasks": local_server,
    "there is no module ... here or on Python's path": lambda: command(
        "start", "--step", "no_such_module.x"),
    "must be a callable without arguments that returns a DotFlow": lambda: command(
        "start", "--workflow", "json:decoder"),
    "There is no run": lambda: command("trace", "no-such-run"),
    "starts the workflow that it returns": lambda: command(
        "start", "--workflow", f"{__name__}:starts_its_workflow", status=0),
}  # fmt: skip
"""Symptoms that happen in this process, within milliseconds."""


def has(said, fragment):
    """Whether a text has what is quoted; `...` stands for anything."""
    parts = [re.escape(part.strip()) for part in fragment.split("...")]
    return re.search(".*?".join(parts), " ".join(said.split())) is not None


@pytest.mark.parametrize("symptom", HERE)
def test_a_symptom_that_happens_here(symptom, caplog, capfd):
    """The error, the warning or the line of the command line has the words of the page."""
    told = HERE[symptom]() or ""
    out, err = capfd.readouterr()
    assert has(f"{told} {caplog.text} {out} {err}", symptom)


def test_every_symptom_is_made_to_happen():
    """Words that the page quotes are those of a test, here or where the table says."""
    assert len(QUOTED) > 40
    assert set(QUOTED) == {*HERE, *FAR, *ELSEWHERE}
    for path, name in ELSEWHERE.values():
        assert f"def {name}" in (ROOT / "tests" / path).read_text(encoding="utf-8")


# With servers, and with programs of their own.


class Answering:
    """A server that gives every request the same answer; a context manager."""

    def __init__(self, code, text, kind):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def exported(endpoint, wait, protocol=None):
    """Report one run to an endpoint that does not take it, until that is said."""
    server = ServerOtel(endpoint=endpoint, protocol=protocol, set_global=False)
    try:
        workflow(server=server).start()
        server.flush(0.05)  # which has the first try begin now
        wait()
    finally:
        server.close(0.1)


def wrong_protocol(protocol, wait):
    with OtlpReceiver() as receiver:
        url = receiver.grpc_url if protocol == "http/protobuf" else receiver.http_url
        exported(url, wait, protocol)


def wrong_path():
    with OtlpReceiver() as receiver:
        ran(NO_SERVER, DOTFLOW_SERVER="otel", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.http_url)


def answered(code, wait):
    with Answering(code, b"<html>log in</html>", "text/html") as server:
        exported(server.url, wait)


def told_api(code, wait):
    with closing(FaultServer()) as api:
        api.on(".", answers(code))
        server = ServerDefault(api.url, "t0ken-of-the-page")
        try:
            workflow(server=server).start()
            wait()
        finally:
            server.close(0.1)


NO_SERVER = """
from dotflow import DotFlow, action
@action
def step():
    return 1
workflow = DotFlow()
workflow.task.add(step)
workflow.start()
"""
NO_GUARD = NO_SERVER.replace("start()", "start(mode='parallel', start_method='spawn')")
IN_THE_BACKGROUND = NO_SERVER.replace("return 1", "import time; time.sleep(60)").replace(
    "start()", "start(mode='background')"
)
OWN_PROVIDER = f"""{NO_SERVER}
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import set_tracer_provider
set_tracer_provider(TracerProvider())
"""


def ran(source, **variables):
    """What a program that is a script writes."""
    Path("program.py").write_text(source)
    environment = {**os.environ, "DOTFLOW_FLUSH_TIMEOUT": "0.5", **variables}
    done = subprocess.run(
        [sys.executable, "program.py"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    sys.stderr.write(done.stderr)


FAR = {
    "ServerOtel has no destination": lambda _: ran(NO_SERVER, DOTFLOW_SERVER="otel"),
    "could not be reached: the connection was refused": partial(exported, "http://127.0.0.1:9"),
    "the host name ... does not resolve": partial(exported, "http://otel-collector.invalid:4318"),
    "speaks gRPC, not HTTP": partial(wrong_protocol, "http/protobuf"),
    "does not speak gRPC": partial(wrong_protocol, "grpc"),
    "answers 404; it takes no spans at this path": lambda _: wrong_path(),
    "is not an OTLP answer": partial(answered, 200),
    "answers 401; see whether OTEL_EXPORTER_OTLP_HEADERS holds what it asks for": partial(
        answered, 401),
    "Overriding of current TracerProvider is not allowed": lambda _: ran(
        OWN_PROVIDER, DOTFLOW_SERVER="otel", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"),
    "Reports wait for dotflow-api at ..., and are sent later": partial(told_api, 503),
    "refuses the token": partial(told_api, 401),
    "for good: see `dotflow outbox status`": partial(told_api, 422),
    "Reports cannot be kept on disk": lambda _: ran(
        NO_SERVER, DOTFLOW_STATE_DIR="program.py/state", DOTFLOW_SERVER="default",
        DOTFLOW_SERVER_URL="http://127.0.0.1:9", DOTFLOW_USER_TOKEN="t0ken"),
    "the workflow is started by a child process, which only imports the program": lambda _: ran(
        NO_GUARD),
    "The program ends while a run is still under way in the background": lambda _: ran(
        IN_THE_BACKGROUND),
}  # fmt: skip
"""Symptoms that need a server, or a program."""


@pytest.mark.slow
@pytest.mark.parametrize("symptom", FAR)
def test_a_symptom_that_needs_more(symptom, caplog, capfd):
    """A line of the log, or of a program's standard error, has the words of the page."""
    deadline = time.monotonic() + 60
    said = []

    def is_said():
        said.extend(capfd.readouterr())
        return has(f"{''.join(said)} {caplog.text}", symptom)

    def wait():
        while not is_said() and time.monotonic() < deadline:
            time.sleep(0.02)

    FAR[symptom](wait)
    assert is_said(), said
