"""The report of a model: training data, quality of its warnings, feature importance, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdm_cli.evaluation.alarm_budget import AlarmCurve, expected_rate, fit_budget
from pdm_cli.evaluation.curves import Curve
from pdm_cli.features.describe import name_feature
from pdm_cli.report import plots
from pdm_cli.report.findings import (
    count_components,
    count_events,
    describe_cost_caveats,
    list_caveats,
    list_facts,
    list_findings,
    show_share,
)
from pdm_cli.report.page import Figure, Grid, Page, Section, Tile, make_columns
from pdm_cli.report.provenance import describe_provenance
from pdm_cli.report.quality_page import list_notices
from pdm_cli.text import name_some, show_count, show_number, show_threshold
from pdm_cli.units import (
    Units,
    current,
    in_rate_unit,
    name_sensor,
    per_machine_time,
    show_hours,
    show_range,
    show_step,
    show_time,
    show_two_hours,
    using,
    utc,
)

# Components with plots of their own, and rows of the leaderboard.
_MOST_PLOTS, _MOST_TRIALS = 12, 30
# Budgets of false alarms whose results are listed.
_BUDGETS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_EXAMPLES = {
    "caught": "Caught, with a typical warning time",
    "missed": "Missed",
    "latest": "Caught, with the shortest warning time",
}


@dataclass(frozen=True)
class ModelFacts:
    """The content of a model report: metrics.json, report.json, curves, settings, manifest and file hashes.

    ``curves`` maps components to their precision-recall curve, if any, and the recall and precision of their alerts, if
    any; ``alarms`` maps them to their curve of caught failures against false alarms, in older models none; ``settings``
    maps sections to settings and values; ``files`` maps the files of the folder to their SHA-256.
    """

    metrics: Mapping[str, Any]
    evidence: Mapping[str, Any]
    curves: Mapping[str, tuple[Curve | None, tuple[float, float] | None]]
    alarms: Mapping[str, AlarmCurve]
    settings: Mapping[str, Any]
    made: Mapping[str, Any] | None
    files: Mapping[str, str]


def compose_model_page(facts: ModelFacts) -> Page:
    """Return the page of a model."""
    with using(Units.from_summary(facts.metrics)):
        return _compose(facts)


def _compose(facts: ModelFacts) -> Page:
    metrics, split = facts.metrics, facts.metrics["split"]
    components = list(metrics["components"])
    named = ", ".join(components[:6]) + (" …" if len(components) > 6 else "")
    subtitle = (
        f"Predicts failures of {named} in the next "
        f"{show_two_hours(split['lead_time_hours'], split['horizon_hours'], unit='hours')}. "
        f"{_describe_training(split)}, tested on unseen data from {show_range(split['test_start'], split['test_end'])}"
        f"{' (UTC)' if utc() else ''}{_held_out(split)}."
    )
    shown = _most_failures(metrics)
    sections = [
        _describe_data(facts),
        _list_results(metrics),
        _draw_warnings(facts),
        _draw_failures(facts),
        *_draw_alarms(facts.alarms),
        _draw_precision(facts, shown),
        _draw_calibration(metrics, shown),
        _list_costs(metrics),
        _list_features(facts.evidence["importance"]),
        _list_trials(metrics["search"]),
        describe_provenance(facts.made, facts.settings, facts.files),
    ]
    return Page("Failure model", subtitle, _tiles(metrics), sections)


def _describe_training(split: Mapping[str, Any]) -> str:
    return (
        "Trained on other machines"
        if split["kind"] == "machine"
        else (f"Trained on data up to {show_time(split['cutoff'])}")
    )


def _held_out(split: Mapping[str, Any]) -> str:
    machines = len(split["machines_held_out"])
    return f" of {show_count(machines, 'held-out machine')}" if machines else ""


def _tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    events, level = metrics["events"], metrics["intervals"]["level"]
    hours, sure = events["warning_hours"], events["intervals"]
    failures, caught = events["failures"], events["caught"]
    early = f"{events['caught_24h']:,} of them at least {show_hours(24)} ahead"
    if failures and caught < failures:
        early = f"{caught / failures:.0%}{_interval(sure['caught_share'], level, '.0%')}; {early}"
    quartiles = f"quartiles {show_two_hours(hours['q25'], hours['q75'], 'and')}" if caught else "no failure was caught"
    alarms = f"{events['false_alarms']:,}"
    rates = sure["false_alarms_per_machine_month"]
    alarms = f"per {per_machine_time()}; {alarms} in total" + _interval(
        [in_rate_unit(rate) for rate in rates] if rates else None, level, ".2f"
    )
    precision = "1 is perfect" + _interval(metrics["intervals"]["average_precision"], level, ".3f")
    return [
        Tile("Failures caught", f"{caught:,} of {failures:,}", early if failures else "no failures in the test span"),
        Tile("Median warning", "-" if hours["median"] is None else show_hours(hours["median"]), quartiles),
        Tile("False alarms", _rate(events["false_alarms_per_machine_month"]), alarms),
        Tile("Average precision", _number(metrics["macro"]["average_precision"], ".3f"), precision),
    ]


def _interval(ends: list[float] | None, level: float, form: str) -> str:
    return f"; {level:.0%} interval {ends[0]:{form}} to {ends[1]:{form}}" if ends else ""


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _rate(per_month: float | None) -> str:
    return "-" if per_month is None else f"{in_rate_unit(per_month):,.2f}"


def _describe_data(facts: ModelFacts) -> Section:
    quality, split = facts.evidence["data"], facts.metrics["split"]
    paragraphs = [
        f"The model was fitted on {split['fitted_rows']:,} of {split['train_rows']:,} rows and tested on "
        f"{split['test_rows']:,}. A row is one machine at one time."
    ]
    if split.get("chosen_because"):
        paragraphs.append(f"The split is by {split['kind']}: {split['chosen_because']}.")
    if quality is None:
        paragraphs.append("Data-quality findings are unknown: the prepared tables have no quality.json.")
        return Section("data", "Data", paragraphs)
    telemetry = quality["telemetry"]
    about = [
        ["machines", f"{telemetry['machines']:,}"],
        ["sensors", ", ".join(map(name_sensor, telemetry["sensors"]))],
        ["readings", f"{telemetry['readings']:,}, every {show_step(telemetry['step_minutes'])}"],
        ["time (UTC)" if utc() else "time", show_range(telemetry["start"], telemetry["end"])],
        ["events", count_events(quality["events"]) or "none"],
    ]
    if components := count_components(quality):
        about.append(["failures by component", components])
    grids = [Grid("Training and test data", make_columns("item", "value"), about)]
    findings = [[name, f"{count:,}", first] for name, count, first in list_findings(quality)]
    if findings:
        grids.append(Grid("Findings in the data", make_columns("finding", ">count", "first"), findings))
    else:
        paragraphs.append("There are no data-quality findings.")
    # Data prepared by an earlier version have no problems.
    return Section("data", "Data", paragraphs, grids=grids, notices=list_notices(quality.get("problems", [])))


def _list_results(metrics: Mapping[str, Any]) -> Section:
    by_component = metrics["components"].items()
    events = [[name, *_events(row["events"])] for name, row in by_component]
    scores = [
        [name, *_scores(row), show_threshold(row["threshold"]), show_threshold(row["alert_off"])]
        for name, row in by_component
    ]
    caught = Grid(
        "Failures and alerts in the test span",
        make_columns(
            *("component", ">failures", ">caught", ">by chance", ">false alarms*", ">true episodes", ">under alert")
        ),
        [*events, ["all", *_events(metrics["events"])]],
        f"* per {per_machine_time()}: alert episodes that are not followed by a failure of the component within the "
        "horizon; true episodes: share of those that are, if the outcome is known. By chance: failures caught if the "
        "alerts of each machine were shifted in time at random. Under alert: share of all rows, also where the "
        "outcome is not known yet; of all, with an alert of any component.",
    )
    scored = Grid(
        "Scores of the rows in the test span",
        make_columns("component", ">average precision", ">AUC", ">F1", ">Brier", ">alert on", ">alert off"),
        [*scores, ["mean", *_scores(metrics["macro"]), "", ""]],
        "Average precision, area under the ROC curve (AUC), F1 and Brier score are computed over rows. Alerts turn on "
        "and off at the given probabilities.",
    )
    paragraphs = [f"{reason}." for reason in list_caveats(metrics["components"])]
    paragraphs += [f"{fact[0].upper()}{fact[1:]}." for fact in list_facts(metrics)]
    return Section("results", "Results by component", paragraphs, grids=[caught, scored])


def _events(events: Mapping[str, Any]) -> list[str]:
    # Metrics of an earlier version have fewer.
    precision, share = events.get("episode_precision"), events.get("alert_share")
    return [
        f"{events['failures']:,}",
        f"{events['caught']:,}",
        _number(events.get("caught_by_chance"), ",.1f"),
        _rate(events["false_alarms_per_machine_month"]),
        _number(precision, ".0%"),
        "-" if share is None else show_share(share),
    ]


def _scores(row: Mapping[str, Any]) -> list[str]:
    shown = (("average_precision", ".3f"), ("roc_auc", ".4f"), ("f1", ".3f"), ("brier", ".4f"))
    return [_number(row[name], form) for name, form in shown]


def _draw_warnings(facts: ModelFacts) -> Section:
    events, found = facts.metrics["events"], facts.evidence["warnings"]
    lead, horizon = (facts.metrics["split"][name] for name in ("lead_time_hours", "horizon_hours"))
    if not events["failures"]:
        return Section("warnings", "Warning times", ["There was no failure in the test span."])
    caught = f"{events['caught']:,} of {show_count(events['failures'], 'failure')} caught"
    caught += f", {found['missed']:,} missed." if found["missed"] else "."
    ahead = [[f"{hours} or more", f"{share:.1%}"] for hours, share in _ahead(events["warned_ahead"])]
    figure = plots.draw(
        plots.paint_warnings(found["edges_hours"], found["failures"], lead),
        name="warnings",
        title="Warning times",
        text=f"Histogram of the {current().time_word} from the first alert to the failure. {caught}",
        size=(5.6, 2.8),
    )
    caption = (
        f"Time from the first alert to the failure, at most the horizon of {show_hours(horizon)}; dashed line: the "
        f"shortest useful warning, {show_hours(lead)}."
    )
    grid = Grid("Failures caught at least this early", make_columns("warning", ">share of failures"), ahead)
    return Section("warnings", "Warning times", [caught], [Figure(figure, caption)], True, [grid])


def _ahead(shares: Mapping[str, float | None]) -> list[tuple[str, float]]:
    return [(show_hours(float(hours.removesuffix("h"))), share) for hours, share in shares.items() if share is not None]


def _draw_failures(facts: ModelFacts) -> Section:
    lines, components = facts.evidence["timelines"], facts.metrics["components"]
    shown = [name for name in _EXAMPLES if name in lines]
    if not shown:
        return Section("failures", "Example failures", ["There was no failure in the test span."])
    levels = [(own["threshold"], own["alert_off"]) for own in (components[lines[name]["component"]] for name in shown)]
    paragraphs = [
        "The upper plot shows the sensor that deviated most from its usual level before the failure. The lower plot "
        f"shows the predicted probability, shaded while the alert is on.{_describe_levels(levels)}"
    ]
    if "missed" not in lines:
        paragraphs.append("No failure in the test span was missed.")
    figures = [_draw_failure(name, lines[name], facts) for name in shown]
    return Section("failures", "Example failures", paragraphs, figures, True)


def _describe_levels(levels: Sequence[tuple[float, float]]) -> str:
    """Return a sentence, after a blank, on the lines of thresholds that figures of failures have; empty without any."""
    # A component that never alerts has none.
    drawn = [(on, off) for on, off in levels if on <= 1]
    if not drawn:
        return ""
    if all(on == off for on, off in drawn):
        return " The alert is on while the probability reaches the solid line."
    return " The alert turns on at the solid line and off below the dotted line."


def _draw_failure(name: str, line: Mapping[str, Any], facts: ModelFacts) -> Figure:
    own, horizon = facts.metrics["components"][line["component"]], facts.metrics["split"]["horizon_hours"]
    hours, prediction = line["warning_hours"], line["prediction"]
    warned = "no alert" if hours is None else f"warned {show_hours(hours)} ahead"
    if any(is_on and hour < -horizon for hour, is_on in zip(prediction["hours"], prediction["alert"], strict=True)):
        warned += f" (an alert counts from {show_hours(horizon)} ahead on)"
    event = f"machine {line['machine']}, {line['component']}, {show_time(line['failed'])}{utc()}, {warned}"
    anomalies = line["anomalies"]
    count = "anomalies unknown" if anomalies is None else f"{len(anomalies['hours'])} anomalies"
    highest = max(prediction["probability"], default=0.0)
    alert = "it never alerts" if own["threshold"] > 1 else f"the alert turns on at {show_threshold(own['threshold'])}"
    svg = plots.draw(
        plots.paint_timeline(line, (own["threshold"], own["alert_off"])),
        name=f"failure-{name}",
        title=f"{_EXAMPLES[name]}: {event}",
        text=f"Readings of {line['sensor']} around the failure, {count}, and the predicted probability, which rose to "
        f"{highest:.2f}; {alert}.",
        size=(5.6, 4.0),
    )
    smooth_hours = facts.evidence["smooth_hours"]
    values = f"means over {show_hours(smooth_hours)}" if smooth_hours else "readings"
    dots = "" if anomalies is None or not anomalies["hours"] else f" Red: anomalous {values} of {line['sensor']}."
    return Figure(svg, f"{_EXAMPLES[name]}: {event}.{dots}")


def _most_failures(metrics: Mapping[str, Any]) -> list[str]:
    """Return the components with plots of their own, in their order."""
    components = metrics["components"]
    most = sorted(components, key=lambda name: -components[name]["events"]["failures"])[:_MOST_PLOTS]
    return [name for name in components if name in most]


def _left_out(metrics: Mapping[str, Any], shown: list[str]) -> list[str]:
    if len(shown) == len(metrics["components"]):
        return []
    return [f"Shown are the {len(shown)} of {len(metrics['components'])} components with the most failures."]


def _draw_alarms(curves: Mapping[str, AlarmCurve]) -> list[Section]:
    """Return the section about the choice between caught failures and false alarms; older models have none."""
    shown = {name: curve for name, curve in curves.items() if len(curve.points) > 1 and curve.months and curve.failures}
    if not shown:
        return []
    paragraphs = [
        "Lower alert thresholds catch more failures with more false alarms. Each plot shows this for one component: "
        f"the share of failures caught against false alarms per {per_machine_time()}, as counted on the folds, not in "
        "the test span. The dot marks the thresholds of the model, which leave a margin for failures with lower "
        "probabilities. pdm predict --alarm-budget uses others without training again: the budget is the maximum of "
        "all components together."
    ]
    never = [name for name, curve in curves.items() if curve.current.on > 1 and name not in shown]
    best = [name for name in curves if name not in shown and name not in never]
    if best:
        paragraphs.append(f"{name_some(best)}: no other thresholds catch more failures or cause fewer false alarms.")
    if never:
        paragraphs.append(f"{name_some(never)}: no alerts, whatever the budget.")
    most = sorted(shown, key=lambda name: -shown[name].failures)[:_MOST_PLOTS]
    if len(most) < len(shown):
        paragraphs.append(f"Shown are the {len(most)} of {len(shown)} components with the most failures.")
    figures = [
        _draw_alarm_curve(number, name, shown[name]) for number, name in enumerate(n for n in shown if n in most)
    ]
    return [
        Section(
            "alarms", "Caught failures and false alarms", paragraphs, figures, grids=[_list_budgets([*curves.values()])]
        )
    ]


def _draw_alarm_curve(number: int, name: str, curve: AlarmCurve) -> Figure:
    rates = [in_rate_unit(curve.rate(position)) for position in range(len(curve.points))]
    caught = f"{curve.current.caught:,} of {show_count(curve.failures, 'failure')} caught"
    svg = plots.draw(
        plots.paint_alarm_curve(
            rates,
            [point.caught / curve.failures for point in curve.points],
            curve.chosen,
            per_machine_time().removeprefix("machine and "),
        ),
        name=f"alarms-{number}",
        title=f"Caught failures of {name} against false alarms",
        text="; ".join(
            f"{point.caught:,} caught with {show_number(rate, '.3g')} false alarms"
            for point, rate in zip(curve.points, rates, strict=True)
        ),
    )
    return Figure(svg, f"{name}: {caught}, {rates[curve.chosen]:.2f} false alarms")


def _list_budgets(curves: list[AlarmCurve]) -> Grid:
    """Return the result of budgets, from none to the least that leaves nothing to gain."""
    trained = [curve.chosen for curve in curves]
    rows = [["as trained", *_describe_places(curves, trained)]]
    last: list[int] = []
    for budget in _BUDGETS:
        places = fit_budget(curves, budget / in_rate_unit(1.0))
        if places != last:
            rows.append([f"at most {budget:g}", *_describe_places(curves, places)])
        last = places
    note = f"* per {per_machine_time()}, all components together, as counted on the folds."
    return Grid("Alarm budgets", make_columns("budget", ">false alarms*", ">failures caught"), rows, note)


def _describe_places(curves: list[AlarmCurve], places: list[int]) -> list[str]:
    caught = sum(curve.points[place].caught for curve, place in zip(curves, places, strict=True))
    failures = sum(curve.failures for curve in curves)
    return [f"{in_rate_unit(expected_rate(curves, places)):.2f}", f"{caught:,} of {failures:,}"]


def _draw_precision(facts: ModelFacts, shown: list[str]) -> Section:
    paragraphs = [
        "Recall is the share of the rows before a failure that have an alert; precision is the share of the rows with "
        "an alert that precede a failure. The dot marks the alerts."
    ]
    figures = []
    for number, name in enumerate(shown):
        curve, point = facts.curves[name]
        if curve is None:
            paragraphs.append(f"{name} has no failure in the test span, so it has no curve.")
            continue
        precision = facts.metrics["components"][name]["average_precision"]
        alerts = (
            f" Alerts have recall {point[0]:.2f} and precision {point[1]:.2f}." if point else " There was no alert."
        )
        svg = plots.draw(
            plots.paint_precision_recall(curve.x.tolist(), curve.y.tolist(), point),
            name=f"precision-{number}",
            title=f"Precision against recall for {name}",
            text=f"Average precision {precision:.3f}.{alerts}",
        )
        figures.append(Figure(svg, f"{name}: average precision {precision:.3f}"))
    return Section("precision", "Precision and recall", [*paragraphs, *_left_out(facts.metrics, shown)], figures)


def _draw_calibration(metrics: Mapping[str, Any], shown: list[str]) -> Section:
    paragraphs = [
        "Of the rows with a predicted probability of 0.8, about 80 % should precede a failure: the points should lie "
        "on the dashed line. Small points have few rows and may be off the line by chance. On average over all rows, "
        f"predicted and observed shares differ by {metrics['calibration_error']:.4f}."
    ]
    figures = []
    for number, name in enumerate(shown):
        row = metrics["components"][name]
        bins = row["reliability"]
        predicted, failed, rows = ([part[key] for part in bins] for key in ("mean_probability", "share_failed", "rows"))
        error = row["calibration_error"]
        if error is None:
            continue
        svg = plots.draw(
            plots.paint_calibration(predicted, failed, rows),
            name=f"calibration-{number}",
            title=f"Calibration of {name}",
            text="; ".join(
                f"{p:.2f} predicted, {f:.2f} failed ({n:,} rows)"
                for p, f, n in zip(predicted, failed, rows, strict=True)
            ),
        )
        figures.append(Figure(svg, f"{name}: calibration error {error:.4f}"))
    return Section("calibration", "Calibration", [*paragraphs, *_left_out(metrics, shown)], figures)


def _list_costs(metrics: Mapping[str, Any]) -> Section:
    costs = metrics["costs"]
    caveats = [f"{line}." for line in describe_cost_caveats(costs)]
    strategies = {
        "alerts": "acting on alerts",
        "run_to_failure": "run-to-failure",
        "fixed_interval": "fixed-interval replacement",
    }
    rows = [[label, _rate(costs[name])] for name, label in strategies.items()]
    columns = make_columns("strategy", f">{costs['unit']} per {per_machine_time()}")
    grid = Grid("Costs in the test span", columns, rows, _describe_intervals(costs))
    return Section("costs", "Costs", caveats, grids=[grid])


def _describe_intervals(costs: Mapping[str, Any]) -> str:
    """Return the cheapest replacement intervals, and why some components have none."""
    ages = costs["interval_hours"].items()
    intervals = [f"{name} every {show_hours(round(age), ',.0f')}" for name, age in ages if age is not None]
    # The cost of fixed intervals is known if the lifetimes of all components are.
    is_known = costs["fixed_interval"] is not None
    if not intervals:
        return "No replacement interval is cheaper than running to failure." if is_known else ""
    note = (
        "Cheapest replacement intervals, instead of the actual maintenance, whose cost is not in the other rows: "
        f"{', '.join(intervals)}."
    )
    if len(intervals) < len(ages):
        note += " For the others, none is cheaper than running to failure"
        note += "." if is_known else ", or their lifetimes are unknown."
    return note


def _list_features(importance: Mapping[str, Any]) -> Section:
    features = importance["features"]
    largest = max((row["mean_shapley"] for row in features), default=1.0)
    rows = [
        [name_feature(row["feature"]), _most_important_for(row["components"]), f"{row['mean_shapley']:.3f}"]
        for row in features
    ]
    note = (
        "Mean absolute Shapley value (contribution to the log-odds) over the components and "
        f"{show_count(importance['rows'], 'test row')}, {importance['rows_before_failure']:,} of them before a failure."
    )
    bars = [row["mean_shapley"] / largest for row in features]
    columns = make_columns("feature", "most important for", ">mean |Shapley value|")
    return Section("features", "Feature importance", grids=[Grid("Most important features", columns, rows, note, bars)])


def _most_important_for(components: Mapping[str, float]) -> str:
    return max(components, key=components.__getitem__)


def _list_trials(search: Mapping[str, Any]) -> Section:
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
    if not board:
        return Section("search", "Leaderboard", ["There were too few failures to train on, so nothing was tried."])
    members = " and ".join(f"{m['algorithm']} with {m['features']:,} features" for m in search["members"])
    paragraphs = [f"{search['trials']:,} of {search['trials_wanted']:,} trials completed; chosen: {members}."]
    if search["cut_short"]:
        paragraphs.append("The search ran out of time, so another run may give a different model.")
    note = "Scores are from the folds within the training span: mean, and best minus worst fold (spread)."
    if len(rows) > _MOST_TRIALS:
        note += f" The best {_MOST_TRIALS} are shown; all are in leaderboard.csv."
    return Section("search", "Leaderboard", paragraphs, grids=[Grid("Trials", columns, rows[:_MOST_TRIALS], note)])
