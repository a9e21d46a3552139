"""The HTTP side: one message in, what became of it out."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import requests
from requests.utils import default_headers
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError

from dotflow.delivery.bodies import as_post, without_contexts
from dotflow.delivery.connections import Adapter, Call
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.headers import headers_of
from dotflow.delivery.mask import masked
from dotflow.delivery.message import (
    Delivered,
    Instead,
    Kind,
    Message,
    Outcome,
    Refused,
    TryLater,
    new_id,
)
from dotflow.delivery.untraced import untraced

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ANSWER = 2**16
"""Bytes of an answer that are read: an id, or the server's reason."""

MAX_REASON = 300
"""Characters of the server's reason that are repeated."""

MAX_ID = 255
"""Characters of an id that is taken from the server."""

LONGEST_RETRY_AFTER = 3600
"""Seconds that a Retry-After is believed."""

MAX_DIGITS = 9

LATER = frozenset({408, 425, 429})
EVERYWHERE = frozenset({429, 502, 503, 504})
"""Statuses that speak of the server's state, not of the message's."""

NOT_FOUND, CONFLICT, TOO_LARGE, HEADERS_TOO_LARGE = 404, 409, 413, 431
AUTH = frozenset({401, 403})


class Client:
    """Sends messages over kept-alive connections, one a thread.

    Proxies, CA bundles and the like come from the environment, as `requests` reads it; `.netrc`
    is not read, for the token is what we are known by. Redirects are not followed, cookies not
    kept. A call ends within twice its timeout, and costs little memory, whatever the server does.

    Args:
        destination: Where to.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.name = f"dotflow-api at {destination.url}"
        self.timeout = destination.timeout
        self._local = threading.local()
        self._adapters: list[Adapter] = []
        self._lock = threading.Lock()

    def send(
        self, message: Message, server_id: str | None = None, timeout: float | None = None
    ) -> Outcome:
        """Send one message; called by the relay's threads.

        Args:
            message: The message.
            server_id: The id that the server gave to the task, where it gave one.
            timeout: Seconds for the call; the destination's without them.
        """
        method, url = self.destination.route(message, server_id)
        headers = {
            **headers_of(message.headers),
            "Content-Type": "application/json",
            "Idempotency-Key": message.id,
        }
        try:
            status, answer, after = self._call(method, url, message.body, headers, timeout)
        except _Failed as failed:
            return failed.outcome
        return self._outcome(message, status, answer, after)

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
        url = self.destination.next_task_id_url(workflow)
        try:
            status, answer, _ = self._call("GET", url, None, {}, timeout)
        except _Failed as failed:
            # Not what requests raised: its text may hold a proxy's password, its request the token.
            raise requests.ConnectionError(failed.outcome.reason) from None
        reason = f"{status} {self._said(answer)}".strip()
        if _is_for_later(status):
            raise requests.ConnectionError(reason)
        if status != requests.codes.ok:
            raise requests.HTTPError(reason)
        number = answer.get("next_id") if isinstance(answer, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise requests.exceptions.InvalidJSONError('no "next_id" in the answer')
        return number

    def renewed(self) -> Client:
        """One for a forked child: the parent's connections are only forgotten, not closed."""
        return Client(self.destination)

    def release(self) -> None:
        """Close the connection of this thread; a later call opens another."""
        adapter: Adapter | None = getattr(self._local, "adapter", None)
        if adapter is None:
            return
        del self._local.adapter
        with self._lock:
            if adapter in self._adapters:
                self._adapters.remove(adapter)
        adapter.close()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            adapters, self._adapters = self._adapters, []
        for adapter in adapters:
            adapter.close()
        self._local = threading.local()

    def _outcome(self, message: Message, status: int, answer: Any, after: float | None) -> Outcome:
        if 200 <= status < 300 or (status == CONFLICT and message.kind.is_post):  # noqa: PLR2004
            return Delivered(self._given_id(message, answer))
        reason = f"{status} {self._said(answer)}".strip()
        if status in AUTH:
            return TryLater(reason, everywhere=True, mend=self.destination.token_variable)
        if _is_for_later(status):
            return TryLater(reason, after, everywhere=status in EVERYWHERE)
        other = self._other(message, status)
        return Refused(status, reason) if other is None else Instead(other)

    def _other(self, message: Message, status: int) -> Message | None:
        """A message that the server may take in place of one that it refuses."""
        if status == TOO_LARGE:
            smaller = without_contexts(message)
            return smaller if len(smaller.body) < len(message.body) else None
        if status == HEADERS_TOO_LARGE and message.headers:
            return replace(message, headers="", id=new_id())
        # In the managed dialect it is others who make the record.
        unknown = status == NOT_FOUND and message.kind is Kind.WORKFLOW_OPEN
        if unknown and self.destination.dialect is Dialect.DEFAULT:
            return as_post(message)
        return None

    def _given_id(self, message: Message, answer: Any) -> str | None:
        """The id that the server gave to a task, in the dialect that asks for it later."""
        if message.kind is not Kind.TASK_POST or self.destination.dialect is not Dialect.DEFAULT:
            return None
        given = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(given, (str, int)) or isinstance(given, bool):
            return None
        text = str(given)
        # It is kept, and becomes a part of an address: so nothing long, and nothing that hides.
        return text if 0 < len(text) <= MAX_ID and text.isprintable() else None

    def _said(self, answer: Any) -> str:
        """The server's own words, short enough for a line, without the token it may repeat."""
        try:
            text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        except RecursionError:
            return ""
        text = masked(text, self.destination.token, is_cut=len(text) >= MAX_ANSWER // 4)
        return " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_REASON]).split())

    def _call(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str],
        timeout: float | None = None,
    ) -> tuple[int, Any, float | None]:  # fmt: skip
        """Make one call: the status, the answer parsed where it is JSON, and Retry-After.

        Raises:
            _Failed: There was no answer.
        """
        seconds = max(0.001, self.destination.timeout if timeout is None else timeout)
        with untraced(), Call(seconds) as call:
            try:
                adapter, settings = self._adapter()
                request = self._request(method, url, body, headers)
                with adapter.send(request, timeout=seconds, **settings) as response:
                    answer = _parsed(_read(response.raw))
                    return response.status_code, answer, _retry_after(response.headers)
            except (OSError, HTTPError) as error:  # what requests raises is an OSError
                outcome = _failure(error, call)
        raise _Failed(outcome)

    def _request(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str]
    ) -> requests.PreparedRequest:
        name, value = self.destination.auth_header
        own = {**default_headers(), "Accept-Encoding": "identity", name: value, **headers}
        request = requests.PreparedRequest()
        request.prepare(method, self.destination.url, own, data=body)
        # Not prepared, for that would make a dot of %2E, and two of them take away a folder.
        path = url.removeprefix(self.destination.url)
        request.url = (request.url or "").rstrip("/") + path
        return request

    def _adapter(self) -> tuple[Adapter, Mapping[str, Any]]:
        """The connections of this thread, and what the environment says of proxies and CA bundles.

        `requests` would look that up in the environment for each call, which costs as much as the
        call itself.
        """
        adapter: Adapter | None = getattr(self._local, "adapter", None)
        if adapter is None:
            adapter = self._local.adapter = Adapter()
            self._local.settings = requests.Session().merge_environment_settings(
                self.destination.url, {}, stream=True, verify=None, cert=None
            )
            with self._lock:
                self._adapters.append(adapter)
        return adapter, self._local.settings


class _Failed(Exception):
    """A call got no answer."""

    def __init__(self, outcome: TryLater) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def _read(answer: Any) -> bytes:
    """The first MAX_ANSWER bytes, as they came: what was compressed is not unpacked."""
    raw, part = b"", b"-"
    try:
        # The last of the reads finds out whether the answer is complete.
        while part and len(raw) < MAX_ANSWER:
            part = answer.read(MAX_ANSWER - len(raw), decode_content=False)
            raw += part
    except ValueError as error:  # http.client, of a chunk whose length is below 0
        raise ProtocolError("a chunk that is none") from error
    if not part and answer.length_remaining:  # urllib3 says so only from 2.0 on
        raise ProtocolError("not all of it came")
    return raw


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _is_for_later(status: int) -> bool:
    """Whether the same message may be taken another time."""
    # An interim status is no answer: what was to follow did not.
    return status in LATER or status >= 500 or status < 200  # noqa: PLR2004


def _failure(error: Exception, call: Call) -> TryLater:
    """What kind of failure it was; not its text, which holds addresses of objects, or secrets.

    A server that cannot be reached can be reached by no message; one that breaks off, or takes
    too long, may have done so over this one.
    """
    causes = _causes(error)
    why = _unusable(error) or _untrusted(error, causes, call)
    if why is not None:
        return TryLater(why, everywhere=True)
    unreached = (requests.ConnectTimeout, requests.exceptions.ProxyError, NewConnectionError)
    if call.is_connecting or any(isinstance(one, unreached) for one in causes):
        return TryLater("the server could not be reached", everywhere=True)
    if call.is_too_long:
        return TryLater("the server's answer is too long")
    if any(isinstance(one, (TimeoutError, requests.Timeout)) for one in causes):
        return TryLater("the server did not answer in time")
    return TryLater("the server broke off the connection")


def _unusable(error: Exception) -> str | None:
    """What keeps requests from making any call: of the environment, or of the address."""
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        # Its text may hold a proxy's password.
        return "no call could be made: the address, or a proxy of the environment, cannot be used"
    if not isinstance(error, (requests.RequestException, HTTPError)):
        return f"no call could be made: {error}"  # a CA bundle that is not there
    return None


def _untrusted(error: Exception, causes: list[BaseException], call: Call) -> str | None:
    """What is wrong with the server's TLS; None where it was trusted, or has none."""
    tls = [one for one in causes if isinstance(one, ssl.SSLError)]
    for one in tls:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"the server's certificate could not be verified: {one.verify_message}"
    if not call.is_connecting:  # it broke off, if in a way of TLS
        return None
    if tls:
        return f"no TLS connection could be made: {tls[0].reason or 'no reason was given'}"
    if isinstance(error, requests.exceptions.SSLError):  # urllib3 1 compares the names itself
        return "the server's certificate could not be verified: hostname mismatch"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and all that it came from: urllib3 keeps some of it as arguments."""
    found = [error]
    for one in found:
        others = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        found += [
            other for other in others if isinstance(other, BaseException) and other not in found
        ]
    return found


def _retry_after(headers: Any) -> float | None:
    """Seconds that a Retry-After header asks for, given in seconds or as a date (RFC 9110)."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(LONGEST_RETRY_AFTER, int(value[:MAX_DIGITS])))
    try:
        at = parsedate_to_datetime(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=timezone.utc)
        seconds = (at - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(float(LONGEST_RETRY_AFTER), max(0.0, seconds))
