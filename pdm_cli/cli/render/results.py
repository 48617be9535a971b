"""Terminal screens of results, from the summaries that are also written as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.health import draw_health
from pdm_cli.cli.render.quality import draw_checks
from pdm_cli.cli.render.tables import make_table
from pdm_cli.features.describe import name_feature
from pdm_cli.pipeline.stages import SHORTAGE
from pdm_cli.report.findings import (
    SCORE_NOTE,
    count_components,
    count_events,
    describe_cost_caveats,
    describe_sensors,
    list_caveats,
    list_facts,
    list_weak,
    show_score,
)
from pdm_cli.report.lifetimes import describe_risk, show_part_age, show_risk
from pdm_cli.text import Prose, show_count, show_probability, show_threshold, show_two_probabilities
from pdm_cli.units import (
    current,
    in_rate_unit,
    in_units_of_summary,
    name_sensor,
    per_machine_time,
    show_alert,
    show_days,
    show_hours,
    show_hours_to_failure,
    show_range,
    show_span,
    show_time,
    show_two_hours,
    show_window,
    utc,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pdm_cli.pipeline.stages import Stage

# More rows than these are in the output files only.
_MOST_REASONS, _MOST_WORK, _MOST_DRIFT, _MOST_EPISODES = 10, 20, 5, 10


def draw_summary(stage: Stage, summary: dict[str, Any]) -> list[RenderableType]:
    """Draw a stage's summary; first of all, whether it yields almost nothing."""
    first = [Prose(f"almost no data: {summary[SHORTAGE]}")] if SHORTAGE in summary else []
    return [*first, *DRAWINGS[stage.command](summary)]


@in_units_of_summary
def draw_quality(quality: dict[str, Any]) -> list[RenderableType]:
    """Draw prepared data, problems, sensors and data-quality findings."""
    facts = quality["telemetry"]
    lines = [
        f"{show_count(facts['readings'], 'reading')} of {show_count(len(facts['sensors']), 'sensor')} "
        f"({', '.join(map(name_sensor, facts['sensors']))}) on {show_count(facts['machines'], 'machine')}",
        f"{show_range(facts['start'], facts['end'])}{utc()}, every {_duration(facts['step_minutes'])}",
        f"{show_count(quality['features']['rows'], 'feature row')} of "
        f"{show_count(quality['features']['columns'], 'feature')}",
    ]
    lines.append(count_events(quality["events"]) or "no event tables")
    if components := count_components(quality):
        lines.append(f"failures by component: {components}")
    if quality["ignored_columns"]:
        lines.append(f"ignored telemetry columns (not numeric): {', '.join(quality['ignored_columns'])}")
    return [Prose("\n".join(lines)), *draw_checks(quality)]


@in_units_of_summary
def draw_anomalies(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the detection method, anomalies per sensor, the most anomalous machines, and skipped series."""
    table = make_table(
        "sensor",
        *((name, "right") for name in ("series", "tested", "not tested", "anomalies", "share", "series skipped")),
    )
    for sensor, facts in summary["sensors"].items():
        share = "-" if facts["share"] is None else f"{facts['share']:.2%}"
        counts = (f"{facts[name]:,}" for name in ("series", "judged", "unjudged", "anomalies"))
        table.add_row(name_sensor(sensor), *counts, share, f"{facts['skipped']:,}")
    drawn: list[RenderableType] = [Prose(_describe_detection(summary)), table]
    capped = sum(facts["capped"] for facts in summary["sensors"].values())
    if capped:
        drawn.append(
            Prose(f"{capped:,} series reached --max-anoms {summary['max_anoms']:g} and may have more anomalies")
        )
    by_fleet = sum(facts["judged_by_fleet"] for facts in summary["sensors"].values())
    if by_fleet:
        readings = show_count(by_fleet, "reading")
        drawn.append(Prose(f"{readings} of machines with too short a history compared with the other machines instead"))
    pieces = sum(facts["untested_pieces"] for facts in summary["sensors"].values())
    if pieces:
        verb = "was" if pieces == 1 else "were"
        drawn.append(
            Prose(f"{show_count(pieces, 'piece')} between gaps {verb} not tested; unjudged.parquet lists them")
        )
    if summary["machines"]:
        worst = ", ".join(f"{row['machineID']} ({row['anomalies']:,})" for row in summary["machines"])
        drawn.append(Prose(f"most anomalies: machines {worst}"))
    drawn += map(Prose, _list_skipped(summary["skipped"]))
    return [*drawn, *_draw_episodes(summary)]


def _draw_episodes(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the most unusual episodes and the number of all."""
    if not summary["episodes"]:
        return []
    zone = " (UTC)" if utc() else ""
    columns = (("machine", "left"), ("sensors", "left"), (f"from{zone}", "left"), ("to", "left"))
    table = make_table("rank", *columns, ("score", "right"), ("readings", "right"))
    for entry in summary["episodes"][:_MOST_EPISODES]:
        times = (show_time(entry[name]) for name in ("start", "end"))
        numbers = (show_score(entry["score"]), f"{entry['readings']:,}")
        table.add_row(str(entry["rank"]), f"{entry['machineID']}", describe_sensors(entry), *times, *numbers)
    more = summary["episode_count"] - table.row_count
    rest = f" {more:,} more are in episodes.parquet." if more else ""
    return ["most unusual episodes", table, Prose(f"{SCORE_NOTE}{rest}")]


def _list_skipped(skipped: list[dict[str, Any]]) -> list[str]:
    """Return one line per group of series with the same sensors and reason, up to a limit."""
    of_machine: dict[tuple[Any, str], list[dict[str, Any]]] = {}
    for row in skipped:
        of_machine.setdefault((row["machineID"], row["reason"]), []).append(row)
    alike: dict[tuple[str, str], list[tuple[Any, int]]] = {}
    for (machine, reason), rows in of_machine.items():
        sensors, readings = ", ".join(row["sensor"] for row in rows), sum(row["readings"] for row in rows)
        alike.setdefault((sensors, reason), []).append((machine, readings))
    lines = []
    for (sensors, reason), machines in alike.items():
        names = f"machine {machines[0][0]}" + (f" and {len(machines) - 1:,} more" if len(machines) > 1 else "")
        readings = sum(count for _, count in machines)
        lines.append(f"not tested: {sensors} of {names} ({readings:,} readings): {reason}")
    if len(lines) > _MOST_REASONS:
        rest = f"not tested: {len(lines) - _MOST_REASONS:,} more groups of series; all are in summary.json"
        lines = [*lines[:_MOST_REASONS], rest]
    return lines


def _describe_detection(summary: dict[str, Any]) -> str:
    smooth, period, days = (summary.get(name) for name in ("smooth_hours", "period_hours", "window_days"))
    readings = f"trailing means over {show_hours(smooth)}" if smooth else "raw readings"
    season = f"season of {show_hours(period)}" if period else "no season"
    history = f"the {show_days(days)} before each reading" if days is not None else "the whole series"
    return f"tested: {readings}, {season}, compared with {history}"


@in_units_of_summary
def draw_metrics(metrics: dict[str, Any]) -> list[RenderableType]:
    """Draw the leaderboard, held-out metrics per component, warnings and costs."""
    split = metrics["split"]
    span = show_span(split["test_start"], split["test_end"])
    lines = [f"tested on {split['test_rows']:,} rows with known outcome {span}{utc()}"]
    if "train_rows" in split:
        lines.insert(0, _describe_training(split))
    if split.get("machines_held_out"):
        lines[-1] += f", of {show_count(len(split['machines_held_out']), 'held-out machine')}"
    names = ("AP", "AUC", "F1", "Brier", "on", "off", "failed", "caught", "false*")
    table = make_table("component", *((name, "right") for name in names))
    for component, row in metrics["components"].items():
        levels = [show_threshold(row["threshold"]), show_threshold(row["alert_off"])]
        table.add_row(component, *_scores(row), *levels, *_events(row["events"]))
    table.add_section()
    table.add_row("all", *_scores(metrics["macro"]), "", "", *_events(metrics["events"]))
    note = (
        "AP: average precision; AUC: area under the ROC curve; on, off: probabilities at which alerts turn on and off; "
        "all: mean scores and total counts"
    )
    return [
        *_draw_search(metrics.get("search")),
        Prose("\n".join(lines)),
        table,
        *_draw_caveats(metrics["components"]),
        Prose(f"{note}; * false alarms per {per_machine_time()}"),
        Prose(_describe_warnings(metrics)),
        *map(Prose, list_facts(metrics)),
        Prose(_describe_costs(metrics["costs"], is_training="train_rows" in split)),
        *map(Prose, describe_cost_caveats(metrics["costs"])),
    ]


def _draw_caveats(components: dict[str, Any]) -> list[RenderableType]:
    """Name components that never alert or never caught a failure, and those without a failure in the test."""
    return [Prose(f"{reason[0].lower()}{reason[1:]}") for reason in list_caveats(components)]


def _describe_training(split: dict[str, Any]) -> str:
    text = f"trained on {split['train_rows']:,} rows"
    # Split by machine, the whole log is known.
    if split.get("kind") != "machine":
        text += f" with outcomes known by {show_time(split['cutoff'])}{utc()}"
    if split["fitted_rows"] < split["train_rows"]:
        text += (
            f", fitted on {split['fitted_rows']:,} of them: all rows before a failure and a weighted sample of "
            f"{split['negative_share']:.0%} of the others (--negative-share)"
        )
    return text


def _draw_search(search: dict[str, Any] | None) -> list[RenderableType]:
    """Draw the leaderboard where there was a search."""
    if search is None or search["trials_wanted"] <= 1:
        return []
    columns = (("features", "left"), (search["metric"], "right"), ("spread", "right"), ("Brier", "right"))
    table = make_table("rank", ("algorithm", "left"), *columns, ("fit s", "right"), ("rows/s", "right"))
    for row in search["leaderboard"]:
        if row["rank"] is not None:
            scores = (f"{row['score']:.4f}", f"{row['spread']:.4f}", f"{row['brier']:.5f}")
            speed = (f"{row['fit_seconds']:.1f}", f"{row['rows_per_second']:,.0f}")
            table.add_row(str(row["rank"]), row["algorithm"], row["features"], *scores, *speed)
    trials = f"{search['trials']} of {search['trials_wanted']} trials"
    dropped = search["trials"] - table.row_count
    if dropped:
        trials += f", {dropped} of them stopped early"
    if search["cut_short"]:
        trials += "; the time budget ran out, so another run may give a different model"
    members = " and ".join(f"{m['algorithm']} with {m['features']:,} features" for m in search["members"])
    return [table, Prose(f"{trials}; chosen: {members}")]


def _describe_costs(costs: dict[str, Any], *, is_training: bool) -> str:
    """Describe the cost of acting on alerts, compared with alternatives."""
    if costs["alerts"] is None:
        return "no cost estimate: the test span is too short to count alerts and failures"
    labels = {
        "alerts": "acting on alerts",
        "run_to_failure": "run-to-failure",
        "fixed_interval": "fixed-interval replacement",
    }
    amounts = [f"{label} {_rate(costs[name])}" for name, label in labels.items() if costs[name] is not None]
    text = f"cost in {costs['unit']} per {per_machine_time()}: {', '.join(amounts)}"
    if costs["fixed_interval"] is not None:
        return text
    # The best interval follows from lifetimes in the training data, of which the model has no copy.
    reason = "the lifetimes of a component are unknown" if is_training else "only train computes it, from its data"
    return f"{text}; no estimate for fixed-interval replacement: {reason}"


def _describe_warnings(metrics: dict[str, Any]) -> str:
    events = metrics["events"]
    if not events["failures"]:
        return f"no failure in the test span, so no warning times{_not_counted(metrics)}"
    text = f"caught {events['caught']} of {show_count(events['failures'], 'failure')}"
    if events["caught"]:
        text += f", {events['caught_24h']} of them at least {show_hours(24)} ahead"
    hours = events["warning_hours"]
    if hours["median"] is not None:
        median, low, high = (round(hours[name], 1) for name in ("median", "q25", "q75"))
        text += f"; median warning {show_hours(median)} (quartiles {show_two_hours(low, high, 'and')})"
    return text + _not_counted(metrics)


def _not_counted(metrics: dict[str, Any]) -> str:
    """Return the end of a line: the number of failures that do not count, and why."""
    counts, horizon = metrics["events"]["not_judged"], show_hours(metrics["split"]["horizon_hours"])
    reasons = {
        "early": f"in the first {horizon} of the test, as warnings may come before it",
        "no_telemetry": "without telemetry to warn from",
    }
    excluded = [f"{counts[name]:,} {reason}" for name, reason in reasons.items() if counts[name]]
    return f"; not counted: {', '.join(excluded)}" if excluded else ""


def _scores(row: dict[str, Any]) -> list[str]:
    shown = (("average_precision", ".3f"), ("roc_auc", ".4f"), ("f1", ".3f"), ("brier", ".4f"))
    return ["-" if row[name] is None else format(row[name], form) for name, form in shown]


def _events(events: dict[str, Any]) -> list[str]:
    return [str(events["failures"]), str(events["caught"]), _rate(events["false_alarms_per_machine_month"])]


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{in_rate_unit(value):.2f}"


def _duration(minutes: float) -> str:
    """Return a step in its natural unit: 10 s, 60 min, 1 d, 1 cycle."""
    if current().counts_cycles:
        return show_hours(minutes / 60)
    if minutes < 1:
        return f"{minutes * 60:g} s"
    return f"{minutes / 1440:g} d" if minutes % 1440 == 0 else f"{minutes:g} min"


@in_units_of_summary
def draw_forecast(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the work list, and the drift of the data since training."""
    facts = (
        f"{show_count(summary['rows'], 'row')} of {show_count(summary['machines'], 'machine')} "
        f"{show_span(summary['start'], summary['end'])}{utc()}; "
        f"{show_count(summary['episodes'], 'alert episode')}"
    )
    # Predictions of an earlier version do not have the test of the model.
    weak = [Prose(f"{reason[0].lower()}{reason[1:]}") for reason in list_weak(summary.get("model_test", {}))]
    drawn = [Prose(facts), *weak, *_draw_work(summary), *_draw_nearest(summary["nearest"])]
    return [*drawn, *_draw_by_age(summary), *_draw_drift(summary)]


def _draw_work(summary: dict[str, Any]) -> list[RenderableType]:
    work = summary["worklist"]
    if not work:
        return ["work list: no active alerts"]
    columns = (("machine", "left"), ("component", "left"), ("probability", "right"), ("alert since", "left"))
    table = make_table("rank", *columns, ("failure window", "left"))
    for row in work[:_MOST_WORK]:
        window = show_window(row, has_year=False)
        machine = f"{row['machineID']}"
        if row["is_stale"]:
            machine += f" (silent; predicted as of {show_time(row['datetime'])})"
        cells = (
            machine,
            row["component"],
            show_probability(row["probability"]),
            show_alert(row, has_year=False),
            window,
        )
        table.add_row(str(row["rank"]), *cells)
    more = [f"and {len(work) - _MOST_WORK:,} more in worklist.csv"] if len(work) > _MOST_WORK else []
    note = f"probability of a failure within the failure window{' (UTC)' if utc() else ''}"
    if any("ended" in row for row in work[:_MOST_WORK]):
        note += "; where the alert is off, as of the last reading with the alert on"
    if any(show_hours_to_failure(row) for row in work[:_MOST_WORK]):
        note += "; below: when four of five such parts fail, counted from the last reading, and the reasons"
    # Below the table, as the columns leave no room for them.
    reasons = [Prose(f"{row['rank']}: {_describe_work(row)}") for row in work[:_MOST_WORK]]
    return [table, Prose(note), *reasons, *more]


def _describe_work(row: dict[str, Any]) -> str:
    """Return when a failure is expected, if that is known, and the reasons."""
    expected = show_hours_to_failure(row)
    return f"fails {expected}; {row['reasons']}" if expected else f"{row['reasons']}"


def _draw_nearest(nearest: list[dict[str, Any]]) -> list[RenderableType]:
    if not nearest:
        return []
    table = make_table("machine", ("component", "left"), ("probability", "right"), ("alert threshold", "right"))
    for row in nearest:
        levels = show_two_probabilities(row["probability"], row["threshold"])
        table.add_row(f"{row['machineID']}", row["component"], *levels)
    return ["closest to an alert", table]


def _draw_by_age(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the parts most likely to fail by their age, of components that never alert, and the rates of the others."""
    # Predictions of an earlier version have no ages.
    found = summary.get("by_age", {"components": {}, "first": []})
    within = f"within {show_hours(summary['horizon_hours'])}"
    drawn: list[RenderableType] = []
    if found["first"]:
        table = make_table("machine", ("component", "left"), ("age", "right"), (f"fails {within}", "right"))
        for row in found["first"]:
            table.add_row(f"{row['machineID']}", row["component"], show_part_age(row), show_risk(row))
        drawn += ["parts most likely to fail by their age, of components without alerts", table]
    others = [describe_risk(name, row) for name, row in found["components"].items() if row["ageing"] != "wear"]
    if others:
        drawn.append(Prose(f"failures {within} per machine, of components without alerts: {'; '.join(others)}"))
    return drawn


def _draw_drift(summary: dict[str, Any]) -> list[RenderableType]:
    from pdm_cli.evaluation.drift import MIN_ROWS

    drift, rows = summary["drift"], summary["drift_rows"]
    if rows < MIN_ROWS:
        new = f"{show_count(rows, 'row')} outside the training data" if rows else "no rows outside the training data"
        return [Prose(f"drift not computed: {new}; at least {MIN_ROWS:,} are needed")]
    if not drift:
        return [Prose("drift: none (no feature has a population stability index of 0.25 or more)")]
    table = make_table("drifted feature", ("stability index", "right"))
    for row in drift[:_MOST_DRIFT]:
        table.add_row(name_feature(row["feature"]), f"{row['stability_index']:.2f}")
    drifted = f"{show_count(len(drift), 'feature')} drifted (population stability index of 0.25 or more)"
    return [Prose(f"{drifted}; all are in drift.csv"), table]


def draw_outcomes(outcomes: list[dict[str, Any]]) -> list[RenderableType]:
    """Draw which lines of the work list came true, which did not, and which failures it lacks."""
    if not outcomes:
        return ["outcome: no failure in the two days after the last reading"]
    table = make_table("rank", ("machine", "left"), ("component", "left"), ("outcome", "left"))
    table.add_column("ground truth")
    for row in outcomes:
        rank = "-" if row["rank"] is None else str(row["rank"])
        table.add_row(rank, f"{row['machineID']}", row["component"], _describe_outcome(row), _describe_shift(row))
    return [table, "ground truth of the simulation: data/truth.parquet, which no stage reads"]


def _describe_outcome(row: dict[str, Any]) -> str:
    if row["failed"] is None:
        return "no failure: false alarm"
    warning = "no alert yet" if row["rank"] is None else f"warned {row['warning_hours']:.0f} h ahead"
    return f"failed {show_time(row['failed'])}, {warning}"


def _describe_shift(row: dict[str, Any]) -> str:
    if row["failed"] is None:
        return ""
    return f"{row['sensor']} shifted by {row['step']:+g} at {show_time(row['shifted_since'])}"


# Stage to the function that draws its summary.
DRAWINGS: dict[str, Callable[[dict[str, Any]], list[RenderableType]]] = {
    "preprocess": draw_quality,
    "detect-anomalies": draw_anomalies,
    "health": draw_health,
    "train": draw_metrics,
    "predict": draw_forecast,
}
