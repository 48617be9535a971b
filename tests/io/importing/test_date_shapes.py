"""Times in strings: SQL by shape against a parser row by row."""

from __future__ import annotations

import re
from datetime import datetime

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.io.importing.date_shapes import (
    Order,
    Shape,
    find_epoch,
    fitting_orders,
    shape_of,
    sql_checked_time,
    sql_format,
    sql_has_shape,
    sql_pattern,
    sql_shape,
    sql_time,
)
from tests.io.importing.reference_dates import DateEvidence, parse_dates, parse_format

ORDERS: tuple[Order, ...] = ("year-first", "day-first", "month-first")
# Every part in its valid and invalid spellings.
DATES = st.one_of(
    st.builds(
        "{0:04}{3}{1}{3}{2}".format,
        st.integers(0, 9999),
        st.integers(0, 13),
        st.integers(0, 32),
        st.sampled_from("-/."),
    ),
    st.builds(
        "{1}{3}{2}{3}{0:04}".format,
        st.integers(0, 9999),
        st.integers(0, 32),
        st.integers(0, 32),
        st.sampled_from("-/."),
    ),
    st.builds(
        "{1:02}{3}{2:02}{3}{0:04}".format,
        st.integers(1, 9999),
        st.integers(1, 28),
        st.integers(1, 12),
        st.sampled_from("-/."),
    ),
)
TIMES = st.builds(
    "{0}{1}:{2:02}{3}{4}{5}{6}".format,
    st.sampled_from(["T", " ", ", ", "  "]),
    st.integers(0, 25),
    st.integers(0, 61),
    st.sampled_from(["", ":00", ":59", ":60"]),
    st.sampled_from(["", ".5", ".123456", ".123456789", ",25"]),
    st.sampled_from(["", " AM", "pm", " a.m."]),
    st.sampled_from(["", "Z", " UTC", "+02:00", "-0530", "+14", "+15:00", "+01:61"]),
)
STRINGS = st.builds("{}{}".format, DATES, st.one_of(st.just(""), TIMES))


def parse(text: str, sql: str) -> datetime | None:
    found = duckdb.execute(f"SELECT {sql} FROM (SELECT ? AS t)", [text]).fetchone()
    assert found is not None
    time = found[0]
    # Years before 1 come as strings.
    return time if isinstance(time, datetime) else None


@given(st.data())
@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ("00.00.0000 00:00:00", "day-first"),
        ("00/00/0000 00:00", "month-first"),
        ("0000-00-00T00:00:00.000", "year-first"),
        ("0000-00-00", "year-first"),
        ("0000.00.00 00:00:00.000000000", "year-first"),
        ("0.0.0000 0:00", "day-first"),
    ],
)
def test_sql_checked_time_of_strings_with_other_characters_has_the_shape(
    shape: str, order: Order, data: st.DataObject
) -> None:
    text = re.sub("0", lambda _: data.draw(st.sampled_from("0123")), shape)
    for place in data.draw(st.lists(st.integers(0, len(text) - 1), max_size=3)):
        text = text[:place] + data.draw(st.sampled_from(" \t\n+-./:T09")) + text[place + 1 :]
    slow = (
        f"CASE WHEN {sql_has_shape([shape], 't')} THEN {sql_time([Shape(shape, rows=1, undecided=1)], order, 't')} END"
    )
    assert parse(text, sql_checked_time([shape], order, "t")) == parse(text, slow)


@given(STRINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_sql_time_of_any_string_equals_the_reference(order: Order, text: str) -> None:
    expected = parse_dates(np.array([text], dtype=object), order)[0]
    shape = Shape(shape_of(text), rows=1, undecided=1)
    found = parse(text, sql_time([shape], order, "t"))
    assert found == (None if np.isnat(expected) else expected.item())


@given(st.lists(STRINGS, min_size=1, max_size=6))
def test_fitting_orders_of_a_column_equal_the_reference(values: list[str]) -> None:
    evidence = DateEvidence()
    evidence.add(np.array(values, dtype=object), np.arange(len(values)))
    assert fitting_orders(shapes_of(values)) == evidence.orders()


def shapes_of(values: list[str]) -> list[Shape]:
    counts: dict[str, list[int]] = {}
    for text in values:
        shape = counts.setdefault(shape_of(text), [0, 0, 0, 0])
        shape[0] += 1
        parts = text.replace("/", ".").replace("-", ".").split(" ")[0].split("T")[0].rstrip(",").split(".")
        if len(parts) == 3 and len(parts[0]) <= 2:
            day, month = int(parts[0]) > 12, int(parts[1]) > 12
            shape[1] += day and not month
            shape[2] += month and not day
            shape[3] += not day and not month
    return [Shape(text, *numbers) for text, numbers in counts.items()]


@pytest.mark.parametrize("text", ["2015-01-03 07:00", "1/13/2015, 7:00:00 AM", "x.1(2)", "a|b"])
def test_sql_pattern_fits_the_strings_of_its_shape_only(text: str) -> None:
    sql = f"SELECT {sql_shape('t')}, regexp_full_match(t, '{sql_pattern([shape_of(text)])}') FROM (SELECT ? AS t)"
    assert duckdb.execute(sql, [text]).fetchone() == (shape_of(text), True)
    assert duckdb.execute(sql, [f"{text}0"]).fetchone() == (f"{shape_of(text)}0", False)


def test_sql_time_of_several_shapes_parses_each() -> None:
    shapes = [Shape("0000-00-00", 1), Shape("0000-00-00 00:00", 1)]
    sql = sql_time(shapes, "year-first", "t")
    assert parse("2015-01-03", sql) == datetime(2015, 1, 3)
    assert parse("2015-01-03 07:30", sql) == datetime(2015, 1, 3, 7, 30)
    assert parse("2015-01-03 07:30:00", sql) is None


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d.%m.%y %H:%M", "31.12.24 23:00"),
        ("%d.%m.%y %H:%M", "2024-12-31"),
        ("%Y-%m-%d %H:%M:%S", "2015-02-29 00:00:00"),
        ("epoch-s", "1420070400"),
        ("epoch-s", "1420070400.25"),
        ("epoch-ms", "1420070400250"),
        ("epoch-s", "nan"),
        ("epoch-s", "1e300"),
    ],
)
def test_sql_format_equals_the_reference(form: str, text: str) -> None:
    expected = parse_format(np.array([text], dtype=object), form)[0]
    assert parse(text, sql_format(form, "t")) == (None if np.isnat(expected) else expected.item())


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (["0000000000"], "epoch-s"),
        (["0000000000", "0000000000.00"], "epoch-s"),
        (["0000000000000"], "epoch-ms"),
        (["0000000000", "0000-00-00"], None),
        (["00000000"], None),
        ([], None),
    ],
)
def test_find_epoch_needs_all_rows(shapes: list[str], expected: str | None) -> None:
    assert find_epoch([Shape(text, 1) for text in shapes]) == expected
