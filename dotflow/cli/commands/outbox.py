"""Show, send or drop the reports that wait for dotflow-api or an OTLP endpoint."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from dotflow.cli import gone, waiting
from dotflow.cli.errors import CommandError
from dotflow.cli.waiting import Entry, all_letters, count_of, entries, say, time_of
from dotflow.delivery import dead_letters
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.dead import earlier
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import find_destination
from dotflow.delivery.errand import Errand
from dotflow.delivery.http.client import Client
from dotflow.delivery.revival import revive
from dotflow.delivery.survey import OTLP, names
from dotflow.delivery.waiting import unit_of
from dotflow.runlog.files import folder
from dotflow.runlog.folder import state_dir

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from dotflow.delivery.dead_letters import DeadLetter
    from dotflow.otel.export.leaving.replay import SpanReplay

    Sender = Errand | SpanReplay

TIMEOUT = 30.0
SHORT = 12
"""Characters of an id that are shown; as many as tell it from the others are enough to name it."""

LOOK_EVERY = 0.25
"""Seconds between two looks at what running programs have left to send; as many as a look takes,
where that is longer."""

EPILOG = """\
The outbox is a folder of the user; DOTFLOW_STATE_DIR names another folder. Reports
that a program could not deliver before its end wait there. The next program that
reports to the same address sends them, or `dotflow outbox flush` does. A dead
letter is a report that was refused for good. A running program sends its own
reports: no command takes them away."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their flags."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def add(name: str, act: Callable[[argparse.Namespace], int], text: str) -> Any:
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(act=act)
        return action

    status = add(
        "status", _status,
        "Show what waits for each destination, why, and since when; and the dead letters.",
    )  # fmt: skip
    status.add_argument("--json", action="store_true", help="write one JSON object")
    flush = add("flush", _flush, "Send what waits. The exit status is 1 if anything is left.")
    _add_timeout(flush)
    retry = add("retry", _retry, "Send dead letters again.")
    retry.add_argument("id", nargs="*", metavar="ID", help="which dead letters (all)")
    _add_timeout(retry)
    drop = add("drop", _drop, "Delete dead letters, or everything that waits for a destination.")
    drop.add_argument("id", nargs="*", metavar="ID", help="which dead letters")
    drop.add_argument("--all", action="store_true", help="all dead letters")
    drop.add_argument(
        "--destination", metavar="NAME",
        help="everything that waits for this destination, and its dead letters; the name or "
        "address is that of `dotflow outbox status`",
    )  # fmt: skip
    _add_yes(drop)
    send = add("send", gone.send, "Send what waits for an address that is gone to another address.")
    send.add_argument(
        "--destination", metavar="NAME", required=True,
        help="the address that is gone; its name or address as `dotflow outbox status` shows it",
    )  # fmt: skip
    send.add_argument("--to", metavar="URL", required=True, help="the new address")
    send.add_argument(
        "--anew", action="store_true",
        help="make the records anew: for a dotflow-api that does not have the records of the old "
        "address",
    )  # fmt: skip
    _add_timeout(send)
    _add_yes(send)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action."""
    try:
        state_dir()
    except OSError as error:
        raise CommandError(
            f"There is no folder for the outbox: {error}. Set DOTFLOW_STATE_DIR."
        ) from error
    earlier.move_dead_letters()
    status: int = arguments.act(arguments)
    return status


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, metavar="S",
        help=f"seconds to try ({TIMEOUT:g})",
    )  # fmt: skip


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


# What there is.


def _status(arguments: argparse.Namespace) -> int:
    letters = all_letters()
    # Of a log that is kept for one destination another one may have had all.
    found = {name: one for name, one in entries(letters).items() if one.is_worth_a_line}
    if arguments.json:
        report = {
            "folder": str(folder()),
            "destinations": [entry.described() for entry in found.values()],
            "dead_letters": [_described(letter) for letter in letters],
        }
        say(json.dumps(report, indent=2))
        return 0
    if not found:
        say(f"Nothing waits in {folder()}.")
    named = waiting.named_by_environment(found.values())
    for entry in found.values():
        for line in waiting.lines_of(entry, entry.name in named):
            say(line)
    for letter in letters:
        say(f"dead letter {letter.message.id[:SHORT]}: {_what(letter)}: {_said(letter)}")
    if letters:
        say("`dotflow outbox retry [ID]` sends dead letters again, `drop ID` deletes them.")
    return 0


def _said(letter: DeadLetter) -> str:
    status = str(letter.status or "")
    return letter.reason if letter.reason.startswith(status) else f"{status} {letter.reason}"


def _what(letter: DeadLetter) -> str:
    message = letter.message
    if message.task is None:
        return f"{message.kind.value} {message.workflow}"
    return f"{message.kind.value} {message.task} of {message.workflow}"


def _described(letter: DeadLetter) -> dict[str, Any]:
    message = letter.message
    return {
        "id": message.id,
        "destination": letter.destination,
        "kind": message.kind.value,
        "workflow": message.workflow,
        "task": message.task,
        "put_at": time_of(letter.at),
        "status": letter.status,
        "reason": letter.reason,
    }


# Sending.


def _flush(arguments: argparse.Namespace) -> int:
    deadline = time.monotonic() + max(0.0, arguments.timeout)
    return _sent(_senders(), deadline, arguments.timeout)


def _sent(senders: dict[str, Sender], deadline: float, timeout: float) -> int:
    """Send what there is; say what came of it: 1 while anything is left."""
    began = time.time()
    for sender in senders.values():
        sender.adopt()
    delivered: dict[str, int] = {}
    for index, (name, sender) in enumerate(senders.items()):
        share = max(0.0, deadline - time.monotonic()) / (len(senders) - index)
        unit = unit_of(name)
        delivered[unit] = delivered.get(unit, 0) + sender.close(share).delivered
    counts = [count_of(number, unit) for unit, number in delivered.items() if number]
    say(f"delivered: {', '.join(counts) or 'nothing'}")
    left = _left(deadline)
    for entry in left:
        for line in _why_left(entry, entry.name in senders, began, timeout):
            say(line)
    return 1 if left else 0


def _left(deadline: float) -> list[Entry]:
    """What is left; running programs that can send what they have are given the time for it."""
    while True:
        began = time.monotonic()
        left = [entry for entry in entries().values() if entry.is_any]
        busy = [one for one in left if one.theirs and not (one.wait and one.wait.mend)]
        now = time.monotonic()
        seconds = min(max(LOOK_EVERY, now - began), deadline - now)
        if not busy or seconds <= 0:
            return left
        time.sleep(seconds)


def _why_left(entry: Entry, is_named: bool, began: float, timeout: float) -> list[str]:
    wait = entry.wait
    told = [f"left for {entry.name}: {problem}" for problem in entry.problems]
    if entry.theirs:
        told.append(f"left for {entry.name}: {waiting.theirs_in_words(entry, wait)}")
        if wait is not None:
            told.append(f"  {waiting.words_of(wait)}")
    if entry.left and is_named:
        why = f"not delivered within {timeout:g} s: try a longer --timeout"
        if wait is not None and waiting.is_in_trouble(entry, began):
            why = waiting.words_of(wait)
            why += f"; set {wait.mend} and try again" if wait.mend is not None else ""
        told.append(f"left for {entry.name}: {entry.counted(entry.left)}: {why}")
    elif entry.left:
        told.append(f"left for {entry.name}: {waiting.remedy_of(entry, is_named)}")
    return told


def _senders() -> dict[str, Sender]:
    """What sends to each destination that the environment names."""
    senders: dict[str, Sender] = {}
    for dialect in Dialect:
        destination = find_destination(dialect=dialect)
        if destination is not None:
            senders[outbox_name(destination)] = Errand(destination)
    # OpenTelemetry is loaded only where it is needed: it takes its time.
    known = names()
    if any(name.startswith(OTLP) for name in known):
        from dotflow.otel.export.leaving.replay import relays_from_environment

        senders |= {relay.name: relay for relay in relays_from_environment(known)}
    return senders


def _retry(arguments: argparse.Namespace) -> int:
    letters = _chosen(arguments.id) if arguments.id else all_letters()
    clients = _clients()
    known = [one for one in letters if one.destination in clients]
    say(f"tried again: {count_of(len(known), 'dead letter')}")
    answered = 0
    for name, client in clients.items():
        of_one = [one for one in known if one.destination == name]
        answered += revive(of_one, client, max(0.0, arguments.timeout))
        client.close()
    for letter in letters:
        if letter.destination not in clients:
            say(
                f"left: {_what(letter)}, for {letter.destination}: "
                f"{waiting.how_to_name(letter.destination)}"
            )
    status = _flush(arguments)
    return status if answered == len(letters) else 1


def _clients() -> dict[str, Client]:
    """What sends to each dotflow-api that the environment names."""
    found = (find_destination(dialect=dialect) for dialect in Dialect)
    return {outbox_name(one): Client(one) for one in found if one is not None}


# Dropping.


def _drop(arguments: argparse.Namespace) -> int:
    ways = (bool(arguments.id), arguments.all, arguments.destination is not None)
    if sum(ways) != 1:
        raise CommandError("Say what to drop: IDs of dead letters, --all, or --destination NAME.")
    if arguments.destination is not None:
        return gone.drop(arguments)
    if arguments.all:
        try:
            letters = dead_letters.all_letters()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # of which nobody can choose any
            dead_letters.discard()
            say("dropped: all dead letters, which could not be read")
            return 0
    else:
        letters = _chosen(arguments.id)
    dead_letters.remove(letters)
    say(f"dropped: {count_of(len(letters), 'dead letter')}")
    return 0


def _chosen(ids: Sequence[str]) -> list[DeadLetter]:
    letters = all_letters()
    chosen: list[DeadLetter] = []
    for one in ids:
        meant = [letter for letter in letters if letter.message.id.startswith(one)]
        same = [letter for letter in meant if letter.message.id == one]
        meant = same or meant
        if len(meant) != 1:
            problem = "No dead letter begins" if not meant else "Several dead letters begin"
            raise CommandError(f"{problem} with {one!r}: `dotflow outbox status --json` has them.")
        chosen += meant
    return [letter for letter in letters if letter in chosen]
