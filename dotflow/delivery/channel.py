"""The one door to delivery: it is told that the run log has news, and sees to them."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING

import requests

from dotflow.abc.server import FlushResult
from dotflow.delivery.http.client import Client
from dotflow.delivery.outbox import Counts, Outbox
from dotflow.delivery.relay.relay import Relay
from dotflow.logging import logger
from dotflow.process.at_exit import flush_timeout, seconds_from_environment
from dotflow.process.forking import renew_in_child
from dotflow.process.late import renew_when_used
from dotflow.runlog import leftovers

if TYPE_CHECKING:
    from dotflow.delivery.dialect import Destination

ASK_TIMEOUT = 10.0
"""Seconds that a question to dotflow-api may hold up its asker; DOTFLOW_NEXT_ID_TIMEOUT."""

FIRST_DELAY = 0.1  # seconds
LONGEST_DELAY = 2.0  # seconds


class Channel:
    """Delivers what the run log says to one dotflow-api, in the background.

    All channels of a process to one destination share the threads, the connections and the outbox:
    a program may make a workflow, and with it a channel, a thousand times.

    Args:
        destination: Which dotflow-api, and how it is talked to.

    Attributes:
        poke: Tells it that the run log has something new; called on the workflow's path.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._relay = _shared.join(self, destination)
        self.poke = self._relay.poke
        self._client = Client(destination)
        self._before = self._relay.counts()
        renew_when_used(self)

    @property
    def key(self) -> str:
        """What stands for this dotflow-api in lines of the run log."""
        return self._relay.key

    @property
    def name(self) -> str:
        """What people call it; without credentials."""
        return self._relay.name

    def adopt(self) -> None:
        """Look now for what dead processes left for this dotflow-api; `flush` delivers it."""
        self._relay.adopt()

    def next_task_id(self, workflow: str) -> int:
        """Ask the server for the first free task number of a workflow, with retries.

        Blocks for at most `DOTFLOW_NEXT_ID_TIMEOUT` seconds (10 by default).

        Raises:
            requests.RequestException: The server gave no usable answer in that time.
        """
        limit = seconds_from_environment("DOTFLOW_NEXT_ID_TIMEOUT", ASK_TIMEOUT)
        answers: list[int | requests.RequestException] = []

        def ask() -> None:
            answers.append(self._ask(workflow, time.monotonic() + limit))

        # A look-up of a name, or an answer byte by byte, keeps to no time: so wait for a thread.
        thread = threading.Thread(target=ask, name="dotflow-ask", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            ask()
        else:
            thread.join(limit)
        answer = answers[0] if answers else requests.Timeout("no answer in time")
        if isinstance(answer, int):
            return answer
        raise answer

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Deliver what was reported so far; return after at most `timeout` seconds."""
        return self._result(self._relay.flush(flush_timeout() if timeout is None else timeout))

    def deliver(self, timeout: float) -> FlushResult:
        """The same, but do not wait where the server takes nothing, or was late a moment ago."""
        return self._result(self._relay.deliver(timeout))

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flush, and end the threads and connections unless another channel needs them."""
        if _shared.leave(self, self.destination):
            return self.flush(timeout)
        return self._result(self._relay.close(timeout))

    def renew(self) -> None:
        """Begin anew in a forked child."""
        self._client = Client(self.destination)
        self._before = Counts()

    def _ask(self, workflow: str, deadline: float) -> int | requests.RequestException:
        delay = FIRST_DELAY
        try:
            while True:
                left = max(0.05, deadline - time.monotonic())
                try:
                    return self._client.next_task_id(workflow, min(left, self.destination.timeout))
                except (requests.HTTPError, requests.exceptions.InvalidJSONError) as error:
                    return error  # an answer, and the next one would be the same
                except requests.RequestException as error:
                    if time.monotonic() + delay >= deadline:
                        return error
                time.sleep(delay)
                delay = min(LONGEST_DELAY, delay * 2)
        finally:
            self._client.release()

    def _result(self, counts: Counts) -> FlushResult:
        return FlushResult(
            counts.delivered - self._before.delivered,
            counts.pending,
            counts.dead - self._before.dead,
            complete=not counts.pending,
        )


class _SharedRelays:
    """The relays of the process, one a destination."""

    def __init__(self) -> None:
        self._relays: weakref.WeakValueDictionary[Destination, Relay] = (
            weakref.WeakValueDictionary()
        )
        self._users: weakref.WeakKeyDictionary[Relay, weakref.WeakSet[Channel]] = (
            weakref.WeakKeyDictionary()
        )
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Take a lock that nobody holds; a signal handler may come while it is held."""
        self._lock = threading.RLock()

    def join(self, channel: Channel, destination: Destination) -> Relay:
        """The relay of a destination, with one more user."""
        with self._lock:
            relay = self.of(destination)
            is_other = relay.use(destination.token)
            if is_other and self._users[relay]:
                logger.warning(
                    "Two tokens were given for %s: from now on all reports of this process go "
                    "there with the newer one. For two accounts use two processes, each with a "
                    "DOTFLOW_STATE_DIR of its own.", relay.name,
                )  # fmt: skip
            self._users[relay].add(channel)
            return relay

    def of(self, destination: Destination) -> Relay:
        """The relay of a destination; one that is new has no user, and nobody ends it but they."""
        with self._lock:
            relay = self._relays.get(destination)
            if relay is None:
                relay = self._relays[destination] = _relay(
                    destination, Outbox(outbox_name(destination))
                )
                relay.look = partial(_look, relay.key, destination)
                self._users[relay] = weakref.WeakSet()
            return relay

    def all(self) -> list[Relay]:
        """All relays that there are."""
        with self._lock:
            return list(self._relays.values())

    def leave(self, channel: Channel, destination: Destination) -> bool:
        """Take a user away; whether others are left."""
        with self._lock:
            relay = self._relays.get(destination)
            users = self._users.get(relay) if relay is not None else None
            if users is None or channel not in users:
                return False
            users.discard(channel)
            if users:
                return True
            # Whoever comes now gets a relay that is not about to end.
            with contextlib.suppress(KeyError):
                del self._relays[destination]
            return False


_shared = _SharedRelays()


def bystanders() -> set[str]:
    """The keys of the destinations that a child has from its parent, and has said nothing to."""
    return {relay.key for relay in _shared.all() if relay.is_bystander}


def relays() -> list[Relay]:
    """The relays of this process, one a destination; any thread may ask."""
    return _shared.all()


def _look(key: str, destination: Destination) -> None:
    """Take over what processes beside this one have left; called by the thread that watches."""
    if leftovers.are_there(key):
        # Not as a user: whoever closes the last channel meanwhile ends the relay, and the token may
        # be another by now. A relay that is new is garbage some time later.
        relay = _shared.of(destination)
        relay.adopt()
        relay.flush(flush_timeout())


def outbox_name(destination: Destination) -> str:
    """What tells the messages for a dotflow-api from others in the user's folder.

    Not its token: a new one is how a person mends a refusal, and has to find what waited for it.
    """
    return f"dotflow-api at {destination.url} ({destination.dialect.value})"


def _relay(destination: Destination, outbox: Outbox) -> Relay:
    if destination.is_plain_and_far:
        logger.warning(
            "%s is plain http to another machine: the token can be read on the way. Use https.",
            destination.url,
        )
    return Relay(outbox, Client(destination))
