"""Secrets that a program plants in every place are in nothing that its runs leave, send or say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support import secrets_program
from support.fault_server import TOKEN, FaultServer, status
from support.otlp import OtlpReceiver
from support.secrets_program import FREE, MARK

from dotflow.api import ApiServer

PROGRAM = Path(secrets_program.__file__)
MAIN = "from dotflow.main import main; main()"


def slowly(*arguments):
    return pytest.param(*arguments, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def receiver():
    with OtlpReceiver() as one:
        yield one


@pytest.fixture
def otlp(receiver):
    receiver.clear()
    return receiver


def environment(otlp, url, **more):
    return {
        **os.environ,
        "PYTHONPATH": str(PROGRAM.parent.parent),
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url,
        "DOTFLOW_SERVER_URL": url,
        "DOTFLOW_USER_TOKEN": TOKEN,
        "DOTFLOW_FLUSH_TIMEOUT": "30",
        **more,
    }


def run(*arguments, variables):
    """Run the program; all that it printed."""
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments], env=variables, capture_output=True, check=False,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, -9), done.stderr[-3000:]
    return done.stdout + done.stderr


def command(*arguments, variables):
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], env=variables, capture_output=True, check=False,
        text=True, timeout=300,
    )  # fmt: skip
    return done.stdout + done.stderr


def left(tmp_path):
    """All that is in the state folder, by file; of the locks only the names are of use."""
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    files = [path for path in files if path.stat().st_size]
    return {path.name: path.read_bytes().decode(errors="replace") for path in files}


def check(what, *marks):
    """No mark is in anything; what is, is shown with what is around it."""
    for name, text in what.items():
        assert text, f"{name}: nothing is there to be looked at"
        for mark in marks or (MARK,):
            at = text.find(mark)
            assert at < 0, f"{name}: ...{text[max(0, at - 200) : at + 50]}..."


def told(otlp, printed):
    """The spans, the log file, and what was printed."""
    return {"spans": repr(otlp.spans), "log": Path("flow.log").read_text(), "printed": printed}


def records(api, tmp_path):
    """What dotflow-api says, and what is in its database."""
    headers = {"X-User-Token": TOKEN}
    found = requests.get(f"{api.url}/workflows?include=plan", headers=headers, timeout=30).json()
    [workflow] = found["workflows"]
    url = f"{api.url}/workflows/{workflow.get('workflow_id') or workflow['id']}"
    tasks = requests.get(f"{url}/tasks?include=contexts", headers=headers, timeout=30).json()
    database = b"".join(path.read_bytes() for path in tmp_path.glob("api.db*"))
    return {
        "workflow": json.dumps(workflow), "tasks": json.dumps(tasks),
        "database": database.decode(errors="replace"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("sequential", "simple"), slowly("sequential", "json"), ("parallel", "json"),
        slowly("spawn", "simple"),
    ],
)  # fmt: skip
def test_a_run_says_no_credential(otlp, tmp_path, mode, kind):
    """Spans, records of a real dotflow-api, its database, log lines, what is printed."""
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        printed = run(mode, variables=environment(otlp, api.url, SECRETS_FORMAT=kind))
        found = records(api, tmp_path)
    assert len(otlp.spans) >= 9
    assert "cannot log in with Settings(password=***)" in found["tasks"]
    check({**told(otlp, printed), **found, **{f"left {n}": t for n, t in left(tmp_path).items()}})


@pytest.mark.slow
def test_without_opentelemetry(otlp, tmp_path):
    """Nor do the reports of ServerDefault."""
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        variables = environment(otlp, api.url, SECRETS_SERVER="default")
        printed = run("sequential", variables=variables)
        found = records(api, tmp_path)
    check({"log": Path("flow.log").read_text(), "printed": printed, **found})


@pytest.mark.parametrize("server", ["otel", slowly("default")])
def test_the_secrets_are_there(otlp, tmp_path, server):
    """With whole values each of them arrives: what the other tests look for can be found."""
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        more = {"DOTFLOW_WHOLE_VALUES": "1"} if server == "otel" else {"SECRETS_OPTIONS": "whole"}
        variables = environment(otlp, api.url, SECRETS_SERVER=server, **more)
        printed = run("sequential", variables=variables)
        found = records(api, tmp_path)
    places = {**told(otlp, printed), **found}
    for name in ("tasks", "database", "log", "printed", *(["spans"] if server == "otel" else [])):
        assert MARK in places[name], name
        assert FREE in places[name], name
    said = "".join(places.values())
    numbers = [*range(1, 17), *range(20, 25), 30, 31, 32]
    if server == "otel":  # the variable holds for dotflow's own logger too
        numbers += [25, 27, 28, 29]
    assert [number for number in numbers if f"{MARK}{number:02}" not in said] == []


@pytest.mark.slow
@pytest.mark.parametrize("options", ["redact", slowly("no contexts")])
@pytest.mark.parametrize("server", ["otel", slowly("default")])
def test_a_free_text_is_hidden_by_redact(otlp, tmp_path, options, server):
    """In contexts and errors, in spans, records, log lines, and what the SDK records."""
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        variables = environment(otlp, api.url, SECRETS_OPTIONS=options, SECRETS_SERVER=server)
        printed = run("sequential", variables=variables)
        found = records(api, tmp_path)
    tasks = json.loads(found["tasks"])
    tasks = tasks["tasks"]
    context = None if options == "no contexts" else "hidden"
    assert {task["initial_context"] for task in tasks} == {context}
    assert tasks[1]["errors"][0]["message"] == tasks[1]["errors"][0]["traceback"] == "hidden"
    places = {"log": Path("flow.log").read_text(), **found}
    if server == "otel":
        places["spans"] = repr(otlp.spans)
        assert "'exception.message': 'hidden'" in places["spans"]
    check(places, MARK, FREE)
    check({"printed": printed}, MARK)


@pytest.mark.slow
def test_what_waits_and_what_was_refused(otlp, tmp_path):
    """The run log, the dead letters, and what the command says of them."""
    otlp.is_away = True
    api = FaultServer()
    try:
        api.on("(POST|PATCH) .*", status(422, {"detail": "no"}))
        variables = environment(otlp, api.url, DOTFLOW_FLUSH_TIMEOUT="5")
        printed = run("sequential", variables=variables)
        shown = command("outbox", "status", variables=variables)
        shown += command("outbox", "status", "--json", variables=variables)
    finally:
        api.close()
    found = left(tmp_path)
    assert "dead-letters.sqlite3" in found
    assert any(name.endswith(".log") for name in found), found.keys()
    assert "dead letter" in shown
    sent = "".join(seen.raw.decode() for seen in api.seen)
    check({**found, "sent": sent, "shown": shown, "printed": printed})


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", slowly("parallel")])
def test_a_killed_run_and_the_process_that_delivers_it(otlp, tmp_path, mode):
    """What is on the disk when the program is killed, and what the next process sends of it."""
    otlp.is_away = True
    api = FaultServer()
    try:
        api.on(".", status(503))
        variables = environment(otlp, api.url)
        printed = run(mode, "kill", variables=variables)
        found = {f"left {name}": text for name, text in left(tmp_path).items()}
        assert found
        api.well()
        otlp.clear()
        shown = command("outbox", "flush", "--timeout", "60", variables=variables)
        sent = "".join(f"{seen.path} {seen.headers} {seen.raw.decode()}" for seen in api.seen)
    finally:
        api.close()
    assert "cannot log in with Settings(password=***)" in sent
    assert len(otlp.spans) >= 9
    check({**told(otlp, printed), **found, "sent": sent, "shown": shown})
