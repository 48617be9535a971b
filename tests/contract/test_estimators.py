from __future__ import annotations

from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest

from pdm_cli.core.estimators import ESTIMATORS, Estimator
from pdm_cli.errors import ModelError
from pdm_cli.params import TrainParams

PARAMS = TrainParams(trees=10, max_leaves=8, learning_rate=0.3, threads=1)
CATEGORICAL = [False, False, True, False]
ROWS = 400


@pytest.fixture(params=ESTIMATORS)
def estimator(request: pytest.FixtureRequest) -> Estimator:
    return ESTIMATORS[request.param]()


def sample(rows: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features with a tenth missing, a category that decides the second label, and a column without any value."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)).astype(np.float32)
    values[:, 2] = rng.integers(0, 4, rows)
    labels = np.stack([values[:, 0] > 0.5, np.isin(values[:, 2], (1, 3))], axis=1).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 3] = np.nan
    return values, labels


def test_the_setting_offers_just_the_registered_estimators() -> None:
    assert set(get_args(get_type_hints(TrainParams)["estimator"])) == set(ESTIMATORS)


@pytest.mark.parametrize("components", [1, 2])
def test_predictions_are_one_probability_a_row_and_component(estimator: Estimator, components: int) -> None:
    values, labels = sample()
    model = estimator.fit(values, labels[:, :components], categorical=CATEGORICAL, params=PARAMS)
    probabilities = model.predict(values)
    assert probabilities.shape == (ROWS, components)
    assert probabilities.dtype == np.float64
    assert np.isfinite(probabilities).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_both_numbers_and_categories_are_learned_in_spite_of_missing_values(estimator: Estimator) -> None:
    model = estimator.fit(*sample(), categorical=CATEGORICAL, params=PARAMS)
    values, labels = sample(seed=1)
    probabilities = model.predict(values)
    for component in range(2):
        is_one = labels[:, component] == 1
        assert probabilities[is_one, component].mean() > 2 * probabilities[~is_one, component].mean()


def test_components_do_not_depend_on_one_another(estimator: Estimator) -> None:
    values, labels = sample()
    both = estimator.fit(values, labels, categorical=CATEGORICAL, params=PARAMS).predict(values)
    second = estimator.fit(values, labels[:, 1:], categorical=CATEGORICAL, params=PARAMS).predict(values)
    np.testing.assert_array_equal(both[:, 1:], second)


def test_rows_of_nothing_but_missing_values_have_a_probability(estimator: Estimator) -> None:
    model = estimator.fit(*sample(), categorical=CATEGORICAL, params=PARAMS)
    assert np.isfinite(model.predict(np.full((3, 4), np.nan, np.float32))).all()


def test_no_rows_give_no_probabilities(estimator: Estimator) -> None:
    model = estimator.fit(*sample(), categorical=CATEGORICAL, params=PARAMS)
    assert model.predict(np.empty((0, 4), np.float32)).shape == (0, 2)


def test_a_row_has_the_same_probability_alone_as_among_others(estimator: Estimator) -> None:
    model = estimator.fit(*sample(), categorical=CATEGORICAL, params=PARAMS)
    values, _ = sample(seed=1)
    np.testing.assert_array_equal(model.predict(values)[5:6], model.predict(values[5:6]))


def test_what_was_dumped_predicts_bit_identically(estimator: Estimator) -> None:
    model = estimator.fit(*sample(), categorical=CATEGORICAL, params=PARAMS)
    dumps = model.dump()
    assert [type(dump) for dump in dumps] == [bytes, bytes]
    read = estimator.load(dumps, categorical=CATEGORICAL)
    values, _ = sample(seed=1)
    assert read.predict(values).tobytes() == model.predict(values).tobytes()
    assert read.dump() == dumps


def test_the_same_seed_gives_the_same_bytes(estimator: Estimator) -> None:
    one, two = (estimator.fit(*sample(), categorical=CATEGORICAL, params=PARAMS).dump() for _ in range(2))
    assert one == two


def test_another_seed_gives_another_model(estimator: Estimator) -> None:
    one = estimator.fit(*sample(), categorical=CATEGORICAL, params=PARAMS).dump()
    assert one != estimator.fit(*sample(), categorical=CATEGORICAL, params=replace(PARAMS, seed=1)).dump()


def test_the_number_of_threads_changes_no_byte(estimator: Estimator) -> None:
    values, labels = sample(5000)
    one, two = (
        estimator.fit(values, labels, categorical=CATEGORICAL, params=replace(PARAMS, threads=n)).dump() for n in (1, 2)
    )
    assert one == two


def test_fitting_leaves_features_and_labels_as_they_were(estimator: Estimator) -> None:
    values, labels = sample()
    estimator.fit(values, labels, categorical=CATEGORICAL, params=PARAMS)
    np.testing.assert_array_equal(values, sample()[0])
    np.testing.assert_array_equal(labels, sample()[1])


def test_what_is_no_model_is_refused(estimator: Estimator) -> None:
    with pytest.raises(ModelError) as caught:
        estimator.load([b"no model"], categorical=CATEGORICAL)
    assert caught.value.exit_code == 5
