from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.anomalies.contiguous import cut_at_gaps
from pdm_cli.anomalies.detectors import SeriesResult, find_anomalies, list_unjudged
from pdm_cli.anomalies.seasonal_esd import split_rows
from pdm_cli.anomalies.windows import DetectWindows
from pdm_cli.settings.model import DetectParams

HOUR = 3_600_000_000
# Midnight of 2015-01-01 UTC.
START = 16_436 * 24 * HOUR


def telemetry(hours: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """A noisy daily pattern with a spike in every hundredth reading, at some hours."""
    rng = np.random.default_rng(seed)
    volt = 170 + 10 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 1, len(hours))
    volt[50::100] += 60
    times = (START + hours * HOUR).astype("datetime64[us]")
    return pd.DataFrame({"machineID": 1, "datetime": times, "volt": volt})


def find(frame: pd.DataFrame, **changes: Any) -> tuple[pd.DataFrame, SeriesResult]:
    params = DetectParams(mode="batch", **{"smooth_hours": 0.0, **changes})
    found, (series,) = find_anomalies(frame, step_us=HOUR, params=params)
    return found, series


@given(st.lists(st.integers(2, 200), min_size=1, max_size=4), st.sampled_from([0.0, 6.0]), st.sampled_from([0.0, 3.0]))
def test_batch_mode_each_piece_between_gaps_has_the_anomalies_that_it_has_alone(
    lengths: list[int], smooth: float, longterm: float
) -> None:
    starts = np.cumsum([0, *(length + 30 for length in lengths[:-1])])
    frame = telemetry(np.concatenate([start + np.arange(n) for start, n in zip(starts, lengths, strict=True)]))
    settings = {"smooth_hours": smooth, "longterm_days": longterm}
    together, series = find(frame, **settings)
    piece = np.repeat(np.arange(len(lengths)), lengths)
    alone = [find(frame[piece == number], **settings) for number in range(len(lengths))]
    pd.testing.assert_frame_equal(together, pd.concat([found for found, _ in alone], ignore_index=True))
    assert series.judged == sum(own.judged for _, own in alone)
    untested = [own for _, own in alone if own.reason]
    assert series.untested_pieces == (0 if series.reason else len(untested))
    assert (series.reason is None) == any(own.judged for _, own in alone)
    assert series.judged + series.unjudged[:, 2].sum() == len(frame)


def test_batch_mode_pieces_too_short_are_named_with_their_span_and_length() -> None:
    hours = np.concatenate([np.arange(200), 230 + np.arange(40), 300 + np.arange(100)])
    found, series = find(telemetry(hours))
    assert series.reason is None
    assert series.untested_pieces == 1
    assert len(found) >= 2
    spans = list_unjudged([series], np.dtype("int64"))
    assert spans["readings"].tolist() == [40]
    assert spans["reason"].tolist() == [
        "the piece between gaps has only 40 readings; more than 48 (two seasons) are needed"
    ]
    assert ((spans["start"] - spans["start"].dt.normalize()) / pd.Timedelta(hours=1)).tolist() == [230 % 24]


def test_batch_mode_missing_readings_that_outlast_the_smoothing_cut_a_series() -> None:
    frame = telemetry(np.arange(400))
    frame.loc[200:219, "volt"] = np.nan
    for smooth, is_cut in ((12.0, True), (24.0, False)):
        _, series = find(frame, smooth_hours=smooth)
        pieces = cut_at_gaps(
            frame["volt"].to_numpy(), START + np.arange(400) * HOUR, DetectWindows(HOUR, int(smooth), 24)
        )
        assert len(pieces.rows) == 1 + is_cut
        assert series.reason is None
        # The first means, and those after the gap that cover less than nine tenths of their window.
        assert series.unjudged[0, 2] == smooth - 1
        assert series.judged + series.unjudged[:, 2].sum() == 380


def test_batch_mode_no_piece_is_long_enough_gives_one_reason() -> None:
    frame = telemetry(np.concatenate([np.arange(40), 100 + np.arange(30)]))
    found, series = find(frame)
    assert found.empty
    assert series.reason == (
        "none of 2 pieces between gaps can be tested; more than 48 readings (two seasons) with a spread are needed"
    )
    assert series.unjudged[:, 2].sum() == 70


def test_batch_mode_max_anoms_zero_reports_one_reading_of_each_piece() -> None:
    found, series = find(telemetry(np.arange(400)), max_anoms=0.0)
    assert len(found) == 1
    assert series.is_capped
    gap = telemetry(np.concatenate([np.arange(200), 230 + np.arange(200)]))
    assert len(find(gap, max_anoms=0.0)[0]) == 2


def pieces_of_r(times: np.ndarray, rows_per_piece: int, span_us: int) -> list[list[int]]:
    """Return the rows of each piece as R cuts them: starts are rows apart, and each piece is a span of time."""
    pieces = []
    for start in range(0, len(times), rows_per_piece):
        begin, end = times[start], min(times[start] + span_us, times[-1])
        is_whole = end - begin == span_us
        inside = (begin <= times) & (times < end) if is_whole else (times > times[-1] - span_us)
        pieces.append(np.flatnonzero(inside).tolist())
    return pieces


def our_pieces(times: np.ndarray, rows_per_piece: int) -> list[list[int]]:
    pieces = cut_at_gaps(
        np.arange(len(times), dtype=np.float64), times, DetectWindows(HOUR, 1, 24, piece=rows_per_piece)
    )
    return [
        list(range(len(times)))[rows][part]
        for rows in pieces.rows
        for part in split_rows(rows.stop - rows.start, piece_rows=rows_per_piece)
    ]


@given(st.integers(60, 400), st.integers(50, 60))
def test_longterm_pieces_of_a_complete_series_are_those_of_r(rows: int, length: int) -> None:
    times = START + np.arange(rows) * HOUR
    ours = our_pieces(times, length)
    # R counts the last piece from a row that may already be in the piece before; its rows are then the same.
    expected = pieces_of_r(times, length, length * HOUR)
    assert ours == [piece for place, piece in enumerate(expected) if piece not in expected[:place]]


@pytest.mark.parametrize("gap", [1, 30])
def test_longterm_pieces_of_a_series_with_a_gap_span_their_time_like_those_of_r(gap: int) -> None:
    # Two pieces of 100 h, then a gap, and 250 h.
    hours = np.concatenate([np.arange(200), 200 + gap + np.arange(250)])
    times = START + hours * HOUR
    ours, of_r = our_pieces(times, 100), pieces_of_r(times, 100, 100 * HOUR)
    assert ours == of_r
    assert {int(hours[piece[-1]] - hours[piece[0]]) for piece in ours} == {99}


def test_longterm_pieces_leave_out_no_row_where_r_does() -> None:
    # A gap within the first piece: R has 70 rows in its 100 h, and begins the next one at row 100.
    hours = np.concatenate([np.arange(50), 80 + np.arange(250)])
    times = START + hours * HOUR
    of_r, ours = pieces_of_r(times, 100, 100 * HOUR), our_pieces(times, 100)
    assert sorted(set(range(300)) - {row for piece in of_r for row in piece}) == list(range(70, 100))
    assert {row for piece in ours for row in piece} == set(range(300))
    # And none of ours spans the gap, where the phase of the season would shift.
    assert max(int(hours[piece[-1]] - hours[piece[0]]) for piece in ours) == 99
    assert all((piece[-1] < 50) == (piece[0] < 50) for piece in ours)


def test_cut_at_gaps_rows_without_readings_at_the_ends_count_unless_a_part_has_too_few() -> None:
    times = START + np.arange(300) * HOUR
    values = np.arange(300.0)
    values[:60] = np.nan
    assert cut_at_gaps(values, times, DetectWindows(HOUR, 1, 24)).rows == [slice(0, 300)]
    # Of a first part of 100 hours, 40 readings are left; of one of 120 hours, 60.
    assert cut_at_gaps(values, times, DetectWindows(HOUR, 1, 24, piece=100)).rows == [slice(60, 300)]
    assert cut_at_gaps(values, times, DetectWindows(HOUR, 1, 24, piece=120)).rows == [slice(0, 300)]
