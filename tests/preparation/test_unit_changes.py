"""A change of unit is found where readings are converted for good, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pdm_cli.preparation.unit_changes import CONVERSIONS, Conversion, find_unit_changes
from pdm_cli.units import Units, using
from tests.builders.overviews import hours_of, overview_of

ROWS = 2000


def noise(seed: int = 0, level: float = 50.0, spread: float = 5.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(level, spread, ROWS)


def texts(*series: NDArray[np.float64]) -> list[str]:
    times = {number: hours_of(ROWS) for number in range(1, len(series) + 1)}
    return [problem.text for problem in find_unit_changes(overview_of(times, pressure=list(series)))]


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=lambda conversion: conversion.units)
@pytest.mark.parametrize("at", [300, 777, 1500])
def test_find_unit_changes_converted_readings_are_named(conversion: Conversion, at: int) -> None:
    values = noise(at)
    values[at:] = conversion.factor * values[at:] + conversion.offset
    (text,) = texts(noise(1), values, noise(2))
    assert "on machine 2: " in text
    assert text.endswith(f"as from {conversion.units}")


def test_find_unit_changes_names_sensor_day_and_machines() -> None:
    values = noise()
    values[960:] *= 1000
    with using(Units(sensors={"pressure": "bar"})):
        assert texts(values, values, noise(1)) == [
            "pressure [bar] changes its unit around 2023-02-10 on 2 of 3 machines, first 1: "
            "multiplied by 1,000, as from m to mm"
        ]


@pytest.mark.parametrize(
    "values",
    [
        noise(),
        np.arange(ROWS) + noise(0, 0, 3),
        np.exp(np.arange(ROWS) / 300) + noise(0, 0, 0.1),
        np.cumsum(noise(3, 0, 1)),
        # Another level with the same spread, and another spread at the same level.
        noise() + np.where(np.arange(ROWS) < 900, 0, 450),
        50 + (noise() - 50) * np.where(np.arange(ROWS) < 900, 1, 10),
        # For a while only.
        noise() * np.where((np.arange(ROWS) > 900) & (np.arange(ROWS) < 1300), 10, 1),
        # A setpoint without spread, and a state.
        np.where(np.arange(ROWS) < 900, 5.0, 50.0),
        (noise() > 50).astype(float),
        # A factor that is no conversion.
        noise() * np.where(np.arange(ROWS) < 900, 1, 7.6),
    ],
    ids=["noise", "counter", "growth", "walk", "level", "spread", "while", "setpoint", "state", "factor"],
)
def test_find_unit_changes_other_changes_are_none(values: NDArray[np.float64]) -> None:
    assert texts(values) == []


def test_find_unit_changes_few_readings_are_no_evidence() -> None:
    times = {1: hours_of(30)}
    values = np.where(np.arange(30) < 15, 1, 10) * noise()[:30]
    assert find_unit_changes(overview_of(times, pressure=[values])) == []
