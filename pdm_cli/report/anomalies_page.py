"""The report of anomalies: the most unusual episodes as a list and as pictures, and counts by sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdm_cli.report import plots
from pdm_cli.report.findings import SCORE_NOTE, describe_sensors, show_score, show_share
from pdm_cli.report.page import Figure, Grid, Page, Section, Tile, make_columns
from pdm_cli.report.provenance import describe_provenance
from pdm_cli.text import show_count
from pdm_cli.units import Units, current, name_sensor, show_hours, show_range, show_span, show_time, using, utc

# Episodes in the first table, and series that were not tested.
_MOST_FIRST, _MOST_SKIPPED = 10, 100


@dataclass(frozen=True)
class AnomalyFacts:
    """The content of a report of anomalies: summary, courses of the first episodes, manifest and file hashes."""

    summary: Mapping[str, Any]
    courses: Sequence[Mapping[str, Any]]
    made: Mapping[str, Any] | None
    files: Mapping[str, str]


def compose_anomalies_page(facts: AnomalyFacts) -> Page:
    """Return the page of anomalies."""
    with using(Units.from_summary(facts.summary)):
        return _compose(facts)


def _compose(facts: AnomalyFacts) -> Page:
    summary = facts.summary
    judged = sum(sensor["judged"] for sensor in summary["sensors"].values())
    by_fleet = sum(sensor["judged_by_fleet"] for sensor in summary["sensors"].values())
    how = "earlier readings of the machine" if summary["causal"] else "the whole series"
    others = f" ({by_fleet:,} with those of other machines, as their machine had too few)" if by_fleet else ""
    smoothing = f"means over {show_hours(summary['smooth_hours'])}" if summary["smooth_hours"] else "readings"
    subtitle = (
        f"{judged:,} {smoothing} of {show_count(len(summary['sensors']), 'sensor')}, each compared with {how}{others}"
        f"{'; all times are UTC' if utc() else ''}."
    )
    sections = [
        _list_episodes(facts),
        _count_by_sensor(summary),
        *_list_skipped(summary["skipped"]),
        describe_provenance(facts.made, {} if facts.made is None else facts.made["parameters"], facts.files),
    ]
    return Page("Anomalies", subtitle, _tiles(summary), sections)


def _tiles(summary: Mapping[str, Any]) -> list[Tile]:
    sensors = summary["sensors"].values()
    judged, unjudged, anomalies = (
        sum(sensor[name] for sensor in sensors) for name in ("judged", "unjudged", "anomalies")
    )
    first = summary["episodes"][0] if summary["episodes"] else None
    return [
        Tile("Episodes", f"{summary['episode_count']:,}", "anomalous readings that follow each other"),
        Tile(
            "Most unusual",
            show_score(first["score"]) if first else "-",
            f"machine {first['machineID']}, {show_span(first['start'], first['end'])}" if first else "no anomaly",
        ),
        Tile("Anomalous readings", show_share(anomalies / judged) if judged else "-", f"{anomalies:,} of {judged:,}"),
        Tile(
            "Not tested",
            show_share(unjudged / (judged + unjudged)) if judged + unjudged else "-",
            f"{show_count(unjudged, 'reading')}; unjudged.parquet lists them with the reasons",
        ),
    ]


def _list_episodes(facts: AnomalyFacts) -> Section:
    entries, count = facts.summary["episodes"], facts.summary["episode_count"]
    if not entries:
        return Section("episodes", "Most unusual episodes", ["No reading is anomalous."])
    columns = make_columns("rank", "machine", "sensors", "when", ">score", ">readings")
    rows = [
        [
            str(entry["rank"]),
            f"{entry['machineID']}",
            describe_sensors(entry),
            show_time(entry["end"]) if entry["start"] == entry["end"] else show_range(entry["start"], entry["end"]),
            show_score(entry["score"]),
            f"{entry['readings']:,}",
        ]
        for entry in entries
    ]
    grids = [Grid("Most unusual and longest first", columns, rows[:_MOST_FIRST], SCORE_NOTE)]
    if len(rows) > _MOST_FIRST:
        more = f" {count - len(rows):,} more are in episodes.parquet." if count > len(rows) else ""
        line = f"Episodes {_MOST_FIRST + 1:,} to {len(rows):,}"
        grids.append(Grid(line, columns, rows[_MOST_FIRST:], more.strip(), summary=line))
    figures = [_draw(entry, course) for entry, course in zip(entries, facts.courses, strict=False)]
    legend = (
        "In the pictures, the episode is shaded. Grey: readings; red: tested values that are anomalous; orange: the "
        "values expected instead."
    )
    return Section("episodes", "Most unusual episodes", [legend], grids=grids, figures=figures, is_wide=True)


def _draw(entry: Mapping[str, Any], course: Mapping[str, Any]) -> Figure:
    sensor = entry["sensors"][0]
    item = f"machine {entry['machineID']}, {name_sensor(sensor['sensor'])}"
    start = show_time(sensor["start"])
    svg = plots.draw(
        plots.paint_episode(course, sensor["sensor"]),
        name=f"episode-{entry['rank']}",
        title=f"Episode {entry['rank']}: {item}",
        text=f"Score up to {show_score(sensor['score'])} over {show_hours(course['length_hours'])} from {start}.",
        size=(6.0, 2.3),
    )
    return Figure(svg, f"{entry['rank']}: {item}; {current().time_word} from {start}{utc()}.")


def _count_by_sensor(summary: Mapping[str, Any]) -> Section:
    columns = make_columns("sensor", ">series", ">tested", ">not tested", ">anomalies", ">share", ">series skipped")
    rows = [
        [
            name_sensor(sensor),
            *(f"{facts[name]:,}" for name in ("series", "judged", "unjudged", "anomalies")),
            "-" if facts["share"] is None else show_share(facts["share"]),
            f"{facts['skipped']:,}",
        ]
        for sensor, facts in summary["sensors"].items()
    ]
    machines = [f"{row['machineID']} ({row['anomalies']:,})" for row in summary["machines"]]
    paragraphs = [f"Machines with the most anomalous readings: {', '.join(machines)}."] if machines else []
    return Section("sensors", "By sensor", paragraphs, grids=[Grid("Readings by sensor", columns, rows)])


def _list_skipped(skipped: Sequence[Mapping[str, Any]]) -> list[Section]:
    if not skipped:
        return []
    columns = make_columns("machine", "sensor", ">readings", "reason")
    rows = [
        [f"{row['machineID']}", name_sensor(row["sensor"]), f"{row['readings']:,}", row["reason"]]
        for row in skipped[:_MOST_SKIPPED]
    ]
    more = len(skipped) - len(rows)
    note = f"and {more:,} more in summary.json" if more else ""
    return [Section("skipped", "Series not tested", grids=[Grid("Series and reason", columns, rows, note)])]
