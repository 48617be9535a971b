from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.io.importing.reference_dates import DateEvidence, Seen, has_zone, parse_dates, parse_format

moments = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2099, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)


def texts(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def evidence(values: list[str], piece: int = 1000) -> DateEvidence:
    found = DateEvidence()
    for start in range(0, len(values), piece):
        part = values[start : start + piece]
        found.add(texts(*part), np.arange(start, start + len(part)))
    return found


def write_half_day(moment: datetime, first: int, second: int) -> str:
    half = "AM" if moment.hour < 12 else "PM"
    hour = (moment.hour - 1) % 12 + 1
    return f"{first}/{second}/{moment.year} {hour}:{moment:%M:%S} {half}"


# The date 2015-01-03 in Arabic digits.
ARABIC = "2015-01-03".translate({ord("0") + digit: 0x660 + digit for digit in range(10)})
FORMS = {
    "half days, month first": ("month-first", lambda m: write_half_day(m, m.month, m.day)),
    "half days, day first": ("day-first", lambda m: write_half_day(m, m.day, m.month)),
    "padded, day first": ("day-first", lambda m: f"{m:%d/%m/%Y %H:%M:%S}"),
    "dots": ("day-first", lambda m: f"{m.day}.{m.month}.{m.year} {m:%H:%M:%S}"),
    "blank": ("year-first", lambda m: f"{m:%Y-%m-%d %H:%M:%S}"),
    "ISO": ("year-first", lambda m: m.isoformat()),
    "Zulu": ("year-first", lambda m: m.isoformat() + "Z"),
    "slashes": ("year-first", lambda m: f"{m:%Y/%m/%d %H:%M:%S}"),
}


@pytest.mark.slow
@given(st.lists(moments, min_size=1, max_size=20))
@pytest.mark.parametrize("form", FORMS)
def test_stamps_come_back_from_each_form(form: str, values: list[datetime]) -> None:
    order, write = FORMS[form]
    found = parse_dates(texts(*map(write, values)), order)
    assert found.tolist() == values


@pytest.mark.slow
@given(moments, st.integers(-14 * 60, 14 * 60))
def test_zones_become_utc(moment: datetime, minutes: int) -> None:
    local = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    wanted = local.astimezone(UTC).replace(tzinfo=None)
    assert parse_dates(texts(local.isoformat()), "year-first").tolist() == [wanted]
    assert parse_dates(texts(f"{local:%Y-%m-%d %H:%M:%S %z}"), "year-first").tolist() == [wanted]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=30),
    st.integers(13, 28),
    st.integers(1, 12),
    st.booleans(),
    st.integers(1, 7),
)
def test_one_day_above_12_anywhere_decides(
    pairs: list[tuple[int, int]], day: int, month: int, is_day_first: bool, piece: int
) -> None:
    values = [f"{one}/{other}/2015" for one, other in pairs]
    assert evidence(values, piece).orders() == ("day-first", "month-first")
    telling = f"{day}/{month}/2015" if is_day_first else f"{month}/{day}/2015"
    for place in (0, len(values) // 2, len(values)):
        found = evidence([*values[:place], telling, *values[place:]], piece)
        assert found.orders() == ("day-first" if is_day_first else "month-first",)
        assert found.seen[found.orders()[0]] == Seen(telling, place)


def test_no_order_fits_a_column_of_two_forms() -> None:
    assert evidence(["13/1/2015", "1/13/2015"]).orders() == ()
    assert evidence(["2015-01-13", "1/13/2015"]).orders() == ()
    assert evidence(["2015-01-13", "yesterday"]).orders() == ()
    assert evidence(["13/13/2015"]).orders() == ()
    assert len(evidence([]).orders()) == 3


def test_dates_with_another_sign_do_not_decide() -> None:
    found = evidence(["2/1/2015", "1/13/2015", "01.02.2015", "03.04.2015"])
    assert found.orders() == ()
    assert found.doubtful() == (Seen("01.02.2015", 2), Seen("1/13/2015", 1))
    assert evidence(["01.02.2015", "1/2/2015"]).doubtful() == (Seen("1/2/2015", 1), Seen("01.02.2015", 0))


def test_each_sign_may_decide_for_itself() -> None:
    same = evidence(["13/1/2015", "1/2/2015", "14.01.2015", "02.01.2015"])
    assert (same.orders(), same.doubtful()) == (("day-first",), None)
    assert evidence(["13/1/2015", "01.14.2015"]).orders() == ()
    assert evidence(["2015-01-13", "2015/01/13"]).orders() == ("year-first",)


def test_digits_of_other_scripts_are_no_form_that_is_known() -> None:
    assert evidence(["2015-01-03", ARABIC]).seen["unknown"] == Seen(ARABIC, 1)


def test_the_first_row_with_a_trait_is_named_whatever_the_order_of_texts() -> None:
    found = DateEvidence()
    found.add(texts("1/14/2015", "1/13/2015"), np.array([7, 2]))
    assert found.seen["month-first"] == Seen("1/13/2015", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        "2015-02-29",
        "2015-13-01",
        "2015-00-10",
        "2015-01-00",
        "2015-01-01T24:00",
        "2015-01-01T10:60",
        "2015-01-01T10:00:60",
        "2015-1",
        "2015-01-01T13:00PM",
        "2015-01-01T0:30AM",
        "2015-01/02",
        "1/1/15",
        "3/1/2015",
        "now",
        "0000-01-03",
        "0001-01-01T00:00+02:00",
        "9999-12-31T23:00-02:00",
        ARABIC,
        "2015-01-03T07:00+99:99",
        "2015-01-03T07:00+14:01",
        "2015-01-03T07:00-24:00",
        "2015-01-03T07:00+02:60",
    ],
)
def test_what_is_no_day_or_time_is_missing(wrong: str) -> None:
    assert np.isnat(parse_dates(texts(wrong), "year-first")).all()


def test_noon_and_midnight_in_half_days() -> None:
    found = parse_dates(texts("1/13/2015 12:00:00 AM", "1/13/2015 12:30 pm"), "month-first")
    assert found.tolist() == [datetime(2015, 1, 13), datetime(2015, 1, 13, 12, 30)]


def test_digits_beyond_microseconds_are_cut_off() -> None:
    assert parse_dates(texts("2015-01-13 00:00:00.1234569"), "year-first").tolist() == [
        datetime(2015, 1, 13, 0, 0, 0, 123456)
    ]


def test_given_formats() -> None:
    assert parse_format(texts("13.01.15 07:00", "x"), "%d.%m.%y %H:%M").tolist() == [datetime(2015, 1, 13, 7), None]
    zoned = parse_format(texts("13.01.15 07:00 +0200", "13.07.15 07:00 +0100"), "%d.%m.%y %H:%M %z")
    assert zoned.tolist() == [datetime(2015, 1, 13, 5), datetime(2015, 7, 13, 6)]
    zoned = parse_format(texts("0001-01-01 +0200", "0001-01-01 +0000"), "%Y-%m-%d %z")
    assert zoned.tolist() == [None, datetime(1, 1, 1)]
    assert np.isnat(parse_format(texts("0000-01-03"), "%Y-%m-%d")).all()
    with pytest.raises(ValueError, match="directive"):
        parse_format(texts("1"), "%Q")


def test_epochs() -> None:
    assert parse_format(texts("1421132400", "1421132400.25", "x", "1e300"), "epoch-s").tolist() == [
        datetime(2015, 1, 13, 7),
        datetime(2015, 1, 13, 7, 0, 0, 250_000),
        None,
        None,
    ]
    assert parse_format(texts("1421132400123"), "epoch-ms").tolist() == [datetime(2015, 1, 13, 7, 0, 0, 123_000)]
    assert has_zone("epoch-s")
    assert has_zone("%Y %z")
    assert not has_zone("%Y")
