"""The report of raw or prepared data: what looks wrong, sensors and failures over time, what was dropped and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pdm_cli.report.findings import count_events, list_findings, show_share
from pdm_cli.report.page import Grid, Notice, Page, Picture, Section, Tile, make_columns
from pdm_cli.report.provenance import describe_provenance
from pdm_cli.report.strips import draw_counts, draw_level, draw_presence
from pdm_cli.settings.duration import show_duration
from pdm_cli.text import name_some, show_count, show_number
from pdm_cli.units import Units, current, name_sensor, show_hours, show_range, using, utc

# More rows than these would hide the others.
_MOST_SENSORS, _MOST_COMPONENTS = 100, 40
_DAY_HOURS, _YEAR_DAYS = 24, 365.25
# A smaller share of missing readings needs no example.
_LEAST_SHARE = 0.001


@dataclass(frozen=True)
class QualityFacts:
    """The content of a data report: quality, warnings of an import, settings, manifest and file hashes."""

    quality: Mapping[str, Any]
    notes: Sequence[str]
    settings: Mapping[str, Any]
    made: Mapping[str, Any] | None
    files: Mapping[str, str]


def compose_quality_page(facts: QualityFacts) -> Page:
    """Return the page of raw or prepared data."""
    with using(Units.from_summary(facts.quality)):
        return _compose(facts)


def _compose(facts: QualityFacts) -> Page:
    quality, telemetry = facts.quality, facts.quality["telemetry"]
    step = f", every {_step(telemetry['step_minutes'])}" if telemetry["step_minutes"] else ""
    subtitle = (
        f"{show_count(len(telemetry['sensors']), 'sensor')} of {show_count(telemetry['machines'], 'machine')}, "
        f"{show_range(telemetry['start'], telemetry['end'])}{utc()}{step}."
    )
    sections = [
        describe_problems(quality["problems"]),
        _draw_sensors(quality),
        _list_failures(quality),
        _list_dropped(facts),
        describe_provenance(facts.made, facts.settings, facts.files),
    ]
    return Page("Data quality", subtitle, _tiles(quality), [section for section in sections if section is not None])


def list_notices(problems: Sequence[Mapping[str, Any]]) -> list[Notice]:
    """Return the problems of the data, warnings first."""
    notices = [
        Notice(_sentence(p["text"]), _sentence(_capitalize(p["hint"])), p["level"] == "warning") for p in problems
    ]
    return sorted(notices, key=lambda notice: not notice.is_warning)


def describe_problems(problems: Sequence[Mapping[str, Any]]) -> Section:
    """Return the section of the problems."""
    notices = list_notices(problems)
    paragraphs = [] if notices else ["No problems found."]
    return Section("problems", "Problems to check", paragraphs, notices=notices)


def _capitalize(hint: str) -> str:
    """Return a hint that begins with a capital letter, but for a command."""
    return hint if hint.startswith("pdm ") else hint[:1].upper() + hint[1:]


def _sentence(text: str) -> str:
    """Return a text that ends with a full stop or a question mark; names keep their case."""
    return f"{text}." if text and text[-1] not in ".?!" else text


def _step(minutes: float) -> str:
    """Return a step as ``10 min`` or ``1 cycle``."""
    if current().counts_cycles:
        return show_hours(minutes / 60)
    return re.sub(r"(?<=\d)(?=[a-z])", " ", show_duration(round(minutes * 60e6)))


def _tiles(quality: Mapping[str, Any]) -> list[Tile]:
    telemetry, problems = quality["telemetry"], quality["problems"]
    warnings = sum(problem["level"] == "warning" for problem in problems)
    others = len(problems) - warnings
    notes = f"and {show_count(others, 'note')}" if others else ""
    sensors = quality["overview"]["sensors"]
    share = sum(sensor["missing_share"] for sensor in sensors) / max(len(sensors), 1)
    worst = max(sensors, key=lambda sensor: sensor["missing_share"], default=None)
    most = ""
    if worst is not None and share >= _LEAST_SHARE:
        most = f"up to {show_share(worst['missing_share'])}, of {name_sensor(worst['sensor'])}"
    days = (datetime.fromisoformat(telemetry["end"]) - datetime.fromisoformat(telemetry["start"])).total_seconds()
    failures = quality["events"].get("failures")
    of_components = f"of {show_count(len(quality['components']), 'component')}"
    if (dropped := sum(count["failures"] for count in quality["failures"].values()) - (failures or 0)) > 0:
        of_components += f"; {dropped:,} more are duplicates or of unknown machines"
    return [
        Tile("Problems", f"{warnings:,}" if warnings else "none", notes),
        Tile("Rows", f"{telemetry['readings']:,}", f"of {show_count(telemetry['machines'], 'machine')}"),
        Tile("Span", _span(days / 86_400), _every(telemetry["step_minutes"])),
        Tile("Missing readings", show_share(share), most),
        Tile("Failures", "-" if failures is None else f"{failures:,}", "" if failures is None else of_components),
    ]


def _every(minutes: float | None) -> str:
    return "no regular step" if minutes is None else f"a row every {_step(minutes)}"


def _span(days: float) -> str:
    if current().counts_cycles:
        return show_hours(days * _DAY_HOURS)
    if days >= 2 * _YEAR_DAYS:
        return f"{days / _YEAR_DAYS:.1f} years"
    return f"{days:.0f} days" if days >= 2 else show_count(round(days * _DAY_HOURS), "hour")


def _bucket(overview: Mapping[str, Any]) -> str:
    hours = overview["bucket_hours"]
    if current().counts_cycles:
        return show_hours(hours, ".3g")
    days = f"{hours / _DAY_HOURS:.1f}".removesuffix(".0")
    if hours >= _DAY_HOURS:
        return "a day" if days == "1" else f"{days} days"
    return "an hour" if hours == 1 else f"{show_number(hours, '.3g')} hours"


def _draw_sensors(quality: Mapping[str, Any]) -> Section:
    overview, telemetry = quality["overview"], quality["telemetry"]
    span = show_range(telemetry["start"], telemetry["end"])
    paragraphs = [
        f"The pictures run from {span}; a bar is {_bucket(overview)}. Its height is the share of the expected readings "
        "that exist, from each machine's first row to its last: blue if all exist, orange if up to a tenth is missing, "
        "red if more. The line is the mean over all machines, from its own lowest to its highest value."
    ]
    sensors = overview["sensors"]
    shown = sensors
    if len(sensors) > _MOST_SENSORS:
        worst = sorted(sensors, key=lambda sensor: -sensor["missing_share"])[:_MOST_SENSORS]
        shown = [sensor for sensor in sensors if sensor in worst]
    columns = make_columns("sensor", ">missing", ">lowest", ">mean", ">highest", "readings that exist", "mean level")
    rows: list[list[str | Picture]] = [
        [
            name_sensor(sensor["sensor"]),
            show_share(sensor["missing_share"]),
            *(show_number(sensor[name]) for name in ("low", "mean", "high")),
            draw_presence(sensor["present"]),
            draw_level(sensor["levels"]),
        ]
        for sensor in shown
    ]
    more = len(sensors) - len(shown)
    note = f"and {show_count(more, 'sensor')} with fewer missing readings" if more else ""
    return Section("sensors", "Sensors over time", paragraphs, grids=[Grid("Sensors", columns, rows, note)])


def _list_failures(quality: Mapping[str, Any]) -> Section:
    events, failures = quality["events"], quality["failures"]
    others = count_events(events, but_for="failures")
    paragraphs = [f"Other events: {others}."] if others else []
    if not failures:
        paragraphs.insert(0, "There are no failures. Training requires past failures; a model can predict without.")
        return Section("failures", "Failures", paragraphs)
    most = sorted(failures, key=lambda name: -failures[name]["failures"])[:_MOST_COMPONENTS]
    is_by_time = all("training" in count for count in failures.values())
    spans = {"training": ">to train on*", "test": ">to test on*"} if is_by_time else {}
    columns = make_columns(*("component", ">failures", ">with readings before", *spans.values(), "failures over time"))
    rows = [
        [
            name,
            *(f"{failures[name][key]:,}" for key in ("failures", "with_readings", *spans)),
            draw_counts(failures[name]["buckets"], "failure"),
        ]
        for name in failures
        if name in most
    ]
    note = "The default split tests on other machines than it trains on"
    if is_by_time:
        note = "* with the default split: the last quarter of the rows is for the test, after a gap of the horizon"
    if more := len(failures) - len(most):
        note += f"; {show_count(more, 'component')} with fewer failures not shown"
    return Section("failures", "Failures", paragraphs, grids=[Grid("Failures by component", columns, rows, note)])


def _list_dropped(facts: QualityFacts) -> Section:
    quality, paragraphs, grids = facts.quality, [], []
    if quality["ignored_columns"]:
        paragraphs.append(f"Columns left out, as they are not numbers: {name_some(quality['ignored_columns'])}.")
    findings = [[name, f"{count:,}", first] for name, count, first in list_findings(dict(quality))]
    if findings:
        grids.append(Grid("Findings", make_columns("finding", ">count", "first"), findings))
    notices = [Notice(_sentence(note), "", is_warning=False) for note in facts.notes]
    if not (paragraphs or grids or notices):
        paragraphs.append("All rows and columns are as they were; no gap, duplicate or impossible value was found.")
    return Section("dropped", "Dropped, changed or set aside", paragraphs, grids=grids, notices=notices)
