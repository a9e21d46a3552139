"""Says a schedule as Amazon EventBridge reads it."""

from __future__ import annotations

from dotflow.cloud.plan import PlanError

DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
SUNDAY = 7
"""Cron's other number for Sunday."""

FEW = 2
"""Values side by side that are written one by one."""


def expression_of(schedule: str) -> str:
    """The expression of EventBridge that is due when five fields of cron are.

    Args:
        schedule: Minute, hour, day of month, month, day of week, as a `Plan` has them.

    Raises:
        PlanError: It asks for days of the month and days of the week, which EventBridge cannot.
    """
    minute, hour, day, month, weekday = schedule.split()
    if day != "*" and weekday != "*":
        raise PlanError(
            f"'{schedule}' is due on days of the month and on days of the week, which EventBridge "
            "cannot say: leave one of the two at '*', and deploy the other under a second --name"
        )
    fields = (
        _field(minute, 0, 59),
        _field(hour, 0, 23),
        "?" if weekday != "*" else _field(day, 1, 31),
        _field(month, 1, 12, MONTHS),
        "?" if weekday == "*" else _weekdays(weekday),
        "*",
    )
    return f"cron({' '.join(fields)})"


def _field(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> str:
    if text == "*":
        return text
    if text.startswith("*/") and text[2:].isdigit():
        return f"{low}/{text[2:]}"
    return _said([str(value) for value in _values(text, low, high, names)])


def _weekdays(text: str) -> str:
    values = {value % SUNDAY for value in _values(text, 0, SUNDAY, DAYS)}
    if text.startswith("*"):
        values = set(_values(text, 0, SUNDAY - 1, DAYS))
    return _said([DAYS[value] for value in sorted(values)], DAYS)


def _values(text: str, low: int, high: int, names: tuple[str, ...]) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if first == "*":
            begin, end = low, high
        else:
            begin = _number(first, low, names)
            end = _number(last, low, names) if dash else high if step else begin
        if end < begin:  # as FRI-MON
            end += high - low + 1
        every = range(begin, end + 1, int(step or 1))
        found.update(low + (value - low) % (high - low + 1) for value in every)
    return sorted(found)


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    return int(text) if text.isdigit() else low + names.index(text.upper())


def _said(values: list[str], order: tuple[str, ...] = ()) -> str:
    numbers = [order.index(value) if order else int(value) for value in values]
    is_span = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{values[0]}-{values[-1]}" if is_span and len(values) > FEW else ",".join(values)
