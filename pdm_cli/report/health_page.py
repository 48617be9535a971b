"""The report of the health of machines: those with an alarm, when alarms were on, health over time, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdm_cli.report import plots
from pdm_cli.report.findings import describe_alarm_rate, describe_bursts, describe_constant_sensors
from pdm_cli.report.page import Figure, Grid, Notice, Page, Section, Tile, make_columns
from pdm_cli.report.provenance import describe_provenance
from pdm_cli.text import show_count
from pdm_cli.units import Units, show_hours, show_range, show_time, show_whole_days, using, utc

_MOST_ROWS = 100


@dataclass(frozen=True)
class Course:
    """The last months of a machine's health; ``hours`` are relative to its last row, 0 or less."""

    machine: str
    hours: list[float]
    health: list[float]
    alarm: list[bool]


@dataclass(frozen=True)
class HealthFacts:
    """The content of a health report: health.json, courses of some machines, manifest and file hashes."""

    summary: Mapping[str, Any]
    courses: list[Course]
    made: Mapping[str, Any] | None
    files: Mapping[str, str]


def compose_health_page(facts: HealthFacts) -> Page:
    """Return the page of the health of machines."""
    with using(Units.from_summary(facts.summary)):
        return _compose(facts)


def _compose(facts: HealthFacts) -> Page:
    summary = facts.summary
    subtitle = (
        f"Health of {show_count(summary['machines'], 'machine')}, {show_range(summary['start'], summary['end'])}"
        f"{' (UTC)' if utc() else ''}, compared with their own past; without a log of failures."
    )
    settings = facts.made["parameters"] if facts.made else {}
    provenance = describe_provenance(facts.made, settings, facts.files)
    sections = [_list_machines(summary), *_list_episodes(summary), *_draw(facts.courses), _explain(summary), provenance]
    return Page("Machine health", subtitle, _tiles(summary), sections)


def _tiles(summary: Mapping[str, Any]) -> list[Tile]:
    ranking = summary["ranking"]
    shown = [*ranking, *summary["nearest"]]
    lowest = min(shown, key=lambda row: row["health"], default=None)
    silent = sum(row["is_stale"] for row in ranking)
    note = f"of {summary['machines']:,}" + (f"; {silent:,} of them silent since" if silent else "")
    return [
        Tile("Machines to inspect", f"{len(ranking):,}", note),
        Tile(
            "Lowest health",
            f"{lowest['health']:.2f}" if lowest else "-",
            f"machine {lowest['machineID']}; 1 is as usual" if lowest else "no known health",
        ),
        Tile("Alarm episodes", f"{summary['episodes']:,}", f"since {show_time(summary['start'])}"),
        Tile("Alarm rate", *_split_rate(summary)),
    ]


def _split_rate(summary: Mapping[str, Any]) -> tuple[str, str]:
    number, _, unit = describe_alarm_rate(summary).partition(" ")
    return number, unit


def _list_machines(summary: Mapping[str, Any]) -> Section:
    ranking, nearest = summary["ranking"], summary["nearest"]
    rows = [
        [
            str(row["rank"]),
            f"{row['machineID']}" + (f" (silent since {show_time(row['datetime'])})" if row["is_stale"] else ""),
            f"{row['health']:.2f}",
            show_time(row["since"]),
            row["sensors"],
        ]
        for row in ranking[:_MOST_ROWS]
    ]
    note = (
        "Health at the last reading; sensors at the lowest health since the alarm began, largest deviation first. "
        f"Machines stay on the list for {show_hours(summary['window_hours'] / 3, '.4g')} after an alarm."
    )
    if len(ranking) > _MOST_ROWS:
        note += f" {len(ranking) - _MOST_ROWS:,} more are in ranking.csv."
    columns = make_columns("rank", "machine", ">health", "alarm since", "sensors")
    grids = [Grid("Machines with an alarm, lowest health first", columns, rows, note)] if rows else []
    if nearest:
        near = [[f"{row['machineID']}", f"{row['health']:.2f}", row["sensors"]] for row in nearest]
        grids.append(Grid("Closest to an alarm", make_columns("machine", ">health", "sensors"), near))
    paragraphs = [] if rows else ["No alarm is on."]
    doubts = describe_bursts(summary)
    notices = []
    if doubts:
        text, hint = (f"{line[0].upper()}{line[1:]}." for line in doubts)
        notices = [Notice(text, hint, is_warning=True)]
    return Section("machines", "Machines to inspect", paragraphs, grids=grids, notices=notices)


def _list_episodes(summary: Mapping[str, Any]) -> list[Section]:
    latest = summary["latest_episodes"]
    if not latest:
        return []
    rows = [
        [f"{row['machineID']}", show_time(row["start"]), show_time(row["end"]), f"{row['health']:.2f}", row["sensors"]]
        for row in latest
    ]
    note = "Lowest health of the alarm, and the sensors with the largest deviations there."
    rest = summary["episodes"] - len(latest)
    note += f" {rest:,} more are in episodes.parquet." if rest else ""
    columns = make_columns("machine", "from", "to", ">lowest health", "sensors")
    return [Section("alarms", "Alarms", grids=[Grid("Alarms, latest first", columns, rows, note)])]


def _draw(courses: list[Course]) -> list[Section]:
    figures = [_draw_course(number, course) for number, course in enumerate(courses)]
    return [Section("course", "Health over time", figures=figures)] if figures else []


def _draw_course(number: int, course: Course) -> Figure:
    alarms = f"{sum(course.alarm):,} of {len(course.alarm):,} rows with an alarm"
    svg = plots.draw(
        plots.paint_health(course.hours, course.health, course.alarm),
        name=f"health-{number}",
        title=f"Health of machine {course.machine}",
        text=f"Over {show_whole_days(-course.hours[0] / 24)}; {alarms}.",
        size=(3.2, 2.2),
    )
    return Figure(svg, f"Machine {course.machine}; line: alarm level, shaded: alarm on.")


def _explain(summary: Mapping[str, Any]) -> Section:
    longest = show_hours(summary["window_hours"], ".4g")
    paragraphs = [
        "Each reading is compared with the machine's own history. The part that the other sensors explain is "
        "subtracted, so load and season have little effect. Means over windows of up to "
        f"{longest} and single unusual readings add up to the deviation of a sensor; the largest, and rare "
        "errors, determine the health.",
        f"Health 1 is as usual, and below 0.5 an alarm is on: {describe_alarm_rate(summary)}. At a health of 0.9, the "
        "deviation is one that normal operation reaches nine times as often, at 0.1 nine times as rarely.",
        f"The {show_whole_days(summary['reference_days'])} before {show_time(summary['start'])} define normal "
        f"operation, from {show_count(summary['level']['maxima'], 'span')} of all machines together; they have no "
        "health. A low health says that a machine is not as usual. Only a log of failures can show whether it will "
        "fail.",
        *(f"{line}." for line in describe_constant_sensors(summary)),
    ]
    return Section("method", "Meaning of the health", paragraphs)
