"""When a destination is tried again, and what is said about it: one line a kind of fault."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from dotflow.delivery.message import Refused, TryLater
from dotflow.logging import logger

if TYPE_CHECKING:
    from dotflow.delivery.message import Message, Outcome
    from dotflow.runlog.waits import Waits

FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 30.0  # seconds
MEND_PAUSE = 180.0  # seconds: how often a destination that refuses our token is tried again
FAILURES_IN_A_ROW = 8  # as many speak of the server, whatever each of them says


class Patience:
    """Draws conclusions from what became of messages; times are of the monotonic clock.

    Args:
        name: What a line of the log calls the destination.
        waits: Where it is noted, for other processes, what the destination waits for.

    Attributes:
        resume_at: When anything may be sent again.
    """

    def __init__(self, name: str, waits: Waits | None = None) -> None:
        self.resume_at = 0.0
        self._name = name
        self._waits = waits
        self._waits_for_all = True
        self._asked_until = 0.0
        self._pauses = self._failures = 0
        self._complained: set[str] = set()

    def hurry(self, now: float) -> None:
        """End a pause, unless the server asked for it."""
        self.resume_at = min(self.resume_at, max(now, self._asked_until))

    def learn(self, messages: list[Message], outcomes: list[Outcome], now: float) -> None:
        """Conclude from the messages of one call what to do with the others.

        Args:
            messages: The messages.
            outcomes: What became of each.
            now: The time.
        """
        later = [one for one in outcomes if isinstance(one, TryLater)]
        if len(later) < len(outcomes):
            self._pauses = self._failures = 0
        if later:
            self._failures += 1
            worst = max(later, key=_weight)
            self._note(worst)
            self._postpone(worst, now)
        elif self._waits_for_all and self._waits is not None:
            self._waits.taken()
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, Refused):
                self._say_refused(message, outcome)

    def nothing_waits(self) -> None:
        """Take note that all is delivered."""
        if self._waits is not None:
            self._waits.over()

    def _note(self, outcome: TryLater) -> None:
        self._waits_for_all = outcome.everywhere
        if self._waits is not None:
            self._waits.note(outcome.reason, outcome.after, outcome.mend)

    def complain(self, kind: str, text: str, fault: bool = False) -> None:
        """Write one line a kind of fault, not one a message."""
        if kind not in self._complained:
            self._complained.add(kind)
            logger.warning(text, exc_info=fault)

    def _postpone(self, outcome: TryLater, now: float) -> None:
        self._say_later(outcome)
        if not outcome.everywhere and self._failures < FAILURES_IN_A_ROW:
            return
        if outcome.everywhere and outcome.after:
            self._asked_until = max(self._asked_until, now + outcome.after)
        if self.resume_at <= now:
            self._pauses += 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._pauses - 1, 10))
            pause *= random.uniform(0.8, 1.2)  # noqa: S311 - to spread load, not to keep secrets
            self.resume_at = now + (pause if outcome.mend is None else MEND_PAUSE)
        self.resume_at = max(self.resume_at, self._asked_until)

    def _say_later(self, outcome: TryLater) -> None:
        if outcome.mend is not None:
            self.complain(
                outcome.mend,
                f"{self._name} refuses the token. Set {outcome.mend}; reports are kept meanwhile. "
                f"The server says: {outcome.reason}",
            )
            return
        # The server's words are last: of what looks like a credential in them the line has no more.
        self.complain(
            "later", f"Reports wait for {self._name}, and are sent later: {outcome.reason}"
        )

    def _say_refused(self, message: Message, outcome: Refused) -> None:
        self.complain(
            f"refused {outcome.status}",
            f"{self._name} refused the {message.kind.value} of workflow {message.workflow} for "
            "good: see `dotflow outbox status`. Further refusals like this are not logged. "
            f"The server says: {outcome.reason}",
        )


def _weight(outcome: TryLater) -> tuple[bool, bool, float]:
    """What tells most of the server: a refused token, then a pause for all, then a long one."""
    return outcome.mend is not None, outcome.everywhere, outcome.after or 0.0
