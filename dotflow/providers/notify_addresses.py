"""Addresses of people and programs, as Apprise understands them: `slack://...`, `mailto://...`.

An address holds a token or a password, so none is ever said: a line names its place in the list
and its service. What Apprise and the HTTP library log while they work for us is left out, for it
has addresses in it; the reason of a failure is kept, without any part of the address.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from dotflow.core.exception import ModuleNotFound
from dotflow.delivery.http.untraced import untraced
from dotflow.utils.masking import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")

SHORTEST_PART = 4
"""Characters from which on a part of an address may be a secret."""

LONGEST_REASON = 200

_BETWEEN = re.compile(r"[\s,]+(?=[a-zA-Z0-9]+://)")
_PARTS = re.compile(r"[/:@?&=#,+\s]+")
_SERVICE = re.compile(r"[a-zA-Z0-9]{1,20}(?=://)")


class _Heard(logging.Filter):
    """Leaves out what is logged while Apprise works for us, and keeps the warnings of it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: ContextVar[list[str] | None] = ContextVar("dotflow_heard", default=None)
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is logged; called by the thread that logs."""
        heard = self.heard.get()
        if heard is None:
            return True
        if record.levelno >= logging.WARNING:
            heard.append(record.getMessage())
        return False


_filter = _Heard()


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The warnings that our calls cause meanwhile; nobody else hears them."""
    heard: list[str] = []
    token = _filter.heard.set(heard)
    try:
        yield heard
    finally:
        _filter.heard.reset(token)


class Address:
    """One address.

    Args:
        url: As Apprise understands it.
        place: Its place in the list, from 1.

    Attributes:
        name: What a line calls it: "address 2 (slack)".

    Raises:
        ValueError: Apprise does not understand it; the message does not hold it.
        ModuleNotFound: Apprise is not installed.
    """

    def __init__(self, url: str, place: int) -> None:
        service = _SERVICE.match(url)
        self.name = f"address {place} ({service[0].lower() if service else 'no service'})"
        parts = [*_PARTS.split(url), *map(unquote, _PARTS.split(url))]
        self._secrets = sorted(
            {one for one in parts if len(one) >= SHORTEST_PART}, key=len, reverse=True
        )
        apprise = _apprise()
        asset = apprise.AppriseAsset(async_mode=False, app_id="dotflow", app_desc="dotflow")
        # Its newer versions would use threads that the end of the program waits for.
        asset._service_timeout = 0
        self._apprise = apprise.Apprise(asset=asset)
        with _heard():
            is_understood = self._apprise.add(url)
        if not is_understood or len(self._apprise) != 1:
            raise ValueError(
                f"{self.name} is not understood by Apprise: see "
                "https://github.com/caronc/apprise for how each service is written"
            )
        # It would wait for seconds between two notices, and a program may end meanwhile.
        self._apprise[0].request_rate_per_sec = 0

    def send(self, title: str, text: str, is_failure: bool) -> str:
        """Send a notice; return why it could not be sent, or "".

        Args:
            title: One line.
            text: The text, without any mark-up.
            is_failure: Whether it is of a failure.
        """
        with untraced(), _heard() as heard:
            try:
                is_sent = self._apprise.notify(
                    text,
                    title=title,
                    notify_type="failure" if is_failure else "success",
                    body_format="text",
                )
            except Exception as error:  # noqa: BLE001 - whatever a service's plugin raises
                return self._without_secrets(f"{type(error).__name__}: {error}")
        if is_sent:
            return ""
        return self._without_secrets(heard[-1] if heard else "the service did not take it")

    def _without_secrets(self, reason: str) -> str:
        for one in self._secrets:
            reason = reason.replace(one, MASK)
        return " ".join(reason.split())[:LONGEST_REASON].rstrip(".")


def _apprise() -> Any:
    try:
        import apprise  # here, for it takes its time, and a child process needs no address
    except ModuleNotFoundError as error:
        if error.name != "apprise":
            raise
        raise ModuleNotFound("apprise", "dotflow[notify]") from error
    return apprise


def parted(urls: str | Iterable[str]) -> list[str]:
    """The addresses of a text, with blanks or commas between, or of several such texts."""
    texts: Any = [urls] if isinstance(urls, str) else urls
    return [one for text in texts for one in _BETWEEN.split(str(text).strip(" \t\r\n,")) if one]
