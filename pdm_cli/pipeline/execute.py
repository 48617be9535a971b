"""Run a stage: check its input folders, write its output folder as a whole, and record a manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pdm_cli.errors import UsageError
from pdm_cli.io import manifest
from pdm_cli.io.folders import check_folder, find_below, list_files
from pdm_cli.pipeline.mlflow import track_training
from pdm_cli.pipeline.stages import STAGES, Port, Stage
from pdm_cli.progress import Progress
from pdm_cli.settings.cycles import convert_cycles
from pdm_cli.settings.field import is_recorded
from pdm_cli.settings.load import has_effect
from pdm_cli.settings.model import Settings
from pdm_cli.text import name_some
from pdm_cli.units import DATES, Units, using


@dataclass(frozen=True)
class Task:
    """Input folders by port, an empty folder to write to, settings, progress and units of a stage.

    ``key`` identifies inputs, versions, code and settings, except the late settings of the stage.
    """

    inputs: dict[str, Path]
    out: Path
    settings: Settings
    progress: Progress
    key: str = ""
    units: Units = DATES


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
        Port to folder; ``None`` for an optional port that is not given.
    out : str
        Output folder.
    settings, progress
        For the work of the stage.
    overwrite : bool
        Replace earlier output of the same command.

    Raises
    ------
    UsageError
        If an input folder is missing, or the output folder may not be written.
    """
    from pdm_cli.io import output_folder
    from pdm_cli.report.page import REPORT_FILE

    target = local_folder("out", out)
    folders = check_inputs(stage, inputs)
    for port, folder in folders.items():
        if folder.resolve() == target.resolve():
            raise UsageError(f"--out {out}: same folder as --{port}", hint="choose another folder with --out")
    output_folder.check_free(target, overwrite=overwrite, by=stage.command)
    work, units = _find(stage.work), find_units(folders)
    settings = complete_settings(stage, folders, convert_cycles(settings, units))
    provenance = trace_provenance(stage, folders, settings)
    start = time.monotonic()
    with output_folder.output_folder(target, provenance) as partial, using(units):
        key = provenance.key(but_for=stage.late)
        summary: dict[str, Any] = work(Task(folders, partial, settings, progress, key, units))
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (partial / stage.summary).write_text(text + "\n", encoding="utf-8")
        if stage.has_report:
            write_report(partial, provenance)
    if stage.is_tracked:
        track_training(target, summary, provenance.parameters, progress)
    report = f"; report: {target / REPORT_FILE}" if stage.has_report else ""
    progress.info(f"{stage.command}: wrote {target} in {time.monotonic() - start:.1f} s{report}")
    return summary


def write_report(folder: Path, provenance: manifest.Provenance) -> None:
    """Write the report of an output folder into it, from its other files."""
    from pdm_cli.pipeline.report import make_report
    from pdm_cli.report.page import REPORT_FILE

    (folder / REPORT_FILE).write_text(make_report(folder, manifest.compose(provenance)), encoding="utf-8")


def find_units(folders: Mapping[str, Path]) -> Units:
    """Return the units of the telemetry among the input folders; the sensors have those of the model, if unknown."""
    from pdm_cli.io import bundle, parquet

    units = next((parquet.find_units(folders[port]) for port in ("data", "prepared") if port in folders), DATES)
    if "model" not in folders:
        return units
    return replace(units, sensors={**bundle.load_recipe(folders["model"]).units.sensors, **units.sensors})


def check_inputs(stage: Stage, inputs: Mapping[str, str | None]) -> dict[str, Path]:
    """Return the folders of the ports that were given.

    Raises
    ------
    UsageError
        If a folder is missing, or is not of the stage that writes such folders.
    """
    folders = {}
    for port in stage.inputs:
        value = inputs.get(port.name)
        if value is not None:
            folders[port.name] = local_folder(port.name, value)
            check_port(port, folders[port.name])
    return folders


def check_port(port: Port, folder: Path) -> None:
    """Reject a folder that is missing, or was not written by the stage that writes such folders.

    Raises
    ------
    UsageError
        Naming the port.
    """
    check_folder(f"--{port.name}", folder, port.holds)
    found = manifest.read(folder)
    command = str(found.get("command")) if found else ""
    # Prepared tables are not raw ones: they are in UTC, their gaps are rows, and the findings are gone.
    if command != port.made_by and (command in STAGES or (command and port.made_by)):
        raise UsageError(
            f"--{port.name} {folder}: contains the output of pdm {command}",
            hint=f"--{port.name} names the folder with {port.holds}",
        )
    if port.made_by and not command and not _is_like(port, folder):
        raise _not_like(port, folder)


def _is_like(port: Port, folder: Path) -> bool:
    """Return whether a folder without a manifest may be of the port; one that lacks only some files is damaged."""
    return (folder / port.marker).is_file() or any(path.is_file() for name in port.files for path in folder.glob(name))


def _not_like(port: Port, folder: Path) -> UsageError:
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    problem = f"not the output of pdm {port.made_by}; contains {name_some(names)}" if names else "the folder is empty"
    below = find_below(folder, lambda child: (child / port.marker).is_file())
    hint = f"did you mean {below}?" if below else f"--{port.name} names the folder with {port.holds}"
    return UsageError(f"--{port.name} {folder}: {problem}", hint=hint)


def local_folder(port: str, value: str) -> Path:
    """Return the folder of a port; cloud addresses are for remote jobs only.

    Raises
    ------
    UsageError
        If the value is empty or an ``azureml:`` address.
    """
    if not value.strip():
        raise UsageError(f"--{port} is empty", hint="unset shell variable?")
    if value.startswith("-"):
        hint = f"unset shell variable? Write ./{value} for a folder of that name"
        raise UsageError(f"--{port}: expected a folder, got the option {value}", hint=hint)
    if value.startswith("azureml:"):
        raise UsageError(f"--{port} {value}: not a local folder", hint="use a local folder")
    return Path(value)


def complete_settings(stage: Stage, folders: Mapping[str, Path], settings: Settings) -> Settings:
    """Return the effective settings; an input of the stage, such as a model, may provide those not given."""
    if not stage.completing:
        return settings
    completed: Settings = _find(stage.completing)(folders, settings)
    return completed


def trace_provenance(stage: Stage, folders: Mapping[str, Path], settings: Settings) -> manifest.Provenance:
    """Return everything that determines the stage's output: parameters, input hashes, code and versions."""
    inputs = {
        port.name: manifest.hash_files(folders[port.name], list_input_files(port, folders[port.name]))
        for port in stage.inputs
        if port.name in folders
    }
    parameters = {section: kept_settings(settings, section) for section in stage.sections}
    return manifest.Provenance(stage.command, parameters, inputs, manifest.library_versions(), manifest.code_hash())


def list_input_files(port: Port, folder: Path) -> list[Path]:
    """Return the files of a port's folder that the command reads."""
    return [
        *(path for table in port.tables for path in list_files(folder, table)),
        *(path for pattern in port.files for path in folder.glob(pattern)),
    ]


def kept_settings(settings: Settings, section: str) -> dict[str, Any]:
    """Return the settings of a section that can change a result; those without effect are left out."""
    values = getattr(settings, section)
    return {
        item.name: getattr(values, item.name)
        for item in fields(values)
        if is_recorded(item, getattr(values, item.name)) and has_effect(item, values)
    }


def read_summary(stage: Stage, out: Path) -> dict[str, Any]:
    """Return the summary of a finished output folder."""
    summary: dict[str, Any] = json.loads((out / stage.summary).read_text(encoding="utf-8"))
    return summary


def _find(address: str) -> Any:
    """Return the function at ``module:function``."""
    module, _, function = address.partition(":")
    return getattr(import_module(module), function)
