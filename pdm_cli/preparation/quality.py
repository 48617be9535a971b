"""Data-quality findings: counts and first rows, and checks of the event tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pdm_cli.errors import SchemaError
from pdm_cli.schema import EVENT_TABLES, MACHINE, TIME, Table
from pdm_cli.units import show_time

FIRST_ROWS = 5


@dataclass
class Finding:
    """The number of occurrences of a finding, and up to five of the first ones as column to value."""

    count: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    def add(self, count: int, rows: pd.DataFrame) -> None:
        """Add ``count`` occurrences, of which ``rows`` are the first."""
        self.count += count
        for row in rows.head(FIRST_ROWS - len(self.first)).to_dict("records"):
            self.first.append({str(name): _plain(value) for name, value in row.items()})

    def summarize(self, noun: str, *, one: str = "") -> str:
        """Return ``214 duplicate pairs, first (3, 2015-01-04 06:00)`` for the noun ``duplicate pairs``.

        ``one`` is the noun for a single occurrence, if it differs.
        """
        row = self.first[0]
        time = f", {show_time(row[TIME])}" if TIME in row else ""
        counted = one if one and self.count == 1 else noun
        return f"{self.count:,} {counted}, first ({row[MACHINE]}{time})"

    def as_dict(self) -> dict[str, Any]:
        """Return count and first rows in JSON types."""
        return {"count": self.count, "first": self.first}


def _plain(value: Any) -> Any:
    """Return a value as a JSON type: times and infinities as strings."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


# Types of finding in the order of a quality report.
TELEMETRY_FINDINGS = (
    "out_of_order",
    "copies",
    "duplicates",
    "not_finite",
    "out_of_range",
    "off_grid",
    "gaps",
    "long_gaps",
    "missing_values",
    "frozen_sensors",
    "dead_sensors",
)
EVENT_FINDINGS = (
    "duplicate_events",
    "events_without_telemetry",
    *(f"{table.name}_{side}_telemetry" for table in EVENT_TABLES for side in ("before", "after")),
)
TIME_FINDINGS = ("outside_time_range",)
MACHINE_FINDINGS = ("machines_without_telemetry", "machines_without_attributes")


def new_findings() -> dict[str, Finding]:
    """Return an empty finding of every type."""
    return {name: Finding() for name in (*TELEMETRY_FINDINGS, *TIME_FINDINGS, *EVENT_FINDINGS, *MACHINE_FINDINGS)}


def check_events(table: Table, events: pd.DataFrame, spans: pd.DataFrame, findings: dict[str, Finding]) -> pd.DataFrame:
    """Return the distinct events of known machines and count the others.

    Parameters
    ----------
    table : Table
        One of the event tables.
    events : DataFrame
        ``machineID, datetime`` and the type.
    spans : DataFrame
        ``first`` and ``last`` telemetry time by ``machineID``.
    findings : dict of Finding
        Counts of :data:`EVENT_FINDINGS`; updated.

    Raises
    ------
    SchemaError
        If machines are numbers here and strings in the telemetry, or the other way round.
    """
    check_machine_type(table.file, events[MACHINE], spans.index.to_series())
    named = events.assign(table=table.file)
    repeated = events.duplicated()
    findings["duplicate_events"].add(int(repeated.sum()), named[repeated])
    is_unknown = ~events[MACHINE].isin(spans.index) & ~repeated
    findings["events_without_telemetry"].add(int(is_unknown.sum()), named[is_unknown])
    known = named[~repeated & ~is_unknown].reset_index(drop=True)
    span = spans.reindex(known[MACHINE])
    times = known[TIME].to_numpy()
    known = known.drop(columns="table")
    for side, is_outside in (
        ("before", times < span["first"].to_numpy()),
        ("after", times > span["last"].to_numpy()),
    ):
        findings[f"{table.name}_{side}_telemetry"].add(int(is_outside.sum()), known[is_outside])
    return known


def check_machines(
    file: str, machines: pd.DataFrame, spans: pd.DataFrame, findings: dict[str, Finding]
) -> pd.DataFrame:
    """Return the attributes of machines that have telemetry, and count machines in only one of the tables.

    Parameters
    ----------
    file : str
        Name of the table's file.
    machines : DataFrame
        ``machineID`` and attributes.
    spans : DataFrame
        Indexed by the machines that have telemetry.
    findings : dict of Finding
        Counts of :data:`MACHINE_FINDINGS`; updated.
    """
    known = spans.index.to_series()
    check_machine_type(file, machines[MACHINE], known)
    has_telemetry = machines[MACHINE].isin(known)
    findings["machines_without_telemetry"].add(int((~has_telemetry).sum()), machines.loc[~has_telemetry, [MACHINE]])
    missing = known[~known.isin(machines[MACHINE])].to_frame(MACHINE)
    findings["machines_without_attributes"].add(len(missing), missing)
    return machines[has_telemetry].reset_index(drop=True)


def check_machine_type(file: str, machines: pd.Series, known: pd.Series) -> None:
    """Raise ``SchemaError`` if machines are numbers in one table and strings in the other: none could match."""
    here, there = (
        ("numbers" if np.issubdtype(np.asarray(s).dtype, np.integer) else "strings") for s in (machines, known)
    )
    if len(machines) and here != there:
        raise SchemaError(
            f"{file}: machineID has {here}, but {there} in telemetry", hint="use the same type in both tables"
        )
