"""Names, key columns and fixed columns of all tables.

The column names on disk are ``machineID`` and ``datetime`` everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MACHINE = "machineID"
TIME = "datetime"

Kind = Literal["machine", "time", "text", "number"]


@dataclass(frozen=True)
class Column:
    """A fixed column: its name, type, and unit or meaning; ``is_recent`` if tables of earlier versions lack it."""

    name: str
    kind: Kind
    meaning: str
    is_recent: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its file stem, its fixed columns, and the columns that identify a row.

    Further columns are sensors, features or attributes.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of the Parquet file."""
        return f"{self.name}.parquet"


_MACHINE = Column(MACHINE, "machine", "machine, an integer or a string")
_TIME = Column(TIME, "time", "UTC, microseconds")


def _event_table(name: str, column: str, meaning: str) -> Table:
    return Table(name, (_TIME, _MACHINE, Column(column, "text", meaning)), (MACHINE, TIME, column))


TELEMETRY = Table("telemetry", (_TIME, _MACHINE), (MACHINE, TIME))
ERRORS = _event_table("errors", "errorID", "error type")
MAINT = _event_table("maint", "comp", "component replaced")
FAILURES = _event_table("failures", "failure", "component that failed")
MACHINES = Table("machines", (_MACHINE,), (MACHINE,))
FEATURES = Table("features", (_MACHINE, _TIME), (MACHINE, TIME))
ANOMALIES = Table(
    "anomalies",
    (
        _MACHINE,
        Column("sensor", "text", "sensor column"),
        _TIME,
        Column(
            "value",
            "number",
            "the trailing mean that was tested (the reading itself where smooth_hours is 0), in the sensor's unit",
        ),
        Column(
            "expected",
            "number",
            "level plus season of the window, in the sensor's unit; in batch mode trend plus season, whereas score and "
            "direction are measured from median plus season, as in R, so that value - expected may differ in sign",
        ),
        Column("score", "number", "test statistic over its critical value, above 1"),
        Column("direction", "text", "pos above the expected level, neg below"),
        Column(
            "by",
            "text",
            "whose readings the expected value is from: machine, or fleet for other machines",
            is_recent=True,
        ),
    ),
    (MACHINE, "sensor", TIME),
)
EPISODES = Table(
    "episodes",
    (
        _MACHINE,
        Column("episode", "number", "number of the machine's episode, from 1 in order of time; the same at one time"),
        Column("sensor", "text", "sensor column"),
        Column("start", "time", "first anomalous reading, UTC"),
        Column("end", "time", "last anomalous reading, UTC"),
        Column("readings", "number", "anomalous readings"),
        Column("direction", "text", "pos if all are above the expected level, neg if all are below, both otherwise"),
        Column("peak", "time", "reading with the highest score, UTC"),
        Column("value", "number", "value of that reading, as in the anomalies"),
        Column("expected", "number", "expected value of that reading, as in the anomalies"),
        Column("score", "number", "score of that reading: the highest of the episode"),
        Column("severity", "number", "root of the sum of squares of the scores of all readings of the episode"),
        Column("by", "text", "as in the anomalies"),
    ),
    (MACHINE, "episode", "sensor", "start"),
)
UNJUDGED = Table(
    "unjudged",
    (
        _MACHINE,
        Column("sensor", "text", "sensor column"),
        Column("start", "time", "first reading that was not tested, UTC"),
        Column("end", "time", "last reading of the span, UTC"),
        Column("readings", "number", "readings in the span"),
        Column("reason", "text", "reason why they were not tested"),
    ),
    (MACHINE, "sensor", "start"),
)
PREDICTIONS = Table(
    "predictions",
    (
        _MACHINE,
        _TIME,
        Column("component", "text", "component that may fail"),
        Column("probability", "number", "of failing within [t + lead time, t + horizon], 0 to 1"),
        Column("alert", "number", "true while the alert is on"),
        Column("label", "number", "1 failed, 0 did not fail, missing if unknown"),
        Column("hours_to_failure_low", "number", "hours to the failure, 10 % quantile; missing if beyond the horizons"),
        Column("hours_to_failure_median", "number", "the same, 50 %"),
        Column("hours_to_failure_high", "number", "the same, 90 %"),
    ),
    (MACHINE, TIME, "component"),
)
HEALTH = Table(
    "health",
    (
        _MACHINE,
        _TIME,
        Column("health", "number", "1 as usual, 0.5 at the alarm level, 0 at worst; missing without readings"),
        Column("alarm", "number", "true while the health is below 0.5"),
        Column("sensor", "text", "sensor with the largest deviation, or errors; missing without readings"),
    ),
    (MACHINE, TIME),
)
TRUTH = Table(
    "truth",
    (
        Column(TIME, "time", "first shifted or damaged hour, UTC; may lie before the telemetry"),
        _MACHINE,
        Column("until", "time", "last such hour, UTC: that of the failure; may lie after the telemetry"),
        Column("component", "text", "component that is damaged or seems to be"),
        Column("sensor", "text", "sensor column; missing if no sensor shows it"),
        Column("step", "number", "size of the shift, in the sensor's unit; 0 without a sign"),
        Column("fails", "number", "true if the component fails at the end, false if not"),
    ),
    (MACHINE, TIME, "component", "fails"),
)

EVENT_TABLES = (ERRORS, MAINT, FAILURES)
RAW_TABLES = (TELEMETRY, *EVENT_TABLES, MACHINES)
EVENT_COLUMNS = {ERRORS.name: "errorID", MAINT.name: "comp", FAILURES.name: "failure"}


# Larger readings are markers such as 1.8e308; models in single precision (up to 3.4e38) cannot represent them.
LARGEST_READING = 1e30
