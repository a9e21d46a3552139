"""Several messages in one call: how they are written, and how many of them there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.delivery.dialect import bulk_route
from dotflow.delivery.headers import headers_of
from dotflow.delivery.http.answers import MAX_DIGITS
from dotflow.utils.json_text import encoder_of

if TYPE_CHECKING:
    from dotflow.delivery.message import Message

HEADER = "Dotflow-Bulk"
"""The header in which a server says how many messages it takes in one call."""

MOST = 200
"""Messages that one bulk has at most. More of them cost the server and us as much, and memory."""

FAILED_DEPENDENCY = 424

_encode = encoder_of()


class Portion:
    """How many messages one bulk may have: the server says so, it is never guessed.

    Several threads use it; each of its numbers may be an older one for a moment.
    """

    def __init__(self) -> None:
        self._said = 0
        self._largest = MOST
        self._quickest = MOST
        self._is_given_up = False

    @property
    def limit(self) -> int:
        """How many messages the next bulk may have; 0 if there is to be none."""
        if self._is_given_up:
            return 0
        return min(self._said, self._largest, self._quickest)

    def learn(self, said: str | None) -> None:
        """Note what the server says of bulks in an answer.

        Args:
            said: The value of the header; None if the answer has none.
        """
        if said is not None and said.isascii() and said.strip().isdigit():
            self._said = int(said.strip()[:MAX_DIGITS])

    def was_too_large(self, size: int) -> None:
        """Halve the portion for good: the server does not take so many bytes."""
        self._largest = max(1, min(self._largest, size) // 2)

    def was_too_slow(self, size: int) -> None:
        """Halve the portion until bulks are answered in time again."""
        self._quickest = max(1, min(self._quickest, size) // 2)

    def went_well(self, size: int) -> None:
        """Let the portion grow again after a full bulk that was answered in time."""
        if size >= self._quickest:
            self._quickest = min(MOST, self._quickest * 2)

    def give_up(self) -> None:
        """Send no bulk any more."""
        self._is_given_up = True


def body_of(messages: list[Message]) -> bytes:
    """The body of a bulk; each message's own body is in it as it is."""
    return b'{"items":[' + b",".join(map(_item, messages)) + b"]}"


def answers_of(body: Any, size: int) -> list[dict[str, Any]] | None:
    """The answers to a bulk's items, in order; None if it has no list of answers.

    Args:
        body: The parsed answer.
        size: How many items there were: there may be fewer answers, but at least one.
    """
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= size:
        return None
    if not all(isinstance(item, dict) and type(item.get("status")) is int for item in items):
        return None
    if all(item["status"] == FAILED_DEPENDENCY for item in items):
        return None  # the next bulk would come no further
    return items


def _item(message: Message) -> bytes:
    method, path = bulk_route(message)
    said = {
        "method": method, "path": path, "idempotency_key": message.id,
        "headers": {**headers_of(message.headers), **run_headers(message)},
    }  # fmt: skip
    times = f',"times":{message.times}' if message.times else ""
    return f"{_encode(said)[:-1]}{times},".encode() + b'"body":' + message.body + b"}"


def run_headers(message: Message) -> dict[str, str]:
    """The headers that say which run a message speaks of."""
    found: dict[str, str] = {}
    if message.run and (message.is_opening or not message.is_posthumous):
        found["Dotflow-Opens"] = message.run
    if message.run and message.is_posthumous:
        found["Dotflow-Run"] = message.run
    return found
