"""A slow and different road to the times in strings: pandas, row by row, to compare the SQL with.

A single row cannot distinguish 1 March from 3 January. A column often can: one row with a number above 12 decides for
all of them. If no row decides, the user has to; nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

Order = Literal["year-first", "day-first", "month-first"]
Strings = npt.NDArray[np.object_]
Times = npt.NDArray[np.datetime64]

_SEPARATORS = ("-", "/", ".")
EPOCHS = {"epoch-s": 1_000_000, "epoch-ms": 1_000}
_TIMESTAMP = (
    r"^(?:(?P<y1>\d{4})(?P<s1>[-/.])(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<s2>[-/.])(?P<b>\d{1,2})(?P=s2)(?P<y2>\d{4}))"
    r"(?:(?:T|,? +)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: *(?P<half>[AaPp])\.?[Mm]\.?)?"
    r" *(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?$"
)
_LAST_MONTH = 12
# Largest offset of a zone from UTC, in minutes.
_LAST_OFFSET = 14 * 60
# Range of Python's datetime.
_FIRST, _END = np.datetime64("0001-01-01", "us"), np.datetime64("10000-01-01", "us")


@dataclass(frozen=True)
class Seen:
    """A value of a column and its first row (from 0)."""

    text: str
    row: int


class DateEvidence:
    """Evidence from the rows of a column for the format of its dates, added piece by piece.

    Attributes
    ----------
    seen : dict
        Trait to the first value with it. ``day-first`` and ``month-first`` are values that fit only this order,
        ``undecided`` ones that fit both, ``unknown`` ones in no known format; ``zone`` and ``no zone`` say whether a
        value has a time zone. ``decided`` and ``undecided`` followed by ``-``, ``/`` or ``.`` are dates with this
        separator.
    """

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def add(self, strings: Strings, rows: npt.NDArray[np.int64]) -> None:
        """Add distinct strings and the first row of each."""
        for trait, has_it in _traits(strings).items():
            if trait not in self.seen and has_it.any():
                places = np.flatnonzero(has_it)
                first = places[np.argmin(rows[places])]
                self.seen[trait] = Seen(str(strings[first]), int(rows[first]))

    def orders(self) -> tuple[Order, ...]:
        """Return the orders that fit all rows: none, one, or two if day and month may come first.

        All three fit a column without values.
        """
        is_short = [trait for trait in ("day-first", "month-first", "undecided") if trait in self.seen]
        if "unknown" in self.seen or ("year-first" in self.seen and is_short) or self.doubtful():
            return ()
        if "year-first" in self.seen:
            return ("year-first",)
        if not is_short:
            return ("year-first", "day-first", "month-first")
        both: tuple[Order, Order] = ("day-first", "month-first")
        return tuple(order for order, other in zip(both, both[::-1], strict=True) if other not in self.seen)

    def doubtful(self) -> tuple[Seen, Seen] | None:
        """Return an undecided date and a decided one that has another separator, or ``None``.

        Another separator means that another program wrote the date: ``1/13/2015`` does not decide ``01.02.2015``.
        """
        dates = {sign: [self.seen.get(f"{trait} {sign}") for trait in ("decided", "undecided")] for sign in _SEPARATORS}
        for sign, (decided, undecided) in dates.items():
            others = [date for other in _SEPARATORS if other != sign for date in dates[other] if date is not None]
            if undecided is not None and decided is None and others:
                return undecided, others[0]
        return None


def parse_dates(strings: Strings, order: Order) -> Times:
    """Return the times in strings, in microseconds; those with a time zone in UTC, the others unchanged.

    Parameters
    ----------
    strings : array of str, shape (n,)
        Such as ``8/9/2015 5:00:00 AM``, ``03/01/2015 07:00`` or ``2015-01-03T07:00:00+02:00``.
    order : str
        Order of year, month and day.

    Returns
    -------
    array of datetime64[us], shape (n,)
        NaT for a string in another format or with an invalid date, time or zone. Digits of a second beyond the sixth
        are cut off.

    Examples
    --------
    >>> parse_dates(np.array(["03/01/2015 07:00"], dtype=object), "day-first").astype(str).tolist()
    ['2015-01-03T07:00:00.000000']
    """
    parts = _split(strings)
    is_iso = parts["y1"].notna().to_numpy()
    one, two = ("b", "a") if order == "day-first" else ("a", "b")
    year = _number(parts["y1"].fillna(parts["y2"]))
    month = _number(parts["m1"].fillna(parts[one]))
    day = _number(parts["d1"].fillna(parts[two]))
    dates, is_date = _dates(year, month, day)
    micros, is_time = _times_of_day(parts)
    offsets, is_zone = _offsets(parts["zone"])
    times = dates.astype("datetime64[us]") + (micros - offsets).astype("timedelta64[us]")
    is_known = (parts["y1"].notna() | parts["y2"].notna()).to_numpy()
    times[~(is_known & is_date & is_time & is_zone & (is_iso == (order == "year-first")))] = np.datetime64("NaT")
    return _within(times)


def parse_format(strings: Strings, form: str) -> Times:
    """Return the times in strings of a given format, in microseconds; NaT for those that do not match it.

    Parameters
    ----------
    strings : array of str, shape (n,)
        The timestamps.
    form : str
        ``epoch-s``, ``epoch-ms``, or a ``strptime`` format.

    Raises
    ------
    ValueError
        If the format has an unknown directive.
    """
    column = pd.Series(strings, dtype=object)
    if form in EPOCHS:
        # Seconds may have decimals; a double holds microseconds exactly for the next 200 years.
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, copy=True) * EPOCHS[form]
        numbers[~(np.abs(numbers) < 2.0**53)] = np.nan
        return _whole(numbers).astype("datetime64[us]")
    found = pd.to_datetime(column, format=form, errors="coerce", utc=has_zone(form))
    return _within((found.dt.tz_localize(None) if found.dt.tz else found).to_numpy("datetime64[us]", copy=True))


def has_zone(form: str) -> bool:
    """Return whether timestamps of a given format have a time zone."""
    return form in EPOCHS or "%z" in form or "%Z" in form


def _split(strings: Strings) -> pd.DataFrame:
    # ASCII digits only.
    return pd.Series(strings, dtype=object).str.extract(_TIMESTAMP, flags=re.ASCII)


def _within(times: Times) -> Times:
    """Replace times outside the years 1 to 9999 by NaT."""
    times[~((times >= _FIRST) & (times < _END))] = np.datetime64("NaT")
    return times


def _traits(strings: Strings) -> dict[str, npt.NDArray[np.bool_]]:
    parts = _split(strings)
    is_iso = parts["y1"].notna().to_numpy()
    is_short = parts["y2"].notna().to_numpy()
    first, second = _number(parts["a"]), _number(parts["b"])
    is_undecided = is_short & (first <= _LAST_MONTH) & (second <= _LAST_MONTH)
    is_day_first = is_short & (first > _LAST_MONTH) & (second <= _LAST_MONTH)
    is_month_first = is_short & (first <= _LAST_MONTH) & (second > _LAST_MONTH)
    is_known = is_iso | is_undecided | is_day_first | is_month_first
    is_zoned = parts["zone"].notna().to_numpy()
    by_sign = {}
    for sign in _SEPARATORS:
        has_sign = (parts["s2"] == sign).to_numpy(dtype=bool)
        by_sign[f"decided {sign}"] = has_sign & (is_day_first | is_month_first)
        by_sign[f"undecided {sign}"] = has_sign & is_undecided
    return {
        "year-first": is_iso,
        "day-first": is_day_first,
        "month-first": is_month_first,
        "undecided": is_undecided,
        "unknown": ~is_known,
        "zone": is_known & is_zoned,
        "no zone": is_known & ~is_zoned,
        **by_sign,
    }


def _number(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    return pd.to_numeric(column).fillna(0).to_numpy(dtype=np.int64)


def _whole(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return numbers rounded, and the integer of NaT for those that are not finite."""
    is_there = np.isfinite(numbers)
    whole = np.full(len(numbers), np.iinfo(np.int64).min)
    whole[is_there] = np.rint(numbers[is_there]).astype(np.int64)
    return whole


def _dates(
    year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day: npt.NDArray[np.int64]
) -> tuple[Times, npt.NDArray[np.bool_]]:
    """Return dates, and whether they exist."""
    is_month = (month >= 1) & (month <= _LAST_MONTH)
    months = ((year - 1970) * 12 + np.where(is_month, month, 1) - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    return cast(Times, dates), is_month & (dates.astype("datetime64[M]") == months)


def _times_of_day(parts: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return microseconds since midnight, and whether the time exists."""
    hour, minute, second = (_number(parts[name]) for name in ("hour", "minute", "second"))
    half = parts["half"].str.upper()
    has_half = half.notna().to_numpy()
    is_hour = np.where(has_half, (hour >= 1) & (hour <= 12), hour <= 23)
    hour = np.where(has_half, hour % 12 + 12 * (half == "P").to_numpy(), hour)
    micros = _number(parts["fraction"].str.slice(0, 6).str.pad(6, side="right", fillchar="0"))
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, is_hour & (minute <= 59) & (second <= 59)


def _offsets(zone: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the UTC offsets of zones such as ``+02:00`` in microseconds, and whether they are valid."""
    digits = zone.str.extract(r"^([+-])(\d\d):?(\d\d)?$")
    rest = _number(digits[2])
    minutes = _number(digits[1]) * 60 + rest
    offsets = np.where((digits[0] == "-").to_numpy(), -minutes, minutes) * 60_000_000
    return offsets, (rest <= 59) & (minutes <= _LAST_OFFSET)
