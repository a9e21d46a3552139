"""What a deployment changes: found by looking, shown, and done in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dotflow.utils.masking import MASK, SECRET, masked_by_default, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Document = dict[str, Any]

CREATE, UPDATE, DELETE, KEEP = "create", "update", "delete", "keep"

LONGEST = 200
"""Characters of a value that are shown."""

VALUE = "].value"
"""How the path of a variable's value ends."""

WHOLE = frozenset({"trust", "policy", "awsvpcConfiguration"})
"""Documents to which no service adds anything: what is not wanted in them has to go."""


class Thing(Protocol):
    """Something at Amazon that a deployment looks after.

    Attributes:
        kind: What it is, as "role".
        name: What it is called there.
        wanted: How it is to be; None: it is not to be there.
    """

    kind: str
    name: str
    wanted: Document | None

    def read(self) -> Document | None:
        """How it is, in the form of `wanted`; None: it is not there."""

    def write(self, now: Document | None) -> None:
        """Make it, or make of it what is wanted."""

    def delete(self) -> None:
        """Take it away."""


@dataclass(frozen=True)
class Change:
    """What is to be done with one thing.

    Args:
        thing: The thing.
        now: How it is.
        action: "create", "update", "delete" or "keep".
        lines: What differs.
    """

    thing: Thing
    now: Document | None
    action: str
    lines: tuple[str, ...] = field(default=())

    def carry_out(self) -> None:
        """Do it."""
        if self.action == DELETE:
            self.thing.delete()
        elif self.action != KEEP:
            self.thing.write(self.now)


def changes(things: Sequence[Thing]) -> list[Change]:
    """What is to be done, in the order in which it is done: first what others need.

    Args:
        things: In that order. What is not wanted goes at the end, last things first.
    """
    found = [_change(thing) for thing in things]
    gone = [one for one in found if one.action == DELETE]
    return [one for one in found if one.action != DELETE] + gone[::-1]


def _change(thing: Thing) -> Change:
    now = thing.read()
    if thing.wanted is None:
        return Change(thing, now, KEEP if now is None else DELETE)
    if now is None:
        return Change(thing, None, CREATE, tuple(shown(thing.wanted)))
    lines = tuple(differences(now, thing.wanted))
    return Change(thing, now, UPDATE if lines else KEEP, lines)


def differences(now: Any, wanted: Any, path: str = "", is_whole: bool = False) -> Iterator[str]:
    """Each value that is to be another, with its path.

    What a service adds of its own is no difference: as a rule only what is wanted is compared.

    Args:
        now: How it is.
        wanted: How it is to be.
        path: Where this is.
        is_whole: Whether what is there beside what is wanted has to go.
    """
    if now is None:
        yield from shown(wanted, path) if wanted else ()
    elif isinstance(wanted, dict) and isinstance(now, dict):
        for key, value in wanted.items():
            yield from differences(
                now.get(key), value, _joined(path, key), is_whole or key in WHOLE
            )
        for key in [key for key in now if is_whole and key not in wanted and now[key]]:
            yield f"{_joined(path, key)}: goes"
    elif isinstance(wanted, list) and isinstance(now, list):
        yield from _of_lists(now, wanted, path, is_whole)
    elif now != wanted:
        yield f"{path}: {_text(now, path)} -> {_text(wanted, path)}"


def _of_lists(now: list[Any], wanted: list[Any], path: str, is_whole: bool) -> Iterator[str]:
    have, want = _named(now), _named(wanted)
    if have is None or want is None:
        if len(now) != len(wanted):
            yield f"{path}: {_text(now, path)} -> {_text(wanted, path)}"
            return
        have, want = dict(enumerate(now)), dict(enumerate(wanted))
    for name, one in want.items():
        yield from differences(have.get(name), one, f"{path}[{name}]", is_whole)
    for name in [name for name in have if name not in want]:
        yield f"{path}[{name}]: goes"


def _named(items: list[Any]) -> dict[Any, Any] | None:
    """The dicts of a list by their names, for services keep no order of such."""
    found = {one.get("name"): one for one in items if isinstance(one, dict)}
    return found if len(found) == len(items) and None not in found else None


def shown(value: Any, path: str = "") -> Iterator[str]:
    """Each value with its path.

    Args:
        value: A document, or a part of one.
        path: Where it is.
    """
    if isinstance(value, dict):
        for key, one in value.items():
            if key != "name" or not path.endswith(f"[{one}]"):  # which the path has
                yield from shown(one, _joined(path, key))
    elif isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value):
        for number, one in enumerate(value):
            name = one.get("name", number) if isinstance(one, dict) else number
            yield from shown(one, f"{path}[{name}]")
    else:
        yield f"{path}: {_text(value, path)}"


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _text(value: Any, path: str) -> str:
    """A value as it may be seen, also where somebody has put a secret into a variable."""
    if isinstance(value, list):
        return " ".join(_text(one, path) for one in value)
    text = str(value).replace("\n", "\\n")
    # A full name may be seen, and is no text in which "secret:" means that one follows.
    if path.endswith(VALUE) and not text.startswith("arn:"):
        text = MASK if verdict(path) & SECRET else masked_by_default(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
