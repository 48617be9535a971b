from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pdm_cli.errors import ModelError, NotEnoughData
from pdm_cli.models import ESTIMATORS, FitOptions, Model, find_load_error
from pdm_cli.settings.model import MAX_SEED, TrainParams

# Small models, to keep the tests fast.
SMALL = {"trees": 10, "max_leaves": 8, "learning_rate": 0.3, "column_share": 0.7}
CATEGORICAL = [False, False, True, False, False]
ROWS = 400

Fit = Callable[..., Model]


@pytest.fixture(params=ESTIMATORS)
def name(request: pytest.FixtureRequest) -> str:
    reason = find_load_error(request.param)
    if reason is not None:
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def fit(name: str) -> Fit:
    algorithm = ESTIMATORS[name]
    hyper = algorithm.defaults | {key: value for key, value in SMALL.items() if key in algorithm.defaults}

    def fit_small(values: np.ndarray, labels: np.ndarray, *, seed: int = 0, threads: int = 1) -> Model:
        estimator = algorithm.make()
        return estimator.fit(values, labels, FitOptions(hyper, seed, threads), categorical=CATEGORICAL)

    return fit_small


def sample(rows: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Column 2 is a category that decides the second label, 3 is empty, 4 constant; a tenth of the rest is missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 5)).astype(np.float32)
    values[:, 2] = rng.integers(0, 4, rows)
    values[:, 4] = 7
    labels = np.stack([values[:, 0] > 0.5, np.isin(values[:, 2], (1, 3))], axis=1).astype(float)
    values[:, :4][rng.random((rows, 4)) < 0.1] = np.nan
    values[:, 3] = np.nan
    return values, labels


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities) - np.log1p(-probabilities)


def test_default_settings_equal_defaults_of_first_algorithm() -> None:
    first = next(iter(ESTIMATORS.values()))
    assert first.defaults == {name: getattr(TrainParams(), name) for name in first.defaults}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_search_space_contains_the_defaults(name: str) -> None:
    algorithm = ESTIMATORS[name]
    assert algorithm.space
    for key, span in algorithm.space.items():
        assert span.low <= algorithm.defaults[key] <= span.high
        assert not span.log or span.low > 0


@pytest.mark.parametrize("components", [1, 2])
def test_predict_returns_one_probability_per_row_and_component(fit: Fit, components: int) -> None:
    values, labels = sample()
    probabilities = fit(values, labels[:, :components]).predict(values)
    assert probabilities.shape == (ROWS, components)
    assert probabilities.dtype == np.float64
    assert np.isfinite(probabilities).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_fit_learns_numbers_and_categories_despite_missing_values(fit: Fit) -> None:
    model = fit(*sample())
    values, labels = sample(seed=1)
    probabilities = model.predict(values)
    for component in range(2):
        is_one = labels[:, component] == 1
        assert probabilities[is_one, component].mean() > 1.5 * probabilities[~is_one, component].mean()


def test_fit_component_is_independent_of_the_others(fit: Fit) -> None:
    values, labels = sample()
    both = fit(values, labels).predict(values)
    np.testing.assert_array_equal(both[:, 1:], fit(values, labels[:, 1:]).predict(values))


def test_predict_rows_of_missing_values_is_finite(fit: Fit) -> None:
    assert np.isfinite(fit(*sample()).predict(np.full((3, 5), np.nan, np.float32))).all()


def test_predict_unseen_values_is_finite(fit: Fit) -> None:
    strange = np.array([[-1e30, 1e30, 9, 5, -7], [1e30, 0, -3, np.nan, 1e-30]], np.float32)
    assert np.isfinite(fit(*sample()).predict(strange)).all()


def test_predict_without_rows_is_empty(fit: Fit) -> None:
    model = fit(*sample())
    assert model.predict(np.empty((0, 5), np.float32)).shape == (0, 2)
    assert model.contributions(np.empty((0, 5), np.float32)).shape == (0, 2, 5)


def test_predict_row_is_independent_of_the_others(fit: Fit) -> None:
    model = fit(*sample())
    values, _ = sample(seed=1)
    np.testing.assert_array_equal(model.predict(values)[5:6], model.predict(values[5:6]))


def test_contributions_and_a_constant_add_up_to_the_log_odds(fit: Fit) -> None:
    model = fit(*sample())
    values, _ = sample(seed=1)
    found = model.contributions(values)
    assert found.shape == (ROWS, 2, 5)
    assert found.dtype == np.float64
    probabilities = model.predict(values)
    # Next to 0 or 1, log-odds lose their precision.
    is_sure = np.any((probabilities < 1e-5) | (probabilities > 1 - 1e-5), axis=1)
    constant = log_odds(probabilities[~is_sure]) - found[~is_sure].sum(axis=2)
    assert np.ptp(constant, axis=0) == pytest.approx(0, abs=1e-3)


def test_contributions_decisive_feature_is_largest_and_empty_one_zero(fit: Fit) -> None:
    model = fit(*sample())
    weight = np.abs(model.contributions(sample(seed=1)[0])).mean(axis=0)
    assert weight.argmax(axis=1).tolist() == [0, 2]
    np.testing.assert_array_equal(weight[:, 3:], 0)


def test_load_dump_predicts_bit_identically(name: str, fit: Fit) -> None:
    model = fit(*sample())
    dumps = model.dump()
    assert [type(dump) for dump in dumps] == [bytes, bytes]
    read = ESTIMATORS[name].make().load(dumps, categorical=CATEGORICAL)
    values, _ = sample(seed=1)
    assert read.predict(values).tobytes() == model.predict(values).tobytes()
    assert read.contributions(values).tobytes() == model.contributions(values).tobytes()
    assert read.dump() == dumps


def test_load_dump_keeps_what_missing_values_predict(name: str, fit: Fit) -> None:
    values, labels = sample()
    values[labels[:, 0] == 1, 0] = np.nan
    model = fit(values, labels[:, :1])
    probabilities = model.predict(values)
    read = ESTIMATORS[name].make().load(model.dump(), categorical=CATEGORICAL)
    assert read.predict(values).tobytes() == probabilities.tobytes()
    # A linear model cannot: it replaces missing values by a typical one.
    if name != "logistic_regression":
        is_one = labels[:, 0] == 1
        assert probabilities[is_one].mean() > 1.5 * probabilities[~is_one].mean()


def test_fit_same_seed_gives_same_bytes(fit: Fit) -> None:
    assert fit(*sample()).dump() == fit(*sample()).dump()


def test_fit_other_seed_gives_other_model_if_random(name: str, fit: Fit) -> None:
    is_same = fit(*sample()).dump() == fit(*sample(), seed=1).dump()
    assert is_same == (name == "logistic_regression")


def test_fit_largest_seed_is_accepted(fit: Fit) -> None:
    assert fit(*sample(), seed=MAX_SEED).dump() == fit(*sample(), seed=MAX_SEED).dump()


def test_fit_number_of_threads_changes_no_byte(fit: Fit) -> None:
    assert fit(*sample(5000), threads=1).dump() == fit(*sample(5000), threads=2).dump()


def test_fit_does_not_modify_features_and_labels(fit: Fit) -> None:
    values, labels = sample()
    fit(values, labels)
    np.testing.assert_array_equal(values, sample()[0])
    np.testing.assert_array_equal(labels, sample()[1])


def test_fit_and_predict_print_nothing(fit: Fit, capfd: pytest.CaptureFixture[str]) -> None:
    model = fit(*sample())
    model.predict(sample()[0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_fit_component_with_equal_labels_is_rejected(fit: Fit, label: float) -> None:
    values, labels = sample()
    labels[:, 1] = label
    with pytest.raises(NotEnoughData, match="component 2"):
        fit(values, labels)


class Harmful:
    """Makes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (subprocess.run, ([sys.executable, "-c", f"open({str(self._path)!r}, 'w')"],))


def harmful_dumps(target: Path) -> dict[str, bytes]:
    pickled = pickle.dumps(Harmful(target))
    arrays = io.BytesIO()
    np.savez(arrays, weight=np.array([Harmful(target)], dtype=object))
    # The skops format: an object to be constructed by calling a function with arguments.
    schema = {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "ReduceNode",
        "__reduce__": {"args": f"touch {target}"},
    }
    skops = io.BytesIO()
    with zipfile.ZipFile(skops, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return {
        "pickle": pickled,
        "npz": arrays.getvalue(),
        "skops": skops.getvalue(),
        "json": json.dumps({"format": "pdm.logistic/1", **schema}).encode(),
        "yaml": f"!!python/object/apply:os.system ['touch {target}']".encode(),
    }


@pytest.mark.parametrize("kind", ["pickle", "npz", "skops", "json", "yaml"])
def test_load_harmful_dump_is_rejected_without_running_it(name: str, kind: str, tmp_path: Path) -> None:
    dump = harmful_dumps(tmp_path / "harmed")[kind]
    with pytest.raises(ModelError) as caught:
        ESTIMATORS[name].make().load([dump], categorical=CATEGORICAL)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_harmful_pickle_runs_if_unpickled(tmp_path: Path) -> None:
    pickle.loads(harmful_dumps(tmp_path / "harmed")["pickle"])
    assert (tmp_path / "harmed").exists()


@pytest.mark.parametrize("dump", [b"", b"no model", b"{", b"{L", b"[]", b"tree\n", b"\xff" * 30, b'{"learner":{}}'])
def test_load_invalid_dump_is_rejected(name: str, dump: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        ESTIMATORS[name].make().load([dump], categorical=CATEGORICAL)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_load_truncated_dump_is_rejected(name: str, fit: Fit, share: float) -> None:
    values, labels = sample()
    dump = fit(values, labels[:, :1]).dump()[0]
    with pytest.raises(ModelError, match="booster 1"):
        ESTIMATORS[name].make().load([dump[: int(len(dump) * share)]], categorical=CATEGORICAL)


def test_load_dump_with_other_number_of_features_is_rejected(name: str, fit: Fit) -> None:
    with pytest.raises(ModelError, match="fitted on 5 features, but the recipe lists 6"):
        ESTIMATORS[name].make().load(fit(*sample()).dump(), categorical=[*CATEGORICAL, False])


def test_load_dump_of_another_algorithm_is_rejected(name: str, fit: Fit) -> None:
    dumps = fit(*sample()).dump()
    for other, algorithm in ESTIMATORS.items():
        if other != name and find_load_error(other) is None:
            with pytest.raises(ModelError):
                algorithm.make().load(dumps, categorical=CATEGORICAL)


def test_find_load_error_of_broken_library_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lightgbm").mkdir()
    (tmp_path / "lightgbm" / "__init__.py").write_text("raise OSError('libgomp.so.1: cannot open\\nmore')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    reason = find_load_error("lightgbm")
    assert reason is not None
    assert "libgomp.so.1: cannot open" in reason
    assert "lightgbm>=4.3" in reason
    assert "\n" not in reason
    assert find_load_error("xgboost") is None
