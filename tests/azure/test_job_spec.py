from __future__ import annotations

from dataclasses import replace

import pytest

from pdm_cli.azure.job_spec import Job, Step, make_document

PREPROCESS = Step("preprocess", ("--step-minutes", "0.0"), {"data": None}, "prepared")
DETECT = Step("detect-anomalies", ("--alpha", "0.005"), {"prepared": "prepared"}, "anomalies")
TRAIN = Step("train", ("--seed", "0"), {"prepared": "prepared", "anomalies": "anomalies"}, "model")
ENVIRONMENT = {"image": "image", "conda_file": {}}


def make_job(*steps: Step, **changes: object) -> Job:
    job = Job(
        name="job-1",
        command="run" if len(steps) > 1 else steps[0].command,
        steps=steps,
        inputs={"data": "d" * 64},
        code="c" * 64,
        environment="pdm-cli:1",
        compute="cluster",
        vm_size="SIZE",
        datastore="store",
        experiment="pdm",
        display_name="pdm",
        tags={"team": "a"},
        force_rerun=False,
        version="1.0",
    )
    return replace(job, **changes)  # type: ignore[arg-type]


PIPELINE = make_job(PREPROCESS, DETECT, TRAIN)


def test_make_document_single_command_is_a_command_job() -> None:
    document = make_document(make_job(PREPROCESS), paths={"data": "raw"}, code="code", environment=ENVIRONMENT)
    assert document["type"] == "command"
    assert document["command"] == (
        'python -m pdm_cli preprocess --data "${{inputs.data}}" --out "${{outputs.out}}" --overwrite --step-minutes 0.0'
    )
    assert document["inputs"] == {"data": {"type": "uri_folder", "path": "raw"}}
    assert document["outputs"]["out"]["path"] == "azureml://datastores/store/paths/pdm/job-1/out/"
    assert document["compute"] == "azureml:cluster"
    assert document["tags"] == {
        "team": "a",
        "pdm_command": "preprocess",
        "pdm_version": "1.0",
        "pdm_content": make_job(PREPROCESS).content(),
    }


def test_make_document_serverless_has_an_instance_type() -> None:
    job = make_job(PREPROCESS, compute="serverless")
    document = make_document(job, paths={"data": "raw"}, code="code", environment=ENVIRONMENT)
    assert "compute" not in document
    assert document["resources"] == {"instance_type": "SIZE"}
    pipeline = make_document(
        replace(PIPELINE, compute="serverless"), paths={"data": "raw"}, code="code", environment=ENVIRONMENT
    )
    assert pipeline["settings"]["default_compute"] == "azureml:serverless"
    assert all(step["resources"] == {"instance_type": "SIZE"} for step in pipeline["jobs"].values())


def test_make_document_pipeline_steps_are_connected() -> None:
    document = make_document(PIPELINE, paths={"data": "raw"}, code="code", environment=ENVIRONMENT)
    assert document["type"] == "pipeline"
    steps = document["jobs"]
    assert list(steps) == ["preprocess", "detect_anomalies", "train"]
    assert steps["preprocess"]["inputs"] == {"data": "${{parent.inputs.data}}"}
    assert steps["train"]["inputs"] == {
        "prepared": "${{parent.jobs.preprocess.outputs.out}}",
        "anomalies": "${{parent.jobs.detect_anomalies.outputs.out}}",
    }
    assert steps["train"]["outputs"] == {"out": "${{parent.outputs.model}}"}
    assert list(document["outputs"]) == ["prepared", "anomalies", "model"]


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": {"data": "e" * 64}},
        {"code": "f" * 64},
        {"environment": "pdm-cli:2"},
        {"steps": (replace(PREPROCESS, words=("--step-minutes", "5.0")), DETECT, TRAIN)},
    ],
)
def test_outputs_changed_first_step_moves_all(changes: dict[str, object]) -> None:
    before, after = PIPELINE.outputs(), replace(PIPELINE, **changes).outputs()  # type: ignore[arg-type]
    assert all(before[folder] != after[folder] for folder in before)
    assert replace(PIPELINE, **changes).content() != PIPELINE.content()  # type: ignore[arg-type]


def test_outputs_changed_last_step_moves_only_its_own() -> None:
    changed = replace(PIPELINE, steps=(PREPROCESS, DETECT, replace(TRAIN, words=("--seed", "1"))))
    before, after = PIPELINE.outputs(), changed.outputs()
    assert [before[folder] == after[folder] for folder in ("prepared", "anomalies", "model")] == [True, True, False]


@pytest.mark.parametrize("changes", [{"name": "job-2"}, {"tags": {}}, {"compute": "other"}, {"experiment": "x"}])
def test_content_ignores_name_tags_and_compute(changes: dict[str, object]) -> None:
    changed = replace(PIPELINE, **changes)  # type: ignore[arg-type]
    assert changed.content() == PIPELINE.content()
    assert changed.outputs() == PIPELINE.outputs()


def test_outputs_forced_pipeline_are_its_own() -> None:
    forced = replace(PIPELINE, force_rerun=True)
    assert forced.outputs()["model"] == "azureml://datastores/store/paths/pdm/job-1/model/"
    document = make_document(forced, paths={"data": "raw"}, code="code", environment=ENVIRONMENT)
    assert document["settings"]["force_rerun"] is True


def test_all_tags_reserved_ones_win() -> None:
    assert make_job(PREPROCESS, tags={"pdm_command": "train"}).all_tags()["pdm_command"] == "preprocess"


def test_make_document_step_changes_with_the_content() -> None:
    # The address of the input does not change.
    jobs = (PIPELINE, replace(PIPELINE, inputs={"data": "e" * 64}), replace(PIPELINE, has_own_outputs=True))
    steps_of = [make_document(job, paths={"data": "raw"}, code="code", environment=ENVIRONMENT)["jobs"] for job in jobs]
    for step in ("preprocess", "detect_anomalies", "train"):
        assert len({str(steps[step]["environment_variables"]) for steps in steps_of}) == 3
