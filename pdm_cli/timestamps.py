"""Stamps: whole microseconds since 1970, UTC; nothing heavy is imported to count in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

US_PER_HOUR = 3_600_000_000


def microseconds(stamp: datetime) -> int:
    """Return a stamp in microseconds since 1970, UTC; one without a zone is UTC."""
    utc = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    return (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def show(microseconds: int) -> str:
    """Return a stamp as ``2015-10-01T06:00``, the form that options take, with seconds where it has any."""
    import pandas as pd

    whole_minutes = microseconds % 60_000_000 == 0
    return pd.Timestamp(microseconds, unit="us").isoformat(timespec="minutes" if whole_minutes else "auto")


def read_stamp(text: str) -> int:
    """Undo :func:`show`.

    Raises
    ------
    ValueError
        If it is not a stamp in just the form that this writes.
    """
    stamp = microseconds(datetime.fromisoformat(text))
    if show(stamp) != text:
        raise ValueError(f"{text!r} is not a stamp such as 2015-10-01T06:00")
    return stamp
