from __future__ import annotations

from datetime import datetime

import pytest

from pdm_cli.errors import UsageError
from pdm_cli.settings.cycles import convert_cycles, parse_time_or_cycle
from pdm_cli.settings.load import option_words, resolve
from pdm_cli.units import (
    DATES,
    Units,
    exact_time,
    in_rate_unit,
    name_sensor,
    option_hours,
    per_machine_time,
    show_age,
    show_alert,
    show_days,
    show_hours,
    show_reading,
    show_span,
    show_step,
    show_two_hours,
    show_window,
    using,
    utc,
)

CYCLES = Units(cycle_hours=1)
WORK = {
    "since": "2000-01-08T19:00:00",
    "expected_from": "2000-01-08T20:00:00",
    "expected_until": "2000-01-10T01:00:00",
}


def test_units_metadata_and_summary_are_read_back() -> None:
    units = Units(0.5, {"VIB_X": "mm/s", "Druck": "°C"})
    assert Units.from_metadata(units.metadata()) == units
    assert Units.from_summary(units.summary()) == units
    assert DATES.metadata() == DATES.summary() == {}


@pytest.mark.parametrize("metadata", [{"pdm.cycle_hours": "-1"}, {"pdm.units": "[1]"}, {"pdm.units": '{"a": 1}'}])
def test_units_metadata_that_is_not_valid_is_rejected(metadata: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not valid"):
        Units.from_metadata(metadata)


def test_units_metadata_of_other_programs_is_ignored() -> None:
    assert Units.from_metadata({"units": "SI", "pandas": "{}"}) == DATES


def test_dates_are_shown_as_dates_and_hours() -> None:
    ends = "2015-10-01T06:00:00", "2015-10-02T06:00:00"
    assert show_span(*ends) == "from 2015-10-01 06:00 to 2015-10-02 06:00"
    assert (show_hours(30), show_two_hours(3, 48), show_step(60), show_days(7)) == (
        "30 h",
        "3 to 48 h",
        "60 min",
        "7 days",
    )
    assert (show_age(71), show_age(72), option_hours(3.0), utc()) == ("71 h", "3 days", "3", " UTC")
    assert (per_machine_time(), in_rate_unit(0.5)) == ("machine and month", 0.5)
    assert show_window(WORK, has_year=False) == "01-08 20:00 to 01-10 01:00"


def test_cycles_are_shown_as_cycles() -> None:
    with using(CYCLES):
        assert show_span(WORK["since"], WORK["expected_until"]) == "from cycle 187 to 217"
        assert show_span(WORK["since"], WORK["since"]) == "at cycle 187"
        assert (show_hours(30), show_hours(1), show_two_hours(3, 48)) == ("30 cycles", "1 cycle", "3 to 48 cycles")
        assert (show_step(60), show_days(7), show_age(100), utc()) == ("1 cycle", "168 cycles", "100 cycles", "")
        assert (option_hours(3.0), exact_time(946_684_800_000_000)) == ("3cycles", "cycle 0")
        assert show_alert({"since": WORK["since"]}, has_year=False) == "cycle 187"
        assert show_window(WORK) == show_window(WORK, has_year=False) == "cycle 188 to 217"


def test_cycles_of_other_lengths_are_counted() -> None:
    with using(Units(cycle_hours=2)):
        assert show_span(WORK["since"], WORK["expected_until"]) == "from cycle 93.5 to 108.5"
        assert show_hours(30) == "15 cycles"
        # A month has 365.25 of them.
        assert (per_machine_time(), in_rate_unit(0.36525)) == ("machine and 1,000 cycles", 1.0)


def test_readings_have_the_unit_of_their_sensor() -> None:
    with using(Units(sensors={"VIB_X": "mm/s"})):
        assert (name_sensor("VIB_X"), name_sensor("volt")) == ("VIB_X [mm/s]", "volt")
        assert (show_reading("VIB_X", "4.2"), show_reading("volt", "4.2")) == ("4.2 mm/s", "4.2")


def test_using_ends_with_the_block() -> None:
    with pytest.raises(KeyError), using(CYCLES):
        raise KeyError
    assert utc() == " UTC"


def test_settings_in_cycles_have_the_length_of_the_data() -> None:
    given = {"horizon_hours": "30 cycles", "windows_hours": "3cycles,12", "until": "cycle 187", "cutoff": "2000-01-03"}
    settings = resolve(given, environ={}).settings
    found = convert_cycles(settings, Units(cycle_hours=2))
    assert (found.labels.horizon_hours, found.features.windows_hours) == (60, (6, 12))
    assert (found.predict.until, found.train.cutoff) == (datetime(2000, 1, 16, 14), datetime(2000, 1, 3))
    assert "horizon_hours" in found.labels.given
    assert convert_cycles(found, DATES) is found


def test_settings_in_cycles_stay_cycles_in_a_command_line() -> None:
    settings = resolve({"horizon_hours": "30 cycles", "until": "Cycle 187"}, environ={}).settings
    words = [*option_words("labels", settings.labels), *option_words("predict", settings.predict)]
    assert words[-2:] == ["--until", "cycle 187"]
    assert words[words.index("--horizon-hours") + 1] == "30cycles"


@pytest.mark.parametrize(
    ("given", "message"),
    [({"horizon_hours": "30 cycles"}, "--horizon-hours 30cycles"), ({"until": "cycle 7"}, "--until cycle 7")],
)
def test_settings_in_cycles_for_data_with_dates_are_rejected(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convert_cycles(resolve(given, environ={}).settings, DATES)


def test_settings_in_cycles_have_the_bounds_of_their_setting() -> None:
    with pytest.raises(UsageError, match="above 0"):
        resolve({"horizon_hours": "0 cycles"}, environ={})


def test_parse_time_or_cycle_other_text_is_rejected() -> None:
    with pytest.raises(ValueError, match="cycle x"):
        parse_time_or_cycle("cycle x")
