from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pdm_cli.errors import FeatureMismatch
from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.features.events import Instants
from pdm_cli.features.table import FeatureTable
from pdm_cli.models import ESTIMATORS, FitOptions, Model, find_load_error
from pdm_cli.models import ensemble as module
from pdm_cli.models.ensemble import Member, TrainedModel, average
from pdm_cli.training.alert_rules import NEVER
from tests.builders.examples import FEW
from tests.builders.fleets import instants_of

NAMES = ["volt", "rotate", "model", "age", "unused"]
COMPONENTS = ["comp1", "comp2"]
ROWS = 200
AVAILABLE = [name for name in ESTIMATORS if find_load_error(name) is None]


@dataclass(frozen=True)
class Weighted:
    """Predicts factor * sum of its columns for the first component, and 1 minus that for the second."""

    factor: float

    def predict(self, values: np.ndarray) -> np.ndarray:
        first = self.factor * values.sum(axis=1, dtype=np.float64)
        return np.stack([first, 1 - first], axis=1)

    def dump(self) -> list[bytes]:
        return []

    def contributions(self, values: np.ndarray) -> np.ndarray:
        return np.stack([self.factor * values, -self.factor * values], axis=1).astype(np.float64)


def by_hand(*members: Member) -> TrainedModel:
    return TrainedModel(COMPONENTS, list(members), [Calibration(), Calibration()], [AlertRule(0.5, 0.3), NEVER])


def small_table() -> FeatureTable:
    columns = [np.float32([0.125, 0.25, 0.5]), np.float32([0.0, 0.25, 0.125])]
    return FeatureTable(["a", "b"], ["f", "f"], [], columns)


def table() -> FeatureTable:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(NAMES), ROWS)).astype(np.float32)
    values[2] = rng.integers(0, 3, ROWS)
    values[rng.random(values.shape) < 0.1] = np.nan
    return FeatureTable(NAMES, ["f"] * len(NAMES), ["model"], list(values))


def member(name: str, features: list[str]) -> Member:
    known = table()
    values, algorithm = known.matrix(features), ESTIMATORS[name]
    labels = (np.nan_to_num(known.matrix(["volt", "rotate"])) > 0.5).astype(float)
    hyper = {key: min(value, 9) for key, value in algorithm.defaults.items()}
    categorical = [feature in known.categorical for feature in features]
    fitted: Model = algorithm.make().fit(values, labels, FitOptions(hyper, seed=0), categorical=categorical)
    return Member(name, features, fitted)


@pytest.fixture(scope="module", params=[*AVAILABLE, "ensemble"])
def trained(request: pytest.FixtureRequest) -> TrainedModel:
    names = AVAILABLE if request.param == "ensemble" else [request.param]
    features = [NAMES[:4], ["rotate", "age", "volt", "model"]]
    calibrations = [Calibration("isotonic", (0.0, 0.3, 1.0), (0.0, 0.2, 1.0)), Calibration("platt", slope=1.5)]
    members = [member(name, features[number % 2]) for number, name in enumerate(names)]
    return TrainedModel(COMPONENTS, members, calibrations, [NEVER, NEVER])


def taken(known: FeatureTable, rows: np.ndarray) -> FeatureTable:
    return replace(known, columns=[column[rows] for column in known.columns])


def test_predict_with_one_member_returns_its_calibrated_predictions() -> None:
    model = replace(
        by_hand(Member("x", ["a", "b"], Weighted(0.5))),
        calibrations=[Calibration("isotonic", (0.0, 0.5, 1.0), (0.0, 0.25, 1.0)), Calibration()],
    )
    assert model.predict(small_table()).tolist() == [[0.03125, 0.9375], [0.125, 0.75], [0.15625, 0.6875]]


def test_predict_averages_members_with_columns_of_their_own() -> None:
    model = by_hand(Member("x", ["a"], Weighted(1.0)), Member("y", ["b", "a"], Weighted(0.5)))
    # (a + (a + b) / 2) / 2
    assert model.predict(small_table())[:, 0].tolist() == [0.09375, 0.25, 0.40625]


def test_predict_of_some_rows_leaves_others_nan() -> None:
    model = by_hand(Member("x", ["a"], Weighted(1.0)))
    found = model.predict(small_table(), np.array([False, True, False]))
    assert_array_equal(found, [[np.nan, np.nan], [0.25, 0.75], [np.nan, np.nan]])
    assert np.isnan(model.predict(small_table(), np.zeros(3, bool))).all()


def test_predict_missing_column_is_named() -> None:
    with pytest.raises(FeatureMismatch, match="cannot be computed, first 'c'"):
        by_hand(Member("x", ["a", "c"], Weighted(1.0))).predict(small_table())


@settings(max_examples=FEW)
@given(rows=st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=40), block=st.integers(1, 50))
def test_predict_row_is_independent_of_other_rows_and_blocks(
    trained: TrainedModel, rows: list[int], block: int
) -> None:
    whole, chosen = trained.predict(table()), np.array(rows)
    assert np.isfinite(whole).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_ROWS", block)
        # Some rows in any order, even twice, and as a selection from all.
        assert trained.predict(taken(table(), chosen)).tobytes() == whole[chosen].tobytes()
        chosen_rows = np.isin(np.arange(ROWS), chosen)
        assert trained.predict(table(), chosen_rows)[chosen_rows].tobytes() == whole[chosen_rows].tobytes()


def test_predict_ignores_other_columns_and_column_order(trained: TrainedModel) -> None:
    known = table()
    order = [3, 1, 0, 2]
    fewer = FeatureTable([NAMES[i] for i in order], ["f"] * 4, ["model"], [known.columns[i] for i in order])
    assert trained.predict(fewer).tobytes() == trained.predict(known).tobytes()


def test_explain_contributions_add_up_to_the_log_odds(trained: TrainedModel) -> None:
    known, rows = table(), np.arange(0, ROWS, 7)
    added = trained.explain(known, rows)
    assert added.shape == (len(rows), 2, len(NAMES))
    assert not added[:, :, NAMES.index("unused")].any()
    raw = np.stack([m.model.predict(known.matrix(m.features, rows)) for m in trained.members])
    # Trees may predict 0 or 1, whose log-odds are infinite.
    is_finite = ((raw > 1e-5) & (raw < 1 - 1e-5)).all(axis=(0, 2))
    assert is_finite.sum() > 10
    log_odds = np.log(raw[:, is_finite] / (1 - raw[:, is_finite])).mean(axis=0)
    # The remainder is a constant per component.
    rest = log_odds - added[is_finite].sum(axis=2)
    assert_allclose(rest, np.broadcast_to(rest[:1], rest.shape), atol=1e-3)


def test_explain_averages_the_members_by_hand() -> None:
    model = by_hand(Member("x", ["b"], Weighted(2.0)), Member("y", ["b", "a"], Weighted(1.0)))
    found = model.explain(small_table(), np.array([2]))
    # a: (0 + 0.5) / 2; b: (2 * 0.125 + 0.125) / 2.
    assert found.tolist() == [[[0.25, 0.1875], [-0.25, -0.1875]]]


def test_alert_follows_the_rule_of_each_component() -> None:
    hours = [0, 3, 6, 9, 12]
    rows = instants_of([(machine, hour) for machine in (1, 2) for hour in hours])
    first = [0.2, 0.5, 0.4, 0.3, 0.2, 0.4, 0.3, 0.6, 0.29, 0.4]
    probabilities = np.stack([first, np.ones(10)], axis=1)
    model = by_hand(Member("x", ["a"], Weighted(1.0)))
    found = model.alert(probabilities, rows)
    expected = [False, True, True, True, False, False, False, True, False, False]
    assert found[:, 0].tolist() == expected
    assert not found[:, 1].any()
    assert found.dtype == np.bool_


def test_alert_without_rows_is_empty() -> None:
    none = Instants(pd.Index([1]), np.array([], np.int64), np.array([], np.int64))
    model = by_hand(Member("x", ["a"], Weighted(1.0)))
    assert model.alert(np.empty((0, 2)), none).shape == (0, 2)


def test_average_of_one_is_bit_identical() -> None:
    values = np.random.default_rng(0).random((50, 2))
    assert average([values]).tobytes() == values.tobytes()
    assert average([values, values + 1, values - 1]) == pytest.approx(values)
