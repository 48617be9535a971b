"""The report of a model: what it learned from, how good its warnings are, what it goes by, how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdm_cli.evaluation.curves import Curve
from pdm_cli.features.describe import name_feature
from pdm_cli.report import plots
from pdm_cli.report.page import Figure, Grid, Page, Section, Tile, make_columns
from pdm_cli.report.provenance import tell_making
from pdm_cli.report.wording import list_findings, show_level, tell_components
from pdm_cli.text import show_count, show_stamp

# Components with plots of their own, and rows of a leaderboard; more would be a book.
_MOST_PLOTS, _MOST_TRIALS = 12, 30
_EXAMPLES = {
    "caught": "Caught, with a typical warning",
    "missed": "Missed",
    "latest": "Caught, with the shortest warning",
}
_EVENTS = {"maint": "replacements"}


@dataclass(frozen=True)
class ModelFacts:
    """What the report of a model is made from.

    Attributes
    ----------
    metrics : mapping
        Content of ``metrics.json``.
    evidence : mapping
        Content of ``report.json``.
    curves : mapping
        Component to its precision-recall curve, if any, and the recall and precision of its alerts, if any.
    settings : mapping
        Section of settings to setting to value.
    made : mapping or None
        The manifest.
    files : mapping
        Files of the folder to their SHA-256.
    """

    metrics: Mapping[str, Any]
    evidence: Mapping[str, Any]
    curves: Mapping[str, tuple[Curve | None, tuple[float, float] | None]]
    settings: Mapping[str, Any]
    made: Mapping[str, Any] | None
    files: Mapping[str, str]


def compose_model_page(facts: ModelFacts) -> Page:
    """Return the page of a model."""
    metrics, split = facts.metrics, facts.metrics["split"]
    components = list(metrics["components"])
    named = ", ".join(components[:6]) + (" …" if len(components) > 6 else "")
    subtitle = (
        f"Tells whether {named} of a machine will fail within {split['lead_time_hours']:g} to "
        f"{split['horizon_hours']:g} hours. Trained on what was known by {show_stamp(split['cutoff'])} and tested on "
        f"{show_stamp(split['test_start'])} to {show_stamp(split['test_end'])} (UTC){_held_out(split)}, which it had "
        "not seen."
    )
    shown = _most_failures(metrics)
    sections = [
        _tell_data(facts),
        _tell_results(metrics),
        _tell_warnings(facts),
        _tell_failures(facts),
        _draw_precision(facts, shown),
        _draw_calibration(metrics, shown),
        _tell_costs(metrics),
        _tell_features(facts.evidence["importance"]),
        _tell_search(metrics["search"]),
        tell_making(facts.made, facts.settings, facts.files),
    ]
    return Page("Failure model", subtitle, _tiles(metrics), sections)


def _held_out(split: Mapping[str, Any]) -> str:
    machines = len(split["machines_held_out"])
    return f" of {show_count(machines, 'machine')} held out" if machines else ""


def _tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    events, level = metrics["events"], metrics["intervals"]["level"]
    hours, sure = events["warning_hours"], events["intervals"]
    failures, caught = events["failures"], events["caught"]
    long = f"{events['caught_24h']:,} of them 24 h ahead or more"
    if failures and caught < failures:
        long = f"{caught / failures:.0%}{_interval(sure['caught_share'], level, '.0%')}; {long}"
    quartiles = f"quartiles {hours['q25']:g} and {hours['q75']:g} h" if caught else "nothing was caught"
    alarms = f"{events['false_alarms']:,}"
    alarms = f"per machine and month; {alarms} in all" + _interval(sure["false_alarms_per_machine_month"], level, ".2f")
    precision = "1 is perfect" + _interval(metrics["intervals"]["average_precision"], level, ".3f")
    return [
        Tile("Failures caught", f"{caught:,} of {failures:,}", long if failures else "none came in the test span"),
        Tile("Median warning", _number(hours["median"], "g", " h"), quartiles),
        Tile("False alarms", _number(events["false_alarms_per_machine_month"], ".2f"), alarms),
        Tile("Average precision", _number(metrics["macro"]["average_precision"], ".3f"), precision),
    ]


def _interval(ends: list[float] | None, level: float, form: str) -> str:
    return f"; {level:.0%} interval {ends[0]:{form}} to {ends[1]:{form}}" if ends else ""


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _tell_data(facts: ModelFacts) -> Section:
    quality, split = facts.evidence["data"], facts.metrics["split"]
    words = [
        f"The model was fitted on {split['fitted_rows']:,} of {split['train_rows']:,} rows and tested on "
        f"{split['test_rows']:,}; a row is a machine at a time."
    ]
    if quality is None:
        words.append("What was found in the data is not known: there was no quality.json beside the prepared tables.")
        return Section("data", "Data", words)
    telemetry = quality["telemetry"]
    events = ", ".join(f"{count:,} {_EVENTS.get(name, name)}" for name, count in quality["events"].items()) or "none"
    about = [
        ["machines", f"{telemetry['machines']:,}"],
        ["sensors", ", ".join(telemetry["sensors"])],
        ["readings", f"{telemetry['readings']:,}, one every {telemetry['step_minutes']:g} min"],
        ["time (UTC)", f"{show_stamp(telemetry['start'])} to {show_stamp(telemetry['end'])}"],
        ["events", events],
    ]
    if components := tell_components(quality):
        about.append(["failures by component", components])
    grids = [Grid("What the model learned from and was tested on", make_columns("what", "facts"), about)]
    findings = [[name, f"{count:,}", first] for name, count, first in list_findings(quality)]
    if findings:
        grids.append(Grid("Findings in the data", make_columns("finding", ">count", "first"), findings))
    else:
        words.append("Nothing remarkable was found in the data.")
    return Section("data", "Data", words, grids=grids)


def _tell_results(metrics: Mapping[str, Any]) -> Section:
    columns = make_columns(
        *("component", ">failures", ">caught", ">false alarms*", ">average precision", ">AUC", ">F1", ">Brier"),
        *(">alert on at", ">off below"),
    )
    rows = [
        [name, *_events(row["events"]), *_scores(row), show_level(row["threshold"]), show_level(row["alert_off"])]
        for name, row in metrics["components"].items()
    ]
    rows.append(["all (scores: mean)", *_events(metrics["events"]), *_scores(metrics["macro"]), "", ""])
    note = (
        "* per machine and month: runs of alerts that no failure of the component follows within the horizon. Average "
        "precision, area under the ROC curve (AUC), F1 and Brier score are those of rows."
    )
    return Section("results", "Results by component", grids=[Grid("Results on the test span", columns, rows, note)])


def _events(events: Mapping[str, Any]) -> list[str]:
    rate = _number(events["false_alarms_per_machine_month"], ".2f")
    return [f"{events['failures']:,}", f"{events['caught']:,}", rate]


def _scores(row: Mapping[str, Any]) -> list[str]:
    shown = (("average_precision", ".3f"), ("roc_auc", ".4f"), ("f1", ".3f"), ("brier", ".4f"))
    return [_number(row[name], form) for name, form in shown]


def _tell_warnings(facts: ModelFacts) -> Section:
    events, found = facts.metrics["events"], facts.evidence["warnings"]
    lead = facts.metrics["split"]["lead_time_hours"]
    if not events["failures"]:
        return Section("warnings", "How early the warnings came", ["No failure came in the test span."])
    told = f"{events['caught']:,} of {show_count(events['failures'], 'failure')} were warned of"
    told += f"; {found['missed']:,} missed." if found["missed"] else "."
    ahead = [[f"{hours} or more", f"{share:.1%}"] for hours, share in _ahead(events["warned_ahead"])]
    figure = plots.draw(
        plots.paint_warnings(found["edges_hours"], found["failures"], lead),
        name="warnings",
        title="Warning times",
        text=f"Histogram of the hours from the first alert to the failure. {told}",
        size=(5.6, 2.8),
    )
    caption = f"From the first alert to the failure; dashed: the shortest useful warning, {lead:g} h."
    grid = Grid("Failures warned of at least so early", make_columns("warning", ">share of failures"), ahead)
    return Section("warnings", "How early the warnings came", [told], [Figure(figure, caption)], True, [grid])


def _ahead(shares: Mapping[str, float | None]) -> list[tuple[str, float]]:
    return [(f"{hours.removesuffix('h')} h", share) for hours, share in shares.items() if share is not None]


def _tell_failures(facts: ModelFacts) -> Section:
    lines, components = facts.evidence["timelines"], facts.metrics["components"]
    words = [
        "The sensor shown is the one that strayed furthest from its usual level before the failure. The bold line is "
        "the failure. Below: the probability foretold; shaded, the time the alert was on; it goes on at the solid "
        "level and off below the dotted one."
    ]
    if "missed" not in lines:
        words.append("No failure of the test span was missed.")
    figures = [
        _draw_failure(what, lines[what], components, facts.evidence["smooth_hours"])
        for what in _EXAMPLES
        if what in lines
    ]
    if not figures:
        words = ["No failure came in the test span."]
    return Section("failures", "Single failures, hour by hour", words, figures, True)


def _draw_failure(what: str, line: Mapping[str, Any], components: Mapping[str, Any], smooth_hours: float) -> Figure:
    own = components[line["component"]]
    warned = (
        f"first warned of {line['warning_hours']:g} h ahead" if line["warning_hours"] is not None else "not warned of"
    )
    event = f"machine {line['machine']}, {line['component']}, {show_stamp(line['failed'])} UTC, {warned}"
    anomalies = line["anomalies"]
    count = "anomalies not known" if anomalies is None else f"{len(anomalies['hours'])} anomalies of it"
    highest = max(line["prediction"]["probability"], default=0.0)
    svg = plots.draw(
        plots.paint_timeline(line, (own["threshold"], own["alert_off"])),
        name=f"failure-{what}",
        title=f"{_EXAMPLES[what]}: {event}",
        text=f"Readings of {line['sensor']} around the failure, {count}, and the probability foretold, which rose to "
        f"{highest:.2f}; alerts go on at {show_level(own['threshold'])}.",
        size=(5.6, 4.0),
    )
    judged = f"means of {smooth_hours:g} h" if smooth_hours else "readings"
    dots = "" if anomalies is None or not anomalies["hours"] else f" Red: anomalous {judged} of {line['sensor']}."
    return Figure(svg, f"{_EXAMPLES[what]}: {event}.{dots}")


def _most_failures(metrics: Mapping[str, Any]) -> list[str]:
    """Return the components with plots of their own, in their order."""
    components = metrics["components"]
    most = sorted(components, key=lambda name: -components[name]["events"]["failures"])[:_MOST_PLOTS]
    return [name for name in components if name in most]


def _left_out(metrics: Mapping[str, Any], shown: list[str]) -> list[str]:
    if len(shown) == len(metrics["components"]):
        return []
    return [f"Of {len(metrics['components'])} components the {len(shown)} with the most failures are shown."]


def _draw_precision(facts: ModelFacts, shown: list[str]) -> Section:
    words = [
        "Recall is the share of the rows before a failure that get an alert, precision the share of the rows with an "
        "alert that lie before a failure. The dot is where the alerts stand."
    ]
    figures = []
    for number, name in enumerate(shown):
        curve, point = facts.curves[name]
        if curve is None:
            words.append(f"{name} has no failure in the test span, hence no curve.")
            continue
        precision = facts.metrics["components"][name]["average_precision"]
        told = f" Alerts have recall {point[0]:.2f} and precision {point[1]:.2f}." if point else " There was no alert."
        svg = plots.draw(
            plots.paint_precision_recall(curve.x.tolist(), curve.y.tolist(), point),
            name=f"precision-{number}",
            title=f"Precision against recall of {name}",
            text=f"Average precision {precision:.3f}.{told}",
        )
        figures.append(Figure(svg, f"{name}: average precision {precision:.3f}"))
    return Section("precision", "Precision and recall", [*words, *_left_out(facts.metrics, shown)], figures)


def _draw_calibration(metrics: Mapping[str, Any], shown: list[str]) -> Section:
    words = [
        "Of the rows with a foretold probability of .8, some 80 % should have a failure ahead: the points should lie "
        "on the dashed line. Small points stand for few rows and may lie off it by chance. On average over all rows, "
        f"foretold and observed shares are {metrics['calibration_error']:.4f} apart."
    ]
    figures = []
    for number, name in enumerate(shown):
        row = metrics["components"][name]
        bins = row["reliability"]
        foretold, failed, rows = ([part[key] for part in bins] for key in ("mean_probability", "share_failed", "rows"))
        error = row["calibration_error"]
        if error is None:
            continue
        svg = plots.draw(
            plots.paint_calibration(foretold, failed, rows),
            name=f"calibration-{number}",
            title=f"Calibration of {name}",
            text="; ".join(
                f"{p:.2f} foretold, {f:.2f} failed ({n:,} rows)" for p, f, n in zip(foretold, failed, rows, strict=True)
            ),
        )
        figures.append(Figure(svg, f"{name}: calibration error {error:.4f}"))
    return Section("calibration", "Calibration", [*words, *_left_out(metrics, shown)], figures)


def _tell_costs(metrics: Mapping[str, Any]) -> Section:
    costs = metrics["costs"]
    ways = {
        "alerts": "acting on the alerts",
        "run_to_failure": "running to failure",
        "fixed_interval": "replacing at fixed intervals",
    }
    rows = [[told, _number(costs[name], ",.2f")] for name, told in ways.items()]
    hours = [f"{name} every {age:,.0f} h" for name, age in costs["interval_hours"].items() if age is not None]
    note = f"Fixed intervals that would cost least: {', '.join(hours)}." if hours else ""
    columns = make_columns("way", f">{costs['unit']} per machine and month")
    return Section("costs", "Costs", grids=[Grid("What it would have cost", columns, rows, note)])


def _tell_features(importance: Mapping[str, Any]) -> Section:
    features = importance["features"]
    largest = max((row["mean_shapley"] for row in features), default=1.0)
    rows = [
        [name_feature(row["feature"]), _weighs_most(row["components"]), f"{row['mean_shapley']:.3f}"]
        for row in features
    ]
    note = (
        "Mean size of the Shapley values (what a feature adds to the log-odds) over the components and "
        f"{show_count(importance['rows'], 'test row')}, {importance['rows_before_failure']:,} of them before a failure."
    )
    bars = [row["mean_shapley"] / largest for row in features]
    columns = make_columns("feature", "weighs most for", ">mean Shapley value")
    return Section(
        "features", "What the model goes by", grids=[Grid("Most important features", columns, rows, note, bars)]
    )


def _weighs_most(components: Mapping[str, float]) -> str:
    return max(components, key=components.__getitem__)


def _tell_search(search: Mapping[str, Any]) -> Section:
    board = search["leaderboard"]
    columns = make_columns(
        "rank", "algorithm", "features", f">{search['metric'].replace('_', ' ')}", ">spread", ">Brier", "state"
    )
    rows = [
        [
            "-" if row["rank"] is None else str(row["rank"]),
            row["algorithm"],
            row["features"],
            _number(row["score"], ".4f"),
            _number(row["spread"], ".4f"),
            _number(row["brier"], ".5f"),
            row["state"] + (", chosen" if row["trial"] in search["chosen_trials"] else ""),
        ]
        for row in board
    ]
    members = " and ".join(f"{m['algorithm']} on {m['features']} features" for m in search["members"])
    words = [f"{search['trials']:,} of {search['trials_wanted']:,} trials made; chosen: {members}."]
    if search["cut_short"]:
        words.append("The time budget cut the search short, so another run may differ.")
    note = "Scores are those of the folds inside the training span: mean, and best minus worst fold."
    if len(rows) > _MOST_TRIALS:
        note += f" The best {_MOST_TRIALS} are shown; all are in leaderboard.csv."
    return Section("search", "Leaderboard", words, grids=[Grid("What was tried", columns, rows[:_MOST_TRIALS], note)])
