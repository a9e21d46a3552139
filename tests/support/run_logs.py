"""What the tests of run logs share: lines, logs with a reader, and what was read back."""

from __future__ import annotations

import json

from dotflow.runlog import files
from dotflow.runlog.reader import SegmentReader, dead_lines
from dotflow.runlog.writer import RunLog

NAME = "a destination"
KEY = files.reader_key(NAME)


def line(n, kind="task began", workflow="w", run=1, **more):
    """A line of a task."""
    said = {"f": kind, "n": n, "t": n, **more, "w": workflow, "r": run, "to": {KEY: "default"}}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def began(n=1, workflow="w", **more):
    """A line that begins a run."""
    said = {"f": "run began", "n": n, "at": 1, "plan": [], **more}
    said |= {"w": workflow, "r": n, "to": {KEY: "default"}}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def ended(n=2, run=1, workflow="w"):
    """A line that ends it."""
    said = {"f": "run ended", "n": n, "at": 2, "status": "Completed", "duration": 1.0}
    said |= {"w": workflow, "r": run, "to": {KEY: "default"}}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


class ReadLog:
    """A log with one reader, which is called as its thread would call it."""

    def __init__(self, *names):
        self.log = RunLog()
        self.keys = [files.reader_key(name) for name in names or (NAME,)]
        for key, name in zip(self.keys, names or (NAME,), strict=True):
            self.log.read_by(key, name)
        self.readers = {}

    def read(self, key=None):
        """All facts that one reader did not read before."""
        key = key or self.keys[0]
        found = []
        for segment in list(self.log.segments):
            known = self.readers.setdefault(
                (key, segment.number), SegmentReader(segment.path, segment)
            )
            while facts := known.read():
                found += facts
        return [fact for fact in found if fact["f"] not in ("log", "reader")]

    def finish(self, key=None):
        """Say of each file that has been read, as an outbox does, that it is done with."""
        key = key or self.keys[0]
        for segment in self.log.segments[:-1]:
            known = self.readers.get((key, segment.number))
            if known is not None and segment.is_quiet and not known.unread:
                self.log.done(segment, key)

    def close(self):
        self.log.close()


def on_disk():
    """The facts in all logs that are on disk, as a stranger reads them; and the damaged lines."""
    found, damaged = [], 0
    for segments in files.logs().values():
        facts, bad = dead_lines(segments)
        found += facts
        damaged += bad
    return [fact for fact in found if fact["f"] not in ("log", "reader")], damaged


def numbers(facts):
    """The numbers of facts, in order."""
    return [fact["n"] for fact in facts]
