"""How values are said on pages."""

import re
from datetime import datetime, timezone

from dotflow.waterfall import texts

NO_NAME = "(no name)"

_UUID = re.compile("[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_MINUTE = 60  # seconds
_LONGEST = 1e12  # seconds: a duration may be any number, and this one is longer than any run


def lasting(seconds: float | None) -> str:
    """How long something took, for people.

    Args:
        seconds: None where nobody knows: a dash.
    """
    if seconds is None:
        return "\N{EN DASH}"
    return texts.lasting(round(min(seconds, _LONGEST) * 1e9))


def even(seconds: float) -> str:
    """A round number of seconds, as a scale has it: `500 ms`, `1.5 s`, `4 min`, `2 h`."""
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    if seconds < _MINUTE:
        return f"{seconds:g} s"
    return re.sub(" 0+ (s|min|h)$", "", lasting(seconds))


def many(number: int) -> str:
    """A number for people: `10,000`."""
    return f"{number:,}"


def clock(moment: datetime) -> str:
    """A moment for people, where the browser does not put it into their own time."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def exactly(moment: datetime) -> str:
    """A moment for programs."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def since(moment: datetime) -> float:
    """The seconds since a moment; 0 where clocks differ and it is still to come."""
    return max(0.0, (datetime.now(timezone.utc) - moment).total_seconds())


def brief(workflow_id: str) -> str:
    """An id as a list shows it: the beginning of a UUID says as much as all of it."""
    return workflow_id[:8] if _UUID.fullmatch(workflow_id) else shown(workflow_id)


def shown(text: str | None) -> str:
    """A text from outside in one line: what cannot be seen, or turns its neighbours, is replaced.

    Args:
        text: None and an empty one are said in words.
    """
    return texts.plain(text or "") or NO_NAME
