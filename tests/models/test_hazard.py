"""Shorter and longer horizons around a main one that stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.features.table import FeatureTable
from pdm_cli.models import hazard
from pdm_cli.models.base import Matrix
from pdm_cli.models.ensemble import Member
from pdm_cli.models.hazard import Branch, HazardModel

SHARES = st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)


@dataclass
class Columns:
    """Predicts the features themselves."""

    def predict(self, values: Matrix) -> NDArray[np.float64]:
        return values.astype(np.float64)

    def dump(self) -> list[bytes]:
        return []

    def contributions(self, values: Matrix) -> NDArray[np.float64]:
        return np.zeros((len(values), values.shape[1], values.shape[1]))


def make_branch(component: int, hours: list[float], features: list[str]) -> Branch:
    member = Member("xgboost", features, Columns())
    return Branch(component, hours[-1] < 48, hours, member, [Calibration()] * len(hours))


def make_hazard() -> HazardModel:
    """Two components; the first has both branches, the second none."""
    return HazardModel(3.0, 48.0, [make_branch(0, [12.0, 24.0], ["a", "b"]), make_branch(0, [96.0, 168.0], ["c", "d"])])


def make_table(rows: list[list[float]]) -> FeatureTable:
    return FeatureTable(list("abcd"), ["rolling"] * 4, [], list(np.array(rows, np.float32).T))


@given(SHARES, st.floats(0, 1))
def test_spread_of_any_predictions_increases_and_keeps_the_main_probability(
    shares: list[float], probability: float
) -> None:
    hours, found = make_hazard().spread(0, np.array([probability]), make_table([shares]), np.array([0]))
    assert hours == [12.0, 24.0, 48.0, 96.0, 168.0]
    assert found[0, 2] == probability
    # Rounding of p + (1 - p) * q.
    assert (np.diff(found[0]) >= -1e-15).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_spread_is_the_product_of_conditional_probabilities() -> None:
    _, found = make_hazard().spread(0, np.array([0.5]), make_table([[0.25, 0.5, 0.5, 0.75]]), np.array([0]))
    np.testing.assert_allclose(found[0], [0.125, 0.25, 0.5, 0.75, 0.875])


def test_spread_of_a_component_without_branches_has_only_the_main_horizon() -> None:
    hours, found = make_hazard().spread(1, np.array([0.5]), make_table([[0.25, 0.5, 0.5, 0.75]]), np.array([0]))
    assert (hours, found.tolist()) == ([48.0], [[0.5]])


def test_predict_of_a_row_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    table, probabilities = make_table(rng.random((7, 4)).tolist()), rng.random((7, 2))
    whole = make_hazard().predict(table, probabilities, np.arange(7))
    assert whole.shape == (7, 2, 3)
    for row in range(7):
        alone = make_hazard().predict(table, probabilities, np.array([row]))
        assert alone.tobytes() == whole[[row]].tobytes()


def test_predict_in_blocks_equals_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    table, probabilities, rows = make_table(rng.random((9, 4)).tolist()), rng.random((9, 2)), np.array([8, 1, 4, 5])
    whole = make_hazard().predict(table, probabilities, rows)
    monkeypatch.setattr(hazard, "_BLOCK_ROWS", 3)
    assert make_hazard().predict(table, probabilities, rows).tobytes() == whole.tobytes()


def test_predict_with_a_lead_time_as_long_as_the_horizon_is_at_the_horizon() -> None:
    found = HazardModel(48.0, 48.0).predict(make_table([[0, 0, 0, 0]]), np.array([[0.95]]), np.array([0]))
    np.testing.assert_allclose(found[0, 0], 48.0)
