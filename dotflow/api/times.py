"""Reads when things happened by the run's own clock, as messages say it beside their bodies.

A report is never refused for its times: what cannot be read is passed over, and logged once.
"""

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ValidationError

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 20
"""Attempts that are kept of a task: the last ones."""

_complaints = count()

Attempt: TypeAlias = tuple[datetime, datetime | None]


def _text(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("is out of range") from error


def _last(value: Any) -> Any:
    return value[-MOST_ATTEMPTS:] if isinstance(value, list) else value


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(_text)]


class _Times(BaseModel):
    started_at: Moment | None = None
    finished_at: Moment | None = None
    attempts: Annotated[list[tuple[Moment | None, Moment | None]], BeforeValidator(_last)] = []


@dataclass(frozen=True)
class Times:
    """When a record's run or task began and ended, by its own clock.

    Args:
        started_at: When it began.
        finished_at: When it ended; None while it goes on.
        attempts: When its attempts began and ended, as JSON text.
    """

    started_at: datetime | None
    finished_at: datetime | None
    attempts: str


def read_header(text: str | None) -> Times | None:
    """Gives what the header ``Dotflow-Times`` says.

    Args:
        text: The header; None where there is none.
    """
    if text is None:
        return None
    try:
        return _checked(_Times.model_validate_json(text))
    except ValidationError as error:
        _complain(error)
        return None


def read_value(value: Any) -> Times | None:
    """Gives what the field ``times`` of a bulk's item says.

    Args:
        value: The field's value; None where there is none.
    """
    if value is None:
        return None
    try:
        return _checked(_Times.model_validate(value))
    except ValidationError as error:
        _complain(error)
        return None


def attempts_of(kept: list[list[str | None]]) -> list[Attempt]:
    """Gives the attempts as they were kept.

    Args:
        kept: The stored value of `Times.attempts`.
    """
    return [
        (datetime.fromisoformat(began), datetime.fromisoformat(ended) if ended else None)
        for began, ended in kept
        if began
    ]


def _checked(said: _Times) -> Times:
    attempts = [
        (began.isoformat(), ended and ended.isoformat()) for began, ended in said.attempts if began
    ]
    return Times(said.started_at, said.finished_at, json.dumps(attempts, separators=(",", ":")))


def _complain(error: ValidationError) -> None:
    if next(_complaints):
        return
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    logger.warning(
        "the times of a message cannot be read and are passed over (%s: %s); this is said once: "
        'Dotflow-Times is JSON, {"started_at": ..., "finished_at": ..., "attempts": '
        "[[start, end], ...]}, each an RFC 3339 time with its zone",
        ".".join(map(str, fault["loc"])) or "all of it",
        fault["msg"],
    )
