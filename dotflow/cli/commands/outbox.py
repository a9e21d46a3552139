"""Show, send, or drop what waits for dotflow-api and for an OTLP endpoint."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

from dotflow.cli import waiting
from dotflow.cli.errors import CommandError
from dotflow.cli.waiting import Entry, count_of, entries, time_of
from dotflow.delivery import dead_letters, dropping, earlier
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.environment import VARIABLES, find_destination
from dotflow.delivery.errand import Errand
from dotflow.delivery.revival import revive
from dotflow.delivery.survey import OTLP, names
from dotflow.runlog.files import folder, reader_key
from dotflow.runlog.waits import forget

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from dotflow.delivery.dead_letters import DeadLetter
    from dotflow.otel.export.replay import SpanReplay

    Sender = Errand | SpanReplay

TIMEOUT = 30.0
SHORT = 12
"""Characters of an id that are shown; as many as tell it from the others are enough to name it."""

LOOK_EVERY = 0.25
"""Seconds between two looks at what running programs have left to send; as many as a look takes,
where that is longer."""

EPILOG = """\
The outbox is a folder of the user (DOTFLOW_STATE_DIR names another one). What a
program could not deliver before it ended waits there; the next program that
reports to the same place sends it, or `dotflow outbox flush`. A dead letter is a
message that was refused for good. What a running program has written is its own
to send: no command takes it away."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their flags."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def add(name: str, act: Callable[[argparse.Namespace], int], text: str) -> Any:
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(act=act)
        return action

    status = add(
        "status", _status,
        "Show what waits for each destination, why and since when, and the dead letters.",
    )  # fmt: skip
    status.add_argument("--json", action="store_true", help="write one JSON object")
    flush = add("flush", _flush, "Send what waits; the exit status is 1 while anything is left.")
    _add_timeout(flush)
    retry = add("retry", _retry, "Send dead letters again.")
    retry.add_argument("id", nargs="*", metavar="ID", help="which ones (all)")
    _add_timeout(retry)
    drop = add("drop", _drop, "Delete dead letters, or all that waits for a destination.")
    drop.add_argument("id", nargs="*", metavar="ID", help="which dead letters")
    drop.add_argument("--all", action="store_true", help="all dead letters")
    drop.add_argument(
        "--destination", metavar="NAME",
        help="all that waits for this destination (its name or address, as `status` has it), and "
        "its dead letters",
    )  # fmt: skip
    _add_yes(drop)
    send = add("send", _send, "Send what waits for an address that is gone to another one.")
    send.add_argument(
        "--destination", metavar="NAME", required=True,
        help="what it was for: its name or address, as `status` has it",
    )  # fmt: skip
    send.add_argument("--to", metavar="URL", required=True, help="where it is sent")
    send.add_argument(
        "--anew", action="store_true",
        help="send each workflow of which anything waits from its beginning, to a dotflow-api that "
        "has not the records of the old one",
    )  # fmt: skip
    _add_timeout(send)
    _add_yes(send)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action."""
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


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


# What there is.


def _status(arguments: argparse.Namespace) -> int:
    letters = _letters()
    found = entries(letters)
    if arguments.json:
        report = {
            "folder": str(folder()),
            "destinations": [entry.described() for entry in found.values()],
            "dead_letters": [_described(letter) for letter in letters],
        }
        _say(json.dumps(report, indent=2))
        return 0
    if not found:
        _say(f"Nothing waits in {folder()}.")
    named = waiting.named_by_environment(found.values())
    for entry in found.values():
        for line in waiting.lines_of(entry, entry.name in named):
            _say(line)
    for letter in letters:
        _say(f"dead letter {letter.message.id[:SHORT]}: {_what(letter)}: {_said(letter)}")
    if letters:
        _say("`dotflow outbox retry [ID]` sends dead letters again, `drop ID` deletes them.")
    return 0


def _letters() -> list[DeadLetter]:
    try:
        return dead_letters.all_letters()
    except sqlite3.OperationalError:  # somebody else writes it
        raise
    except sqlite3.DatabaseError as error:
        raise CommandError(
            f"The dead letters cannot be read ({error}): `dotflow outbox drop --all` deletes them."
        ) from error


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
        unit = "span" if Entry(name).is_otlp else "message"
        delivered[unit] = delivered.get(unit, 0) + sender.close(share).delivered
    counts = [count_of(number, unit) for unit, number in delivered.items() if number]
    _say(f"delivered: {', '.join(counts) or 'nothing'}")
    left = _left(deadline)
    for entry in left:
        for line in _why_left(entry, entry.name in senders, began, timeout):
            _say(line)
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
    if any(name.startswith(OTLP) for name in names()):
        from dotflow.otel.export.replay import otlp_relay_from_environment

        relay = otlp_relay_from_environment()
        if relay is not None:
            senders[relay.name] = relay
    return senders


def _retry(arguments: argparse.Namespace) -> int:
    letters = _chosen(arguments.id) if arguments.id else _letters()
    clients = _clients()
    known = [one for one in letters if one.destination in clients]
    _say(f"tried again: {count_of(len(known), 'dead letter')}")
    answered = 0
    for name, client in clients.items():
        of_one = [one for one in known if one.destination == name]
        answered += revive(of_one, client, max(0.0, arguments.timeout))
        client.close()
    for letter in letters:
        if letter.destination not in clients:
            _say(f"left: {_what(letter)}: {waiting.how_to_name(letter.destination)}")
    status = _flush(arguments)
    return status if answered == len(letters) else 1


def _clients() -> dict[str, Client]:
    """What sends to each dotflow-api that the environment names."""
    found = (find_destination(dialect=dialect) for dialect in Dialect)
    return {outbox_name(one): Client(one) for one in found if one is not None}


# An address that is gone.


def _send(arguments: argparse.Namespace) -> int:
    entry = waiting.chosen(arguments.destination, entries(_letters()))
    deadline = time.monotonic() + max(0.0, arguments.timeout)
    to = arguments.to.strip().rstrip("/")
    if entry.is_otlp:
        _check_is_other(entry, f"OTLP endpoint {to}")
        _ask(arguments, entry, f"be sent to {to}")
        from dotflow.otel.export.endpoint import OtlpSettings
        from dotflow.otel.export.replay import SpanReplay

        try:
            return _sent_elsewhere(entry, SpanReplay(OtlpSettings(to), entry.name), to, deadline)
        except ValueError as error:
            raise CommandError(f"'--to {arguments.to}' cannot be used: {error}.") from error
    destination = _destination_of(to, entry)
    _check_is_other(entry, outbox_name(destination))
    _ask(arguments, entry, f"be sent to {destination.url}")
    errand = Errand(destination, entry.name, arguments.anew)
    status = _sent_elsewhere(entry, errand, destination.url, deadline)
    if errand.has_no_records and not arguments.anew:
        _say(f"{destination.url} has not all records of the old address: --anew makes them there")
    letters = dead_letters.readdress(entry.name, outbox_name(destination))
    if letters:
        _say(f"{count_of(letters, 'dead letter')}: `dotflow outbox retry` sends them there")
    return status


def _check_is_other(entry: Entry, name: str) -> None:
    if name == entry.name:
        raise CommandError("That is where it waits for already: `dotflow outbox flush` sends it.")


def _destination_of(url: str, entry: Entry) -> Destination:
    """The dotflow-api of an address, with the token that the environment has for it.

    Raises:
        CommandError: There is no token, or the address is none.
    """
    for dialect, pair in VARIABLES.items():  # half a pair is no reason for a warning here
        named = find_destination(dialect=dialect) if all(map(os.environ.get, pair)) else None
        if named is not None and named.url == url:
            return named
    is_managed = entry.name.endswith(f"({Dialect.MANAGED.value})")
    dialect = Dialect.MANAGED if is_managed else Dialect.DEFAULT
    try:
        found = find_destination(url, dialect=dialect)
        assert found is not None  # noqa: S101 - of a given address it raises
    except ValueError as error:
        token = VARIABLES[dialect][1]
        raise CommandError(f"'--to {url}' needs its token in {token}: {error}.") from error
    return found


def _sent_elsewhere(entry: Entry, sender: Sender, to: str, deadline: float) -> int:
    """Send what waits for a destination to another address; 1 while anything is left."""
    began = time.time()
    sender.adopt()
    result = sender.close(max(0.0, deadline - time.monotonic()))
    _say(f"delivered to {to}: {entry.counted(result.delivered)}")
    if result.dead:
        _say(f"refused for good: {entry.counted(result.dead)}: see `dotflow outbox status`")
    left = entries().get(entry.name, Entry(entry.name))
    if left.theirs:
        _say(f"left: {waiting.theirs_in_words(left, None)} to the old address; end it first")
    if left.left:
        is_why = left.wait is not None and waiting.is_in_trouble(left, began)
        why = f": {waiting.words_of(left.wait)}" if is_why and left.wait is not None else ""
        _say(f"left: {left.counted(left.left)}, which wait for the old address still{why}")
    forget(reader_key(entry.name))  # it is the new address that was tried
    return 1 if left.is_any or result.dead else 0


def _drop(arguments: argparse.Namespace) -> int:
    ways = (bool(arguments.id), arguments.all, arguments.destination is not None)
    if sum(ways) != 1:
        raise CommandError("Say what to drop: IDs of dead letters, --all, or --destination NAME.")
    if arguments.destination is not None:
        return _drop_destination(arguments)
    if arguments.all:
        try:
            letters = dead_letters.all_letters()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # of which nobody can choose any
            dead_letters.discard()
            _say("dropped: all dead letters, which could not be read")
            return 0
    else:
        letters = _chosen(arguments.id)
    dead_letters.remove(letters)
    _say(f"dropped: {count_of(len(letters), 'dead letter')}")
    return 0


def _drop_destination(arguments: argparse.Namespace) -> int:
    entry = waiting.chosen(arguments.destination, entries(_letters()))
    _ask(arguments, entry, "be deleted")
    dropping.drop(entry.name)
    found = entries(_letters())
    left = found.get(entry.name, Entry(entry.name))
    dropped = [entry.counted(entry.left - left.left)]
    if entry.letters:
        dropped.append(count_of(entry.letters - left.letters, "dead letter"))
    if len(entry.problems) > len(left.problems):
        dropped.append("what could not be read")
    _say(f"dropped: {', '.join(dropped)}")
    if left.theirs:
        _say(f"left: {waiting.theirs_in_words(left, left.wait)}; end it, then drop them")
    return 1 if left.is_any else 0


def _ask(arguments: argparse.Namespace, entry: Entry, what: str) -> None:
    """Ask whether that is meant, unless it was said.

    Raises:
        CommandError: It is not, or nobody can be asked.
    """
    parts = [entry.counted(entry.left)]
    if entry.letters:
        parts.append(count_of(entry.letters, "dead letter"))
    parts += entry.problems
    told = f"{' and '.join(parts)} for {entry.name} will {what}."
    if entry.theirs:
        told += f" Not {waiting.theirs_in_words(entry, None)}."
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{told} Nobody can be asked here: say --yes.")
    _say(told)
    sys.stdout.write("Go on? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was done.")


def _chosen(ids: Sequence[str]) -> list[DeadLetter]:
    letters = _letters()
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
