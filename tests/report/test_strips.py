"""Small pictures over time show gaps, whatever their length."""

from __future__ import annotations

import pytest

from pdm_cli.report.strips import average_runs, draw_counts, draw_level, draw_presence


@pytest.mark.parametrize(
    ("values", "most", "expected"),
    [
        ([], 5, []),
        ([1.0, 0.5], 5, [1.0, 0.5]),
        ([1.0, 0.5, 0.0, 0.0, 1.0], 2, [0.75, pytest.approx(1 / 3)]),
        ([None, None, 1.0, None], 2, [None, 1.0]),
    ],
)
def test_average_runs_keeps_order_and_gaps(values: list[float | None], most: int, expected: list[float | None]) -> None:
    assert average_runs(values, most) == expected


def test_draw_presence_joins_equal_bars_and_leaves_gaps_empty() -> None:
    picture = draw_presence([1.0, 0.999, None, 0.0, 0.95, 0.2])
    assert picture.svg.count("<rect") == 4
    assert 'x="0" y="0" width="20" height="20" fill="var(--blue)"' in picture.svg
    assert picture.svg.count("var(--orange)") == picture.svg.count("var(--red)") == 1
    assert picture.text == "at the worst, 0% of the readings exist"
    assert draw_presence([1.0]).text == "all readings exist"
    assert draw_presence([None]).text == "no readings expected"


def test_draw_level_breaks_the_line_at_gaps() -> None:
    picture = draw_level([1.0, 2.0, None, 3.0])
    assert picture.svg.count("<polyline") == 2
    assert picture.text == "means from 1 to 3"
    assert "<polyline" in draw_level([5.0, 5.0]).svg
    assert draw_level([None]).text == "no readings"


def test_draw_counts_is_a_bar_per_bucket_with_events() -> None:
    picture = draw_counts([0, 2, 1], "failure")
    assert picture.svg.count("var(--red)") == 2
    assert picture.text == "3 failures, at most 2 in a bar"
