"""The report of predictions: what to see to and why, how the data have drifted, how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdm_cli.evaluation.drift import MOVED
from pdm_cli.features.describe import name_feature
from pdm_cli.report import plots
from pdm_cli.report.page import Figure, Grid, Page, Section, Tile, make_columns
from pdm_cli.report.provenance import tell_making
from pdm_cli.text import show_count, show_probability, show_span, show_stamp

_MOST_WORK, _MOST_DRIFT = 100, 15


@dataclass(frozen=True)
class Outlook:
    """How the probability of an item of the work list has come about.

    Attributes
    ----------
    machine, component : str
        The item.
    hours : list of float
        Hours from the last prediction with the alert on, 0 or less.
    probability : list of float
        Foretold then.
    alert : list of bool
        Whether the alert was on.
    """

    machine: str
    component: str
    hours: list[float]
    probability: list[float]
    alert: list[bool]


@dataclass(frozen=True)
class PredictionFacts:
    """What the report of predictions is made from.

    Attributes
    ----------
    summary : mapping
        Content of ``predictions.json``.
    drift : list of (str, str, float or None)
        Feature, whether and how it has moved in a word, and its stability index; the most moved first.
    outlooks : list of Outlook
        Of the first items of the work list.
    made : mapping or None
        The manifest.
    files : mapping
        Files of the folder to their SHA-256.
    """

    summary: Mapping[str, Any]
    drift: list[tuple[str, str, float | None]]
    outlooks: list[Outlook]
    made: Mapping[str, Any] | None
    files: Mapping[str, str]


def compose_predictions_page(facts: PredictionFacts) -> Page:
    """Return the page of predictions."""
    summary = facts.summary
    subtitle = (
        f"What may fail within {summary['lead_time_hours']:g} to {summary['horizon_hours']:g} hours, foretold for "
        f"{show_count(summary['machines'], 'machine')} {show_span(summary['start'], summary['end'])} (UTC), by a model "
        f"that knew what was known by {show_stamp(summary['trained']['cutoff'])}."
    )
    settings = facts.made["parameters"] if facts.made else {}
    sections = [
        *_tell_amiss(summary),
        _tell_work(facts),
        _tell_drift(facts.drift),
        tell_making(facts.made, settings, facts.files),
    ]
    return Page("Work list", subtitle, _tiles(summary), sections)


def _tiles(summary: Mapping[str, Any]) -> list[Tile]:
    work, silent = summary["worklist"], summary["silent"]["count"]
    first = work[0] if work else None
    of_then = f"of {summary['machines']:,}"
    if silent:
        of_then += "; what is foretold of them is of then, not of now"
    return [
        Tile(
            "To see to",
            f"{len(work):,}",
            f"components whose alert is on, or was in the last {summary['lead_time_hours']:g} h",
        ),
        Tile(
            "Most urgent",
            show_probability(first["probability"]) if first else "-",
            f"machine {first['machineID']}, {first['component']}" if first else "no alert is on",
        ),
        Tile("Runs of alerts", f"{summary['episodes']:,}", f"from {show_stamp(summary['start'])} on"),
        Tile("Silent machines", f"{silent:,}", of_then),
    ]


def _tell_amiss(summary: Mapping[str, Any]) -> list[Section]:
    """Return what the reader should know of the data before the work list, if anything."""
    beyond, silent, words = f"more than {summary['horizon_hours']:g} h", summary["silent"], []
    if silent["count"]:
        named = [f"{row['machineID']} (since {show_stamp(row['datetime'])})" for row in silent["first"]]
        more = f" and {silent['count'] - len(named):,} more" if silent["count"] > len(named) else ""
        words.append(
            f"Silent for {beyond} before the newest reading: machine{'s' * (silent['count'] > 1)} {', '.join(named)}"
            f"{more}. What is foretold of them is of then, not of now."
        )
    words += [
        f"No reading of {row['sensor']} for {beyond} on {show_count(row['machines'], 'machine')}, first "
        f"{row['first']} (since {show_stamp(row['since'])}). What is foretold of them goes by the other sensors."
        for row in summary["dead_sensors"]
    ]
    return [Section("amiss", "What is amiss in the data", words)] if words else []


def _tell_work(facts: PredictionFacts) -> Section:
    work, nearest = facts.summary["worklist"], _list_nearest(facts.summary["nearest"])
    if not work:
        return Section("work", "What to see to", ["No alert is on: there is nothing to see to."], grids=nearest)
    rows = [
        [
            str(row["rank"]),
            f"{row['machineID']}" + (f" (silent; foretold {show_stamp(row['datetime'])})" if row["is_stale"] else ""),
            row["component"],
            show_probability(row["probability"]),
            show_stamp(row["since"]),
            f"{show_stamp(row['expected_from'])} to {show_stamp(row['expected_until'])}",
            row["reasons"],
        ]
        for row in work[:_MOST_WORK]
    ]
    columns = make_columns(
        "rank", "machine", "component", ">probability", "alert since", "fails, if it does", "because"
    )
    note = "The probability is that of failing within the time given; all times are UTC."
    if len(work) > _MOST_WORK:
        note += f" {len(work) - _MOST_WORK:,} more are in worklist.csv."
    figures = [_draw_outlook(number, outlook) for number, outlook in enumerate(facts.outlooks)]
    grids = [Grid("Work list, the most urgent first", columns, rows, note), *nearest]
    return Section("work", "What to see to", figures=figures, grids=grids)


def _list_nearest(nearest: list[dict[str, Any]]) -> list[Grid]:
    rows = [
        [f"{row['machineID']}", row["component"], *(show_probability(row[key]) for key in ("probability", "threshold"))]
        for row in nearest
    ]
    columns = make_columns("machine", "component", ">probability", ">alert on at")
    return [Grid("Nearest to an alert", columns, rows)] if rows else []


def _draw_outlook(number: int, outlook: Outlook) -> Figure:
    what = f"machine {outlook.machine}, {outlook.component}"
    svg = plots.draw(
        plots.paint_outlook(outlook.hours, outlook.probability, outlook.alert),
        name=f"outlook-{number}",
        title=f"Probability of a failure of {what}",
        text=f"From {outlook.probability[0]:.2f} to {outlook.probability[-1]:.2f} over {-outlook.hours[0]:g} h.",
        size=(3.2, 2.2),
    )
    return Figure(svg, f"{what[0].upper()}{what[1:]}; shaded: alert on.")


def _tell_drift(drift: list[tuple[str, str, float | None]]) -> Section:
    rows = [
        [name_feature(feature), told, "-" if index is None else f"{index:.2f}"]
        for feature, told, index in drift[:_MOST_DRIFT]
    ]
    words = [
        "Where features are spread otherwise than in the training, the model is on ground it does not know. Hours "
        "since events and counts of anomalies grow with a log though nothing is amiss, and are left out here."
    ]
    known = [index for _, _, index in drift if index is not None]
    if not known:
        words.append("There are too few rows that the model did not learn from to tell drift by.")
    elif max(known) < MOVED:
        words.append("Here none has moved.")
    note = (
        "Population stability index: below .1 as in the training, from .25 on of another spread. "
        "All features are in drift.csv."
    )
    columns = make_columns("feature", "spread", ">stability index")
    return Section("drift", "Drift", words, grids=[Grid("Features that have moved most", columns, rows, note)])
