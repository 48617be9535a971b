"""``pdm preprocess``: raw tables to prepared tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pdm_cli.commands.options import Out, Overwrite, input_port, with_settings
from pdm_cli.commands.stages import STAGES
from pdm_cli.errors import DataError
from pdm_cli.params import Settings
from pdm_cli.report.screen import Screen

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.commands.execution import Task
    from pdm_cli.core.cleaning import Finding
    from pdm_cli.raw import RawTelemetry
    from pdm_cli.scan import TelemetryScan

_STAGE = STAGES["preprocess"]


@with_settings(*_STAGE.sections)
def preprocess(
    *,
    data: Annotated[str, input_port("data", "Raw tables: telemetry and, if there, errors, maint, failures, machines.")],
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Clean raw tables, put telemetry on a regular grid, and compute rolling features.

    Example: pdm preprocess --data raw --out prepared
    """
    from pdm_cli.commands.execution import execute
    from pdm_cli.report.results import draw_quality

    quality = execute(_STAGE, {"data": data}, out, settings=settings, screen=screen, overwrite=overwrite)
    screen.result({"schema": "pdm.preprocess/1", "out": out, **quality}, lambda: [*draw_quality(quality), out])


def prepare(task: Task) -> dict[str, Any]:
    """Write the prepared tables and return the quality report."""
    from pdm_cli.core.cleaning import TELEMETRY_FINDINGS, Finding
    from pdm_cli.raw import RawTelemetry

    settings = task.settings
    raw = RawTelemetry(task.inputs["data"], settings.columns, settings.preprocess)
    scan = raw.scan()
    findings = {name: Finding() for name in ("out_of_order", *TELEMETRY_FINDINGS)}
    if scan.first_out_of_order is not None:
        machine, stamp = scan.first_out_of_order
        findings["out_of_order"] = Finding(scan.out_of_order, [{"machineID": machine, "datetime": stamp.isoformat()}])
    written = _write_telemetry(task, raw, scan, findings)
    _refuse(findings, task)
    events = _write_events(task, written["spans"], findings)
    _write_machines(task, scan, findings)
    return {
        "telemetry": {
            "readings": sum(scan.rows.values()),
            "rows": written["rows"],
            "machines": len(scan.rows),
            "sensors": list(raw.sensors),
            "step_minutes": scan.step_us / 60e6,
            "start": str(written["spans"]["first"].min()),
            "end": str(written["spans"]["last"].max()),
        },
        "features": {"rows": written["feature_rows"], "columns": written["features"]},
        "events": events,
        "ignored_columns": list(raw.ignored),
        "findings": {name: {"count": found.count, "first": found.first} for name, found in findings.items()},
    }


def _write_telemetry(
    task: Task, raw: RawTelemetry, scan: TelemetryScan, findings: dict[str, Finding]
) -> dict[str, Any]:
    """Clean batch by batch and write telemetry and rolling features; return counts and each machine's time span."""
    import pandas as pd

    from pdm_cli.core.cleaning import clean_telemetry
    from pdm_cli.core.rolling import rolling_features
    from pdm_cli.schema import FEATURES, MACHINE, TELEMETRY, TIME
    from pdm_cli.tables import TableWriter

    settings, spans = task.settings, []
    metadata = {"step_us": str(scan.step_us)}
    with (
        TableWriter(task.out / TELEMETRY.file, metadata) as telemetry,
        TableWriter(task.out / FEATURES.file, metadata) as features,
        task.screen.progress("preprocess: machines", len(scan.rows)) as advance,
    ):
        for batch in raw.batches(scan, task.out):
            clean = clean_telemetry(batch, findings, step_us=scan.step_us, params=settings.preprocess)
            rolling = rolling_features(clean, step_us=scan.step_us, params=settings.features)
            telemetry.write(clean)
            features.write(rolling)
            spans.append(clean.groupby(MACHINE, sort=False)[TIME].agg(["first", "last"]))
            advance(len(spans[-1]))
    return {
        "rows": telemetry.rows,
        "feature_rows": features.rows,
        "features": rolling.shape[1] - len(FEATURES.key),
        "spans": pd.concat(spans),
    }


def _refuse(findings: dict[str, Finding], task: Task) -> None:
    params = task.settings.preprocess
    if findings["duplicates"].count and params.on_duplicate == "refuse":
        raise DataError(
            f"telemetry: {_counted(findings['duplicates'], 'duplicated (machineID, datetime) pairs')}",
            hint="--on-duplicate first|mean keeps one of each",
            **_details(findings["duplicates"]),
        )
    if findings["out_of_range"].count and params.on_out_of_range == "refuse":
        raise DataError(
            f"telemetry: {_counted(findings['out_of_range'], 'readings outside --ranges')}",
            hint="--on-out-of-range missing makes them missing",
            **_details(findings["out_of_range"]),
        )


def _counted(finding: Finding, what: str) -> str:
    row = finding.first[0]
    stamp = f", {row['datetime'].replace('T', ' ')[:16]}" if "datetime" in row else ""
    return f"{finding.count:,} {what}, first ({row['machineID']}{stamp})"


def _details(finding: Finding) -> dict[str, Any]:
    return {"count": finding.count, "first": finding.first}


def _write_events(task: Task, spans: pd.DataFrame, findings: dict[str, Finding]) -> dict[str, int]:
    """Check and write the event tables that are there; return their rows."""
    from pdm_cli.core.cleaning import Finding
    from pdm_cli.raw import read_events
    from pdm_cli.schema import EVENT_TABLES
    from pdm_cli.tables import write_frame

    for name in ("duplicate_events", "events_without_telemetry", "events_outside_telemetry"):
        findings[name] = Finding()
    rows = {}
    for table in EVENT_TABLES:
        events = read_events(task.inputs["data"], table, task.settings.columns, task.settings.preprocess.timezone)
        if events is None:
            continue
        kept = _check_events(table.file, events, spans, findings, task)
        write_frame(task.out / table.file, kept)
        rows[table.name] = len(kept)
    return rows


def _check_events(
    file: str, events: pd.DataFrame, spans: pd.DataFrame, findings: dict[str, Finding], task: Task
) -> pd.DataFrame:
    from pdm_cli.core.cleaning import Finding
    from pdm_cli.schema import MACHINE, TIME

    repeated = events.duplicated()
    findings["duplicate_events"].add(int(repeated.sum()), events[repeated].assign(table=file))
    events = events[~repeated]
    is_unknown = ~events[MACHINE].isin(spans.index)
    unknown = Finding()
    unknown.add(int(is_unknown.sum()), events[is_unknown].assign(table=file))
    if unknown.count and task.settings.preprocess.on_unknown_machine == "refuse":
        raise DataError(
            f"{file}: {_counted(unknown, 'events of machines that have no telemetry')}",
            hint="--on-unknown-machine drop leaves them out",
            **_details(unknown),
        )
    findings["events_without_telemetry"].add(unknown.count, events[is_unknown].assign(table=file))
    events = events[~is_unknown].reset_index(drop=True)
    span = spans.reindex(events[MACHINE])
    is_outside = (events[TIME].to_numpy() < span["first"].to_numpy()) | (
        events[TIME].to_numpy() > span["last"].to_numpy()
    )
    findings["events_outside_telemetry"].add(int(is_outside.sum()), events[is_outside].assign(table=file))
    return events


def _write_machines(task: Task, scan: TelemetryScan, findings: dict[str, Finding]) -> None:
    from pdm_cli.core.cleaning import Finding
    from pdm_cli.raw import read_machines
    from pdm_cli.schema import MACHINE, MACHINES
    from pdm_cli.tables import write_frame

    machines = read_machines(task.inputs["data"], task.settings.columns)
    if machines is None:
        return
    is_known = machines[MACHINE].isin(list(scan.rows))
    lacking = [machine for machine in scan.rows if machine not in set(machines[MACHINE])]
    for name, count, rows in (
        ("machines_without_telemetry", int((~is_known).sum()), machines.loc[~is_known, [MACHINE]]),
        ("machines_without_attributes", len(lacking), machines.iloc[:0][[MACHINE]]),
    ):
        findings[name] = Finding()
        findings[name].add(count, rows)
    findings["machines_without_attributes"].first = [{MACHINE: machine} for machine in lacking[:5]]
    write_frame(task.out / MACHINES.file, machines[is_known].reset_index(drop=True))
