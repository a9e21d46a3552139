"""What waits for each destination, counted and in words: for `dotflow outbox`."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dotflow.cli.errors import CommandError
from dotflow.delivery import dead_letters
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import VARIABLES, find_destination
from dotflow.delivery.survey import survey
from dotflow.delivery.waiting import OTLP, OTLP_LOGS, Waiting, unit_of
from dotflow.runlog import files, waits
from dotflow.utils.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dotflow.delivery.dead_letters import DeadLetter
    from dotflow.delivery.survey import Lines

OTLP_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
OTLP_LOGS_VARIABLE = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"


@dataclass
class Entry:
    """What there is for one destination.

    Attributes:
        name: What people call it.
        waiting: What waits, log by log.
        letters: How many dead letters there are.
    """

    name: str
    waiting: list[Waiting] = field(default_factory=list)
    letters: int = 0

    @property
    def is_otlp(self) -> bool:
        """Whether it is an OTLP endpoint."""
        return self.name.startswith(OTLP)

    @property
    def left(self) -> int:
        """How many messages, spans or log records wait that no living process sees to."""
        return sum(one.pending for one in self.waiting if not one.is_owned)

    @property
    def theirs(self) -> int:
        """How many living processes see to."""
        return sum(one.pending for one in self.waiting if one.is_owned)

    @property
    def pids(self) -> list[int]:
        """The numbers of those processes, of those that have something to send."""
        return sorted({one.pid for one in self.waiting if one.is_owned and one.pending and one.pid})

    @property
    def programs(self) -> int:
        """How many logs for it living processes have."""
        return sum(one.is_owned for one in self.waiting)

    @property
    def problems(self) -> list[str]:
        """What cannot be counted, for it cannot be read."""
        return [one.problem for one in self.waiting if one.problem]

    @property
    def is_any(self) -> bool:
        """Whether anything waits, or may."""
        return any(one.is_anything for one in self.waiting)

    @property
    def is_worth_a_line(self) -> bool:
        """Whether there is anything to say: something waits, was refused, or may still come."""
        return self.is_any or bool(self.programs or self.letters)

    @property
    def bytes(self) -> int:
        """How many bytes the logs with it have."""
        return sum(one.bytes for one in self.waiting)

    @property
    def oldest(self) -> str | None:
        """When the oldest process of those began."""
        times = [one.oldest for one in self.waiting if one.oldest is not None]
        return time_of(min(times)) if times else None

    @property
    def wait(self) -> waits.Wait | None:
        """Why the destination took nothing when it was tried last."""
        return waits.read(files.reader_key(self.name))

    def counted(self, number: int) -> str:
        """A number with what it counts."""
        return count_of(number, unit_of(self.name))

    def described(self) -> dict[str, Any]:
        """The entry as JSON says it."""
        wait = self.wait if self.is_any else None
        return {
            "destination": self.name,
            "unit": f"{unit_of(self.name)}s",
            "pending": self.left + self.theirs,
            "bytes": self.bytes,
            "oldest": self.oldest,
            "in_use": self.programs,
            "processes": self.pids,
            "dead": self.letters,
            "waits_for": None if wait is None else wait_described(wait),
            "problems": self.problems,
        }


def entries(letters: Sequence[DeadLetter] = ()) -> dict[str, Entry]:
    """What there is for each destination.

    Args:
        letters: The dead letters.
    """
    found: dict[str, Entry] = {}
    for one in survey(_spans_left):
        found.setdefault(one.destination, Entry(one.destination)).waiting.append(one)
    for letter in letters:
        found.setdefault(letter.destination, Entry(letter.destination)).letters += 1
    return found


def all_letters() -> list[DeadLetter]:
    """All dead letters, the oldest first.

    Raises:
        CommandError: The file of them is damaged.
    """
    try:
        return dead_letters.all_letters()
    except sqlite3.OperationalError:  # somebody else writes it
        raise
    except sqlite3.DatabaseError as error:
        raise CommandError(
            f"The dead letters cannot be read ({error}): `dotflow outbox drop --all` deletes them."
        ) from error


def chosen(given: str, found: dict[str, Entry]) -> Entry:
    """The destination that a person names, whole or by its address.

    Raises:
        CommandError: There is none, or there are several.
    """
    if given in found:
        return found[given]
    meant = [one for one in found.values() if given.rstrip("/") in one.name.split()]
    if len(meant) == 1:
        return meant[0]
    problem = "Several destinations have" if meant else "Nothing is kept for a destination with"
    names = ", ".join(repr(one.name) for one in meant or found.values()) or "none"
    raise CommandError(f"{problem} the address {given!r}. The destinations are: {names}.")


def _spans_left(lines: Lines, key: str, last_seen: float | None) -> int:
    # OpenTelemetry is loaded only where it is needed: it takes its time.
    from dotflow.otel.export.leaving.replay import spans_left

    return spans_left(lines, key, last_seen)


def named_by_environment(found: Iterable[Entry]) -> set[str]:
    """The names of the destinations that the environment names.

    Args:
        found: What is asked about: without an OTLP endpoint in it none is looked for.
    """
    destinations = (find_destination(dialect=dialect) for dialect in Dialect)
    names = {outbox_name(one) for one in destinations if one is not None}
    if any(one.is_otlp for one in found):
        from dotflow.otel.export.leaving.replay import endpoints_of_environment

        names |= endpoints_of_environment()
    return names


# In words.


def lines_of(entry: Entry, is_named: bool) -> list[str]:
    """What a person is told of a destination.

    Args:
        entry: What there is for it.
        is_named: Whether the environment names it.
    """
    parts = []
    pending = entry.left + entry.theirs
    if pending:
        parts.append(
            f"{entry.counted(pending)} wait ({entry.bytes} bytes of run log, the oldest of "
            f"{entry.oldest})"
        )
    elif not entry.problems:
        parts.append("nothing waits")
    parts += entry.problems
    if entry.programs and not entry.theirs:
        parts.append(f"{count_of(entry.programs, 'running program')} may report there")
    if entry.letters:
        parts.append(count_of(entry.letters, "dead letter"))
    told = [f"{entry.name}: {'; '.join(parts)}"]
    if entry.is_any:
        told += [f"  {line}" for line in _about(entry, is_named)]
    return told


def _about(entry: Entry, is_named: bool) -> list[str]:
    wait, told = entry.wait, []
    if wait is not None:
        told.append(words_of(wait))
    if entry.theirs:
        told.append(theirs_in_words(entry, wait))
    if entry.left or entry.problems:
        told.append(remedy_of(entry, is_named, wait))
    return told


def words_of(wait: waits.Wait) -> str:
    """Why a destination takes nothing, and since when."""
    since, tried = time_of(wait.since), time_of(wait.tried_at)
    if wait.mend is not None:
        what = f"it refuses the token of {wait.mend}"
    elif wait.until is not None:
        what = f"it asks to wait, until {time_of(wait.until)}"
    else:
        what = "it takes nothing"
    last = "" if since == tried else f" (tried last at {tried})"
    return f"since {since} {what}: {wait.why}{last}"


def theirs_in_words(entry: Entry, wait: waits.Wait | None) -> str:
    """Who sends what living processes have, and what that waits for."""
    who = f"process {', '.join(map(str, entry.pids))}" if entry.pids else "a running program"
    said = f"{entry.counted(entry.theirs)}: a running program sends them ({who})"
    if wait is not None and wait.mend is not None:
        return f"{said}; start that program again with another {wait.mend}"
    return f"{said}, and goes on trying"


def remedy_of(entry: Entry, is_named: bool, wait: waits.Wait | None = None) -> str:
    """What a person can do about what no living process sees to."""
    said = entry.counted(entry.left) if entry.left else "those"
    if entry.problems and not entry.left:
        return (
            "a later version of dotflow may read it; to delete it: "
            f"dotflow outbox drop --destination {_quoted(entry)}"
        )
    if is_named:
        first = f"set {wait.mend}, then " if wait is not None and wait.mend is not None else ""
        return f"{said}: no running program sends them; {first}run: dotflow outbox flush"
    return (
        f"{said}: {how_to_name(entry.name)}; then run: dotflow outbox flush; if the address is "
        f"gone: dotflow outbox send --destination {_quoted(entry)} --to URL, or dotflow outbox "
        f"drop --destination {_quoted(entry)}"
    )


def how_to_name(destination: str) -> str:
    """What has to be set for a destination to be sent to."""
    for dialect, variables in VARIABLES.items():
        if destination.startswith("dotflow-api ") and destination.endswith(f"({dialect.value})"):
            return f"set {variables[0]} to this address, and {variables[1]} to its token"
    is_for_logs = destination.startswith(OTLP_LOGS)
    return f"set {OTLP_LOGS_VARIABLE if is_for_logs else OTLP_VARIABLE} to this address"


def _quoted(entry: Entry) -> str:
    return f"'{entry.name}'"


def wait_described(wait: waits.Wait) -> dict[str, Any]:
    """A wait as JSON says it."""
    return {
        "why": wait.why,
        "since": time_of(wait.since),
        "tried_at": time_of(wait.tried_at),
        "until": None if wait.until is None else time_of(wait.until),
        "mend": wait.mend,
    }


def count_of(number: int, unit: str) -> str:
    """A number with its unit, as "1 message" or "2 messages"."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def time_of(seconds: float) -> str:
    """A time of the clock, as people and machines read it."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):  # the clock was far off
        return f"{seconds:.0f} s"


def is_in_trouble(entry: Entry, since: float) -> bool:
    """Whether a destination was tried since a time, and took nothing."""
    wait = entry.wait
    return wait is not None and wait.tried_at >= since


def say(line: str) -> None:
    """Write a line to standard output; names and ids in it command no terminal."""
    sys.stdout.write(f"{printable(line)}\n")
