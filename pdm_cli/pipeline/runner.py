"""Runs a stage: checks its ports, lets it write beside its output folder, and leaves a manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from pdm_cli.errors import UsageError
from pdm_cli.io import manifest
from pdm_cli.io.folders import list_files
from pdm_cli.pipeline.mlflow import track_training
from pdm_cli.pipeline.ports import check_port
from pdm_cli.pipeline.stages import Port, Stage
from pdm_cli.progress import Progress
from pdm_cli.settings.load import has_effect
from pdm_cli.settings.model import Settings


@dataclass(frozen=True)
class Task:
    """What a stage's work gets.

    Attributes
    ----------
    inputs : dict
        Port to folder; ports that were not given are not in it.
    out : Path
        Empty folder to write in.
    settings : Settings
        All settings.
    progress : Progress
        For progress and warnings.
    key : str
        The same for the same inputs, versions, code and settings, save the late ones of the stage.
    """

    inputs: dict[str, Path]
    out: Path
    settings: Settings
    progress: Progress
    key: str = ""


def execute(
    stage: Stage,
    inputs: Mapping[str, str | None],
    out: str,
    *,
    settings: Settings,
    progress: Progress,
    overwrite: bool,
) -> dict[str, Any]:
    """Run a stage and return its summary, which is also in the output folder.

    Parameters
    ----------
    stage : Stage
        Row of the stages table.
    inputs : mapping
        Port to folder; ``None`` where a port that can be done without is not given.
    out : str
        Output folder.
    settings, progress
        Passed on to the work.
    overwrite : bool
        Replace what pdm wrote there before.

    Raises
    ------
    UsageError
        If an input folder is not there, or the output folder may not be written.
    """
    from pdm_cli.io import output_folder
    from pdm_cli.report.html import REPORT_FILE

    folders = check_inputs(stage, inputs)
    target = local_folder("out", out)
    for port, folder in folders.items():
        if folder.resolve() == target.resolve():
            raise UsageError(f"--out {out}: is the folder of --{port}", hint="--out names another folder")
    output_folder.check_free(target, overwrite=overwrite, by=stage.command)
    settings = complete_settings(stage, folders, settings)
    recipe = make_recipe(stage, folders, settings)
    work = _find(stage.work)
    start = time.monotonic()
    with output_folder.output_folder(target, recipe) as partial:
        summary: dict[str, Any] = work(Task(folders, partial, settings, progress, recipe.key(but_for=stage.late)))
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (partial / stage.summary).write_text(text + "\n", encoding="utf-8")
        if stage.has_report:
            _write_report(partial, recipe)
    if stage.is_tracked:
        track_training(target, summary, recipe.parameters, progress)
    seen = f", with {REPORT_FILE} to look at" if stage.has_report else ""
    progress.info(f"{stage.command}: wrote {target} in {time.monotonic() - start:.1f} s{seen}")
    return summary


def _write_report(folder: Path, recipe: manifest.Recipe) -> None:
    from pdm_cli.pipeline.report import make_report
    from pdm_cli.report.html import REPORT_FILE

    (folder / REPORT_FILE).write_text(make_report(folder, manifest.compose(recipe)), encoding="utf-8")


def check_inputs(stage: Stage, inputs: Mapping[str, str | None]) -> dict[str, Path]:
    """Return the folders of the ports that were given.

    Raises
    ------
    UsageError
        If a folder is not there, or is that of another stage.
    """
    folders = {}
    for port in stage.inputs:
        value = inputs.get(port.name)
        if value is not None:
            folders[port.name] = local_folder(port.name, value)
            check_port(port, folders[port.name])
    return folders


def local_folder(port: str, value: str) -> Path:
    """Return the folder of a port; addresses in the cloud are for remote jobs.

    Raises
    ------
    UsageError
        If the value is empty or an ``azureml:`` address.
    """
    if not value.strip():
        raise UsageError(f"--{port}: the name of the folder is empty", hint="is a variable of your script not set?")
    if value.startswith("-"):
        hint = f"is a variable of your script not set? A folder of that name is ./{value}"
        raise UsageError(f"--{port}: needs a value, got the option {value}", hint=hint)
    if value.startswith("azureml:"):
        raise UsageError(f"--{port} {value}: not a folder on this machine", hint="give a local folder")
    return Path(value)


def complete_settings(stage: Stage, folders: Mapping[str, Path], settings: Settings) -> Settings:
    """Return the settings as they take effect; some of those that were not given may stand in a stage's inputs."""
    if not stage.completing:
        return settings
    completed: Settings = _find(stage.completing)(folders, settings)
    return completed


def make_recipe(stage: Stage, folders: Mapping[str, Path], settings: Settings) -> manifest.Recipe:
    """Return what decides the bytes of the stage's output: parameters, input hashes, code and versions."""
    inputs = {
        port.name: manifest.hash_files(folders[port.name], list_input_files(port, folders[port.name]))
        for port in stage.inputs
        if port.name in folders
    }
    parameters = {section: kept_settings(settings, section) for section in stage.sections}
    return manifest.Recipe(stage.command, parameters, inputs, manifest.library_versions(), manifest.code_hash())


def list_input_files(port: Port, folder: Path) -> list[Path]:
    """Return the files of a port's folder that the command reads, as far as they are there."""
    return [
        *(path for table in port.tables for path in list_files(folder, table)),
        *(path for pattern in port.files for path in folder.glob(pattern)),
    ]


def kept_settings(settings: Settings, section: str) -> dict[str, Any]:
    """Return the settings of a section that can change a result; those without effect beside the others cannot."""
    values = getattr(settings, section)
    return {
        item.name: getattr(values, item.name)
        for item in fields(values)
        if item.metadata["changes_result"] and has_effect(item, values)
    }


def read_summary(stage: Stage, out: Path) -> dict[str, Any]:
    """Return the summary of a finished output folder."""
    summary: dict[str, Any] = json.loads((out / stage.summary).read_text(encoding="utf-8"))
    return summary


def _find(address: str) -> Any:
    """Return what ``module:function`` names."""
    module, _, function = address.partition(":")
    return getattr(import_module(module), function)
