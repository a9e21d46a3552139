"""How values are said on pages."""

import re
from datetime import datetime, timezone

NO_NAME = "(no name)"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FEW = 10
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_UUID = re.compile("[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_TURNING = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def lasting(seconds: float | None) -> str:
    """How long something took: `8.1 ms`, `120 ms`, `3.40 s`, `2 min 05 s`, `1 h 02 min`, `3 d 4 h`.

    Args:
        seconds: None where nobody knows: a dash.
    """
    if seconds is None:
        return "–"  # noqa: RUF001  # a dash
    seconds = max(0.0, seconds)
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f} ms" if milliseconds < _FEW else f"{milliseconds:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.2f} s" if seconds < _FEW else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


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
    seen = _TURNING.sub("", _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text or ""))
    return " ".join(seen.split()) or NO_NAME


def whole(text: str) -> str:
    """A text from outside with its lines; what cannot be shown is replaced."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
