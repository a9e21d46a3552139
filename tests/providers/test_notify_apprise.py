"""People are told of failures, by real webhooks and mails, and the work never waits for it."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.notices import TIME, Mailbox, Webhook

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import NotifyApprise, NotifyDefault, notify_lane
from dotflow.providers import environment as from_environment
from dotflow.testing import rehearsal

PROGRAM = Path(__file__).with_name("notify_program.py")


@action
def works():
    return 1


@action
def fails():
    raise ValueError("bad row 7, password=hunter2")


@pytest.fixture
def hook():
    with Webhook() as webhook:
        yield webhook


def run(notify, *steps, **given):
    server = given.pop("server", None)
    flow = DotFlow(config=Config(notify=notify, server=server), name="etl")
    flow.task.add(list(steps))
    return flow.start(**given)


def titles(receiver, count):
    return [one["title"] for one in receiver.wait_for(count)]


def test_a_failure_is_told_with_name_error_and_link(hook, monkeypatch):
    """The task's failure and the run's end: each says what failed, why, and where to look."""
    monkeypatch.setenv("DOTFLOW_TRACE_URL", "https://jaeger/trace/{trace_id}")
    server = ServerOtel(set_global=False)
    manager = run(NotifyApprise(hook.url), works, fails, server=server)
    of_task, of_run = hook.wait_for(2)
    assert (of_task["title"], of_run["title"]) == ("etl: task fails failed", "etl failed")
    for one in (of_task, of_run):
        assert one["type"] == "failure"
        assert "ValueError: bad row 7, password=***" in one["message"]
        assert f"trace: https://jaeger/trace/{manager.trace_id}\n" in one["message"]
        assert f"workflow: {manager.workflow_id}\n" in one["message"]
    assert "task 2 (fails): ValueError: bad row 7" in of_run["message"]


def test_a_mail_arrives():
    """A real mail server has it, with the same words."""
    with Mailbox() as mailbox:
        run(NotifyApprise(mailbox.url, tasks=False), fails)
        [mail] = mailbox.wait_for(1)
    assert mail["Subject"] == "etl failed"
    assert "team@example.com" in mail["To"]
    assert "bad row 7" in mail.as_string()
    assert "hunter2" not in mail.as_string()


def test_who_is_told_of_what(hook):
    """Runs that completed with "always" only; `tasks` and `wanted` leave out what nobody wants."""
    quiet = NotifyApprise(hook.url)
    run(quiet, works)
    assert quiet.flush(TIME)
    run(NotifyApprise(hook.url, on="always"), works)
    [done] = hook.wait_for(1)
    assert (done["title"], done["type"]) == ("etl completed", "success")
    chosen = NotifyApprise(hook.url, wanted=lambda notice: notice.task is None)
    run(chosen, fails)
    assert titles(hook, 2)[1:] == ["etl failed"]
    run(NotifyApprise(hook.url, tasks=False, redact=lambda role, text: "no words"), fails)
    assert titles(hook, 3)[1:] == ["etl failed"] * 2
    assert "no words" in hook.received[2]["message"]
    assert "bad row" not in hook.received[2]["message"]


def test_a_filter_that_raises_leaves_nobody_untold(hook):
    """It is counted as a provider's fault; the notices are sent."""

    def refuse(notice):
        raise KeyError(notice.status)

    flow = DotFlow(config=Config(notify=NotifyApprise(hook.url, wanted=refuse)), name="etl")
    flow.task.add(fails)
    flow.start()
    assert titles(hook, 2) == ["etl: task fails failed", "etl failed"]
    assert flow.config.guard.failures["NotifyApprise.hook_status_task"] == 1


def test_of_many_tasks_the_first_ten_have_a_notice(hook):
    """The tenth says that the run's own notice has the rest."""
    run(NotifyApprise(hook.url), *[fails] * 12, keep_going=True)
    *tasks, end = hook.wait_for(11)
    assert len([one for one in tasks if "task fails" in one["title"]]) == 10
    assert "are told of when the run has ended" in tasks[-1]["message"]
    assert end["title"] == "etl failed"
    assert "and 7 more" in end["message"]


def test_an_error_is_tried_again_and_a_loss_is_said_once(hook, monkeypatch, caplog):
    """500 is tried thrice; then one line names the address by its place, with no part of it."""
    monkeypatch.setattr(notify_lane, "PAUSES", (0.0, 0.0))
    caplog.set_level(logging.DEBUG)
    notify = NotifyApprise(f"{hook.url},json://ada:hunter2@127.0.0.1:9/t0ken", tasks=False)
    hook.answers = [500, 500]
    run(notify, fails)
    assert titles(hook, 1) == ["etl failed"]
    assert hook.asked == 3
    run(notify, fails)
    assert notify.flush(TIME)
    [line] = [one for one in caplog.messages if "Notices" in one]
    assert "address 2 (json)" in line
    assert "Connection error" in line
    said = caplog.text + repr(notify)
    for secret in ("hunter2", "t0ken", "s3cr3t", "ada"):
        assert secret not in said
    assert repr(notify) == "<NotifyApprise on failure to address 1 (json), address 2 (json)>"


def test_a_service_that_hangs_holds_up_neither_the_work_nor_others(hook, caplog):
    """The run ends meanwhile, the other address has its notice, and the end of the program waits
    for so long and no longer."""
    with Webhook(0) as hanging:
        notify = NotifyApprise([hanging.url, hook.url], tasks=False)
        run(notify, fails)
        assert titles(hook, 1) == ["etl failed"]
        assert not hanging.received
        for lane in notify._lanes:
            lane.close(0.2)
        [line] = [one for one in caplog.messages if "Notices" in one]
        assert "address 1 (json)" in line
        assert "when the program ended" in line
        hanging.released.set()
        assert notify.flush(TIME)


def test_a_fork_has_its_own_notices(monkeypatch):
    """A process that is forked while a notice is under way sends what is its own, once."""
    monkeypatch.setattr(notify_lane, "PAUSES", (0.0, 0.0))
    with Webhook(0) as hook:
        notify = NotifyApprise(hook.url, tasks=False)
        run(notify, fails)
        hook.wait_until_asked()
        pid = os.fork()
        if not pid:
            try:
                run(notify, works)
                flow = run(notify, fails)
                os._exit(0 if notify.flush(TIME) and not flow.ok else 1)
            finally:
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        assert titles(hook, 1) == ["etl failed"]
        hook.released.set()
        assert notify.flush(TIME)
        assert titles(hook, 2) == ["etl failed"] * 2
        assert hook.asked == 3  # once for the child; the parent's was tried again


def test_more_than_may_wait_are_dropped(monkeypatch, caplog):
    """The oldest go, one line says so, and the newest arrive."""
    monkeypatch.setattr(notify_lane, "MOST_WAITING", 2)
    monkeypatch.setattr(notify_lane, "PAUSES", (0.0, 0.0))
    with Webhook(0) as hook:
        notify = NotifyApprise(hook.url, on="always", tasks=False)
        run(notify, works)
        hook.wait_until_asked()
        for _ in range(4):
            run(notify, works)
        assert sum("more than 2 waited" in one for one in caplog.messages) == 1
        hook.released.set()
        assert notify.flush(TIME)
        assert len(hook.received) >= 2


def test_what_is_wrong_is_said_where_it_is_given(monkeypatch, caplog):
    """An argument is refused, a variable is warned of, and neither says what is in the address."""
    with pytest.raises(
        ValueError, match=r"address 1 \(slak\) is not understood by Apprise"
    ) as raised:
        NotifyApprise("slak://T0ken/S3cret")
    assert "S3cret" not in str(raised.value)
    with pytest.raises(ValueError, match="'failure', 'always'"):
        NotifyApprise("json://x", on="success")
    with pytest.raises(ValueError, match="above 0"):
        NotifyApprise("json://x", timeout=0)
    monkeypatch.setenv("DOTFLOW_NOTIFY_URLS", "slak://T0ken/S3cret json://127.0.0.1:9")
    monkeypatch.setenv("DOTFLOW_NOTIFY_ON", "sometimes")
    from_environment._notify_of.cache_clear()
    assert repr(Config().notify) == "<NotifyApprise on failure to address 2 (json)>"
    assert "address 1 (slak) is not understood" in caplog.text
    assert "it must be failure or always" in caplog.text
    assert "S3cret" not in caplog.text
    assert Config().notify is Config().notify
    monkeypatch.delenv("DOTFLOW_NOTIFY_URLS")
    assert isinstance(Config().notify, NotifyDefault)


def test_the_addresses_of_the_page_are_understood():
    """Those of mail and of a webhook as they stand; the others have tokens for an example."""
    page = (Path(__file__).parents[2] / "docs" / "guides" / "notify.md").read_text(encoding="utf-8")
    urls = re.findall(r"`((?:mailtos?|jsons)://[^`]+)`", page)
    assert len(urls) == 3
    assert repr(NotifyApprise(urls)).count("address") == 3


def test_nobody_is_told_of_a_rehearsal(hook):
    """Neither of a failed task nor of the run."""
    notify = NotifyApprise(hook.url, on="always")
    with rehearsal() as seen:
        run(notify, fails)
        run(notify, fails, mode="background").wait(TIME)
    assert len(seen.runs) == 2
    assert notify.flush(TIME)
    assert not hook.asked


def test_notices_make_no_spans(hook):
    """Where an application traces its HTTP calls, those of notices are none of its own."""
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    server = ServerOtel(set_global=False)
    collected = InMemorySpanExporter()
    server.tracer_provider.add_span_processor(SimpleSpanProcessor(collected))
    traced = RequestsInstrumentor()
    traced.instrument(tracer_provider=server.tracer_provider)
    try:
        run(NotifyApprise(hook.url), fails, server=server)
        assert len(hook.wait_for(2)) == 2
    finally:
        traced.uninstrument()
    assert [span.name for span in collected.get_finished_spans()] == ["fails", "etl"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ends", "forked", "daemonic", "parallel", "in an exit handler"])
def test_all_is_told_when_a_process_has_ended(how, hook):
    """However the process came to be, and ends, each notice arrives once."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), how],
        env=os.environ | {"DOTFLOW_NOTIFY_URLS": hook.url, "DOTFLOW_FLUSH_TIMEOUT": str(TIME)},
        capture_output=True, text=True, timeout=2 * TIME, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(titles(hook, 2)) == ["etl failed", "etl: task fails failed"], done.stderr
    assert hook.asked == 2


@pytest.mark.slow
def test_a_service_that_hangs_does_not_keep_a_program(hook):
    """The program ends with its own status, the other address has all, and one line says it."""
    with Webhook(*[0] * 9) as hanging:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), "ends"],
            env=os.environ | {
                "DOTFLOW_NOTIFY_URLS": f"{hanging.url} {hook.url}", "DOTFLOW_FLUSH_TIMEOUT": "4",
            },
            capture_output=True, text=True, timeout=TIME, check=False,
        )  # fmt: skip
        assert not hanging.released.is_set()
    assert done.returncode == 0, done.stderr
    lines = [one for one in done.stderr.splitlines() if "Notices do not reach" in one]
    assert len(lines) == 1, done.stderr
    assert "address 1 (json)" in lines[0]
    assert "when the program ended" in lines[0]
    assert len(hook.wait_for(2)) == 2
