"""Timestamps as whole microseconds since 1970, UTC, without importing a heavy package."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

US_PER_HOUR = 3_600_000_000
HOURS_PER_MONTH = 365.25 * 24 / 12


def microseconds(stamp: datetime) -> int:
    """Return a time in microseconds since 1970, UTC; a time without a zone is UTC."""
    utc = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    return (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def show(microseconds: int) -> str:
    """Return a time as ``2015-10-01T06:00``, the format of options, with seconds if not zero."""
    import pandas as pd

    whole_minutes = microseconds % 60_000_000 == 0
    return pd.Timestamp(microseconds, unit="us").isoformat(timespec="minutes" if whole_minutes else "auto")


def read_stamp(text: str) -> int:
    """Parse the result of :func:`show`.

    Raises
    ------
    ValueError
        If ``text`` is not in exactly this format.
    """
    stamp = microseconds(datetime.fromisoformat(text))
    if show(stamp) != text:
        raise ValueError(f"{text!r} is not a timestamp such as 2015-10-01T06:00")
    return stamp
