"""The HTTP side: one message in, what became of it out."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import NewConnectionError

from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.message import Delivered, Kind, Message, Outcome, Refused, TryLater
from dotflow.delivery.untraced import untraced

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ANSWER = 2**16
"""Bytes of an answer that are read: an id, or the server's reason."""

MAX_REASON = 300
"""Characters of the server's reason that are repeated."""

LONGEST_RETRY_AFTER = 3600
"""Seconds that a Retry-After is believed."""

MAX_DIGITS = 9

LATER = frozenset({408, 425, 429})
EVERYWHERE = frozenset({429, 502, 503, 504})
"""Statuses that speak of the server's state, not of the message's."""

NOT_FOUND, CONFLICT, TOO_LARGE = 404, 409, 413
AUTH = frozenset({401, 403})


class TooLargeError(Exception):
    """The server finds the body too large; there may be a smaller one."""


class Client:
    """Sends messages over kept-alive connections, one session a thread.

    Proxies, CA bundles and the like come from the environment, as `requests` reads it; `.netrc`
    is not read, for the token is what we are known by. Redirects are not followed.

    Args:
        destination: Where to.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def send(
        self, message: Message, server_id: str | None = None, timeout: float | None = None
    ) -> Outcome:
        """Send one message; called by the relay's threads.

        Args:
            message: The message.
            server_id: The id that the server gave to the task, where it gave one.
            timeout: Seconds for the call; the destination's without them.

        Raises:
            TooLargeError: The server answered 413.
        """
        method, url = self.destination.route(message, server_id)
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        try:
            status, answer, after = self._call(method, url, message.body, headers, timeout)
        except requests.RequestException as error:
            return _failure(error)
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
        status, answer, _ = self._call("GET", url, None, {}, timeout)
        reason = f"{status} {self._said(answer)}".strip()
        if status in LATER or status >= 500:  # noqa: PLR2004
            raise requests.ConnectionError(reason)
        if status != requests.codes.ok:
            raise requests.HTTPError(reason)
        number = answer.get("next_id") if isinstance(answer, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise requests.exceptions.InvalidJSONError('no "next_id" in the answer')
        return number

    def release(self) -> None:
        """Close the connection of this thread; a later call opens another."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            return
        del self._local.session
        with self._lock:
            if session in self._sessions:
                self._sessions.remove(session)
        session.close()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
        self._local = threading.local()

    def _outcome(self, message: Message, status: int, answer: Any, after: float | None) -> Outcome:
        if 200 <= status < 300 or (status == CONFLICT and message.kind.is_post):  # noqa: PLR2004
            return Delivered(self._given_id(message, answer))
        reason = f"{status} {self._said(answer)}".strip()
        if status in AUTH:
            return TryLater(reason, everywhere=True, mend=self.destination.token_variable)
        if status in LATER or status >= 500:  # noqa: PLR2004
            return TryLater(reason, after, everywhere=status in EVERYWHERE)
        if status == TOO_LARGE:
            raise TooLargeError(reason)
        return Refused(status, reason)

    def _given_id(self, message: Message, answer: Any) -> str | None:
        """The id that the server gave to a task, in the dialect that asks for it later."""
        if message.kind is not Kind.TASK_POST or self.destination.dialect is not Dialect.DEFAULT:
            return None
        given = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(given, (str, int)) or isinstance(given, bool):
            return None
        return str(given) or None

    def _said(self, answer: Any) -> str:
        """The server's own words, short enough for a line, without the token it may repeat."""
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        text = text.replace(self.destination.token, "[token]")[:MAX_REASON]
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    def _call(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str],
        timeout: float | None = None,
    ) -> tuple[int, Any, float | None]:  # fmt: skip
        """Make one call: the status, the answer parsed where it is JSON, and Retry-After."""
        seconds = self.destination.timeout if timeout is None else timeout
        deadline = time.monotonic() + 2 * seconds
        session, settings = self._session()
        request = requests.PreparedRequest()
        request.prepare(method, url, {**session.headers, **headers}, data=body, auth=session.auth)
        with (
            untraced(),
            session.send(
                request, timeout=max(0.001, seconds), allow_redirects=False, **settings
            ) as response,
        ):
            raw = _read(response, deadline)
            return response.status_code, _parsed(raw), _retry_after(response.headers)

    def _session(self) -> tuple[requests.Session, Mapping[str, Any]]:
        """The session of this thread, and what the environment says of proxies and CA bundles.

        `requests` would look that up in the environment for each call, which costs as much as the
        call itself.
        """
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.auth = _Token(*self.destination.auth_header)
            # Answers are short: compressed ones are only a way to make us unpack long ones.
            session.headers["Accept-Encoding"] = "identity"
            adapter = _Adapter(pool_connections=1, pool_maxsize=1)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            self._local.session = session
            self._local.settings = session.merge_environment_settings(
                self.destination.url, {}, stream=True, verify=None, cert=None
            )
            with self._lock:
                self._sessions.append(session)
        return session, self._local.settings


class _Adapter(HTTPAdapter):
    """Closes its connections at once; urllib3 would wait for a garbage collection."""

    def close(self) -> None:
        """Close all connections."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - no dict, but like one
                manager.pools[key].close()
        super().close()


class _Token(AuthBase):
    """Puts the token into the request; as `auth`, so that `.netrc` does not put in another."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._name] = self._value
        return request


def _read(response: requests.Response, deadline: float) -> bytes:
    """The first MAX_ANSWER bytes of an answer.

    Raises:
        requests.ReadTimeout: The server is still at it at a time of the monotonic clock.
        requests.ConnectionError: It did not end what it began.
    """
    raw = bytearray()
    try:
        # read() alone would wait for all of its bytes, each within the time for one.
        take = getattr(response.raw, "read1", response.raw.read)
        while len(raw) < MAX_ANSWER and (part := take(MAX_ANSWER - len(raw))):
            raw += part
            if time.monotonic() > deadline:
                break
        else:
            return bytes(raw)
    except Exception as error:
        raise requests.ConnectionError(f"while reading the answer: {error}") from error
    raise requests.ReadTimeout("the answer has no end")


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _failure(error: requests.RequestException) -> TryLater:
    """What kind of failure it was; not its text, which holds addresses of objects.

    A server that cannot be reached can be reached by no message; one that breaks off, or takes
    too long, may have done so over this one.
    """
    if isinstance(error, requests.ConnectTimeout) or _no_connection(error):
        return TryLater("the server could not be reached", everywhere=True)
    if isinstance(error, requests.exceptions.SSLError):
        return TryLater("the server's certificate could not be verified", everywhere=True)
    if isinstance(error, requests.Timeout):
        return TryLater("the server did not answer in time")
    if isinstance(error, requests.ConnectionError):
        return TryLater("the server broke off the connection")
    return TryLater(type(error).__name__)


def _no_connection(error: requests.RequestException) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.exceptions.ProxyError) or isinstance(
        getattr(cause, "reason", None), NewConnectionError
    )


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
