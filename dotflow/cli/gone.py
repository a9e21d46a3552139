"""An address that is gone: what waits for it is sent to another one, or deleted."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from dotflow.cli import waiting
from dotflow.cli.errors import CommandError
from dotflow.cli.waiting import Entry, all_letters, count_of, entries, say
from dotflow.delivery import dead_letters, dropping
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.environment import VARIABLES, find_destination
from dotflow.delivery.errand import Errand
from dotflow.delivery.waiting import OTLP_LOGS
from dotflow.runlog.files import reader_key
from dotflow.runlog.waits import forget

if TYPE_CHECKING:
    import argparse

    from dotflow.otel.export.leaving.replay import SpanReplay


def send(arguments: argparse.Namespace) -> int:
    """Send what waits for an address to another one; 1 while anything is left."""
    entry = waiting.chosen(arguments.destination, entries(all_letters()))
    deadline = time.monotonic() + max(0.0, arguments.timeout)
    to = arguments.to.strip().rstrip("/")
    return (_send_otlp if entry.is_otlp else _send_messages)(arguments, entry, to, deadline)


def _send_otlp(arguments: argparse.Namespace, entry: Entry, to: str, deadline: float) -> int:
    # OpenTelemetry is loaded only where it is needed: it takes its time.
    from dotflow.otel.export.leaving.replay import SpanReplay
    from dotflow.otel.export.otlp.endpoint import LOGS, TRACES, OtlpSettings, endpoint_name

    try:
        settings = OtlpSettings(to, signal=LOGS if entry.name.startswith(OTLP_LOGS) else TRACES)
        name = endpoint_name(settings)  # without credentials
        _check_is_other(entry, name)
        _ask(arguments, entry, f"be sent to {name}")
        return _sent_elsewhere(entry, SpanReplay(settings, entry.name), name, deadline)
    except ValueError as error:
        raise CommandError(f"What '--to' names cannot be used: {error}.") from error


def _send_messages(arguments: argparse.Namespace, entry: Entry, to: str, deadline: float) -> int:
    destination = _destination_of(to, entry)
    _check_is_other(entry, outbox_name(destination))
    _ask(arguments, entry, f"be sent to {destination.url}")
    errand = Errand(destination, entry.name, arguments.anew)
    status = _sent_elsewhere(entry, errand, destination.url, deadline)
    if errand.has_no_records and not arguments.anew:
        say(f"{destination.url} has not all records of the old address: --anew makes them there")
    letters = dead_letters.readdress(entry.name, outbox_name(destination))
    if letters:
        say(f"{count_of(letters, 'dead letter')}: `dotflow outbox retry` sends them there")
    return status


def _check_is_other(entry: Entry, name: str) -> None:
    if name == entry.name:
        raise CommandError(
            "The reports wait for that address already: `dotflow outbox flush` sends them."
        )


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
        raise CommandError(
            f"'--to' needs an address, and its token in {token}: {error}."
        ) from error
    return found


def _sent_elsewhere(entry: Entry, sender: Errand | SpanReplay, to: str, deadline: float) -> int:
    """Send what waits for a destination to another address; 1 while anything is left."""
    began = time.time()
    sender.adopt()
    result = sender.close(max(0.0, deadline - time.monotonic()))
    say(f"delivered to {to}: {entry.counted(result.delivered)}")
    if result.dead:
        say(f"refused for good: {entry.counted(result.dead)}: see `dotflow outbox status`")
    left = entries().get(entry.name, Entry(entry.name))
    if left.theirs:
        say(f"left: {waiting.theirs_in_words(left, None)} to the old address; end it first")
    if left.left:
        is_why = left.wait is not None and waiting.is_in_trouble(left, began)
        why = f": {waiting.words_of(left.wait)}" if is_why and left.wait is not None else ""
        say(f"left: {left.counted(left.left)}, which wait for the old address still{why}")
    forget(reader_key(entry.name))  # it is the new address that was tried
    return 1 if left.is_any or result.dead else 0


def drop(arguments: argparse.Namespace) -> int:
    """Delete all that waits for a destination; 1 where a running program has some of it."""
    entry = waiting.chosen(arguments.destination, entries(all_letters()))
    _ask(arguments, entry, "be deleted")
    dropping.drop(entry.name)
    found = entries(all_letters())
    left = found.get(entry.name, Entry(entry.name))
    dropped = [entry.counted(entry.left - left.left)]
    if entry.letters:
        dropped.append(count_of(entry.letters - left.letters, "dead letter"))
    if len(entry.problems) > len(left.problems):
        dropped.append("what could not be read")
    say(f"dropped: {', '.join(dropped)}")
    if left.theirs:
        say(f"left: {waiting.theirs_in_words(left, left.wait)}; end it, then drop them")
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
        raise CommandError(f"{told} There is no terminal to ask at: add --yes.")
    say(told)
    sys.stdout.write("Go on? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was done.")
