from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pdm_cli.errors import DataError, UsageError
from pdm_cli.features.events import Instants
from pdm_cli.pipeline import explain
from pdm_cli.pipeline.explain import Question, parse_time
from pdm_cli.progress import Progress
from pdm_cli.settings.model import FeaturesParams
from pdm_cli.units import FIRST_CYCLE_US, Units, using
from tests.builders.fleets import HOUR_US, rows_frame


@pytest.mark.parametrize(("text", "cycle"), [("100", "cycle 100"), ("soon", "cycle 187")])
def test_parse_time_without_a_time_names_dates_and_cycles(text: str, cycle: str) -> None:
    with pytest.raises(UsageError, match=f"--at: '{text}' is not a time") as raised:
        parse_time(text)
    assert raised.value.hint == f"such as 2015-10-01T06:00, or '{cycle}' if the log counts cycles"


@pytest.mark.parametrize(
    ("at", "named"),
    [
        ("2020-01-01", "--at 2020-01-01T00:00 (a date, but the times of the telemetry are cycles): outside"),
        ("cycle 90", "--at cycle90: outside"),
    ],
)
def test_explain_outside_a_log_of_cycles_names_the_time_as_given(at: str, named: str) -> None:
    instants = Instants.of(rows_frame([(1, 0.0), (1, 9.0)]))
    instants = Instants(
        instants.machines, instants.codes, instants.times - instants.times[0] + FIRST_CYCLE_US + HOUR_US
    )
    settings = SimpleNamespace(features=FeaturesParams())
    forecast = cast("Any", SimpleNamespace(instants=instants, recipe=SimpleNamespace(settings=settings)))
    with using(Units(cycle_hours=1.0)), pytest.raises(DataError) as raised:
        explain._find_row(forecast, Question("1", parse_time(at)), cast("Progress", None))
    assert str(raised.value).startswith(named)
    assert raised.value.hint == "it spans cycle 1 to cycle 10"
