"""Quality of raw data: an overview, and the problems that a person should check, in one pass over the telemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pdm_cli.errors import DataError, PdmError
from pdm_cli.io.parquet import find_units
from pdm_cli.io.raw import RawTelemetry, read_events, read_machines
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.preparation.clocks import check_clocks, describe_set_back
from pdm_cli.preparation.failure_check import (
    FailureCoverage,
    Spans,
    check_failures,
    count_failures,
    find_spans,
    is_split_by_machine,
)
from pdm_cli.preparation.label_check import count_labels, find_similar_labels
from pdm_cli.preparation.overview import Overview
from pdm_cli.preparation.problems import Level, Problem
from pdm_cli.preparation.quality import check_events, check_machines, new_findings
from pdm_cli.preparation.repeated_rows import RepeatedRows
from pdm_cli.preparation.sensor_check import check_sensors
from pdm_cli.preparation.sentinels import Sentinel, SentinelSearch, describe_sentinels, list_values
from pdm_cli.preparation.stopped_sensors import find_stopped
from pdm_cli.preparation.time_range import YEAR_US, TimeRange, TimeSurvey
from pdm_cli.preparation.unit_changes import find_unit_changes
from pdm_cli.preparation.windows import propose_windows
from pdm_cli.schema import EVENT_TABLES, FAILURES, MACHINE, MACHINES, TIME
from pdm_cli.settings.model import Settings, TrainParams
from pdm_cli.text import show_count
from pdm_cli.timestamps import show
from pdm_cli.units import show_time, using

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from pdm_cli.io.scan import Scanner, TelemetryScan
    from pdm_cli.preparation.quality import Finding

# The folds test on the last half of the training span; the first one trains on the rest.
_FIRST_FOLD_SHARE = 0.5
# An unsorted log goes back in time more often than this share of its rows.
_MOST_SET_BACK = 0.01
_FEW_DUPLICATES = 0.01
_DIGITS = 6
_HINTS_OF_DUPLICATES: dict[str, tuple[str, Level]] = {
    "refuse": ("keep one of each with --on-duplicate first or mean", "warning"),
    "first": ("--on-duplicate first keeps the first of each", "note"),
    "mean": ("--on-duplicate mean averages them", "note"),
}


class QualityCheck:
    """Checks the telemetry of a scan, row by row, and the failures; results are complete after all rows were added."""

    def __init__(
        self,
        raw: RawTelemetry,
        scan: TelemetryScan,
        failures: pd.DataFrame | None,
        *,
        on_duplicate: str,
        has_step: bool = True,
    ) -> None:
        first, last = scan.days.ends
        step = scan.step_us if has_step else 0
        self.overview = Overview(raw.sensors, list(scan.rows), first_us=first, last_us=last, step_us=step)
        self._scan = scan
        self._repeated = RepeatedRows()
        self._may_repeat = bool(scan.repeated or scan.out_of_order)
        self._on_duplicate = on_duplicate
        self._coverage = None if failures is None else FailureCoverage(failures, self.overview)

    def add_frame(self, frame: pd.DataFrame) -> None:
        """Add rows of a batch of raw telemetry."""
        codes, names = pd.factorize(frame[MACHINE])
        readings = {sensor: frame[sensor].to_numpy() for sensor in self.overview.sensors}
        self._add(names.tolist(), codes, to_microseconds(frame[TIME]), readings)

    def add_table(self, piece: pa.Table) -> None:
        """Add rows of a piece of raw telemetry."""
        encoded = piece[MACHINE].combine_chunks().dictionary_encode()
        times = piece[TIME].cast("int64").to_numpy()
        readings = {sensor: piece[sensor].to_numpy() for sensor in self.overview.sensors}
        self._add(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), times, readings)

    def _add(
        self,
        names: list[Any],
        codes: NDArray[np.integer[Any]],
        times: NDArray[np.int64],
        readings: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self.overview.add(names, codes, times, readings)
        places = self.overview.place_of(names)[codes]
        if self._may_repeat:
            self._repeated.add(places, times, readings)
        if self._coverage is not None:
            self._coverage.add(places, times)

    def describe(self, sentinels: Sequence[Sentinel]) -> dict[str, Any]:
        """Return overview, failures and problems in JSON types."""
        found: dict[str, Any] = {"overview": _describe_overview(self.overview), "failures": {}}
        problems = [*self._times(), *_describe_found(sentinels), *check_sensors(self.overview)]
        problems += [*find_stopped(self.overview), *find_unit_changes(self.overview)]
        if self._coverage is not None and len(self._coverage.failures):
            failures, spans = self._coverage.failures, self._spans()
            horizon = propose_windows(self.overview.step_us or self._scan.step_us, self._scan.span_us).horizon_us
            covered = self._coverage.is_covered(horizon)
            by_time = None if is_split_by_machine(self._coverage, covered, spans, horizon) else spans
            problems += check_failures(failures, covered, by_time, horizon)
            problems += _find_similar(count_labels(failures["failure"]))
            counts = count_failures(failures, covered, by_time)
            buckets = self._bucket_failures(failures)
            found["failures"] = {name: {**count, "buckets": buckets[name]} for name, count in counts.items()}
        problems.sort(key=lambda problem: problem.level == "note")
        found["problems"] = [problem.as_dict() for problem in problems]
        return found

    def _times(self) -> list[Problem]:
        scan, problems = self._scan, []
        if scan.outside.count:
            first = scan.outside.first[0]
            text = (
                f"{show_count(scan.outside.count, 'reading')} set aside: time {scan.time_range.describe()}, first "
                f"machine {first[MACHINE]}, {show_time(first[TIME])}"
            )
            problems.append(Problem("outside_time_range", text, "fix the times, or set --time-range"))
        rows = sum(scan.rows.values())
        count, first_back = scan.set_back
        if first_back is not None and scan.out_of_order <= _MOST_SET_BACK * rows:
            problems.append(describe_set_back(count, first_back))
        problems += self._describe_repeated(rows)
        return [*problems, *check_clocks(self.overview, has_duplicates=scan.repeated > _FEW_DUPLICATES * rows)]

    def _describe_repeated(self, rows: int) -> list[Problem]:
        """Return the problems of rows with the machine and time of an earlier row."""
        found, problems = self._repeated, []
        if found.different:
            text = (
                f"{_count_of(found.different, rows)} with the machine and time of another row, but different readings"
            )
            hint, level = _HINTS_OF_DUPLICATES[self._on_duplicate]
            problems.append(Problem("duplicates", text, hint, level, {"count": found.different}))
        if found.copies:
            text = f"{_count_of(found.copies, rows)} {'repeats' if found.copies == 1 else 'repeat'} another row"
            hint = "pdm preprocess keeps one of each; check how the data are exported"
            problems.append(Problem("copies", text, hint, level="note", facts={"count": found.copies}))
        return problems

    def _spans(self) -> Spans:
        """Return the spans of the default split."""
        share = 1 - TrainParams().test_share
        gap = propose_windows(self.overview.step_us or self._scan.step_us, self._scan.span_us).horizon_us
        return find_spans(self.overview, (_FIRST_FOLD_SHARE * share, share), gap)

    def _bucket_failures(self, failures: pd.DataFrame) -> dict[str, list[int]]:
        times = to_microseconds(failures[TIME])
        edges = self.overview.edges_us
        return {
            str(name): np.histogram(times[(failures["failure"] == name).to_numpy()], edges)[0].tolist()
            for name in sorted(failures["failure"].unique())
        }


def _describe_found(sentinels: Sequence[Sentinel]) -> list[Problem]:
    if not sentinels:
        return []
    hint = f"remove with --na-values={list_values(sentinels)} on import, or with --ranges"
    return [Problem("sentinels", describe_sentinels(sentinels), hint, facts={"count": len(sentinels)})]


def _find_similar(counts: dict[str, int]) -> list[Problem]:
    return [
        Problem(
            "similar_names",
            f"{rare!r} ({show_count(counts[rare], 'failure')}) and {common!r} ({counts[common]:,}) count as two "
            "components",
            "if they are the same, give them one name",
            facts={"components": [rare, common]},
        )
        for rare, common in find_similar_labels(counts)
    ]


def _count_of(count: int, rows: int) -> str:
    """Return a number of rows, and their share if it is not tiny."""
    return show_count(count, "row") + (f" ({count / rows:.0%})" if count > rows / 200 else "")


def _describe_overview(overview: Overview) -> dict[str, Any]:
    places = range(len(overview.sensors))
    return {
        "start": show(int(overview.edges_us[0])),
        "bucket_hours": overview.width_us / 3.6e9,
        "buckets": overview.buckets,
        "sensors": [
            {
                "sensor": overview.sensors[place],
                "missing_share": _round(overview.missing_share(place)),
                "low": _round(np.fmin.reduce(overview.lows[place])),
                "mean": _round(overview.mean(place)),
                "high": _round(np.fmax.reduce(overview.highs[place])),
                "present": [*map(_round, overview.present(place))],
                "levels": [*map(_round, overview.levels(place))],
            }
            for place in places
        ],
    }


def _round(value: float) -> float | None:
    """Return a number with six digits, which do not depend on the order of the rows."""
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


def inspect_raw(
    folder: Path, settings: Settings, scanner: Scanner | None = None, sentinels: SentinelSearch | None = None
) -> dict[str, Any] | None:
    """Return the quality of the raw tables in a folder as far as it can be seen without preparing them.

    None if a table cannot be read; the next command reports the reason. The parameters are those of
    :func:`measure_raw`.
    """
    try:
        return measure_raw(folder, settings, scanner, sentinels)
    except PdmError:
        return None


def measure_raw(
    folder: Path, settings: Settings, scanner: Scanner | None = None, sentinels: SentinelSearch | None = None
) -> dict[str, Any]:
    """Return the quality of the raw tables in a folder.

    Parameters
    ----------
    folder : Path
        The tables.
    settings : Settings
        Names of the columns, and how the tables will be prepared.
    scanner : Scanner, optional
        Scanned the telemetry while it was written, so that it need not be scanned again.
    sentinels : SentinelSearch, optional
        Searched it likewise.

    Raises
    ------
    PdmError
        If a table cannot be read.
    """
    units = find_units(folder)
    with using(units):
        return {**_inspect(folder, settings, scanner, sentinels), **units.summary()}


def _inspect(
    folder: Path, settings: Settings, scanner: Scanner | None, searched: SentinelSearch | None
) -> dict[str, Any]:
    raw = RawTelemetry(folder, settings.columns, settings.preprocess)
    # Times without a zone were scanned as UTC.
    raw, scan, no_step = _scan(folder, raw, settings, scanner if settings.preprocess.timezone == "UTC" else None)
    failures = read_failures(folder, settings, scan.days)
    on_duplicate = settings.preprocess.on_duplicate
    check = QualityCheck(raw, scan, failures, on_duplicate=on_duplicate, has_step=no_step is None)
    if settings.preprocess.ranges or scan.outside.count:
        searched = None
    search = searched or SentinelSearch(settings.preprocess.ranges)
    for piece in raw.pieces(scan):
        check.add_table(piece)
        for sensor in raw.sensors if searched is None else ():
            search.add(sensor, piece[sensor].to_numpy())
    sentinels, overview = search.found(raw.sensors), check.overview
    findings = new_findings()
    findings["out_of_order"].add(scan.out_of_order, scan.first_out_of_order)
    findings["outside_time_range"] = replace(scan.outside, first=list(scan.outside.first))
    events = _check_tables(folder, settings, overview, findings)
    found = check.describe(sentinels)
    if no_step is not None:
        found["problems"].insert(0, no_step.as_dict())
    return {
        "telemetry": {
            "readings": sum(scan.rows.values()),
            "machines": len(scan.rows),
            "sensors": list(raw.sensors),
            "step_minutes": overview.step_us / 60e6 if overview.step_us else None,
            "start": str(pd.Timestamp(overview.first_us, unit="us")),
            "end": str(pd.Timestamp(overview.last_us, unit="us")),
        },
        "events": events,
        "components": {} if failures is None else count_labels(failures["failure"]),
        "ignored_columns": list(raw.ignored),
        "findings": {name: finding.as_dict() for name, finding in findings.items()},
        "sentinels": [asdict(sentinel) for sentinel in sentinels],
        **found,
    }


def _scan(
    folder: Path, raw: RawTelemetry, settings: Settings, scanner: Scanner | None
) -> tuple[RawTelemetry, TelemetryScan, Problem | None]:
    """Return a scan, and the problem of telemetry without a regular step."""
    try:
        return raw, raw.scan(scanner), None
    except DataError as error:
        problem = Problem("no_regular_step", error.message, error.hint or "")
        raw = RawTelemetry(folder, settings.columns, replace(settings.preprocess, step_minutes=1.0))
        return raw, raw.scan(scanner), problem


def read_failures(folder: Path, settings: Settings, days: TimeSurvey) -> pd.DataFrame | None:
    """Return the failures at possible times; None without a table, or if it is invalid, which other checks report."""
    try:
        failures = read_events(folder, FAILURES, settings.columns, settings.preprocess.timezone)
    except PdmError:
        return None
    if failures is None:
        return None
    is_possible, _ = find_possible(failures, days, settings.preprocess.time_range)
    return failures[is_possible].reset_index(drop=True)


def find_possible(events: pd.DataFrame, days: TimeSurvey, time_range: str) -> tuple[NDArray[np.bool_], TimeRange]:
    """Return which events are in the time range, and the range; ``days`` are those of the telemetry."""
    times, survey = to_microseconds(events[TIME]), days.copy()
    codes, names = pd.factorize(events[MACHINE])
    survey.add(names.tolist(), codes, times)
    # An event table may end later than the telemetry: only events of another year cannot be right.
    allowed = survey.find_range(time_range, YEAR_US)
    return allowed.covers(times), allowed


def _check_tables(folder: Path, settings: Settings, overview: Overview, findings: dict[str, Finding]) -> dict[str, int]:
    """Return the rows of the event tables of machines with telemetry; the others are counted."""
    ends = {"first": overview.starts_us.astype("datetime64[us]"), "last": overview.ends_us.astype("datetime64[us]")}
    spans = pd.DataFrame(ends, index=pd.Index(overview.machines, name=MACHINE))
    rows = {}
    for table in EVENT_TABLES:
        events = read_events(folder, table, settings.columns, settings.preprocess.timezone)
        if events is not None:
            rows[table.name] = len(check_events(table, events, spans, findings))
    machines = read_machines(folder, settings.columns)
    if machines is not None:
        check_machines(MACHINES.file, machines, spans, findings)
    return rows
