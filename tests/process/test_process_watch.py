"""The thread that looks for what others have left."""

from __future__ import annotations

import threading

from dotflow.process.watch import Watch


def test_reports_that_come_at_once_start_one_thread(monkeypatch):
    """Another report comes while the first one starts the thread: there is one, and it ends."""
    watch, started = Watch(), []
    real = threading.Thread.start

    def start(thread):
        started.append(thread)
        if len(started) == 1:
            watch.over("other", lambda: None)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    watch.over("one", lambda: None)
    assert len(started) == 1
    watch.leave("one")
    assert started[0].is_alive()
    watch.leave("other")
    started[0].join(60)
    assert not started[0].is_alive()
