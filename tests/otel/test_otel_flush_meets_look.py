"""A flush that comes while logs of others are looked for waits for the next look."""

from __future__ import annotations

import threading

from dotflow import DotFlow, action
from dotflow.otel.export.leaving.others import OtherLogs
from dotflow.otel.export.leaving.outgoing import Outgoing

TIMEOUT = 60


@action
def step():
    return 1


def test_a_flush_is_not_answered_by_a_look_that_began_before(otlp, servers, quiet, monkeypatch):
    """What came to be after that look had begun would be left, and the flush would say "all"."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add(step)
    flow.start()
    looked, begun, goes_on, looks = threading.Event(), threading.Event(), threading.Event(), []
    look, begin_flush = OtherLogs.look, Outgoing.begin_flush

    def slow(self, *args, **kwargs):
        looks.append(1)
        if not goes_on.is_set():
            looked.set()
            assert goes_on.wait(TIMEOUT)
        return look(self, *args, **kwargs)

    def begins(self, timeout):
        waited = begin_flush(self, timeout)
        if looked.is_set():
            begun.set()
        return waited

    monkeypatch.setattr(OtherLogs, "look", slow)
    monkeypatch.setattr(Outgoing, "begin_flush", begins)
    answered = []
    flushes = [
        threading.Thread(target=lambda: answered.append(server.flush(TIMEOUT).complete))
        for _ in range(2)
    ]
    flushes[0].start()
    assert looked.wait(TIMEOUT)
    flushes[1].start()
    assert begun.wait(TIMEOUT)
    before = len(looks)
    goes_on.set()
    for one in flushes:
        one.join(TIMEOUT)
    assert answered == [True, True]
    assert len(looks) > before
