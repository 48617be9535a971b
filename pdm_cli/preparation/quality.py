"""What is found wrong or remarkable in the data: counts and first rows, and checks of the event tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pdm_cli.errors import SchemaError
from pdm_cli.schema import EVENT_TABLES, MACHINE, TIME, Table

FIRST_ROWS = 5


@dataclass
class Finding:
    """How often something was found, and the first places.

    Attributes
    ----------
    count : int
        Occurrences.
    first : list of dict
        Up to five of them, as column to value.
    """

    count: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    def add(self, count: int, rows: pd.DataFrame) -> None:
        """Add ``count`` occurrences, whose first ones are the first ``rows``."""
        self.count += count
        for row in rows.head(FIRST_ROWS - len(self.first)).to_dict("records"):
            self.first.append({str(name): _plain(value) for name, value in row.items()})

    def told(self, what: str) -> str:
        """Return ``214 duplicated pairs, first (3, 2015-01-04 06:00)`` for ``what`` being ``duplicated pairs``."""
        row = self.first[0]
        stamp = f", {row[TIME].replace('T', ' ')[:16]}" if TIME in row else ""
        return f"{self.count:,} {what}, first ({row[MACHINE]}{stamp})"

    def as_dict(self) -> dict[str, Any]:
        """Return count and first rows in JSON types."""
        return {"count": self.count, "first": self.first}


def _plain(value: Any) -> Any:
    """Return a value that JSON has: stamps and infinities as text."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


# Kinds of finding in the order of a quality report.
TELEMETRY_FINDINGS = (
    "out_of_order",
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
MACHINE_FINDINGS = ("machines_without_telemetry", "machines_without_attributes")


def new_findings() -> dict[str, Finding]:
    """Return an empty finding of every kind."""
    return {name: Finding() for name in (*TELEMETRY_FINDINGS, *EVENT_FINDINGS, *MACHINE_FINDINGS)}


def check_events(table: Table, events: pd.DataFrame, spans: pd.DataFrame, findings: dict[str, Finding]) -> pd.DataFrame:
    """Return the events of known machines, each once; what else was there is counted.

    Parameters
    ----------
    table : Table
        One of the event tables.
    events : DataFrame
        ``machineID, datetime`` and the kind.
    spans : DataFrame
        ``first`` and ``last`` telemetry stamp by ``machineID``.
    findings : dict of Finding
        Counts of :data:`EVENT_FINDINGS`; added to.

    Raises
    ------
    SchemaError
        If machines are numbers here and texts in the telemetry, or the other way round.
    """
    check_machine_kind(table.file, events[MACHINE], spans.index.to_series())
    named = events.assign(table=table.file)
    repeated = events.duplicated()
    findings["duplicate_events"].add(int(repeated.sum()), named[repeated])
    is_unknown = ~events[MACHINE].isin(spans.index) & ~repeated
    findings["events_without_telemetry"].add(int(is_unknown.sum()), named[is_unknown])
    known = named[~repeated & ~is_unknown].reset_index(drop=True)
    span = spans.reindex(known[MACHINE])
    stamps = known[TIME].to_numpy()
    known = known.drop(columns="table")
    for side, is_outside in (
        ("before", stamps < span["first"].to_numpy()),
        ("after", stamps > span["last"].to_numpy()),
    ):
        findings[f"{table.name}_{side}_telemetry"].add(int(is_outside.sum()), known[is_outside])
    return known


def check_machines(
    file: str, machines: pd.DataFrame, spans: pd.DataFrame, findings: dict[str, Finding]
) -> pd.DataFrame:
    """Return the attributes of machines that have telemetry; machines on one side only are counted.

    Parameters
    ----------
    file : str
        Name of the table's file.
    machines : DataFrame
        ``machineID`` and attributes.
    spans : DataFrame
        Indexed by the machines that have telemetry.
    findings : dict of Finding
        Counts of :data:`MACHINE_FINDINGS`; added to.
    """
    known = spans.index.to_series()
    check_machine_kind(file, machines[MACHINE], known)
    has_telemetry = machines[MACHINE].isin(known)
    findings["machines_without_telemetry"].add(int((~has_telemetry).sum()), machines.loc[~has_telemetry, [MACHINE]])
    lacking = known[~known.isin(machines[MACHINE])].to_frame(MACHINE)
    findings["machines_without_attributes"].add(len(lacking), lacking)
    return machines[has_telemetry].reset_index(drop=True)


def check_machine_kind(file: str, machines: pd.Series, known: pd.Series) -> None:
    """Refuse machines that can match none of the telemetry because one side holds numbers, the other texts.

    Raises
    ------
    SchemaError
        If the kinds differ.
    """
    here, there = (
        ("numbers" if np.issubdtype(np.asarray(s).dtype, np.integer) else "texts") for s in (machines, known)
    )
    if len(machines) and here != there:
        raise SchemaError(f"{file}: machines are {here}, in telemetry they are {there}", hint="make them the same type")
