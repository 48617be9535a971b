from __future__ import annotations

import pytest

from pdm_cli.azure.job_spec import COMMAND_TAG
from pdm_cli.azure.jobs import JobState
from pdm_cli.azure.register import find_model
from pdm_cli.errors import JobCancelled, JobFailed, JobNotFinished, PdmError, RemoteError, UsageError

OUTPUTS: dict[str, str | None] = {"out": "azureml://out", "model": "azureml://model", "prepared": "azureml://prepared"}


def state(
    command: str | None = "train", status: str = "Completed", outputs: dict[str, str | None] = OUTPUTS
) -> JobState:
    tags = {} if command is None else {COMMAND_TAG: command}
    return JobState(name="job-1", status=status, steps=(), tags=tags, outputs=outputs)


@pytest.mark.parametrize(("command", "address"), [("train", "azureml://out"), ("run", "azureml://model")])
def test_model_is_the_output_of_train_and_one_of_those_of_run(command: str, address: str) -> None:
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
def test_only_a_finished_job_has_a_model(status: str, error: type[PdmError], code: int) -> None:
    with pytest.raises(error, match="job job-1") as caught:
        find_model(state(status=status))
    assert caught.value.exit_code == code


@pytest.mark.parametrize(
    ("command", "words"),
    [("predict", "is pdm predict, which makes no model"), (None, "was not submitted by pdm")],
)
def test_other_commands_make_no_model(command: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_model(state(command, status="Running"))


def test_missing_output_is_told_with_what_there_is() -> None:
    with pytest.raises(RemoteError, match="no output out; it has: default"):
        find_model(state(outputs={"default": "azureml://logs"}))
