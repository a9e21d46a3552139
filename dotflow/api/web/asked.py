"""What the address of the list asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from starlette.datastructures import QueryParams
from typing_extensions import Self

from dotflow.api.reading import RunFilter

STATUSES = ("In progress", "Failed", "Completed", "New")
PERIODS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}

_UNITS: Mapping[str, timedelta] = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_AGO = re.compile(r"(\d{1,5})([mhd])")
_HELP = "give 90m, 24h or 7d, or a time as 2026-11-28T14:00Z"


@dataclass(frozen=True)
class Asked:
    """What somebody wants to see, as they said it.

    Args:
        status: Those with one of these statuses.
        name: Those of this workflow.
        text: Those with this text in a name, an id or an error.
        within: Those that began so long ago at the most.
        since: Those that began then or later: a time, or how long ago.
        until: Those that began before.
        after: The cursor of the page before.
    """

    status: tuple[str, ...] = ()
    name: str = ""
    text: str = ""
    within: str = ""
    since: str = ""
    until: str = ""
    after: str = ""

    @classmethod
    def of(cls, query: QueryParams) -> Self:
        """Reads an address; what it does not know is of no matter."""
        keys = ("text", "within", "since", "until", "after")
        given = {key: query.get(key, "").strip() for key in keys}
        status = tuple(dict.fromkeys(one for one in query.getlist("status") if one))
        return cls(status=status, name=query.get("name", ""), **given)

    def filters(self) -> dict[str, object]:
        """What it asks for, for the address of another page of the same list."""
        return {
            "status": list(self.status),
            "name": self.name,
            "text": self.text,
            "within": self.within,
            "since": self.since,
            "until": self.until,
        }

    def title(self) -> str:
        """Names the list, for a tab among others."""
        said = [*self.status, *filter(None, (self.name, self.text))]
        return ": ".join(["Runs", *([", ".join(said)] if said else [])])

    def is_filtered(self) -> bool:
        """Whether it leaves any run out."""
        return any(self.filters().values())

    def wanted(self) -> RunFilter:
        """Gives it as what is read.

        Raises:
            ValueError: A status or a time is none; the message says what is allowed.
        """
        unknown = [one for one in self.status if one not in STATUSES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no status: give {', '.join(STATUSES)}")
        return RunFilter(
            status=self.status,
            name=self.name or None,
            text=self.text or None,
            since=max(filter(None, (_ago(self.within), _moment(self.since))), default=None),
            until=_moment(self.until),
        )

    def minute(self, key: str) -> str:
        """Gives "since" or "until" as a field for a time takes it; "" where it is none."""
        try:
            moment = _moment(str(self.filters()[key]))
        except ValueError:
            return ""
        return f"{moment:%Y-%m-%dT%H:%M}" if moment else ""


def _ago(text: str) -> datetime | None:
    if not text:
        return None
    ago = _AGO.fullmatch(text)
    if ago is None:
        raise ValueError(f"{text!r} is no span of time: give 90m, 24h or 7d")
    return datetime.now(timezone.utc) - int(ago[1]) * _UNITS[ago[2]]


def _moment(text: str) -> datetime | None:
    if not text or _AGO.fullmatch(text):
        return _ago(text)
    try:
        # Python 3.10 knows no "Z".
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return zoned.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: {_HELP}") from None
