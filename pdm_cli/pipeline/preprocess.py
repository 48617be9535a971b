"""Preprocess raw tables: clean telemetry and events, compute rolling features, report data quality."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import DataError, NotEnoughData, UsageError
from pdm_cli.pipeline.stages import SHORTAGE
from pdm_cli.progress import Progress
from pdm_cli.schema import TELEMETRY, Table
from pdm_cli.settings.model import Settings
from pdm_cli.text import show_count

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pdm_cli.io.raw import RawTelemetry
    from pdm_cli.io.scan import TelemetryScan
    from pdm_cli.pipeline.execute import Task
    from pdm_cli.pipeline.quality import QualityCheck
    from pdm_cli.preparation.coverage import Shortage
    from pdm_cli.preparation.quality import Finding
    from pdm_cli.preparation.sentinels import Sentinel
    from pdm_cli.preparation.time_range import TimeRange, TimeSurvey

# Pairs of similar component names beyond this are counted.
_MOST_LOOKALIKES = 3


def preprocess(task: Task) -> dict[str, Any]:
    """Write the prepared tables and return the quality report."""
    from pdm_cli.io.raw import RawTelemetry
    from pdm_cli.pipeline.choose_windows import record_choice, report_choice
    from pdm_cli.pipeline.choose_windows import scan as scan_telemetry
    from pdm_cli.pipeline.quality import QualityCheck, read_failures
    from pdm_cli.preparation.windows import check_windows

    settings, folder = task.settings, task.inputs["data"]
    raw = RawTelemetry(folder, settings.columns, settings.preprocess)
    check_ranges(raw, settings)
    raw.check_texts()
    _warn_of_others(folder, task.progress)
    scan = scan_telemetry(folder, settings)
    report_choice(folder, settings, task.progress)
    check_windows(scan.step_us, settings.features, span_us=scan.span_us)
    failures = read_failures(folder, settings, scan.days)
    check = QualityCheck(raw, scan, failures, on_duplicate=settings.preprocess.on_duplicate)
    quality = {**preprocess_scanned(task, raw, scan, check), **record_choice(folder, settings)}
    # Not for predictions: these warnings concern training.
    _warn_of_lookalikes(quality["components"], task.progress)
    _warn_of_unseen(quality, task.progress)
    return quality


def preprocess_scanned(
    task: Task, raw: RawTelemetry, scan: TelemetryScan, check: QualityCheck | None = None, *, hint: str = ""
) -> dict[str, Any]:
    """Write the prepared tables of scanned telemetry and return the quality report, with that of ``check``.

    ``hint`` says what to do if almost no features are left, where grid and windows are those of a model.
    """
    from pdm_cli.preparation.quality import new_findings

    settings = task.settings
    _warn_of_empty_parts(task)
    _warn_of_mixed_time_zones(task)
    _warn_of_text_columns(task, raw)
    findings = new_findings()
    findings["out_of_order"].add(scan.out_of_order, scan.first_out_of_order)
    findings["outside_time_range"] = replace(scan.outside, first=list(scan.outside.first))
    _warn_of_times(TELEMETRY.file, scan.outside, scan.time_range, "reading", task.progress)
    written = _write_telemetry(task, raw, scan, findings, check)
    _warn_of_sentinels(written.sentinels, task)
    _reject(findings, settings)
    shortage = _report_shortage(written.shortage, hint, task.progress)
    events = _write_events(task, written.spans, findings, scan)
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
        "sentinels": [asdict(sentinel) for sentinel in written.sentinels],
        **task.units.summary(),
        **shortage,
        **({} if check is None else check.describe(written.sentinels)),
    }


def _report_shortage(shortage: Shortage | None, hint: str, progress: Progress) -> dict[str, str]:
    """Warn if almost no features are left, and return the entry of the quality report.

    Raises
    ------
    NotEnoughData
        If none is left.
    """
    if shortage is None:
        return {}
    shortage = replace(shortage, hint=hint or shortage.hint)
    if shortage.is_total:
        raise NotEnoughData(f"{TELEMETRY.file}: {shortage.message}", hint=shortage.hint)
    progress.warn(f"{TELEMETRY.file}: {shortage.warning()}")
    return {SHORTAGE: shortage.warning()}


def _warn_of_text_columns(task: Task, raw: RawTelemetry) -> None:
    """Warn of ignored text columns: a single word in a sensor's column makes it text."""
    texts = [name for name in raw.ignored if raw.type_of(name) == "text"]
    if texts and not task.settings.columns.sensors:
        task.progress.warn(
            f"telemetry.parquet: not used: {', '.join(texts)} (text); if a sensor is among them, correct its values "
            "that are not numbers, and import it again"
        )


@dataclass(frozen=True)
class _Written:
    """Rows written, each machine's first and last time, and values that may mean missing readings."""

    rows: int
    feature_rows: int
    features: int
    spans: pd.DataFrame
    sentinels: list[Sentinel]
    shortage: Shortage | None


def _write_telemetry(
    task: Task, raw: RawTelemetry, scan: TelemetryScan, findings: dict[str, Finding], check: QualityCheck | None
) -> _Written:
    """Clean batch by batch and write telemetry and rolling features."""
    import pandas as pd

    from pdm_cli.features.rolling import rolling_features
    from pdm_cli.io.parquet import TableWriter
    from pdm_cli.pipeline.execute import kept_settings
    from pdm_cli.preparation.cleaning import clean_telemetry
    from pdm_cli.preparation.coverage import Coverage
    from pdm_cli.preparation.sentinels import SentinelSearch
    from pdm_cli.schema import FEATURES, MACHINE, TIME

    settings, spans = task.settings, []
    search, coverage = SentinelSearch(settings.preprocess.ranges), Coverage(scan.step_us)
    # A model needs these settings to build the same features from new data.
    sections = {name: kept_settings(settings, name) for name in ("preprocess", "features")}
    metadata = {"step_us": str(scan.step_us), "phase_us": str(scan.phase_us), "settings": json.dumps(sections)}
    metadata |= task.units.metadata()
    with (
        TableWriter(task.out / TELEMETRY.file, metadata) as telemetry,
        TableWriter(task.out / FEATURES.file, metadata) as features,
        task.progress.track("preprocess: machines", len(scan.rows)) as advance,
    ):
        for batch in raw.batches(scan, task.out):
            if check is not None:
                check.add_frame(batch)
            for sensor in raw.sensors:
                search.add(sensor, batch[sensor].to_numpy())
            clean = clean_telemetry(
                batch, findings, step_us=scan.step_us, phase_us=scan.phase_us, params=settings.preprocess
            )
            rolling = rolling_features(clean, step_us=scan.step_us, params=settings.features)
            telemetry.write(clean)
            features.write(rolling)
            coverage.add(clean, rolling)
            spans.append(clean.groupby(MACHINE, sort=False)[TIME].agg(["first", "last"]))
            advance(len(spans[-1]))
    columns = rolling.shape[1] - len(FEATURES.key)
    shortage = coverage.find_shortage(settings.features)
    return _Written(telemetry.rows, features.rows, columns, pd.concat(spans), search.found(), shortage)


@dataclass
class _Events:
    """Rows kept of each event table, and failures per component."""

    rows: dict[str, int]
    components: dict[str, int]


def _write_events(task: Task, spans: pd.DataFrame, findings: dict[str, Finding], scan: TelemetryScan) -> _Events:
    """Check and write the event tables and machine attributes, if present."""
    from pdm_cli.io.parquet import write_frame
    from pdm_cli.io.raw import read_events, read_machines
    from pdm_cli.preparation.label_check import count_labels
    from pdm_cli.preparation.quality import check_events, check_machines
    from pdm_cli.schema import EVENT_TABLES, FAILURES, MACHINE, MACHINES

    folder, settings = task.inputs["data"], task.settings
    written = _Events({}, {})
    for table in EVENT_TABLES:
        events = read_events(folder, table, settings.columns, settings.preprocess.timezone)
        if events is None:
            continue
        events = _keep_possible_times(table, events, findings, scan.days, task)
        kept = check_events(table, events, spans, findings)
        # Machines whose telemetry was set aside have been named.
        is_named = events[MACHINE].isin(scan.machines_outside)
        _check_machines_known(table.file, events[~is_named], spans, findings, task)
        write_frame(task.out / table.file, kept)
        written.rows[table.name] = len(kept)
        if table is FAILURES:
            written.components = count_labels(kept["failure"])
    machines = read_machines(folder, settings.columns)
    if machines is not None:
        write_frame(task.out / MACHINES.file, check_machines(MACHINES.file, machines, spans, findings))
    return written


def _keep_possible_times(
    table: Table, events: pd.DataFrame, findings: dict[str, Finding], days: TimeSurvey, task: Task
) -> pd.DataFrame:
    """Return the events in the time range; ``days`` are those of the telemetry."""
    from pdm_cli.pipeline.quality import find_possible
    from pdm_cli.preparation.quality import Finding

    is_inside, allowed = find_possible(events, days, task.settings.preprocess.time_range)
    outside, total = Finding(), findings["outside_time_range"]
    for finding in (outside, total):
        finding.add(int((~is_inside).sum()), events.loc[~is_inside].assign(table=table.file))
    _warn_of_times(table.file, outside, allowed, "event", task.progress)
    kept: pd.DataFrame = events[is_inside].reset_index(drop=True)
    return kept


def _warn_of_times(file: str, outside: Finding, allowed: TimeRange, noun: str, progress: Progress) -> None:
    """Warn of rows that are set aside because of their times."""
    from pdm_cli.units import show_time

    if outside.count:
        first = outside.first[0]
        progress.warn(
            f"{file}: {show_count(outside.count, noun)} set aside: time {allowed.describe()}, first "
            f"{show_time(first['datetime'])} (machine {first['machineID']}); other times with --time-range"
        )


def _warn_of_sentinels(sentinels: Sequence[Sentinel], task: Task) -> None:
    """Warn of values that may mean missing readings."""
    from shlex import quote

    from pdm_cli.preparation.sentinels import describe_sentinels, ranges_without
    from pdm_cli.text import join_list

    if sentinels:
        # The option replaces the ranges of the config.
        ranges = {**task.settings.preprocess.ranges, **ranges_without(sentinels)}
        option = join_list(f"{sensor}={low:.10g}:{high:.10g}" for sensor, (low, high) in ranges.items())
        task.progress.warn(f"{TELEMETRY.file}: {describe_sentinels(sentinels)} remove with --ranges {quote(option)}")


def _warn_of_lookalikes(components: dict[str, int], progress: Progress) -> None:
    """Warn of similar component names: each would be learned as a component of its own."""
    from pdm_cli.preparation.label_check import find_similar_labels

    found = find_similar_labels(components)
    for rare, common in found[:_MOST_LOOKALIKES]:
        progress.warn(
            f"failures.parquet: {rare!r} ({show_count(components[rare], 'failure')}) and {common!r} "
            f"({components[common]:,}) count as two components; if they are the same, give them one name"
        )
    if len(found) > _MOST_LOOKALIKES:
        progress.warn(f"failures.parquet: {len(found) - _MOST_LOOKALIKES:,} more pairs of similar names")


def _warn_of_unseen(quality: dict[str, Any], progress: Progress) -> None:
    """Warn of failures without telemetry before them: they cannot train a model."""
    from pdm_cli.preparation.quality import Finding

    total = quality["events"].get("failures", 0)
    for side in ("before", "after"):
        finding = Finding(**quality["findings"][f"failures_{side}_telemetry"])
        if finding.count:
            summary = finding.summarize(f"of {show_count(total, 'failure')} {side} the machine's telemetry")
            progress.warn(
                f"failures.parquet: {summary}: a model cannot be trained on them; is the telemetry complete, and do "
                "both tables use the same clock?"
            )


def _warn_of_others(folder: Path, progress: Progress) -> None:
    """Warn of files whose names are close to those of missing tables."""
    from difflib import get_close_matches

    from pdm_cli.io.folders import is_hidden, list_files
    from pdm_cli.schema import RAW_TABLES

    missing = [table.name for table in RAW_TABLES if not list_files(folder, table)]
    for path in sorted(folder.glob("*.*")):
        near = get_close_matches(path.stem.lower(), missing, n=1, cutoff=0.75)
        if near and path.suffix in (".parquet", ".csv") and not is_hidden(path.name):
            hint = f"did you mean {near[0]}.parquet?" if path.suffix == ".parquet" else "pdm import reads CSV files"
            progress.warn(f"not read: {path.name} ({hint})")


def _warn_of_empty_parts(task: Task) -> None:
    from pdm_cli.io.raw import count_empty_parts

    for table, count in count_empty_parts(task.inputs["data"]).items():
        task.progress.warn(f"{table}: {show_count(count, 'empty part')} skipped")


def _warn_of_mixed_time_zones(task: Task) -> None:
    from pdm_cli.io.raw import tables_by_zone

    carrying, without = tables_by_zone(task.inputs["data"], task.settings.columns)
    if carrying and without:
        zone = task.settings.preprocess.timezone
        task.progress.warn(
            f"times in {', '.join(carrying)} have a time zone, those in {', '.join(without)} do not and are read as "
            f"{zone} (--timezone)"
        )


def check_ranges(raw: RawTelemetry, settings: Settings) -> None:
    """Reject ranges of unknown sensors.

    Raises
    ------
    UsageError
        Naming the sensor.
    """
    for sensor in settings.preprocess.ranges:
        if sensor not in raw.sensors:
            raise UsageError(f"--ranges: no sensor {sensor!r}", hint=f"the sensors are {', '.join(raw.sensors)}")


def _reject(findings: dict[str, Finding], settings: Settings) -> None:
    """Raise an error for findings that the settings do not allow."""
    params = settings.preprocess
    for name, policy, what, one, hint in (
        (
            "duplicates",
            params.on_duplicate,
            "duplicate (machineID, datetime) rows",
            "duplicate (machineID, datetime) row",
            "keep one of each with --on-duplicate first or mean",
        ),
        (
            "out_of_range",
            params.on_out_of_range,
            "readings outside --ranges",
            "reading outside --ranges",
            "treat them as missing with --on-out-of-range missing",
        ),
    ):
        if findings[name].count and policy == "refuse":
            raise DataError(
                f"telemetry.parquet: {findings[name].summarize(what, one=one)}", hint=hint, **findings[name].as_dict()
            )


def _check_machines_known(
    file: str, events: pd.DataFrame, spans: pd.DataFrame, findings: dict[str, Finding], task: Task
) -> None:
    """Reject events of machines without telemetry, or warn if none has any: then the names may differ."""
    from pdm_cli.schema import MACHINE
    from pdm_cli.text import name_some

    unknown, is_known = findings["events_without_telemetry"], events[MACHINE].isin(spans.index)
    if is_known.all():
        return
    summary = unknown.summarize("events of machines without telemetry", one="event of a machine without telemetry")
    if not is_known.any():
        here, there = (name_some([*map(str, names)]) for names in (events[MACHINE].unique(), spans.index))
        summary = f"none of its machines has telemetry: machines here {here}, in the telemetry {there}"
    elif len(names := events[MACHINE][~is_known].unique()) > 1:
        summary += f"; {len(names):,} such machines: {name_some([*map(str, names)])}"
    if task.settings.preprocess.on_unknown_machine == "refuse":
        hint = _suggest_names(events[MACHINE][~is_known], spans.index, all_unknown=not is_known.any())
        raise DataError(f"{file}: {summary}", hint=hint, **unknown.as_dict())
    if not is_known.any():
        task.progress.warn(f"{file}: {summary}; ignoring all events")


def _suggest_names(unknown: pd.Series, known: pd.Index, *, all_unknown: bool) -> str:
    """Return the hint for machines without telemetry, with up to three pairs of similar names."""
    from pdm_cli.preparation.label_check import match_names

    matches = match_names(map(str, unknown.unique()), map(str, known))
    pairs = [f"{name!r} here may be {same!r} in the telemetry" for name, same in matches.items()][:_MOST_LOOKALIKES]
    hint = "ignore them with --on-unknown-machine drop"
    if not (pairs or all_unknown):
        return hint
    examples = f" ({'; '.join(pairs)})" if pairs else ""
    return f"use the same machine names{examples}, or {hint}"
