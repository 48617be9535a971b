"""Preprocess raw tables: clean telemetry and events, compute rolling features, report data quality."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import DataError, UsageError
from pdm_cli.progress import Progress
from pdm_cli.settings.model import Settings
from pdm_cli.text import show_count

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pdm_cli.io.raw import RawTelemetry
    from pdm_cli.io.scan import TelemetryScan
    from pdm_cli.pipeline.runner import Task
    from pdm_cli.preparation.quality import Finding


# More warnings of one kind say no more.
_MOST_LOOKALIKES = 3


def prepare(task: Task) -> dict[str, Any]:
    """Write the prepared tables and return the quality report."""
    from pdm_cli.io.raw import RawTelemetry

    settings = task.settings
    raw = RawTelemetry(task.inputs["data"], settings.columns, settings.preprocess)
    check_ranges(raw, settings)
    raw.check_texts()
    _warn_of_others(task.inputs["data"], task.progress)
    quality = prepare_scanned(task, raw, raw.scan())
    # Not where a model foretells: it learns from none of them.
    _warn_of_lookalikes(quality["components"], task.progress)
    _warn_of_unseen(quality, task.progress)
    return quality


def prepare_scanned(task: Task, raw: RawTelemetry, scan: TelemetryScan) -> dict[str, Any]:
    """Write the prepared tables of telemetry that has been scanned, and return the quality report."""
    from pdm_cli.preparation.quality import new_findings

    settings = task.settings
    _warn_of_mixed_zones(task)
    _warn_of_texts(task, raw)
    findings = new_findings()
    findings["out_of_order"].add(scan.out_of_order, scan.first_out_of_order)
    written = _write_telemetry(task, raw, scan, findings)
    _refuse(findings, settings)
    events = _write_events(task, written.spans, findings)
    return {
        "schema": "pdm.quality/2",
        "telemetry": {
            "readings": sum(scan.rows.values()),
            "rows": written.rows,
            "machines": len(scan.rows),
            "sensors": list(raw.sensors),
            "step_minutes": scan.step_us / 60e6,
            "start": str(written.spans["first"].min()),
            "end": str(written.spans["last"].max()),
        },
        "features": {"rows": written.feature_rows, "columns": written.features},
        "events": events.rows,
        "components": events.components,
        "ignored_columns": list(raw.ignored),
        "findings": {name: finding.as_dict() for name, finding in findings.items()},
    }


def _warn_of_texts(task: Task, raw: RawTelemetry) -> None:
    """Name columns of text that nobody chose to leave out: a sensor may be lost for a single word in it."""
    texts = [name for name in raw.ignored if raw.type_of(name) == "a text"]
    if texts and not task.settings.columns.sensors:
        task.progress.warn(
            f"telemetry.parquet: no sensors, for they hold text: {', '.join(texts)}; if one is a sensor, make it a "
            "number, e.g. pandas.to_numeric(…); --sensors names those to use"
        )


@dataclass(frozen=True)
class _Written:
    """Rows written, and each machine's first and last stamp."""

    rows: int
    feature_rows: int
    features: int
    spans: pd.DataFrame


def _write_telemetry(task: Task, raw: RawTelemetry, scan: TelemetryScan, findings: dict[str, Finding]) -> _Written:
    """Clean batch by batch and write telemetry and rolling features."""
    import pandas as pd

    from pdm_cli.features.rolling import rolling_features
    from pdm_cli.io.parquet import TableWriter
    from pdm_cli.pipeline.runner import kept_settings
    from pdm_cli.preparation.cleaning import clean_telemetry
    from pdm_cli.schema import FEATURES, MACHINE, TELEMETRY, TIME

    settings, spans = task.settings, []
    # What a model needs to make the same features of new data goes with them.
    sections = {name: kept_settings(settings, name) for name in ("preprocess", "features")}
    metadata = {"step_us": str(scan.step_us), "phase_us": str(scan.phase_us), "settings": json.dumps(sections)}
    with (
        TableWriter(task.out / TELEMETRY.file, metadata) as telemetry,
        TableWriter(task.out / FEATURES.file, metadata) as features,
        task.progress.track("preprocess: machines", len(scan.rows)) as advance,
    ):
        for batch in raw.batches(scan, task.out):
            clean = clean_telemetry(
                batch, findings, step_us=scan.step_us, phase_us=scan.phase_us, params=settings.preprocess
            )
            rolling = rolling_features(clean, step_us=scan.step_us, params=settings.features)
            telemetry.write(clean)
            features.write(rolling)
            spans.append(clean.groupby(MACHINE, sort=False)[TIME].agg(["first", "last"]))
            advance(len(spans[-1]))
    return _Written(telemetry.rows, features.rows, rolling.shape[1] - len(FEATURES.key), pd.concat(spans))


@dataclass
class _Events:
    """Rows kept of each event table, and failures of each component."""

    rows: dict[str, int]
    components: dict[str, int]


def _write_events(task: Task, spans: pd.DataFrame, findings: dict[str, Finding]) -> _Events:
    """Check and write the event tables and machine attributes that are there."""
    from pdm_cli.io.parquet import write_frame
    from pdm_cli.io.raw import read_events, read_machines
    from pdm_cli.preparation.label_check import count_labels
    from pdm_cli.preparation.quality import check_events, check_machines
    from pdm_cli.schema import EVENT_TABLES, FAILURES, MACHINES

    folder, settings = task.inputs["data"], task.settings
    written = _Events({}, {})
    for table in EVENT_TABLES:
        events = read_events(folder, table, settings.columns, settings.preprocess.timezone)
        if events is None:
            continue
        kept = check_events(table, events, spans, findings)
        _refuse_unknown(table.file, events, spans, findings, task)
        write_frame(task.out / table.file, kept)
        written.rows[table.name] = len(kept)
        if table is FAILURES:
            written.components = count_labels(kept["failure"])
    machines = read_machines(folder, settings.columns)
    if machines is not None:
        write_frame(task.out / MACHINES.file, check_machines(MACHINES.file, machines, spans, findings))
    return written


def _warn_of_lookalikes(components: dict[str, int], progress: Progress) -> None:
    """Tell components that may be one and the same: nobody else would, and each would be learned by itself."""
    from pdm_cli.preparation.label_check import find_similar_labels

    found = find_similar_labels(components)
    for rare, common in found[:_MOST_LOOKALIKES]:
        progress.warn(
            f"failures.parquet: {rare!r} ({show_count(components[rare], 'failure')}) and {common!r} "
            f"({components[common]:,}) are taken as two components; if they are one, give it one name"
        )
    if len(found) > _MOST_LOOKALIKES:
        progress.warn(f"failures.parquet: {len(found) - _MOST_LOOKALIKES:,} pairs more like these")


def _warn_of_unseen(quality: dict[str, Any], progress: Progress) -> None:
    """Tell failures that no reading leads up to: a model can learn nothing from them."""
    from pdm_cli.preparation.quality import Finding

    total = quality["events"].get("failures", 0)
    for side in ("before", "after"):
        finding = Finding(**quality["findings"][f"failures_{side}_telemetry"])
        if finding.count:
            told = finding.summarize(f"of {total:,} failures {side} the machine's telemetry")
            progress.warn(
                f"failures.parquet: {told}: nothing can be learned from them; is the telemetry whole, and do both "
                "go by the same clock?"
            )


def _warn_of_others(folder: Path, progress: Progress) -> None:
    """Tell files whose names are nearly those of tables that are not there: nobody else would."""
    from difflib import get_close_matches

    from pdm_cli.io.folders import list_files
    from pdm_cli.schema import RAW_TABLES

    lacking = [table.name for table in RAW_TABLES if not list_files(folder, table)]
    for path in sorted(folder.glob("*.*")):
        near = get_close_matches(path.stem.lower(), lacking, n=1, cutoff=0.75)
        if near and path.suffix in (".parquet", ".csv"):
            way_out = f"did you mean {near[0]}.parquet?" if path.suffix == ".parquet" else "pdm import reads CSV files"
            progress.warn(f"not read: {path.name} ({way_out})")


def _warn_of_mixed_zones(task: Task) -> None:
    from pdm_cli.io.raw import tables_by_zone

    carrying, without = tables_by_zone(task.inputs["data"], task.settings.columns)
    if carrying and without:
        zone = task.settings.preprocess.timezone
        task.progress.warn(
            f"stamps of {', '.join(carrying)} carry a time zone, those of {', '.join(without)} do not: "
            f"they are taken as {zone} (--timezone)"
        )


def check_ranges(raw: RawTelemetry, settings: Settings) -> None:
    """Refuse a range of a sensor that is not there.

    Raises
    ------
    UsageError
        Naming the sensor.
    """
    for sensor in settings.preprocess.ranges:
        if sensor not in raw.sensors:
            raise UsageError(f"--ranges: no sensor {sensor!r}", hint=f"the sensors are {', '.join(raw.sensors)}")


def _refuse(findings: dict[str, Finding], settings: Settings) -> None:
    params = settings.preprocess
    for name, policy, what, hint in (
        (
            "duplicates",
            params.on_duplicate,
            "duplicated (machineID, datetime) pairs",
            "--on-duplicate first|mean keeps one of each",
        ),
        (
            "out_of_range",
            params.on_out_of_range,
            "readings outside --ranges",
            "--on-out-of-range missing makes them missing",
        ),
    ):
        if findings[name].count and policy == "refuse":
            raise DataError(
                f"telemetry.parquet: {findings[name].summarize(what)}", hint=hint, **findings[name].as_dict()
            )


def _refuse_unknown(
    file: str, events: pd.DataFrame, spans: pd.DataFrame, findings: dict[str, Finding], task: Task
) -> None:
    """Refuse, or warn of, events of machines without telemetry; where all are such, the names may not be the same."""
    from pdm_cli.schema import MACHINE
    from pdm_cli.text import name_some

    unknown, is_known = findings["events_without_telemetry"], events[MACHINE].isin(spans.index)
    if is_known.all():
        return
    told = unknown.summarize("events of machines that have no telemetry")
    if not is_known.any():
        here, there = (name_some([*map(str, names)]) for names in (events[MACHINE].unique(), spans.index))
        told = f"none of its machines has telemetry: here {here}, in the telemetry {there}"
    if task.settings.preprocess.on_unknown_machine == "refuse":
        way_out = "name the machines alike, or " if not is_known.any() else ""
        hint = f"{way_out}--on-unknown-machine drop leaves them out"
        raise DataError(f"{file}: {told}", hint=hint, **unknown.as_dict())
    if not is_known.any():
        task.progress.warn(f"{file}: {told}; all events are left out")
