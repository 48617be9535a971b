from __future__ import annotations

import pytest

from pdm_cli.io.sensor_names import find_mixed_units, find_sensor, split_unit, split_units


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VIB_X [mm/s]", ("VIB_X", "mm/s")),
        ("flow[Nm³/h]", ("flow", "Nm³/h")),
        ("P [bar(g)]", ("P", "bar(g)")),
        ("cos phi [-]", ("cos phi", "")),
        ("Druck (bar)", ("Druck", "bar")),
        ("acceleration (m/s^2)", ("acceleration", "m/s^2")),
        ("load (%)", ("load", "%")),
        ("Temperatur in °C", ("Temperatur", "°C")),
        ("speed in min-1", ("speed", "min-1")),
        ("flow (gpm)", ("flow", "gpm")),
        ("air (SCFM)", ("air", "SCFM")),
        ("draft (inH2O)", ("draft", "inH2O")),
        ("vibration (in/s)", ("vibration", "in/s")),
    ],
)
def test_split_unit_clear_forms_are_units(name: str, expected: tuple[str, str]) -> None:
    assert split_unit(name) == expected


@pytest.mark.parametrize("name", ["volt", "x[3]", "x (3)", "pressure (inlet)", "water in tank", "temp_degC", "[bar]"])
def test_split_unit_other_names_are_unchanged(name: str) -> None:
    assert split_unit(name) == (name, "")


@pytest.mark.parametrize(
    "names",
    [["VIB [mm/s]", "VIB [g]"], ["VIB [mm/s]", "VIB"], ["motor (A)", "motor (B)"], ["temp [left]", "temp [right]"]],
)
def test_split_units_names_that_would_clash_are_kept(names: list[str]) -> None:
    assert split_units(names) == {name: (name, "") for name in names}


def test_split_units_names_of_other_columns_are_not_taken() -> None:
    assert split_units(["datetime [h]", "volt [V]"], ["datetime"]) == {
        "datetime [h]": ("datetime [h]", ""),
        "volt [V]": ("volt", "V"),
    }


def test_find_sensor_name_with_unit_is_found_without_it() -> None:
    units = {"VIB_X": "mm/s"}
    assert find_sensor("VIB_X [mm/s]", ["VIB_X"], units) == "VIB_X"
    assert find_sensor("VIB_X [g]", ["VIB_X"], units) == "VIB_X [g]"
    assert find_sensor("VIB_X [mm/s]", ["VIB_X [mm/s]", "VIB_X"], units) == "VIB_X [mm/s]"


def test_find_mixed_units_names_sensors_with_several() -> None:
    assert find_mixed_units(["VIB [mm/s]", "VIB [g]", "Druck (bar)", "volt"]) == {"VIB": ["g", "mm/s"]}
