"""Run the stages in order and reuse those whose inputs and settings are unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pdm_cli.errors import NotEnoughData, UsageError
from pdm_cli.pipeline.stages import CHAIN, HEALTH_CHAIN, STAGES, Stage
from pdm_cli.progress import Progress
from pdm_cli.settings.model import Settings
from pdm_cli.units import current, using

# Preprocess warns of these itself.
_WARNED = ("outside_time_range", "sentinels", "similar_names")
# Endings of tables of failures that pdm import converts.
_UNREAD = (".csv", ".csv.gz", ".tsv", ".txt", ".xlsx", ".json")


def run_stages(data: str, out: str, *, settings: Settings, progress: Progress, force: bool = False) -> dict[str, Any]:
    """Run each stage, or reuse its output, and return the summary of the last: of the health without failures.

    Parameters
    ----------
    data : str
        Folder of raw tables.
    out : str
        Folder for one output folder per stage.
    settings, progress
        As for a single stage.
    force : bool
        Reuse nothing.

    Raises
    ------
    UsageError
        If ``out`` is the folder of the raw tables, a stage's folder has other files than its output, or ``out`` has a
        model but ``data`` no failures.
    """
    from pdm_cli.pipeline.execute import check_inputs, find_units, local_folder
    from pdm_cli.settings.cycles import convert_cycles

    if Path(data).resolve() == local_folder("out", out).resolve():
        raise UsageError(f"--out {out}: same folder as --data", hint="choose another folder with --out")
    check_parent(out)
    folders = check_inputs(STAGES["preprocess"], {"data": data})
    with using(find_units(folders)):
        settings = allow_untested(convert_cycles(settings, current()))
        chain = find_chain(folders["data"])
        _check_other_chain(chain, data, out, progress)
        _check_early(folders, settings, chain)
        if chain is HEALTH_CHAIN:
            progress.info("run: no failures.parquet: measuring health instead of training a model")
        return _run_chain(chain, data, out, settings=settings, progress=progress, force=force)


def find_chain(data: Path) -> tuple[Stage, ...]:
    """Return the stages for a folder of raw tables: without failures there is no model to train.

    Failures that pdm cannot read, such as ``failures.csv``, count: the check of the tables explains them.
    """
    from pdm_cli.io.folders import is_half_moved
    from pdm_cli.schema import FAILURES

    names = (FAILURES.name, FAILURES.file, *(f"{FAILURES.name}{ending}" for ending in _UNREAD))
    has_failures = any((data / name).exists() or (data / name).is_symlink() for name in names)
    return CHAIN if has_failures or is_half_moved(data) else HEALTH_CHAIN


def _run_chain(
    chain: tuple[Stage, ...], data: str, out: str, *, settings: Settings, progress: Progress, force: bool
) -> dict[str, Any]:
    from pdm_cli.pipeline.execute import local_folder, read_summary

    folders = {"data": data}
    for stage in chain:
        target = str(local_folder("out", out) / stage.folder)
        # With --force the next run would not reuse what is finished now.
        with _report_finished([] if force else [name for name in folders if name != "data"], progress):
            run_stage(stage, folders, target, settings=settings, progress=progress, force=force)
        folders[stage.folder] = target
        if stage.command == "preprocess":
            _report_findings(read_summary(stage, Path(target)), target, progress)
            if chain is CHAIN:
                _check_trainable(Path(target), settings)
    return read_summary(chain[-1], Path(folders[chain[-1].folder]))


def allow_untested(settings: Settings) -> Settings:
    """Return settings with which a log that is too short for anomalies still gets a model, without them."""
    detect = replace(settings.detect, allow_untested=True)
    detect.note_given(settings.detect.given | {"allow_untested"})
    return replace(settings, detect=detect)


def check_parent(out: str) -> None:
    """Reject a folder for all stages that is the output folder of one command.

    Raises
    ------
    UsageError
        Naming the command.
    """
    from pdm_cli.io import manifest
    from pdm_cli.pipeline.execute import local_folder

    made = manifest.read(local_folder("out", out))
    if made:
        raise UsageError(
            f"--out {out}: contains the output of pdm {made['command']}",
            hint=f"--out names the folder above it, for {', '.join(stage.folder for stage in CHAIN)}",
        )


def _check_other_chain(chain: tuple[Stage, ...], data: str, out: str, progress: Progress) -> None:
    """Reject data without failures for a folder with a model, whose tables they would replace, but not the model."""
    from pdm_cli.io import manifest
    from pdm_cli.pipeline.execute import local_folder

    other = HEALTH_CHAIN[-1] if chain is CHAIN else CHAIN[-1]
    folder = local_folder("out", out) / other.folder
    if manifest.read(folder) is None:
        return
    if chain is HEALTH_CHAIN:
        raise UsageError(
            f"{folder}: model of earlier data, but {data} has no failures: its tables would replace those of the model",
            hint=f"choose another folder with --out, or delete {folder}",
        )
    progress.warn(f"{folder}: health of an earlier run without failures; this run does not update it")


@contextmanager
def _report_finished(finished: list[str], progress: Progress) -> Iterator[None]:
    """Report the finished stages if a signal ends the current one."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if finished:
            progress.info(f"{' and '.join(finished)} finished; run the same command again to resume")
        raise


def _check_early(folders: dict[str, Path], settings: Settings, chain: tuple[Stage, ...]) -> None:
    """Reject what the last stage would reject, before the long work begins."""
    from pdm_cli.io import parquet
    from pdm_cli.io.raw import read_events
    from pdm_cli.pipeline.choose_windows import check_lengths
    from pdm_cli.pipeline.execute import complete_settings
    from pdm_cli.schema import FAILURES, TELEMETRY
    from pdm_cli.training.labelled_rows import choose_components
    from pdm_cli.training.validate_settings import check_choices, check_gap

    check_choices(settings.train)
    folder, settings = folders["data"], complete_settings(STAGES["preprocess"], folders, settings)
    check_gap(settings.train, settings.labels)
    parquet.require_table(folder, TELEMETRY)
    if chain is HEALTH_CHAIN:
        return
    parquet.require_table(folder, FAILURES)
    failures = read_events(folder, FAILURES, settings.columns, settings.preprocess.timezone)
    if failures is not None:
        if failures.empty:
            raise NotEnoughData(
                f"{FAILURES.file}: the table is empty (0 rows)",
                hint="add past failures to train a model, or remove the table to measure the health of the machines",
            )
        choose_components(failures["failure"], settings.train)
    check_lengths(folder, settings)


def _check_trainable(prepared: Path, settings: Settings) -> None:
    """Reject prepared tables with too few failures to train on, before the anomalies are computed."""
    from pdm_cli.features.events import Instants
    from pdm_cli.io import parquet
    from pdm_cli.pipeline.execute import complete_settings
    from pdm_cli.schema import FAILURES, FEATURES, MACHINE, TELEMETRY, TIME
    from pdm_cli.training.labelled_rows import check_rows, label_rows

    rows = parquet.read_frame(prepared / FEATURES.file, [MACHINE, TIME])
    if rows.empty or not (prepared / FAILURES.file).is_file():
        # Training reports this.
        return
    settings = complete_settings(STAGES["train"], {"prepared": prepared}, settings)
    telemetry, failures = (parquet.read_frame(prepared / table.file) for table in (TELEMETRY, FAILURES))
    found = label_rows(Instants.of(rows), telemetry, failures, train=settings.train, labels=settings.labels)
    check_rows(found, telemetry)


def _report_findings(quality: dict[str, Any], target: str, progress: Progress) -> None:
    from pdm_cli.report.findings import describe_findings

    for line in describe_findings(quality):
        progress.info(f"preprocess: {line}")
    for problem in quality.get("problems", []):
        if not _is_warned(problem, quality):
            report = progress.warn if problem["level"] == "warning" else progress.info
            report(f"preprocess: {problem['text']}" + (f"; {problem['hint']}" if problem["hint"] else ""))
    progress.detail(f"preprocess: all findings: {target}/{STAGES['preprocess'].summary}")


def _is_warned(problem: dict[str, Any], quality: dict[str, Any]) -> bool:
    """Return whether preprocess has warned of a problem."""
    if problem["type"] == "failures_without_readings":
        outside = (quality["findings"][f"failures_{side}_telemetry"]["count"] for side in ("before", "after"))
        return bool(problem["count"] <= sum(outside))
    return problem["type"] in _WARNED


def run_stage(
    stage: Stage,
    folders: dict[str, str],
    target: str,
    *,
    settings: Settings,
    progress: Progress,
    force: bool = False,
) -> None:
    """Run one stage, unless its output folder is up to date.

    Parameters
    ----------
    stage : Stage
        Row of the stages table.
    folders : dict
        Port to folder.
    target : str
        Output folder.
    settings, progress, force
        As in :func:`run_stages`.
    """
    from pdm_cli.io import manifest
    from pdm_cli.pipeline.execute import check_inputs, complete_settings, execute, find_units, trace_provenance
    from pdm_cli.settings.cycles import convert_cycles

    inputs = {port.name: folders[port.name] for port in stage.inputs}
    checked = check_inputs(stage, inputs)
    settings = convert_cycles(settings, find_units(checked))
    provenance = trace_provenance(stage, checked, complete_settings(stage, checked, settings))
    reasons = ["--force"] if force else manifest.reasons_to_redo(Path(target), provenance)
    if not reasons:
        progress.info(f"{stage.command}: unchanged, reusing {target}")
        return
    progress.info(f"{stage.command}: {', '.join(reasons)}")
    # A stage may replace its own earlier output.
    execute(stage, inputs, target, settings=settings, progress=progress, overwrite=True)
