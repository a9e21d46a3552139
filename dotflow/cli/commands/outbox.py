"""Show, send, or drop what waits for dotflow-api and for an OTLP endpoint."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dotflow.cli.errors import CommandError
from dotflow.delivery import dead_letters, earlier
from dotflow.delivery.channel import Channel, outbox_name
from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import VARIABLES, find_destination
from dotflow.delivery.revival import revive
from dotflow.delivery.survey import OTLP, survey
from dotflow.runlog.files import folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dotflow.delivery.dead_letters import DeadLetter
    from dotflow.delivery.waiting import Waiting
    from dotflow.otel.export.replay import SpanReplay

TIMEOUT = 30.0
SHORT = 12
"""Characters of an id that are shown; as many as tell it from the others are enough to name it."""

EPILOG = """\
The outbox is a folder of the user (DOTFLOW_STATE_DIR names another one). What a
program could not deliver before it ended waits there; the next program that
reports to the same place sends it, or `dotflow outbox flush`. A dead letter is a
message that was refused for good."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their flags."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def add(name: str, act: Callable[[argparse.Namespace], int], text: str) -> Any:
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(act=act)
        return action

    status = add(
        "status", _status, "Show what waits, and the dead letters with the server's words."
    )
    status.add_argument("--json", action="store_true", help="write one JSON object")
    flush = add("flush", _flush, "Send what waits; the exit status is 1 where something is left.")
    _add_timeout(flush)
    retry = add("retry", _retry, "Send dead letters again.")
    retry.add_argument("id", nargs="*", metavar="ID", help="which ones (all)")
    _add_timeout(retry)
    drop = add("drop", _drop, "Delete dead letters.")
    drop.add_argument("id", nargs="*", metavar="ID", help="which ones")
    drop.add_argument("--all", action="store_true", help="all of them")


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


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _status(arguments: argparse.Namespace) -> int:
    found = _by_destination()
    letters = dead_letters.all_letters()
    if arguments.json:
        report = {
            "folder": str(folder()),
            "destinations": list(found.values()),
            "dead_letters": [_described(letter) for letter in letters],
        }
        _say(json.dumps(report, indent=2))
        return 0
    if not found:
        _say(f"Nothing waits in {folder()}.")
    for entry in found.values():
        _say(_line(entry))
    for letter in letters:
        _say(f"dead letter {letter.message.id[:SHORT]}: {_what(letter)}: {_said(letter)}")
    return 0


def _by_destination() -> dict[str, dict[str, Any]]:
    """What waits, destination by destination."""
    found: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        empty = {"pending": 0, "bytes": 0, "oldest": None, "in_use": 0, "dead": 0}
        return found.setdefault(name, {"destination": name, **empty})

    oldest: dict[str, float] = {}
    for one in _survey():
        entry = of(one.destination)
        entry["pending"] += one.pending
        entry["bytes"] += one.bytes
        entry["in_use"] += one.is_owned
        if one.oldest is not None:
            oldest[one.destination] = min(one.oldest, oldest.get(one.destination, one.oldest))
            entry["oldest"] = _time(oldest[one.destination])
    for letter in dead_letters.all_letters():
        of(letter.destination)["dead"] += 1
    return found


def _line(entry: dict[str, Any]) -> str:
    parts = [f"{entry['pending']} pending"]
    if entry["pending"]:
        parts.append(f"{entry['bytes']} bytes, the oldest of {entry['oldest']}")
    if entry["in_use"]:
        parts.append(f"open in {entry['in_use']} running program(s)")
    parts.append(f"{entry['dead']} dead letters")
    return f"{entry['destination']}: {'; '.join(parts)}"


def _said(letter: DeadLetter) -> str:
    return f"{letter.status} {letter.reason}" if letter.status else letter.reason


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
        "put_at": _time(letter.at),
        "status": letter.status,
        "reason": letter.reason,
    }


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):  # the clock was far off
        return f"{seconds:.0f} s"


def _flush(arguments: argparse.Namespace) -> int:
    deadline = time.monotonic() + max(0.0, arguments.timeout)
    senders = _senders()
    for sender in senders.values():
        sender.adopt()
    delivered = 0
    for index, sender in enumerate(senders.values()):
        share = max(0.0, deadline - time.monotonic()) / (len(senders) - index)
        delivered += sender.close(share).delivered
    return _report(delivered, set(senders))


def _survey() -> list[Waiting]:
    return survey(_spans_left)


def _spans_left(log: str, segments: list[Path], key: str) -> int:
    # OpenTelemetry is loaded only where it is needed: it takes its time.
    from dotflow.otel.export.replay import spans_left

    return spans_left(log, segments, key)


def _senders() -> dict[str, Channel | SpanReplay]:
    """What sends to each destination that the environment names."""
    senders: dict[str, Channel | SpanReplay] = {}
    for dialect in Dialect:
        destination = find_destination(dialect=dialect)
        if destination is not None:
            senders[outbox_name(destination)] = Channel(destination)
    # OpenTelemetry is loaded only where it is needed: it takes its time.
    if any(one.destination.startswith(OTLP) for one in _survey()):
        from dotflow.otel.export.replay import otlp_relay_from_environment

        relay = otlp_relay_from_environment()
        if relay is not None:
            senders[relay.name] = relay
    return senders


def _report(delivered: int, names: set[str]) -> int:
    """Say what came of a flush; 1 where something is left that no living process sees to."""
    _say(f"delivered: {delivered}")
    left: dict[str, int] = {}
    theirs: dict[str, int] = {}
    for one in _survey():
        counted = theirs if one.is_owned else left
        counted[one.destination] = counted.get(one.destination, 0) + one.pending
    for destination, pending in theirs.items():
        if pending:
            _say(f"{pending} to {destination}: a running program sends them")
    for destination, pending in left.items():
        if pending:
            why = "not delivered in time" if destination in names else _how(destination)
            _say(f"{pending} to {destination}: {why}")
    return 1 if any(left.values()) else 0


def _how(destination: str) -> str:
    for dialect, variables in VARIABLES.items():
        if destination.startswith("dotflow-api ") and destination.endswith(f"({dialect.value})"):
            return f"{variables[0]} and {variables[1]} have to name it"
    return "OTEL_EXPORTER_OTLP_ENDPOINT has to name it"


def _retry(arguments: argparse.Namespace) -> int:
    letters = _chosen(arguments.id) if arguments.id else dead_letters.all_letters()
    clients = _clients()
    known = [one for one in letters if one.destination in clients]
    _say(f"tried again: {len(known)}")
    answered = 0
    for name, client in clients.items():
        of_one = [one for one in known if one.destination == name]
        answered += revive(of_one, client, max(0.0, arguments.timeout))
        client.close()
    for letter in letters:
        if letter.destination not in clients:
            _say(f"left: {_what(letter)}: {_how(letter.destination)}")
    status = _flush(arguments)
    return status if answered == len(letters) else 1


def _clients() -> dict[str, Client]:
    """What sends to each dotflow-api that the environment names."""
    found = (find_destination(dialect=dialect) for dialect in Dialect)
    return {outbox_name(one): Client(one) for one in found if one is not None}


def _drop(arguments: argparse.Namespace) -> int:
    if bool(arguments.id) == arguments.all:
        raise CommandError("Say which dead letters: their IDs, or --all.")
    letters = dead_letters.all_letters() if arguments.all else _chosen(arguments.id)
    dead_letters.remove(letters)
    _say(f"dropped: {len(letters)}")
    return 0


def _chosen(ids: Sequence[str]) -> list[DeadLetter]:
    letters = dead_letters.all_letters()
    chosen: list[DeadLetter] = []
    for one in ids:
        meant = [letter for letter in letters if letter.message.id.startswith(one)]
        if len(meant) != 1:
            problem = "No dead letter begins" if not meant else "Several dead letters begin"
            raise CommandError(f"{problem} with {one!r}: `dotflow outbox status --json` has them.")
        chosen += meant
    return [letter for letter in letters if letter in chosen]
