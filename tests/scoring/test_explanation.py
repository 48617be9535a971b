from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pdm_cli.cli.render.explanation import Sparkline, draw_explanation
from pdm_cli.evaluation.drift import take_fingerprint
from pdm_cli.features.describe import format_value
from pdm_cli.features.events import Instants
from pdm_cli.scoring.explanation import Reason, alert_start, mean_by_span, row_until, top_reasons, typical_values

HOUR = 3_600_000_000


def test_typical_values_are_the_deciles_of_the_training_rows() -> None:
    # 1 to 100, a fifth more of them missing.
    values = np.concatenate([np.arange(1, 101), np.full(25, np.nan)]).astype(np.float32)[:, None]
    typical = typical_values(take_fingerprint(values, ["volt"], ()))["volt"]
    assert (typical.low, typical.middle, typical.high, typical.missing) == (10, 50, 90, 0.2)
    assert typical.median == 50
    assert replace(typical, missing=0.51).median is None


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60))
def test_typical_values_agree_with_sorting(readings: list[int]) -> None:
    typical = typical_values(take_fingerprint(np.array(readings, np.float32)[:, None], ["x"], ()))["x"]
    ordered = sorted(readings)
    for told, tenths in ((typical.low, 1), (typical.middle, 5), (typical.high, 9)):
        assert told == ordered[math.ceil(tenths * len(ordered) / 10) - 1]


def test_the_typical_category_is_the_most_frequent() -> None:
    values = np.array([0, 0, 1, 1, 1, 3], np.float32)[:, None]
    typical = typical_values(take_fingerprint(values, ["model"], ["model"]), ["model"])["model"]
    assert (typical.low, typical.middle, typical.high) == (1, 1, 1)


def test_a_feature_that_was_never_known_has_no_typical_value() -> None:
    typical = typical_values(take_fingerprint(np.full((4, 1), np.nan, np.float32), ["x"], ()))["x"]
    assert math.isnan(typical.middle)
    assert typical.missing == 1
    assert typical.median is None


def rows() -> Instants:
    return Instants(pd.Index(["a", "b"]), np.array([0, 0, 0, 1, 1]), np.array([3, 6, 9, 6, 9]) * HOUR)


@pytest.mark.parametrize(
    ("machine", "hours", "row"), [(0, 2, None), (0, 3, 0), (0, 5, 0), (0, 99, 2), (1, 5, None), (1, 9, 4)]
)
def test_the_last_row_until_a_time_is_that_machines(machine: int, hours: int, row: int | None) -> None:
    assert row_until(rows(), machine, hours * HOUR) == row


def test_an_alert_began_at_the_first_row_of_its_run_on_that_machine() -> None:
    alerts = np.array([False, True, True, True, True])
    assert [alert_start(alerts, rows(), row) for row in range(5)] == [None, 1, 1, 3, 3]


def test_means_are_of_spans_that_end_with_the_time() -> None:
    times = np.array([1, 2, 3, 4, 5, 6]) * HOUR
    values = np.array([1.0, 2.0, np.nan, 4.0, 6.0, 100.0])
    found = mean_by_span(values, times, until_us=5 * HOUR, span_us=2 * HOUR, count=3)
    np.testing.assert_array_equal(found, [1.0, 2.0, 5.0])
    later = mean_by_span(values[3:], times[3:], until_us=5 * HOUR, span_us=2 * HOUR, count=3)
    np.testing.assert_array_equal(later, [np.nan, np.nan, 5.0])


@given(st.lists(st.floats(-9, 9) | st.just(math.nan), min_size=1, max_size=40), st.integers(0, 45))
def test_means_agree_with_a_loop_and_see_nothing_later(readings: list[float], until: int) -> None:
    values, times = np.array(readings), np.arange(len(readings))
    found = mean_by_span(values, times, until_us=until, span_us=3, count=5)
    for place in range(5):
        end = until - 3 * (4 - place)
        known = [v for t, v in enumerate(readings) if end - 3 < t <= end and not math.isnan(v)]
        assert found[place] == pytest.approx(sum(known) / len(known) if known else math.nan, nan_ok=True)
    cut = mean_by_span(values[: until + 1], times[: until + 1], until_us=until, span_us=3, count=5)
    np.testing.assert_array_equal(found, cut)


def test_reasons_go_both_ways_where_asked() -> None:
    found = top_reasons(np.array([[0.1, -2.0, 0.0, 1.0]]), list("abcd"), np.ones((1, 4)), most=9, both_ways=True)
    assert found == [[Reason("b", 1.0, -2.0), Reason("d", 1.0, 1.0), Reason("a", 1.0, 0.1)]]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("volt_mean_24h", 170.74, "170.7"),
        ("hours_since_error1", 30.0, "30 h"),
        ("volt_shift_step", 1.5, "+1.5"),
        ("visit_phase", 0.5, "50%"),
        ("comp1_match", 0.2, "yes"),
        ("comp1_match_lag", -48.0, "48 h before"),
        ("age", 18.0, "18"),
        ("model", "model3", "model3"),
        ("age", None, "none"),
    ],
)
def test_values_are_told_in_their_unit(name: str, value: float | str | None, told: str) -> None:
    assert format_value(name, value) == told


def test_sparklines_rise_with_the_values() -> None:
    assert Sparkline([0.0, None, 3.5, 7.0]).draw("▁▂▃▄▅▆▇█") == "▁ ▅█"
    assert Sparkline([5.0, 5.0]).draw("_#") == "__"
    assert Sparkline([None]).draw("_#") == " "
    assert Sparkline([0.5], 0.0, 1.0).draw("abc") == "b"


def test_a_narrow_sparkline_shows_means_that_end_with_the_latest() -> None:
    stream = io.StringIO()
    values = [0.0] * 50 + [None] * 4 + [4.0, 8.0]
    Console(file=stream, width=28).print(Sparkline(values, 0.0, 8.0))
    assert stream.getvalue() == "▁" * 25 + "  ▆\n"
    stream = io.StringIO()
    Console(file=stream, width=20).print(Sparkline([]))
    assert stream.getvalue() == "\n"
    stream = io.StringIO()
    Console(file=stream, width=20).print(Sparkline([0.0, 8.0]))
    assert stream.getvalue() == "▁█\n"


@pytest.mark.parametrize(("encoding", "line"), [("utf-8", "▁█\n"), ("ascii", "_#\n")])
def test_sparklines_have_letters_where_blocks_cannot_be_written(encoding: str, line: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=80).print(Sparkline([1.0, 2.0]))
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == line  # type: ignore[attr-defined]


def test_draw_explanation_leaves_out_constant_sensors_with_a_count() -> None:
    state = {"probability": 0.2, "alert": False, "since": None, "by_age": None}
    sensors = {"volt": [1.0, 2.0], "flat": [0.1 + 0.2, 0.3], "still": [5.0, None], "empty": [None, None]}
    found = {
        **{"machineID": 7, "datetime": "2015-01-02T00:00", "lead_time_hours": 3.0, "horizon_hours": 48.0},
        **{"component": "belt", "components": {"belt": state}, "reasons": [], "others": {"count": 0, "log_odds": 0.0}},
        "before": {"span_hours": 6.0, "sensors": sensors, "probabilities": {"belt": [0.1, 0.2]}},
    }
    console = Console(width=100)
    with console.capture() as capture:
        console.print(*draw_explanation(found), sep="\n")
    text = capture.get()
    assert [name for name in sensors if f" {name} " in text] == ["volt", "empty"]
    assert "2 constant sensors left out" in text
