"""Clocks with daylight saving time, in another zone, or with another step are named; others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pdm_cli.preparation.clocks import check_clocks, describe_set_back
from pdm_cli.units import Units, using
from tests.builders.overviews import HOUR_US, START_US, hours_of, overview_of


def local(zone: str, count: int = 8760, every: str = "1h") -> NDArray[np.int64]:
    """Return times as clocks of a zone show them."""
    times = pd.date_range("2023-01-01", periods=count, freq=every, tz=zone).tz_localize(None)
    return times.as_unit("us").astype(np.int64).to_numpy()


def texts(times: dict[object, NDArray[np.int64]], step_us: int = HOUR_US) -> list[str]:
    found = overview_of(times, step_us, volt=[np.ones(len(own)) for own in times.values()])
    return [problem.text for problem in check_clocks(found)]


def test_check_clocks_up_to_the_last_hour_of_the_last_year_has_none() -> None:
    times = pd.date_range("9999-12-20", "9999-12-31 23:00", freq="1h").as_unit("us").astype(np.int64).to_numpy()
    assert texts({1: times, 2: times}) == []


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("Europe/Berlin", ("02:00 to 03:00 on 2023-03-26", "repeated on 2023-10-29")),
        ("Europe/London", ("01:00 to 02:00 on 2023-03-26", "repeated on 2023-10-29")),
        ("America/New_York", ("02:00 to 03:00 on 2023-03-12", "repeated on 2023-11-05")),
        ("Australia/Sydney", ("02:00 to 03:00 on 2023-10-01", "repeated on 2023-04-02")),
    ],
)
def test_check_clocks_local_time_is_named_with_its_zone(zone: str, days: tuple[str, str]) -> None:
    times = local(zone)
    found = overview_of({1: times, 2: times}, volt=[np.ones(len(times))] * 2)
    (problem,) = check_clocks(found)
    assert problem.type == "local_time"
    assert all(day in problem.text for day in days)
    repeated = days[1].removeprefix("repeated on ")
    assert problem.hint.startswith("export in UTC or with UTC offsets; otherwise delete the rows from 0")
    assert problem.hint.endswith(f" on {repeated}, which are ambiguous, and set --timezone {zone}")


def test_check_clocks_spring_alone_is_enough() -> None:
    times = local("Europe/Berlin", 4000)
    (problem,) = check_clocks(overview_of({1: times}, volt=[np.ones(len(times))]))
    assert problem.text == "times are local: no row from 02:00 to 03:00 on 2023-03-26"
    assert problem.hint == "export in UTC, or set --timezone Europe/Berlin"


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT-1", "Asia/Tokyo"])
def test_check_clocks_time_without_daylight_saving_is_right(zone: str) -> None:
    assert texts({1: local(zone)}) == []


def test_check_clocks_empty_hours_elsewhere_make_one_meaningless() -> None:
    times = local("Europe/Berlin")
    assert texts({1: np.delete(times, np.arange(7, len(times), 23))}) == []


def test_check_clocks_cycles_have_no_zone() -> None:
    with using(Units(cycle_hours=1)):
        assert texts({1: local("Europe/Berlin")}) == []


def test_check_clocks_machine_in_another_zone_is_named() -> None:
    times = {number: hours_of(500) for number in range(1, 9)}
    times[3] = times[3] + 2 * HOUR_US
    assert texts({**times}) == ["machine 3 starts and ends 2h later than most others"]
    times[5] = times[5][10:-20]
    assert len(texts({**times})) == 1


@pytest.mark.parametrize("days", [1, 7, 31, -366])
def test_check_clocks_wrong_date_is_named(days: int) -> None:
    times = {number: hours_of(500) for number in range(1, 7)}
    times[4] = times[4] + days * 24 * HOUR_US
    found = overview_of({**times}, volt=[np.ones(len(own)) for own in times.values()])
    (problem,) = check_clocks(found)
    side = "later" if days > 0 else "earlier"
    assert problem.text == f"machine 4 starts and ends {abs(days)}d {side} than most others"
    assert problem.hint == "correct its times if its clock is wrong"


@pytest.mark.parametrize(
    ("shifted", "hint"),
    [
        ([3], "is its clock in another time zone? Convert its"),
        ([3, 4], "are their clocks in another time zone? Convert their"),
    ],
)
def test_check_clocks_hint_for_other_zone_agrees_with_the_machines(shifted: list[int], hint: str) -> None:
    times: dict[object, NDArray[np.int64]] = {number: hours_of(500) for number in range(1, 20)}
    times |= {number: hours_of(500) + 2 * HOUR_US for number in shifted}
    (problem,) = check_clocks(overview_of(times, volt=[np.ones(500)] * len(times)))
    assert problem.hint == f"{hint} times before the import"


def test_check_clocks_machines_that_come_and_go_are_right() -> None:
    times = {number: hours_of(500)[7 * number : 500 - 3 * number] for number in range(9)}
    assert texts({**times}) == []
    late = {**{number: hours_of(500) for number in range(8)}, 8: hours_of(500)[2:]}
    assert texts(late) == []


def test_check_clocks_other_step_is_named_with_its_day() -> None:
    slow = np.concatenate([hours_of(1000), START_US + 1000 * HOUR_US + 3 * hours_of(334) - 3 * START_US])
    assert texts({1: slow, 2: hours_of(2000)}) == ["machine 1: a row every 1h until about 2023-02-12, then every 3h"]


def test_check_clocks_outages_are_no_other_step() -> None:
    kept = np.delete(np.arange(2000), np.concatenate([np.arange(300, 480), np.arange(900, 1000), [5, 77]]))
    assert texts({1: hours_of(2000)[kept], 2: hours_of(2000)}) == []


def test_check_clocks_duplicates_are_no_other_step() -> None:
    times = np.sort(np.concatenate([hours_of(2000), hours_of(900)]))
    found = overview_of({1: times}, volt=[np.ones(len(times))])
    assert [problem.type for problem in check_clocks(found)] == ["step_change"]
    assert check_clocks(found, has_duplicates=True) == []


def test_describe_set_back_names_the_first() -> None:
    problem = describe_set_back(2, (7, START_US + 5 * HOUR_US, HOUR_US))
    assert problem.text == "time goes back 2 times, first by 1h to 2023-01-01 05:00 (machine 7)"
    assert problem.facts == {"count": 2, "first": 7, "at": "2023-01-01T05:00"}
