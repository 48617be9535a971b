from __future__ import annotations

import math

import pytest

from pdm_cli.azure.model_tags import check_name, find_metric, is_better, make_tags, read_tag
from pdm_cli.errors import UsageError

METRICS = {"macro": {"average_precision": 1 / 3, "roc_auc": None, "brier": 0.25, "f1": 1}}
MANIFEST = {
    "inputs": {"prepared": {"telemetry.parquet": {"sha256": "ab", "bytes": 2}}},
    "versions": {"python": "3.11.7", "pdm-cli": "0.1.0", "xgboost-cpu": "3.2.0", "scipy": "1.17"},
}


def test_tags_are_text_in_full_precision() -> None:
    tags = make_tags("job-1", METRICS, MANIFEST)
    assert float(tags.pop("metric_average_precision")) == 1 / 3
    assert len(tags.pop("data_sha256")) == 64
    assert tags == {
        "metric_brier": "0.25",
        "metric_f1": "1.0",
        "pdm_version": "0.1.0",
        "python": "3.11.7",
        "xgboost": "3.2.0",
        "job": "job-1",
    }


def test_hash_of_the_data_is_that_of_every_input_in_any_order() -> None:
    def hash_of(**inputs: object) -> str:
        return make_tags("job-1", METRICS, {"inputs": inputs})["data_sha256"]

    assert hash_of(a={"x": 1}, b={"y": 2}) == hash_of(b={"y": 2}, a={"x": 1})
    assert hash_of(a={"x": 1}) != hash_of(a={"x": 2}) != hash_of(b={"x": 2})


def test_a_metric_is_read_back_from_its_tag() -> None:
    tags = make_tags("job-1", METRICS, MANIFEST)
    assert read_tag(tags, "ap") == 1 / 3
    assert read_tag(tags, "auc") is None
    assert read_tag({"metric_roc_auc": "high"}, "auc") is None


@pytest.mark.parametrize("metric", ["ap", "auc", "f1"])
def test_more_is_better(metric: str) -> None:
    assert is_better(metric, 0.9, 0.8)
    assert not is_better(metric, 0.8, 0.9)


def test_less_brier_is_better() -> None:
    assert is_better("brier", 0.1, 0.2)
    assert not is_better("brier", 0.2, 0.1)


@pytest.mark.parametrize("metric", ["ap", "auc", "f1", "brier"])
def test_equal_or_unknown_is_never_better(metric: str) -> None:
    assert not is_better(metric, 0.5, 0.5)
    assert not is_better(metric, math.nan, 0.5)
    assert not is_better(metric, 0.5, math.nan)


@pytest.mark.parametrize(
    ("given", "metric"),
    [("ap", "ap"), ("average_precision", "ap"), ("auc", "auc"), ("roc_auc", "auc"), ("brier", "brier"), ("f1", "f1")],
)
def test_metrics_have_the_names_of_gates_and_of_the_file(given: str, metric: str) -> None:
    assert find_metric(given) == metric


@pytest.mark.parametrize("given", ["", "AP", "caught", "false_alarms"])
def test_models_are_not_compared_by_anything_else(given: str) -> None:
    with pytest.raises(UsageError, match="models are not compared by that"):
        find_metric(given)


def test_names_of_models() -> None:
    assert check_name("pumps-2.v_1") == "pumps-2.v_1"
    for name in ("", "-pumps", "pumps 2", "pumps:1", "pumpé", "p" * 256, "a/b", "pumps\n"):
        with pytest.raises(UsageError, match="no name of a model"):
            check_name(name)
