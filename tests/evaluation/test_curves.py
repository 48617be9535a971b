from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.evaluation.curves import alert_point, count_warnings, precision_recall

# Few levels, so that rows share them.
scored = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, np.nan]), st.integers(0, 6).map(lambda n: n / 6)), min_size=1, max_size=40
)


def test_precision_at_each_recall_of_a_hand_worked_ranking() -> None:
    labels = np.array([1.0, 0.0, 1.0, 0.0])
    curve = precision_recall(labels, np.array([0.9, 0.8, 0.7, 0.1]))
    assert curve is not None
    assert curve.x.tolist() == [0.5, 1.0]
    assert curve.y.tolist() == [1.0, pytest.approx(2 / 3)]


@given(scored)
def test_curve_is_that_of_every_level_tried_one_by_one(rows: list[tuple[float, float]]) -> None:
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    curve = precision_recall(labels, probabilities, most=1000)
    failures = np.count_nonzero(labels == 1)
    if not failures:
        assert curve is None
        return
    best: dict[float, float] = {}
    for level in sorted(set(probabilities[~np.isnan(labels)].tolist()), reverse=True):
        alerted = (probabilities >= level) & ~np.isnan(labels)
        hits = np.count_nonzero(alerted & (labels == 1))
        if hits:
            best.setdefault(hits / failures, hits / np.count_nonzero(alerted))
    assert curve is not None
    assert dict(zip(curve.x.tolist(), curve.y.tolist(), strict=True)) == pytest.approx(best)


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    random = np.random.default_rng(0)
    labels, probabilities = (random.random(5000) < 0.3).astype(float), random.random(5000)
    whole, thinned = (precision_recall(labels, probabilities, most=most) for most in (10_000, 50))
    assert whole is not None
    assert thinned is not None
    assert len(thinned.x) == 50
    assert (thinned.x[0], thinned.x[-1]) == (whole.x[0], 1.0)
    assert set(zip(thinned.x, thinned.y, strict=True)) <= set(zip(whole.x, whole.y, strict=True))


def test_alerts_are_a_point_of_recall_and_precision() -> None:
    labels = np.array([1.0, 1.0, 0.0, np.nan])
    assert alert_point(labels, np.array([True, False, True, True])) == (0.5, 0.5)
    assert alert_point(labels, np.array([False, False, False, True])) is None
    assert alert_point(np.array([0.0, np.nan]), np.array([True, True])) is None


def test_warnings_are_counted_in_spans_that_hold_their_upper_end() -> None:
    edges, counts = count_warnings(np.array([0.0, 3.0, 3.1, 45.0, 48.0, np.nan]), horizon_hours=48.0)
    assert edges.tolist() == [3.0 * number for number in range(17)]
    assert counts == [2, 1, *[0] * 12, 1, 1]
    assert count_warnings(np.array([np.nan]), horizon_hours=24.0, bins=2)[1] == [0, 0]
