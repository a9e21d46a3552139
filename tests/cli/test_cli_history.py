"""`dotflow runs` and `dotflow trace`: what runs of this machine have said, without any server."""

from __future__ import annotations

import gzip
import json

import pytest
from opentelemetry import trace
from support.otlp import OtlpReceiver

from dotflow import Config, DotFlow, action
from dotflow.cli.setup import Command
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, ServerDefault
from dotflow.runlog.writer import run_log

tries = []


@action
def extract():
    with trace.get_tracer("mine").start_as_current_span("SELECT") as span:
        span.set_attribute("password", "hunter2")
    return {"rows": 3, "token": "t0k3n"}


@action(retry=2, retry_delay=0)
def flaky(previous_context):
    tries.append(None)
    if len(tries) % 2:
        raise ConnectionError("password=s3cr3t is wrong")
    return "loaded"


@action
def fail():
    raise LookupError("no such table")


def run(server, name, *steps, workflow_id=None):
    """Run some steps; the workflow's id."""
    config = Config(server=server, log=LogDefault(level="CRITICAL"))
    workflow = DotFlow(config=config, name=name, workflow_id=workflow_id)
    for step in steps:
        workflow.task.add(step, group_name="all")
    workflow.start()
    return str(workflow.workflow_id)


class Told:
    """Runs of this machine, and what an OTLP endpoint got of the first one."""

    def __init__(self, receiver):
        server = ServerOtel(endpoint=receiver.http_url, whole_values=True)
        self.id = run(server, "nightly", extract, flaky)
        server.close()
        self.spans = {span.span_id: span for span in receiver.spans}
        silent = ServerDefault()
        run(silent, "broken", extract, fail, flaky, workflow_id="broken-1")
        run(silent, "broken", flaky, workflow_id="broken-1")
        run_log.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, OtlpReceiver() as receiver:
        state = tmp_path_factory.mktemp("state")
        patch.setenv("DOTFLOW_STATE_DIR", str(state))
        patch.setenv("DOTFLOW_HISTORY", "1MB")
        patch.setenv("OTEL_METRICS_EXPORTER", "none")
        found = Told(receiver)
        found.state = state
        yield found


@pytest.fixture
def dotflow(told, monkeypatch, capsys):
    """Runs a command; what it prints."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(told.state))
    monkeypatch.setenv("COLUMNS", "100")

    def ran(*words, status=0):
        assert Command(words).run() == status
        return capsys.readouterr().out if status == 0 else capsys.readouterr().err

    return ran


def test_the_list_has_the_newest_first_with_its_tasks(dotflow):
    lines = dotflow("runs").splitlines()
    assert [line.split()[3:5] for line in lines[1:]] == [
        ["broken", "✓"], ["broken", "✗"], ["nightly", "✓"],
    ]  # fmt: skip
    assert lines[1].split()[2] == "broken-1"
    assert "1 ✗ 1 ✓ 1 ○" in lines[2]


def test_the_list_is_filtered_and_said_as_json(dotflow, told):
    found = json.loads(dotflow("runs", "--json", "--status", "failed"))
    assert [(one["workflow_id"], one["tasks"]) for one in found] == [
        ("broken-1", {"Completed": 1, "Failed": 1, "Not started": 1}),
    ]  # fmt: skip
    [one] = json.loads(dotflow("runs", "--json", "--name", "nightly"))
    assert (one["workflow_id"], one["status"], one["mode"]) == (told.id, "Completed", "sequential")
    assert one["started_at"] < one["finished_at"]
    assert one["trace_id"] == next(iter(told.spans.values())).trace_id
    assert len(json.loads(dotflow("runs", "--json", "--limit", "1"))) == 1
    assert "older" in dotflow("runs", "--limit", "1")


def test_a_narrow_list_cuts_names_and_nothing_else(dotflow, monkeypatch, tmp_path):
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    monkeypatch.setenv("COLUMNS", "80")
    run(ServerDefault(), "penguins-of-all-islands", extract, fail, extract)
    run_log.close()
    head, line = dotflow("runs").splitlines()
    assert line[head.index("status") :].startswith("✗ Failed ")
    assert line.endswith("1 ✗ 1 ✓ 1 ○")
    assert "  penguin" in line


def test_an_empty_list_says_how_there_will_be_runs(dotflow, monkeypatch, tmp_path):
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    assert "DOTFLOW_HISTORY=64MB" in dotflow("runs")
    assert dotflow("runs", "--json").strip() == "[]"


def test_a_run_is_a_waterfall_with_what_failed(dotflow):
    text = dotflow("trace", "broken", "--run", "1")
    assert "broken (broken-1): Failed" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["all"] in rows, "the group has a line"
    assert any(row[0] == "fail" and row[-1] == "LookupError" for row in rows if row)
    assert any(row[0] == "flaky" and row[-2:] == ["Not", "started"] for row in rows if row)
    assert "task 2 (fail): LookupError: no such table" in text
    assert '    raise LookupError("no such table")' in text.splitlines(), "the line that raised it"
    last = dotflow("trace", "last").splitlines()[0]
    assert "Completed" in last
    assert dotflow("trace", "broken").startswith(last), "a name means its newest run"
    assert dotflow("trace", "broken-").startswith(last)


def test_what_a_run_says_commands_no_terminal(dotflow, monkeypatch, tmp_path):
    """Whoever looks at a run that quotes a stranger sees what it quotes."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")

    @action
    def quote():
        raise ValueError("a\x1b[2J\rb")

    run(ServerDefault(), "n\x1b[2J", quote, workflow_id="w\x1b[2J")
    run_log.close()
    for command in (["runs"], ["trace", "last"]):
        said = dotflow(*command)
        assert "Failed" in said
        assert "\x1b[2J" not in said
        assert "\r" not in said


def test_spans_of_the_users_code_are_below_their_task(dotflow, told):
    rows = [line for line in dotflow("trace", told.id[:9]).splitlines() if "━" in line]
    names = [row.split("━")[0] for row in rows]
    assert [name.strip() for name in names] == [
        "nightly", "extract", "SELECT", "flaky", "attempt 1", "attempt 2",
    ]  # fmt: skip
    assert len(names[2]) - len(names[2].lstrip()) > len(names[1]) - len(names[1].lstrip())


def test_the_json_is_what_an_endpoint_was_sent(dotflow, told):
    said = json.loads(dotflow("trace", told.id, "--json"))
    [of_resource] = said["resourceSpans"]
    spans = [one for scope in of_resource["scopeSpans"] for one in scope["spans"]]
    assert {one["spanId"] for one in spans} == set(told.spans)
    for one in spans:
        sent = told.spans[one["spanId"]]
        assert (one["name"], one["traceId"], one["parentSpanId"]) == (
            sent.name, sent.trace_id, sent.parent_id,
        )  # fmt: skip
        assert (int(one["startTimeUnixNano"]), int(one["endTimeUnixNano"])) == (
            sent.start,
            sent.end,
        )
        assert (one["status"]["code"], one["kind"]) == (sent.status, sent.kind)
        assert len(one["events"]) == len(sent.events)
        attributes = {each["key"]: next(iter(each["value"].values())) for each in one["attributes"]}
        for name in ("dotflow.task.status", "dotflow.workflow.status", "dotflow.attempt.number"):
            if name in sent.attributes:
                assert attributes[name] == str(sent.attributes[name])


def test_no_form_says_a_credential(dotflow, told):
    for form in ("--json", "--perfetto", "--svg"):
        text = dotflow("trace", told.id, form)
        for secret in ("hunter2", "t0k3n", "s3cr3t"):
            assert secret not in text, form


def test_a_file_is_shown_as_the_run_it_came_from(dotflow, told, tmp_path):
    plain, packed = tmp_path / "run.json", tmp_path / "run.json.gz"
    dotflow("trace", told.id, "--json", "--output", str(plain))
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    def rows(what):
        return [line.split("━")[0].strip() for line in dotflow("trace", what).splitlines()[1:]]

    assert rows(str(plain)) == rows(str(packed)) == rows(told.id)
    assert json.loads(dotflow("trace", str(packed), "--json")) == json.loads(plain.read_text())


def test_a_picture_and_a_file_for_perfetto_are_written(dotflow, told, tmp_path):
    picture, events = tmp_path / "run.svg", tmp_path / "run.json"
    dotflow("trace", told.id, "--svg", "--output", str(picture))
    assert picture.read_text().startswith("<svg")
    dotflow("trace", told.id, "--perfetto", "--output", str(events))
    names = {one["name"] for one in json.loads(events.read_text())["traceEvents"]}
    assert {"nightly", "extract", "SELECT", "attempt"} <= names


def test_a_file_with_several_traces_is_shown_whole_or_one_of_it(dotflow, told, tmp_path):
    both = tmp_path / "both.jsonl"
    one, other = dotflow("trace", told.id, "--json"), dotflow("trace", "last", "--json")
    both.write_text(one + other)
    assert dotflow("trace", str(both)).count("trace ") == 2
    assert "--trace" in dotflow("trace", str(both), "--svg", status=1)
    chosen = json.loads(one)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
    assert dotflow("trace", str(both), "--trace", chosen[:8]).count("trace ") == 1


@pytest.mark.parametrize(
    ("words", "remedy"),
    [(("none-such",), "dotflow runs"), (("broken", "--run", "7"), "--run 1 to 2"),
     (("last", "--output", "x"), "--json"), (("",), "Several"), (("odd.json",), "no OTLP JSON"),
     (("last", "--svg", "--output", "no/such/folder"), "cannot be written")],
)  # fmt: skip
def test_what_cannot_be_shown_is_said_with_its_remedy(words, remedy, dotflow, tmp_path):
    (tmp_path / "odd.json").write_text("{}")
    assert remedy in " ".join(dotflow("trace", *words, status=1).split())


def test_many_bars_are_cut_to_what_tells_most(dotflow, tmp_path):
    span = {"traceId": "a" * 32, "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    spans = [{**span, "spanId": f"{at + 1:016x}", "name": f"s{at}"} for at in range(300)]
    spans[299]["status"] = {"code": 2, "message": "late failure"}
    path = tmp_path / "many.json"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    text = dotflow("trace", str(path))
    assert "and 100 more lines: --all shows all" in text
    assert "late failure" in text
    assert "more lines" not in dotflow("trace", str(path), "--all")
