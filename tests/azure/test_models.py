from __future__ import annotations

import math

import pytest

from pdm_cli.azure.job_spec import COMMAND_TAG
from pdm_cli.azure.jobs import JobState
from pdm_cli.azure.models import check_model_name, find_metric, find_model, is_better, make_tags, read_tag
from pdm_cli.errors import JobCancelled, JobFailed, JobNotFinished, PdmError, RemoteError, UsageError

METRICS = {"macro": {"average_precision": 1 / 3, "roc_auc": None, "brier": 0.25, "f1": 1}}
MANIFEST = {
    "inputs": {"prepared": {"telemetry.parquet": {"sha256": "ab", "bytes": 2}}},
    "versions": {"python": "3.11.7", "pdm-cli": "0.1.0", "xgboost-cpu": "3.2.0", "scipy": "1.17"},
}


def test_make_tags_metrics_have_full_precision() -> None:
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


def test_make_tags_data_hash_covers_every_input() -> None:
    def hash_of(**inputs: object) -> str:
        return make_tags("job-1", METRICS, {"inputs": inputs})["data_sha256"]

    assert hash_of(a={"x": 1}, b={"y": 2}) == hash_of(b={"y": 2}, a={"x": 1})
    assert hash_of(a={"x": 1}) != hash_of(a={"x": 2}) != hash_of(b={"x": 2})


def test_read_tag_returns_the_metric() -> None:
    tags = make_tags("job-1", METRICS, MANIFEST)
    assert read_tag(tags, "ap") == 1 / 3
    assert read_tag(tags, "auc") is None
    assert read_tag({"metric_roc_auc": "high"}, "auc") is None


@pytest.mark.parametrize("metric", ["ap", "auc", "f1"])
def test_is_better_higher_metric_wins(metric: str) -> None:
    assert is_better(metric, 0.9, 0.8)
    assert not is_better(metric, 0.8, 0.9)


def test_is_better_lower_brier_wins() -> None:
    assert is_better("brier", 0.1, 0.2)
    assert not is_better("brier", 0.2, 0.1)


@pytest.mark.parametrize("metric", ["ap", "auc", "f1", "brier"])
def test_is_better_equal_or_nan_loses(metric: str) -> None:
    assert not is_better(metric, 0.5, 0.5)
    assert not is_better(metric, math.nan, 0.5)
    assert not is_better(metric, 0.5, math.nan)


@pytest.mark.parametrize(
    ("given", "metric"),
    [("ap", "ap"), ("average_precision", "ap"), ("auc", "auc"), ("roc_auc", "auc"), ("brier", "brier"), ("f1", "f1")],
)
def test_find_metric_takes_short_and_full_names(given: str, metric: str) -> None:
    assert find_metric(given) == metric


@pytest.mark.parametrize("given", ["", "AP", "caught", "false_alarms"])
def test_find_metric_unknown_is_rejected(given: str) -> None:
    with pytest.raises(UsageError, match="unknown metric"):
        find_metric(given)


def test_check_model_name_invalid_is_rejected() -> None:
    assert check_model_name("pumps-2.v_1") == "pumps-2.v_1"
    for name in ("", "-pumps", "pumps 2", "pumps:1", "pumpé", "p" * 256, "a/b", "pumps\n"):
        with pytest.raises(UsageError, match="not a valid model name"):
            check_model_name(name)


OUTPUTS: dict[str, str | None] = {"out": "azureml://out", "model": "azureml://model", "prepared": "azureml://prepared"}


def state(
    command: str | None = "train", status: str = "Completed", outputs: dict[str, str | None] = OUTPUTS
) -> JobState:
    tags = {} if command is None else {COMMAND_TAG: command}
    return JobState(name="job-1", status=status, steps=(), tags=tags, outputs=outputs)


@pytest.mark.parametrize(("command", "address"), [("train", "azureml://out"), ("run", "azureml://model")])
def test_find_model_train_and_run_have_an_address(command: str, address: str) -> None:
    assert find_model(state(command)) == address


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("Failed", JobFailed, 7),
        ("Canceled", JobCancelled, 8),
        ("Running", JobNotFinished, 9),
        ("CancelRequested", JobNotFinished, 9),
    ],
)
def test_find_model_unfinished_job_fails(status: str, error: type[PdmError], code: int) -> None:
    with pytest.raises(error, match="job job-1") as caught:
        find_model(state(status=status))
    assert caught.value.exit_code == code


@pytest.mark.parametrize(
    ("command", "words"),
    [("predict", "runs pdm predict, which does not train a model"), (None, "was not submitted by pdm")],
)
def test_find_model_other_command_fails(command: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_model(state(command, status="Running"))


def test_find_model_missing_output_lists_the_others() -> None:
    with pytest.raises(RemoteError, match="no output out; it has: default"):
        find_model(state(outputs={"default": "azureml://logs"}))
