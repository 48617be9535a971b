"""The report of predictions: the work list with reasons, drift, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdm_cli.evaluation.drift import MOVED
from pdm_cli.features.describe import name_feature
from pdm_cli.report import plots
from pdm_cli.report.findings import list_weak
from pdm_cli.report.lifetimes import describe_lifetime, show_part_age, show_risk
from pdm_cli.report.page import Figure, Grid, Page, Section, Tile, make_columns
from pdm_cli.report.provenance import describe_provenance
from pdm_cli.text import show_count, show_probability, show_two_probabilities
from pdm_cli.units import (
    Units,
    current,
    show_alert,
    show_hours,
    show_hours_to_failure,
    show_span,
    show_time,
    show_two_hours,
    show_window,
    using,
    utc,
)

_MOST_WORK, _MOST_DRIFT = 100, 15
# Setting without a default that a model supplies: the manifest does not record whether anybody set it.
_DETECTED = ("preprocess.phase_minutes",)


@dataclass(frozen=True)
class Outlook:
    """The recent course of the probability of an item of the work list.

    ``hours`` are relative to the machine's last reading, 0 or less; ``probability`` and ``alert`` have one
    value for each.
    """

    machine: str
    component: str
    hours: list[float]
    probability: list[float]
    alert: list[bool]


@dataclass(frozen=True)
class PredictionFacts:
    """The content of a predictions report: predictions.json, drift, manifest and file hashes.

    ``drift`` has for each feature its name, a rating of its drift and its stability index, largest first; ``outlooks``
    are those of the first items of the work list; ``files`` maps the files of the folder to their SHA-256.
    """

    summary: Mapping[str, Any]
    drift: list[tuple[str, str, float | None]]
    outlooks: list[Outlook]
    made: Mapping[str, Any] | None
    files: Mapping[str, str]


def compose_predictions_page(facts: PredictionFacts) -> Page:
    """Return the page of predictions."""
    with using(Units.from_summary(facts.summary)):
        return _compose(facts)


def _compose(facts: PredictionFacts) -> Page:
    summary = facts.summary
    subtitle = (
        f"Failures predicted in {show_two_hours(summary['lead_time_hours'], summary['horizon_hours'], unit='hours')} "
        f"for {show_count(summary['machines'], 'machine')} {show_span(summary['start'], summary['end'])}"
        f"{' (UTC)' if utc() else ''}"
    )
    # Machines that count cycles have clocks of their own, so the end of the training is not a time of theirs.
    if not current().counts_cycles:
        subtitle += f", by a model trained on data up to {show_time(summary['trained']['cutoff'])}"
    settings = facts.made["parameters"] if facts.made else {}
    sections = [
        *_list_limits(summary),
        *_list_problems(summary),
        _list_work(facts),
        *_list_by_age(summary),
        _list_drift(facts.drift),
        describe_provenance(facts.made, settings, facts.files, detected=_DETECTED),
    ]
    return Page("Work list", f"{subtitle}.", _tiles(summary), sections)


def _tiles(summary: Mapping[str, Any]) -> list[Tile]:
    work, silent = summary["worklist"], summary["silent"]["count"]
    first = next((row for row in work if "ended" not in row), None)
    note = f"of {summary['machines']:,}"
    start, cutoff = summary["start"], summary["trained"]["cutoff"]
    episodes = f"since {show_time(start)}"
    if start < cutoff and not current().counts_cycles:
        episodes += f", including the training period (to {show_time(cutoff)})"
    if silent:
        note += "; their predictions are as of their last reading"
    return [
        Tile(
            "Components to inspect",
            f"{len(work):,}",
            f"alert on now or in the last {show_hours(summary['lead_time_hours'])}",
        ),
        Tile(
            "Most urgent",
            show_probability(first["probability"]) if first else "-",
            f"machine {first['machineID']}, {first['component']}" if first else "no active alert",
        ),
        Tile("Alert episodes", f"{summary['episodes']:,}", episodes),
        Tile("Silent machines", f"{silent:,}", note),
    ]


def _list_limits(summary: Mapping[str, Any]) -> list[Section]:
    """Return a section on the components that the model predicted badly in its test, if there are any."""
    # Predictions of an earlier version do not have the test of the model.
    paragraphs = [f"{reason}." for reason in list_weak(summary.get("model_test", {}))]
    return [Section("limits", "Limits of the model", paragraphs)] if paragraphs else []


def _list_problems(summary: Mapping[str, Any]) -> list[Section]:
    """Return a section on problems in the data to know before reading the work list, if there are any."""
    beyond, silent, paragraphs = f"more than {show_hours(summary['horizon_hours'])}", summary["silent"], []
    if silent["count"]:
        named = [f"{row['machineID']} (since {show_time(row['datetime'])})" for row in silent["first"]]
        more = f" and {silent['count'] - len(named):,} more" if silent["count"] > len(named) else ""
        paragraphs.append(
            f"Silent for {beyond} before the newest reading: machine{'s' * (silent['count'] > 1)} {', '.join(named)}"
            f"{more}. Their predictions are as of their last reading."
        )
    paragraphs += [
        f"No reading of {row['sensor']} for {beyond} on {show_count(row['machines'], 'machine')}, first "
        f"{row['first']} (since {show_time(row['since'])}). Their predictions rely on the other sensors."
        for row in summary["dead_sensors"]
    ]
    return [Section("problems", "Problems in the data", paragraphs)] if paragraphs else []


def _list_work(facts: PredictionFacts) -> Section:
    work, nearest = facts.summary["worklist"], _list_nearest(facts.summary["nearest"])
    if not work:
        return Section("work", "Components to inspect", ["There are no active alerts."], grids=nearest)
    # Models of an earlier version do not predict them.
    has_hours = "hours_to_failure_low" in work[0]
    rows = [
        [
            str(row["rank"]),
            f"{row['machineID']}"
            + (f" (silent; predicted as of {show_time(row['datetime'])})" if row["is_stale"] else ""),
            row["component"],
            show_probability(row["probability"]),
            show_alert(row),
            show_window(row),
            *([show_hours_to_failure(row) or "-"] if has_hours else []),
            row["reasons"],
        ]
        for row in work[:_MOST_WORK]
    ]
    fails = ["fails"] if has_hours else []
    columns = make_columns(
        "rank", "machine", "component", ">probability", "alert since", "failure window", *fails, "reasons"
    )
    note = f"The probability is that of a failure within the failure window{'; all times are UTC' if utc() else ''}."
    if has_hours:
        note += " Four of five such parts fail in the time under fails, from the last reading with the alert on."
    if any("ended" in row for row in work[:_MOST_WORK]):
        note += " Where the alert is off, the probability is that of the last reading with the alert on."
    if len(work) > _MOST_WORK:
        note += f" {len(work) - _MOST_WORK:,} more are in worklist.csv."
    figures = [_draw_outlook(number, outlook) for number, outlook in enumerate(facts.outlooks)]
    grids = [Grid("Work list, most urgent first", columns, rows, note), *nearest]
    return Section("work", "Components to inspect", figures=figures, grids=grids)


def _list_nearest(nearest: list[dict[str, Any]]) -> list[Grid]:
    rows = [
        [f"{row['machineID']}", row["component"], *show_two_probabilities(row["probability"], row["threshold"])]
        for row in nearest
    ]
    columns = make_columns("machine", "component", ">probability", ">alert threshold")
    return [Grid("Closest to an alert", columns, rows)] if rows else []


def _list_by_age(summary: Mapping[str, Any]) -> list[Section]:
    """Return a section on the components that never alert, if there are any."""
    # Predictions of an earlier version have no ages.
    found = summary.get("by_age", {"components": {}, "first": []})
    if not found["components"]:
        return []
    within = f"within {show_hours(summary['horizon_hours'])}"
    paragraphs = [
        "These components never alert: they fail without warning signs, or failed too rarely to train on. The "
        f"probability of a failure {within} is that of their failure rate, and by age if they wear out, with 90% "
        "intervals."
    ]
    for name, row in found["components"].items():
        paragraphs.append(f"{name} {describe_lifetime(row)}. On average, {show_risk(row)} fail {within}.")
    rows = [[f"{row['machineID']}", row["component"], show_part_age(row), show_risk(row)] for row in found["first"]]
    columns = make_columns("machine", "component", ">age", f">fails {within}")
    note = "All parts are in by_age.csv. Or more: not replaced since the telemetry of the machine began."
    grids = [Grid("Parts most likely to fail, by age", columns, rows, note)] if rows else []
    return [Section("by-age", "Components without alerts", paragraphs, grids=grids)]


def _draw_outlook(number: int, outlook: Outlook) -> Figure:
    item = f"machine {outlook.machine}, {outlook.component}"
    svg = plots.draw(
        plots.paint_outlook(outlook.hours, outlook.probability, outlook.alert),
        name=f"outlook-{number}",
        title=f"Probability of failure: {item}",
        text=f"From {outlook.probability[0]:.2f} to {outlook.probability[-1]:.2f} over "
        f"{show_hours(-outlook.hours[0])}.",
        size=(3.2, 2.2),
    )
    return Figure(svg, f"{item[0].upper()}{item[1:]}; shaded: alert on.")


def _list_drift(drift: list[tuple[str, str, float | None]]) -> Section:
    rows = [
        [name_feature(feature), rating, "-" if index is None else f"{index:.2f}"]
        for feature, rating, index in drift[:_MOST_DRIFT]
    ]
    paragraphs = [
        "Predictions are less reliable where the features are distributed differently from training. "
        f"{current().time_word.capitalize()} since events and anomaly counts are not included, because they normally "
        "grow with the log."
    ]
    known = [index for _, _, index in drift if index is not None]
    if not known:
        paragraphs.append("There are too few rows outside the training data to compute drift.")
    elif max(known) < MOVED:
        paragraphs.append("No feature has drifted.")
    note = (
        "Population stability index: below 0.1, the distribution is as in training; from 0.25, it is different. "
        "All features are in drift.csv."
    )
    columns = make_columns("feature", "distribution", ">stability index")
    return Section("drift", "Drift", paragraphs, grids=[Grid("Features with the largest drift", columns, rows, note)])
