"""The setting ``time_range``: the first and the last time of a log."""

from __future__ import annotations

from datetime import datetime

from pdm_cli.settings.cycles import parse_time_or_cycle


def parse_time_range(text: str) -> tuple[datetime | None, datetime | None]:
    """Return both ends of ``2015-01-01,2016-01-01T06:00``; ``None`` for an end that is empty.

    Raises
    ------
    ValueError
        If an end is not a time, or the range is empty.
    """
    ends = [part.strip() for part in text.split(",")]
    try:
        first, last = (parse_time_or_cycle(end) if end else None for end in ends)
        if first is None and last is None:
            raise ValueError
    except ValueError:
        raise ValueError(f"time_range: {text!r} is not a range such as 2015-01-01,2016-01-01T06:00") from None
    # Only one end may have a zone, in which case the two cannot be compared here.
    if first is not None and last is not None and first.tzinfo == last.tzinfo and first >= last:
        raise ValueError(f"time_range: {text!r} ends before it begins")
    return first, last
