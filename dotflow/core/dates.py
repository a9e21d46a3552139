"""Naive local dates, which the contract has, and the nanoseconds that they are kept as."""

from __future__ import annotations

from datetime import datetime


def local_date(nanoseconds: int | None) -> datetime | None:
    """The local date, without a zone, of nanoseconds since the epoch."""
    if nanoseconds is None:
        return None
    return datetime.fromtimestamp(nanoseconds / 1e9)  # noqa: DTZ006 - the contract's dates are naive


def nanoseconds_of(value: datetime | None) -> int | None:
    """The nanoseconds since the epoch of a local date."""
    return None if value is None else round(value.timestamp() * 1e6) * 1000
