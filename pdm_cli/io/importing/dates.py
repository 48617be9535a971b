"""Stamps written as texts: which order of day and month a whole column allows, and the instants it names.

A single row cannot tell the first of March from the third of January. A column often can: one row with a number above
12 settles it for all. What no row settles is left to the user; nothing here guesses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

Order = Literal["year-first", "day-first", "month-first"]
Texts = npt.NDArray[np.object_]
Stamps = npt.NDArray[np.datetime64]

_SIGNS = ("-", "/", ".")
EPOCHS = {"epoch-s": 1_000_000, "epoch-ms": 1_000}
_STAMP = (
    r"^(?:(?P<y1>\d{4})(?P<s1>[-/.])(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<s2>[-/.])(?P<b>\d{1,2})(?P=s2)(?P<y2>\d{4}))"
    r"(?:(?:T|,? +)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: *(?P<half>[AaPp])\.?[Mm]\.?)?"
    r" *(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?$"
)
_LAST_MONTH = 12
# No zone is farther from UTC.
_LAST_OFFSET = 14 * 60
# What Python's own stamps hold.
_FIRST, _END = np.datetime64("0001-01-01", "us"), np.datetime64("10000-01-01", "us")


@dataclass(frozen=True)
class Seen:
    """A value of a column and the row, from 0, in which it stands first."""

    text: str
    row: int


class StampEvidence:
    """What the rows of a column tell about how its stamps are written; fed piece by piece, in the order of the rows.

    Attributes
    ----------
    seen : dict
        Trait to the first value that has it. ``day-first`` and ``month-first`` are values that only this order fits,
        ``undecided`` ones that both fit; ``unknown`` ones of no form that is known; ``zone`` and ``no zone`` say
        whether a value carries a time zone. ``decided`` and ``undecided`` with ``-``, ``/`` or ``.`` behind are dates
        with this sign between day and month.
    """

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def add(self, texts: Texts, rows: npt.NDArray[np.int64]) -> None:
        """Look at distinct texts and the first rows they stand in."""
        for trait, has_it in _traits(texts).items():
            if trait not in self.seen and has_it.any():
                places = np.flatnonzero(has_it)
                first = places[np.argmin(rows[places])]
                self.seen[trait] = Seen(str(texts[first]), int(rows[first]))

    def orders(self) -> tuple[Order, ...]:
        """Return the orders that fit all rows: one if the column decides, two if day and month may be either.

        None if no order fits all; all three for a column without a value.
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
        """Return a date whose order only dates with another sign could tell, and one of those; None if there is none.

        Where the sign differs, another clock or program wrote the date: ``1/13/2015`` does not tell what ``01.02.2015``
        is.
        """
        signs = {sign: [self.seen.get(f"{kind} {sign}") for kind in ("decided", "undecided")] for sign in _SIGNS}
        for sign, (decided, undecided) in signs.items():
            others = [seen for other in _SIGNS if other != sign for seen in signs[other] if seen is not None]
            if undecided is not None and decided is None and others:
                return undecided, others[0]
        return None


def parse_stamps(texts: Texts, order: Order) -> Stamps:
    """Return the instants that texts name, in microseconds; those with a time zone in UTC, the others as they stand.

    Parameters
    ----------
    texts : array of str, shape (n,)
        Such as ``8/9/2015 5:00:00 AM``, ``03/01/2015 07:00`` or ``2015-01-03T07:00:00+02:00``.
    order : str
        What comes first in the dates.

    Returns
    -------
    array of datetime64[us], shape (n,)
        NaT where a text is of another form, or names a day, a time or a zone that there is not. Digits of a second
        beyond the sixth are cut off.

    Examples
    --------
    >>> parse_stamps(np.array(["03/01/2015 07:00"], dtype=object), "day-first").astype(str).tolist()
    ['2015-01-03T07:00:00.000000']
    """
    parts = _split(texts)
    is_iso = parts["y1"].notna().to_numpy()
    one, two = ("b", "a") if order == "day-first" else ("a", "b")
    year = _number(parts["y1"].fillna(parts["y2"]))
    month = _number(parts["m1"].fillna(parts[one]))
    day = _number(parts["d1"].fillna(parts[two]))
    dates, is_date = _dates(year, month, day)
    micros, is_time = _times(parts)
    offsets, is_zone = _offsets(parts["zone"])
    stamps = dates.astype("datetime64[us]") + (micros - offsets).astype("timedelta64[us]")
    is_known = (parts["y1"].notna() | parts["y2"].notna()).to_numpy()
    stamps[~(is_known & is_date & is_time & is_zone & (is_iso == (order == "year-first")))] = np.datetime64("NaT")
    return _within(stamps)


def parse_format(texts: Texts, form: str) -> Stamps:
    """Return the instants that texts of a given format name, in microseconds; NaT where one does not fit.

    Parameters
    ----------
    texts : array of str, shape (n,)
        The stamps.
    form : str
        ``epoch-s``, ``epoch-ms``, or a format as of ``strptime``.

    Raises
    ------
    ValueError
        If the format has a directive that there is not.
    """
    column = pd.Series(texts, dtype=object)
    if form in EPOCHS:
        # Seconds may have decimals; a double holds microseconds exactly for the next 200 years.
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, copy=True) * EPOCHS[form]
        numbers[~(np.abs(numbers) < 2.0**53)] = np.nan
        return _whole(numbers).astype("datetime64[us]")
    found = pd.to_datetime(column, format=form, errors="coerce", utc=carries_zone(form))
    return _within((found.dt.tz_localize(None) if found.dt.tz else found).to_numpy("datetime64[us]", copy=True))


def carries_zone(form: str) -> bool:
    """Return whether stamps of a given format name an instant wherever they are read."""
    return form in EPOCHS or "%z" in form or "%Z" in form


def _split(texts: Texts) -> pd.DataFrame:
    # Other scripts have digits, too, which are no part of these forms.
    return pd.Series(texts, dtype=object).str.extract(_STAMP, flags=re.ASCII)


def _within(stamps: Stamps) -> Stamps:
    """Return stamps of the years 1 to 9999, and NaT for others."""
    stamps[~((stamps >= _FIRST) & (stamps < _END))] = np.datetime64("NaT")
    return stamps


def _traits(texts: Texts) -> dict[str, npt.NDArray[np.bool_]]:
    parts = _split(texts)
    is_iso = parts["y1"].notna().to_numpy()
    is_short = parts["y2"].notna().to_numpy()
    first, second = _number(parts["a"]), _number(parts["b"])
    is_undecided = is_short & (first <= _LAST_MONTH) & (second <= _LAST_MONTH)
    is_day_first = is_short & (first > _LAST_MONTH) & (second <= _LAST_MONTH)
    is_month_first = is_short & (first <= _LAST_MONTH) & (second > _LAST_MONTH)
    is_known = is_iso | is_undecided | is_day_first | is_month_first
    has_zone = parts["zone"].notna().to_numpy()
    by_sign = {}
    for sign in _SIGNS:
        has_sign = (parts["s2"] == sign).to_numpy(dtype=bool)
        by_sign[f"decided {sign}"] = has_sign & (is_day_first | is_month_first)
        by_sign[f"undecided {sign}"] = has_sign & is_undecided
    return {
        "year-first": is_iso,
        "day-first": is_day_first,
        "month-first": is_month_first,
        "undecided": is_undecided,
        "unknown": ~is_known,
        "zone": is_known & has_zone,
        "no zone": is_known & ~has_zone,
        **by_sign,
    }


def _number(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    return pd.to_numeric(column).fillna(0).to_numpy(dtype=np.int64)


def _whole(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return numbers rounded, and NaT's number where there is none."""
    is_there = np.isfinite(numbers)
    whole = np.full(len(numbers), np.iinfo(np.int64).min)
    whole[is_there] = np.rint(numbers[is_there]).astype(np.int64)
    return whole


def _dates(
    year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day: npt.NDArray[np.int64]
) -> tuple[Stamps, npt.NDArray[np.bool_]]:
    """Return dates, and whether they are in the calendar."""
    is_month = (month >= 1) & (month <= _LAST_MONTH)
    months = ((year - 1970) * 12 + np.where(is_month, month, 1) - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    return cast(Stamps, dates), is_month & (dates.astype("datetime64[M]") == months)


def _times(parts: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return microseconds since midnight, and whether there is such a time."""
    hour, minute, second = (_number(parts[name]) for name in ("hour", "minute", "second"))
    half = parts["half"].str.upper()
    has_half = half.notna().to_numpy()
    is_hour = np.where(has_half, (hour >= 1) & (hour <= 12), hour <= 23)
    hour = np.where(has_half, hour % 12 + 12 * (half == "P").to_numpy(), hour)
    micros = _number(parts["fraction"].str.slice(0, 6).str.pad(6, side="right", fillchar="0"))
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, is_hour & (minute <= 59) & (second <= 59)


def _offsets(zone: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return microseconds by which zones such as ``+02:00`` are ahead of UTC, and whether there is such a zone."""
    digits = zone.str.extract(r"^([+-])(\d\d):?(\d\d)?$")
    rest = _number(digits[2])
    minutes = _number(digits[1]) * 60 + rest
    offsets = np.where((digits[0] == "-").to_numpy(), -minutes, minutes) * 60_000_000
    return offsets, (rest <= 59) & (minutes <= _LAST_OFFSET)
