"""Failures and states that begin in one import and end in the next, which appends to it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from pdm_cli.errors import DataError
from pdm_cli.io import parquet
from pdm_cli.io.parquet import TableFiles
from pdm_cli.text import name_some

_PIECE_ROWS = 262_144


@dataclass(frozen=True)
class Ends:
    """The last row of each machine in the new telemetry.

    Attributes
    ----------
    last_us : dict
        Its time in microseconds, by machine as text.
    ongoing : frozenset of (str, str)
        Machines and the failures or states that have not ended in it.
    """

    last_us: dict[str, int]
    ongoing: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Earlier:
    """The contents of the existing raw tables.

    Attributes
    ----------
    spans : dict
        First and last telemetry time in microseconds, by machine as text.
    ongoing : mapping of str to frozenset of (str, str)
        Table to machines and the failures or states that had not ended in their last row.
    normal : str
        The state that is not an event; empty if unknown.
    """

    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    ongoing: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    normal: str = ""

    @classmethod
    def read(cls, telemetry: TableFiles | None, summary: Path, machine: str, time: str) -> Earlier:
        """Read the spans of the telemetry, and what its import recorded in ``summary``."""
        try:
            tables = json.loads(summary.read_text(encoding="utf-8"))["tables"]
            ongoing = {
                name: frozenset((str(one), str(state)) for one, state in facts.get("ongoing", ()))
                for name, facts in tables.items()
            }
            normal = next((str(facts["normal"]) for facts in tables.values() if facts.get("normal")), "")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # No summary, or another program's.
            ongoing, normal = {}, ""
        return cls({} if telemetry is None else _find_spans(telemetry, machine, time), ongoing, normal)

    def is_continued(self, table: str, machine: str, name: str, time_us: int) -> bool:
        """Return whether an event in the first new row of a machine is one that began in the existing rows."""
        if machine not in self.spans:
            return False
        first, last = self.spans[machine]
        if time_us > last:
            return (machine, name) in self.ongoing.get(table, frozenset())
        # Existing rows of this time have shown where it begins.
        return time_us >= first

    def still_ongoing(self, table: str, new: Ends) -> list[list[str]]:
        """Return the failures or states that have not ended in the last row of old and new telemetry."""
        renewed = {one for one, last in new.last_us.items() if one not in self.spans or last >= self.spans[one][1]}
        kept = {pair for pair in self.ongoing.get(table, frozenset()) if pair[0] not in renewed}
        return sorted(map(list, kept | {pair for pair in new.ongoing if pair[0] in renewed}))


def check_old_ends(old: TableFiles, new: Ends, component: str, names: tuple[str, str, str]) -> None:
    """Reject failures at the end of telemetry that continues.

    Parameters
    ----------
    old : TableFiles
        The existing failures.
    new : Ends
        The ends of the new telemetry.
    component : str
        The component that fails at the end.
    names : tuple of str
        Columns of machine, time and component.

    Raises
    ------
    DataError
        Naming the machines.
    """
    last = new.last_us
    wrong = {
        one for one, time_us, name in _events(old, names) if name == component and last.get(one, time_us) > time_us
    }
    if wrong:
        raise DataError(
            f"--end-is-failure {component}: machine{'s' * (len(wrong) > 1)} {name_some(sorted(wrong))}: telemetry "
            f"continues after the failure in {old.name}",
            hint="import all logs again with --overwrite instead of --append; --except names machines that still run",
        )


def make_ends(rows: Iterable[tuple[str, int]], ongoing: Iterable[tuple[str, str]]) -> Ends:
    """Return the ends of new telemetry from machines, their last times, and the states in their last rows."""
    return Ends(dict(rows), frozenset(ongoing))


def _find_spans(files: TableFiles, machine: str, time: str) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for part in files.parts:
        for piece in parquet.iterate_part(files, part, _PIECE_ROWS, [machine, time]):
            table = pa.table({"machine": piece[machine].cast(pa.string()), "time": _micros(piece[time])})
            for row in table.group_by("machine").aggregate([("time", "min"), ("time", "max")]).to_pylist():
                first, last = found.get(row["machine"], (row["time_min"], row["time_max"]))
                found[row["machine"]] = min(first, row["time_min"]), max(last, row["time_max"])
    return found


def _events(files: TableFiles, names: tuple[str, str, str]) -> Iterable[tuple[str, int, str]]:
    machine, time, kind = names
    for part in files.parts:
        for piece in parquet.iterate_part(files, part, _PIECE_ROWS, list(names)):
            columns = (piece[machine].cast(pa.string()), _micros(piece[time]), piece[kind].cast(pa.string()))
            yield from zip(*(column.to_pylist() for column in columns), strict=True)


def _micros(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return times.cast(pa.timestamp("us", tz=times.type.tz)).cast(pa.int64())


def keep_new(piece: pa.Table, is_first: pa.Array, table: str, earlier: Earlier) -> pa.Table:
    """Return the events (time, machine, name) that begin in the new rows; others are in a machine's first new row."""
    time, machine, name = piece.columns
    columns = (machine.cast(pa.string()), _micros(time), name, is_first)
    is_new = [
        not (first and earlier.is_continued(table, one, state, at))
        for one, at, state, first in zip(*(column.to_pylist() for column in columns), strict=True)
    ]
    return piece.filter(pa.array(is_new, pa.bool_()))
