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
from pdm_cli.models import ESTIMATORS, Model, unavailable
from pdm_cli.models import ensemble as module
from pdm_cli.models.ensemble import Member, TrainedModel, average
from pdm_cli.training.alert_rules import NEVER
from tests.builders.examples import FEW
from tests.builders.fleets import instants_of

NAMES = ["volt", "rotate", "model", "age", "unused"]
COMPONENTS = ["comp1", "comp2"]
ROWS = 200
AVAILABLE = [name for name in ESTIMATORS if unavailable(name) is None]


@dataclass(frozen=True)
class Weighted:
    """Says the sum of its columns times a number for one component, and the rest to 1 for the other."""

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
    fitted: Model = algorithm.make().fit(values, labels, categorical=categorical, hyper=hyper, seed=0, threads=1)
    return Member(name, features, fitted)


@pytest.fixture(scope="module", params=[*AVAILABLE, "all together"])
def trained(request: pytest.FixtureRequest) -> TrainedModel:
    names = AVAILABLE if request.param == "all together" else [request.param]
    features = [NAMES[:4], ["rotate", "age", "volt", "model"]]
    calibrations = [Calibration("isotonic", (0.0, 0.3, 1.0), (0.0, 0.2, 1.0)), Calibration("platt", slope=1.5)]
    members = [member(name, features[number % 2]) for number, name in enumerate(names)]
    return TrainedModel(COMPONENTS, members, calibrations, [NEVER, NEVER])


def taken(known: FeatureTable, rows: np.ndarray) -> FeatureTable:
    return replace(known, columns=[column[rows] for column in known.columns])


def test_one_member_says_its_own_calibrated_predictions() -> None:
    model = replace(
        by_hand(Member("x", ["a", "b"], Weighted(0.5))),
        calibrations=[Calibration("isotonic", (0.0, 0.5, 1.0), (0.0, 0.25, 1.0)), Calibration()],
    )
    assert model.foretell(small_table()).tolist() == [[0.03125, 0.9375], [0.125, 0.75], [0.15625, 0.6875]]


def test_members_look_at_their_own_columns_and_their_mean_is_said() -> None:
    model = by_hand(Member("x", ["a"], Weighted(1.0)), Member("y", ["b", "a"], Weighted(0.5)))
    # (a + (a + b) / 2) / 2
    assert model.foretell(small_table())[:, 0].tolist() == [0.09375, 0.25, 0.40625]


def test_rows_not_wanted_are_unknown() -> None:
    model = by_hand(Member("x", ["a"], Weighted(1.0)))
    found = model.foretell(small_table(), np.array([False, True, False]))
    assert_array_equal(found, [[np.nan, np.nan], [0.25, 0.75], [np.nan, np.nan]])
    assert np.isnan(model.foretell(small_table(), np.zeros(3, bool))).all()


def test_a_lacking_column_is_named() -> None:
    with pytest.raises(FeatureMismatch, match="the first is 'c'"):
        by_hand(Member("x", ["a", "c"], Weighted(1.0))).foretell(small_table())


@settings(max_examples=FEW)
@given(rows=st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=40), block=st.integers(1, 50))
def test_a_rows_probabilities_do_not_depend_on_its_neighbours_or_on_blocks(
    trained: TrainedModel, rows: list[int], block: int
) -> None:
    whole, chosen = trained.foretell(table()), np.array(rows)
    assert np.isfinite(whole).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_ROWS", block)
        # Some rows, in any order, even twice; and the same as a part of all of them.
        assert trained.foretell(taken(table(), chosen)).tobytes() == whole[chosen].tobytes()
        wanted = np.isin(np.arange(ROWS), chosen)
        assert trained.foretell(table(), wanted)[wanted].tobytes() == whole[wanted].tobytes()


def test_other_columns_and_their_order_do_not_matter(trained: TrainedModel) -> None:
    known = table()
    order = [3, 1, 0, 2]
    fewer = FeatureTable([NAMES[i] for i in order], ["f"] * 4, ["model"], [known.columns[i] for i in order])
    assert trained.foretell(fewer).tobytes() == trained.foretell(known).tobytes()


def test_what_features_add_accounts_for_the_log_odds(trained: TrainedModel) -> None:
    known, rows = table(), np.arange(0, ROWS, 7)
    added = trained.explain(known, rows)
    assert added.shape == (len(rows), 2, len(NAMES))
    assert not added[:, :, NAMES.index("unused")].any()
    raw = np.stack([m.model.predict(known.matrix(m.features, rows)) for m in trained.members])
    # Trees may be sure, and then their log-odds are infinite.
    is_sound = ((raw > 1e-5) & (raw < 1 - 1e-5)).all(axis=(0, 2))
    assert is_sound.sum() > 10
    log_odds = np.log(raw[:, is_sound] / (1 - raw[:, is_sound])).mean(axis=0)
    # What is left is a constant of the component.
    rest = log_odds - added[is_sound].sum(axis=2)
    assert_allclose(rest, np.broadcast_to(rest[:1], rest.shape), atol=1e-3)


def test_reasons_are_the_mean_over_members_by_hand() -> None:
    model = by_hand(Member("x", ["b"], Weighted(2.0)), Member("y", ["b", "a"], Weighted(1.0)))
    found = model.explain(small_table(), np.array([2]))
    # a: (0 + 0.5) / 2; b: (2 * 0.125 + 0.125) / 2.
    assert found.tolist() == [[[0.25, 0.1875], [-0.25, -0.1875]]]


def test_alerts_go_on_and_off_by_the_rule_of_their_component() -> None:
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


def test_without_rows_there_is_no_alert() -> None:
    none = Instants(pd.Index([1]), np.array([], np.int64), np.array([], np.int64))
    model = by_hand(Member("x", ["a"], Weighted(1.0)))
    assert model.alert(np.empty((0, 2)), none).shape == (0, 2)


def test_the_mean_of_one_is_itself_to_the_last_bit() -> None:
    values = np.random.default_rng(0).random((50, 2))
    assert average([values]).tobytes() == values.tobytes()
    assert average([values, values + 1, values - 1]) == pytest.approx(values)
