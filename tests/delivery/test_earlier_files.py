"""The files of the version before: who has them, what is counted, what is damaged, and spans."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from support.earlier import (
    DIED_AT,
    OTLP,
    OTLP_KEY,
    STATUS,
    delivered,
    left_by_before,
    nothing_is_left,
    rows_in,
    writes,
)
from support.fault_server import TOKEN

from dotflow.delivery import dead_letters
from dotflow.delivery.channel import Channel
from dotflow.delivery.dead import earlier, earlier_disk, earlier_file
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.order.numbers import Numbers
from dotflow.delivery.order.server_ids import ServerIds
from dotflow.delivery.survey import survey
from dotflow.runlog import files


def test_a_file_of_a_living_process_is_left_alone(api, default):
    """While its owner lives nobody touches a file; that there is something is said."""
    [path] = left_by_before("away", default)
    owner = files.OwnFile(path.with_suffix(".lock"))
    assert earlier_disk.lock(owner.fd)
    before = path.read_bytes()
    assert delivered(default, 1).complete
    assert not writes(api)
    assert path.read_bytes() == before
    [waiting] = survey()
    assert (waiting.pending, waiting.is_owned) == (12, True)
    owner.close()
    assert delivered(default).complete
    assert len(writes(api)) == 12


def test_a_workflow_that_a_living_process_goes_on_with_is_left_to_it(api, managed):
    """The older file of a workflow waits with the younger one, whose owner lives."""
    _, younger = left_by_before("twice", managed)
    api.workflows["twice"] = {"status": "New"}
    owner = files.OwnFile(younger.with_suffix(".lock"))
    assert earlier_disk.lock(owner.fd)
    delivered(managed, 1)
    assert not writes(api)
    owner.close()
    assert delivered(managed).complete
    assert api.history["twice"][-1] == "PATCH workflow Failed"


def test_what_waits_is_counted(default, managed):
    """`survey` counts what waits in files of dead processes, the ends that they owe included."""
    left_by_before("killed", default)
    left_by_before("twice", managed)
    left_by_before("spans")
    found = {}
    for one in survey():
        found[one.destination] = found.get(one.destination, 0) + one.pending
        assert not one.is_owned
        assert one.bytes > 100
        assert one.oldest > DIED_AT
    assert found == {
        "dotflow-api at http://127.0.0.1:18480 (default)": 3,
        "dotflow-api at http://127.0.0.1:18480 (managed)": 11,
        OTLP: 4,
    }


def test_status_shows_dead_letters_of_the_version_before(managed):
    """`dotflow outbox status` has what was refused, though nothing was sent since."""
    left_by_before("refused", managed)
    arguments = [sys.executable, "-c", "from dotflow.main import main; main()", *STATUS]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=30)
    letters = json.loads(said.stdout)["dead_letters"]
    assert [one["workflow"] for one in letters] == ["refused"] * 2 + ["refused-killed"] * 2


def test_one_damaged_file_holds_up_no_other(api, managed, caplog):
    """A file that cannot be read is named once, and left; what is in others arrives."""
    damaged, _ = left_by_before("twice", managed)
    damaged.with_name(f"{damaged.name}-wal").unlink()
    damaged.write_bytes(b"this is no database, and never was" * 100)
    api.workflows["twice"] = {"status": "New"}
    channel = Channel(managed)
    channel.adopt()
    assert channel.flush(60).complete
    channel.adopt()
    channel.close(60)
    assert caplog.text.count(str(damaged)) == 1
    assert damaged.exists()
    assert api.workflows["twice"]["status"] == "Failed"


def test_a_file_that_is_damaged_within_holds_up_nothing(api, default, caplog):
    """A table that is broken costs its file, with one line, and nothing else."""
    [path] = left_by_before("away", default)
    with sqlite3.connect(path) as connection:
        connection.execute("alter table message rename column headers to other")
    connection.close()
    assert delivered(default, 1).complete
    assert not writes(api)
    assert str(path) in caplog.text
    assert path.exists()


def test_more_files_than_may_be_open(api, managed, monkeypatch):
    """Of many files only some are open at once, and all are delivered by one flush."""
    monkeypatch.setattr(earlier, "MOST_OPEN", 3)
    first, _ = left_by_before("twice", managed)
    api.workflows["twice"] = {"status": "New"}
    for number in range(3, 12):
        name = f"{first.name[:16]}-{number:08d}-{number:08x}"
        for end in (".sqlite3", ".sqlite3-wal"):
            shutil.copyfile(first.with_suffix(end), first.with_name(name + end))
    most = []
    take = earlier_file.EarlierFile.take

    def counted(path):
        found = take(path)
        most.append(len(earlier_file._held))
        return found

    monkeypatch.setattr(earlier_file.EarlierFile, "take", counted)
    assert delivered(managed, 20).complete
    assert max(most) == 3
    assert api.history["twice"].count("PATCH workflow Failed") == 11
    assert nothing_is_left()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_lets_go_of_files(api, default):
    """A forked child that outlives its parent keeps nobody from what that one had taken."""
    [path] = left_by_before("away", default)
    taken = earlier_file.EarlierFile.take(path, is_shared=False)
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.write(write_end, b".")
        signal.pause()
    try:
        os.read(read_end, 1)
        assert earlier_disk.is_owned(path)
        taken.close()
        assert not earlier_disk.is_owned(path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)


def test_spans_that_waited(tmp_path):
    """Batches come encoded and records as they are; what has left does not come again."""
    left_by_before("spans")
    kept, held = list(earlier.earlier_spans(OTLP_KEY))
    assert len(kept.encoded) == 1720
    assert kept.records == ()
    assert held.encoded == b""
    names = [json.loads(one)["span"]["name"] for one in held.records]
    assert len(names) == 3
    assert [json.loads(one)["span"]["end"] is None for one in held.records].count(True) == 2
    assert held.last_seen > DIED_AT
    for one in earlier.earlier_spans(OTLP_KEY):
        if one.encoded:
            one.has_left()
    [again] = earlier.earlier_spans(OTLP_KEY)
    assert again.records == held.records
    for one in earlier.earlier_spans(OTLP_KEY):
        one.has_left()
    assert list(earlier.earlier_spans(OTLP_KEY)) == []
    assert nothing_is_left()


def test_spans_are_one_process_s_at_a_time():
    """While one sends the spans of a file nobody else gets them."""
    left_by_before("spans")
    found = earlier.earlier_spans(OTLP_KEY)
    next(found)
    assert list(earlier.earlier_spans(OTLP_KEY)) == []
    found.close()
    assert len(list(earlier.earlier_spans(OTLP_KEY))) == 2


def test_a_bulk_has_them_in_order(api, default):
    """All messages of a file that may go together are in the order in which they are due."""
    [path] = left_by_before("away", default)
    taken = earlier_file.EarlierFile.take(path)
    for workflow in taken.workflows:
        [unit] = taken.take_over(workflow, ServerIds())
        kinds = [message.kind.value for _, message in unit.in_bulk(500)]
        # The end comes by itself, once the tasks are taken.
        assert kinds == ["workflow post", "task post", "task patch", "task post", "task patch"]
        assert [message.kind.value for _, message in unit.in_bulk(2)] == kinds[:2]
    taken.close()


def test_destinations_do_not_mix(api, default):
    """What was left for one dialect is not sent in the other."""
    left_by_before("away", default)
    assert delivered(Destination(api.url, TOKEN, Dialect.MANAGED, 2.0), 1).complete
    assert not writes(api)


def test_a_later_run_makes_states_and_ends_void(default):
    """What a later run has spoken of is not set back: only what makes records is left of it."""
    [path] = left_by_before("away", default)
    taken = earlier_file.EarlierFile.take(path)
    workflow = min(taken.workflows)
    [unit] = taken.take_over(workflow, ServerIds())
    spoken = Numbers()
    spoken.add(1)
    unit.leave_out(spoken, is_over=True)
    kinds = [(message.task, message.kind.value) for _, message in unit.in_bulk(500)]
    assert kinds == [
        (None, "workflow post"), (1, "task post"), (2, "task post"), (2, "task patch"),
    ]  # fmt: skip
    taken.close()
    left = [row for row in rows_in([path]) if row.workflow == workflow]
    assert sorted((row.task or 0, row.kind.value) for row in left) == sorted(
        (task or 0, kind) for task, kind in kinds
    )


@pytest.mark.parametrize("is_there", [True, False])
def test_tasks_wait_for_what_opens_their_workflow(is_there, default):
    """Without a record under the run's own id they would be refused: it is opened before them."""
    [path] = left_by_before("away", default)
    with sqlite3.connect(path) as connection:  # as of a run whose id came from its code
        connection.execute(
            "update message set kind = ? where kind = ?",
            ("workflow patch (first)", "workflow post"),
        )
    connection.close()
    taken = earlier_file.EarlierFile.take(path)
    [unit] = taken.take_over(min(taken.workflows), ServerIds())
    unit.leave_out(Numbers(), is_over=True, is_there=is_there)
    first = next(message for _, message in unit.in_bulk(500))
    assert (first.kind.value == "workflow patch (first)") is not is_there
    assert unit.owes_first is not is_there
    taken.close()


def planted(path, table):
    """Write a credential into every body of a file, as the version before did."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(f"select number, body from {table}").fetchall()
        for number, body in rows:
            fields = json.loads(bytes(body))
            fields.update(initial_context={"password": "hunter2"}, name="token=hunter2")
            fields["errors"] = [{"attempt": 1, "exception": "E", "message": "pwd=hunter2",
                                 "traceback": "E: secret: hunter2"}]  # fmt: skip
            connection.execute(
                f"update {table} set body = ? where number = ?",
                (json.dumps(fields).encode(), number),
            )
    return len(rows)


@pytest.mark.parametrize("whole", ["", "1"])
def test_what_the_version_before_wrote_names_no_credential(api, default, monkeypatch, whole):
    """It is masked as it is sent, unless a user wants whole values."""
    monkeypatch.setenv("DOTFLOW_WHOLE_VALUES", whole)
    [path] = left_by_before("away", default)
    assert planted(path, "message") > 0
    assert delivered(default).complete
    sent = "".join(seen.raw.decode() for seen in writes(api))
    assert ("hunter2" in sent) is bool(whole)
    assert sent.count('"initial_context":{"password":"***"}') == (0 if whole else 12)


def test_dead_letters_of_the_version_before_name_no_credential(managed):
    """They are masked as they are moved to where this version keeps them."""
    left_by_before("refused", managed)
    central = earlier_disk.folder() / earlier.CENTRAL
    count = planted(central, "dead_letter")
    earlier.move_dead_letters()
    letters = dead_letters.all_letters()
    assert len(letters) >= count > 0
    bodies = [letter.message.body.decode() for letter in letters]
    assert "hunter2" not in "".join(bodies)
    assert sum("token=***" in body for body in bodies) == count
