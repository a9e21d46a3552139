"""The HTTP side: one message in, what became of it out."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import replace
from typing import Any

import requests
from requests.utils import default_headers
from urllib3.exceptions import HTTPError

from dotflow.delivery.dialect import BULK_PATH, UNNAMED, Destination, Dialect
from dotflow.delivery.fold.bodies import as_post, without_contexts, without_headers
from dotflow.delivery.headers import headers_of
from dotflow.delivery.http import bulk
from dotflow.delivery.http.answers import (
    LONGEST_RETRY_AFTER,
    Answer,
    failure,
    is_for_later,
    read_answer,
)
from dotflow.delivery.http.bounds import Call
from dotflow.delivery.http.connections import Connections
from dotflow.delivery.http.mask import masked
from dotflow.delivery.message import (
    Delivered,
    Instead,
    Kind,
    Message,
    NotSent,
    Outcome,
    Refused,
    TryLater,
)

MAX_ANSWER = 2**16
"""Bytes of an answer that are read: an id, or the server's reason."""

MAX_BULK_ANSWER = 2**22
"""The same of an answer to a bulk."""

BULK_SECONDS = 15.0
"""Seconds that a bulk has at least: the server may work on one for five, and wait besides."""

MAX_REASON = 300
"""Characters of the server's reason that are repeated."""

MAX_ID = 255
"""Characters of an id that is taken from the server."""

EVERYWHERE = frozenset({429, 502, 503, 504})
"""Statuses that speak of the server's state, not of the message's."""

OK, NOT_FOUND, REQUEST_TIMEOUT, CONFLICT, TOO_LARGE, HEADERS_TOO_LARGE, NOT_IMPLEMENTED = (
    200,
    404,
    408,
    409,
    413,
    431,
    501,
)
AUTH = frozenset({401, 403})

_JSON = {"Content-Type": "application/json"}


class Client:
    """Sends messages over kept-alive connections, one a thread.

    Proxies and CA bundles come from the environment, as `requests` reads it; `.netrc` is not read,
    because the token is what the server knows us by. Redirects are not followed, cookies not kept.
    A call ends within twice its timeout, and costs little memory, whatever the server does.

    Args:
        destination: Where to.

    Attributes:
        date: What the header of that name says in the last answer.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.name = f"dotflow-api at {destination.url}"
        self.timeout = destination.timeout
        self._headers = _default_headers(destination)
        self._portion = bulk.Portion()
        self._local = threading.local()
        self._connections: list[Connections] = []
        self._names_tasks = False
        self.date = ""

    def use(self, token: str) -> bool:
        """Go on with another token; any thread may call it. Whether it is another.

        Args:
            token: What the server knows us by from the next call on.
        """
        if token == self.destination.token:
            return False
        self.destination = replace(self.destination, token=token)
        self._headers = _default_headers(self.destination)
        return True

    @property
    def bulk_limit(self) -> int:
        """How many messages one call may take; 0 as long as the server has not said so."""
        return self._portion.limit

    def send(
        self, message: Message, server_id: str | None = None, timeout: float | None = None
    ) -> Outcome:
        """Send one message; called by the relay's threads.

        Args:
            message: The message.
            server_id: The id that the server gave to the task, if it gave one.
            timeout: Seconds for the call; the destination's without them.
        """
        method, path = self.destination.route(message, server_id)
        try:
            answer = self._call(method, path, message.body, _headers(message), timeout)
        except _Failed as failed:
            return failed.outcome
        return self._outcome(message, answer)

    def send_bulk(self, messages: list[Message], timeout: float | None = None) -> list[Outcome]:
        """Send several messages in one call, in order; called by the relay's threads.

        Args:
            messages: The messages; as many as `bulk_limit` allows.
            timeout: Seconds for the call; enough for a bulk without them.

        Returns:
            What became of each. Of those that the server did not come to nothing is known.
        """
        seconds = max(self.timeout, BULK_SECONDS) if timeout is None else timeout
        size = len(messages)
        try:
            answer = self._call(
                "POST", BULK_PATH, bulk.body_of(messages), _JSON, seconds, MAX_BULK_ANSWER
            )
        except _Failed as failed:
            if failed.outcome.is_too_much:
                self._portion.was_too_slow(size)
            return [failed.outcome] * size
        if _is_success(answer.status):
            return self._outcomes(messages, answer)
        return [self._no_bulk(answer, size)] * size

    def delete(self, workflow: str, timeout: float) -> Outcome:
        """Ask the server to delete the record of a workflow, with its tasks.

        Args:
            workflow: The id of the workflow.
            timeout: Seconds for the call.

        Returns:
            Delivered, or why not; Refused where the server deletes nothing.
        """
        try:
            answer = self._call(
                "DELETE", self.destination.workflow_path(workflow), None, {}, timeout
            )
        except _Failed as failed:
            return failed.outcome
        if _is_success(answer.status):
            return Delivered()
        if is_for_later(answer.status) and answer.status != NOT_IMPLEMENTED:
            return TryLater(self._reason(answer), answer.after)
        return Refused(answer.status, self._reason(answer))

    def next_task_id(self, workflow: str, timeout: float) -> int:
        """Ask the server for the first free task number of a workflow.

        Args:
            workflow: The id of the workflow.
            timeout: Seconds for the call.

        Raises:
            requests.HTTPError: It answered with a status that another try would not change.
            requests.exceptions.InvalidJSONError: It answered something that is no number.
            requests.ConnectionError: It gave no answer, or asks to come again.
        """
        path = self.destination.next_task_id_path(workflow)
        try:
            answer = self._call("GET", path, None, {}, timeout)
        except _Failed as failed:
            # Not the error itself: its text may hold a proxy's password.
            raise requests.ConnectionError(failed.outcome.reason) from None
        if is_for_later(answer.status):
            raise requests.ConnectionError(self._reason(answer))
        if answer.status != OK:
            raise requests.HTTPError(self._reason(answer))
        said = answer.body if isinstance(answer.body, dict) and not answer.foreign else {}
        number = said.get("next_id")
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise requests.exceptions.InvalidJSONError('no "next_id" in the answer')
        return number

    def renewed(self) -> Client:
        """One for a forked child, which lets go of its copies of the parent's connections."""
        for one in list(self._connections):
            one.let_go()
        return Client(self.destination)

    def release(self) -> None:
        """Close the connection of this thread; a later call opens another."""
        connections: Connections | None = getattr(self._local, "connections", None)
        if connections is None:
            return
        del self._local.connections
        with contextlib.suppress(ValueError):  # close() was quicker
            self._connections.remove(connections)
        connections.close()

    def close(self) -> None:
        """Close the connections of all threads."""
        everything, self._connections = self._connections, []
        for connections in everything:
            connections.close()
        self._local = threading.local()

    # What an answer means.

    def _outcome(self, message: Message, answer: Answer) -> Outcome:
        status = answer.status
        if _is_success(status) or (status == CONFLICT and message.kind.is_post):
            if answer.foreign:
                return TryLater(_not_dotflows(answer), everywhere=True)
            return Delivered(self._given_id(message, answer.body))
        if status in AUTH:
            mend = self.destination.token_variable
            return TryLater(self._reason(answer), everywhere=True, mend=mend)
        if is_for_later(status):
            return TryLater(self._reason(answer), answer.after, everywhere=status in EVERYWHERE)
        other = self._other(message, status)
        return Refused(status, self._reason(answer)) if other is None else Instead(other)

    def _outcomes(self, messages: list[Message], answer: Answer) -> list[Outcome]:
        """What became of a bulk's messages, if its answer has a list of answers."""
        found = bulk.answers_of(answer.body, len(messages))
        if answer.status != OK or answer.foreign or found is None:
            self._portion.give_up()
            return [Instead(message) for message in messages]  # alone, and unchanged
        outcomes = [self._of_item(*both) for both in zip(messages, found, strict=False)]
        self._portion.went_well(len(messages))
        return outcomes + [NotSent()] * (len(messages) - len(outcomes))

    def _of_item(self, message: Message, item: dict[str, Any]) -> Outcome:
        if item["status"] == bulk.FAILED_DEPENDENCY:
            return NotSent()
        after = item.get("retry_after")
        seconds = None
        if isinstance(after, (int, float)) and 0 <= after <= LONGEST_RETRY_AFTER:
            seconds = float(after)
        return self._outcome(message, Answer(item["status"], item.get("body"), seconds))

    def _no_bulk(self, answer: Answer, size: int) -> Outcome:
        """What becomes of a bulk's messages if the server did not take the bulk itself."""
        if answer.status == TOO_LARGE:
            self._portion.was_too_large(size)
            return NotSent()
        if is_for_later(answer.status):
            if answer.status == REQUEST_TIMEOUT:
                self._portion.was_too_slow(size)
            is_everywhere = answer.status in EVERYWHERE
            return TryLater(self._reason(answer), answer.after, everywhere=is_everywhere)
        # It may take the messages one by one: the single calls find out.
        self._portion.give_up()
        return NotSent()

    def _other(self, message: Message, status: int) -> Message | None:
        """A message that the server may take in place of one that it refuses."""
        if status == TOO_LARGE:
            smaller = without_contexts(message)
            return smaller if len(smaller.body) < len(message.body) else None
        if status == HEADERS_TOO_LARGE and message.headers:
            return without_headers(message)
        # In the managed dialect it is others who make the record.
        unknown = status == NOT_FOUND and message.kind is Kind.WORKFLOW_OPEN
        if unknown and self.destination.dialect is Dialect.DEFAULT:
            return as_post(message)
        return None

    def _given_id(self, message: Message, answer: Any) -> str | None:
        """The id that the server gave to a task, in the dialect that asks for it later."""
        if message.kind is not Kind.TASK_POST or self.destination.dialect is not Dialect.DEFAULT:
            return None
        given = _usable_id(answer.get("id") if isinstance(answer, dict) else None)
        if given is not None:
            self._names_tasks = True
        elif self._names_tasks:
            return UNNAMED
        return given

    def _reason(self, answer: Answer) -> str:
        return f"{answer.status} {self._said(answer.body)}".strip()

    def _said(self, answer: Any) -> str:
        """The server's own words, short enough for a line, without the token it may repeat."""
        try:
            text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        except RecursionError:
            return ""
        text = masked(text, self.destination.token, is_cut=len(text) >= MAX_ANSWER // 4)
        return " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_REASON]).split())

    # Calls.

    def _call(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str],
        timeout: float | None = None, most: int = MAX_ANSWER,
    ) -> Answer:  # fmt: skip
        """Make one call.

        Raises:
            _Failed: There was no answer.
        """
        seconds = max(0.001, self.timeout if timeout is None else timeout)
        with Call(seconds, most) as call:
            try:
                connections = self._mine()
                headers = {**self._headers, **headers}
                with connections.call(method, path, body, headers, seconds) as response:
                    answer = read_answer(response, most)
                    self.date = response.headers.get("Date", "")
                    self._portion.learn(response.headers.get(bulk.HEADER))
                    return answer
            except (OSError, HTTPError) as error:  # what requests raises is an OSError
                outcome = failure(error, call)
        raise _Failed(outcome)

    def _mine(self) -> Connections:
        """The connections of this thread; made by its first call."""
        connections: Connections | None = getattr(self._local, "connections", None)
        if connections is None:
            connections = self._local.connections = Connections(self.destination.url)
            self._connections.append(connections)
        return connections


class _Failed(Exception):
    """A call got no answer."""

    def __init__(self, outcome: TryLater) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def _default_headers(destination: Destination) -> dict[str, str]:
    """The headers that all calls have."""
    name, value = destination.auth_header
    return {**default_headers(), "Accept-Encoding": "identity", name: value}


def _headers(message: Message) -> dict[str, str]:
    """The headers of one message."""
    headers = {**headers_of(message.headers), **_JSON, "Idempotency-Key": message.id}
    if message.times:
        headers["Dotflow-Times"] = message.times
    headers.update(bulk.run_headers(message))
    return headers


def _usable_id(given: Any) -> str | None:
    """An id as a text; None of what is none, or cannot be a part of an address."""
    if not isinstance(given, (str, int)) or isinstance(given, bool):
        return None
    text = str(given)
    # It is kept too: so nothing long, and nothing that hides.
    return text if 0 < len(text) <= MAX_ID and text.isprintable() else None


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004


def _not_dotflows(answer: Answer) -> str:
    return f"{answer.status}, but the answer is {answer.foreign}, which is no dotflow-api's"
