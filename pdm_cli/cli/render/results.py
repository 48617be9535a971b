"""Tables of results, drawn from the same summaries that are written as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.report.wording import list_findings, show_level, tell_components
from pdm_cli.text import Prose, show_count, show_span, show_stamp

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


# More lines of reasons than this are left to the summary.
_MOST_REASONS = 10


def draw_quality(quality: dict[str, Any]) -> list[RenderableType]:
    """Draw what was prepared and what was found in the data."""
    facts = quality["telemetry"]
    lines = [
        f"{show_count(facts['readings'], 'reading')} of {show_count(len(facts['sensors']), 'sensor')} "
        f"({', '.join(facts['sensors'])}) on {show_count(facts['machines'], 'machine')}",
        f"{facts['start']} to {facts['end']} UTC, every {_duration(facts['step_minutes'])}",
        f"{quality['features']['rows']:,} feature rows of {quality['features']['columns']} features",
    ]
    events = [f"{count:,} {name}" for name, count in quality["events"].items()]
    lines.append("; ".join(events) if events else "no event tables")
    if components := tell_components(quality):
        lines.append(f"failures by component: {components}")
    if quality["ignored_columns"]:
        lines.append(f"columns of telemetry that are no sensors: {', '.join(quality['ignored_columns'])}")
    table = make_table("found in the data", ("count", "right"), ("first", "left"))
    for name, count, first in list_findings(quality):
        table.add_row(name, f"{count:,}", first)
    if not table.row_count:
        return [Prose("\n".join([*lines, "nothing to complain about in the data"]))]
    return [Prose("\n".join(lines)), table]


def draw_anomalies(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw how readings were judged, anomalies per sensor, the most anomalous machines, and the series left out."""
    table = make_table(
        "sensor",
        *((name, "right") for name in ("series", "judged", "not judged", "anomalies", "share", "series skipped")),
    )
    for sensor, facts in summary["sensors"].items():
        share = "-" if facts["share"] is None else f"{facts['share']:.2%}"
        counts = (f"{facts[name]:,}" for name in ("series", "judged", "unjudged", "anomalies"))
        table.add_row(sensor, *counts, share, f"{facts['skipped']:,}")
    drawn: list[RenderableType] = [Prose(_judged_by(summary)), table]
    capped = sum(facts["capped"] for facts in summary["sensors"].values())
    if capped:
        told = f"{capped:,} series reached --max-anoms {summary['max_anoms']:g}: they may hold more anomalies"
        drawn.append(Prose(told))
    if summary["machines"]:
        worst = ", ".join(f"{row['machineID']} ({row['anomalies']:,})" for row in summary["machines"])
        drawn.append(Prose(f"most anomalies: machines {worst}"))
    drawn += map(Prose, _tell_skipped(summary["skipped"]))
    return drawn


def _tell_skipped(skipped: list[dict[str, Any]]) -> list[str]:
    """Return a line for the sensors and machines with the same reason, and one for what would be too many lines."""
    of_machine: dict[tuple[Any, str], list[dict[str, Any]]] = {}
    for row in skipped:
        of_machine.setdefault((row["machineID"], row["reason"]), []).append(row)
    alike: dict[tuple[str, str], list[tuple[Any, int]]] = {}
    for (machine, reason), rows in of_machine.items():
        sensors, readings = ", ".join(row["sensor"] for row in rows), sum(row["readings"] for row in rows)
        alike.setdefault((sensors, reason), []).append((machine, readings))
    lines = []
    for (sensors, reason), machines in alike.items():
        told = f"machine {machines[0][0]}" + (f" and {len(machines) - 1:,} more" if len(machines) > 1 else "")
        readings = sum(count for _, count in machines)
        lines.append(f"not judged: {sensors} of {told} ({readings:,} readings): {reason}")
    if len(lines) > _MOST_REASONS:
        rest = f"not judged: {len(lines) - _MOST_REASONS:,} lines more like these; all stand in summary.json"
        lines = [*lines[:_MOST_REASONS], rest]
    return lines


def _judged_by(summary: dict[str, Any]) -> str:
    smooth, period, days = (summary.get(name) for name in ("smooth_hours", "period_hours", "window_days"))
    readings = f"{smooth:g} h trailing means" if smooth else "the readings themselves"
    season = f"season of {period:g} h" if period else "no season"
    by = f"by the {days:g} days before each reading" if summary["causal"] else "the whole series in view"
    return f"judged: {readings}, {season}, {by}"


def draw_metrics(metrics: dict[str, Any]) -> list[RenderableType]:
    """Draw the leaderboard, held-out metrics per component and what the alerts would have meant."""
    split = metrics["split"]
    span = show_span(split["test_start"], split["test_end"])
    lines = [f"tested on the {split['test_rows']:,} rows {span} UTC of which is known what came within the horizon"]
    if "train_rows" in split:
        lines.insert(0, _trained_on(split))
    if split.get("machines_held_out"):
        lines[-1] += f", {len(split['machines_held_out']):,} machines held out"
    names = ("AP", "AUC", "F1", "Brier", "on", "off", "failed", "caught", "false*")
    table = make_table("component", *((name, "right") for name in names))
    for component, row in metrics["components"].items():
        levels = [show_level(row["threshold"]), show_level(row["alert_off"])]
        table.add_row(component, *_scores(row), *levels, *_events(row["events"]))
    table.add_section()
    table.add_row("all", *_scores(metrics["macro"]), "", "", *_events(metrics["events"]))
    note = (
        "AP average precision, AUC area under the ROC curve; alerts go on at one probability and off at a lower one; "
        "all: means of the scores, the rest of all together"
    )
    return [
        *_draw_search(metrics.get("search")),
        Prose("\n".join(lines)),
        table,
        Prose(f"{note}; * false alarms per machine and month"),
        Prose(_warning_time(metrics)),
        Prose(_costs(metrics["costs"])),
    ]


def _trained_on(split: dict[str, Any]) -> str:
    text = f"trained on {split['train_rows']:,} rows, by what was known up to {show_stamp(split['cutoff'])} UTC"
    if split["fitted_rows"] < split["train_rows"]:
        text += (
            f", fitted on {split['fitted_rows']:,} of them: all with a failure ahead and a share of "
            f"{split['negative_share']:g} of the others, weighted to make up for the rest (--negative-share)"
        )
    return text


def _draw_search(search: dict[str, Any] | None) -> list[RenderableType]:
    """Draw the leaderboard where there was a search."""
    if search is None or search["trials_wanted"] == 1:
        return []
    columns = (("features", "left"), (search["metric"], "right"), ("spread", "right"), ("Brier", "right"))
    table = make_table("rank", ("algorithm", "left"), *columns, ("fit s", "right"), ("rows/s", "right"))
    for row in search["leaderboard"]:
        if row["rank"] is not None:
            scores = (f"{row['score']:.4f}", f"{row['spread']:.4f}", f"{row['brier']:.5f}")
            speed = (f"{row['fit_seconds']:.1f}", f"{row['rows_per_second']:,.0f}")
            table.add_row(str(row["rank"]), row["algorithm"], row["features"], *scores, *speed)
    told = f"{search['trials']} of {search['trials_wanted']} trials"
    dropped = search["trials"] - table.row_count
    if dropped:
        told += f", {dropped} of them given up early"
    if search["cut_short"]:
        told += "; cut short by the time budget, so another run may differ"
    members = " and ".join(f"{m['algorithm']} on {m['features']} features" for m in search["members"])
    return [table, Prose(f"{told}; chosen: {members}")]


def _costs(costs: dict[str, Any]) -> str:
    """Tell what acting on the alerts would cost, next to doing without them."""
    if costs["alerts"] is None:
        return "costs cannot be told: the test span is too short to judge alerts and failures"
    ways = {"alerts": "acting on alerts", "run_to_failure": "running to failure", "fixed_interval": "fixed intervals"}
    told = [f"{text} {costs[name]:.2f}" for name, text in ways.items() if costs[name] is not None]
    return f"cost in {costs['unit']} per machine and month: {', '.join(told)}"


def _warning_time(metrics: dict[str, Any]) -> str:
    events = metrics["events"]
    if not events["failures"]:
        return f"no failure in the test span: caught and warning time cannot be told{_not_judged(metrics)}"
    text = (
        f"caught {events['caught']} of {events['failures']} failures, {events['caught_24h']} of them 24 h ahead or more"
    )
    hours = events["warning_hours"]
    if hours["median"] is not None:
        text += f"; median warning {hours['median']:g} h (quartiles {hours['q25']:g} and {hours['q75']:g} h)"
    return text + _not_judged(metrics)


def _not_judged(metrics: dict[str, Any]) -> str:
    """Return the end of a line: how many failures from the start of the test on are left out, and why."""
    counts = metrics["events"]["not_judged"]
    reasons = {
        "early": f"within {metrics['split']['horizon_hours']:g} h of the start of the test, so that warnings could lie "
        "before it",
        "no_telemetry": "of machines whose telemetry had ended",
    }
    told = [f"{counts[name]:,} {reason}" for name, reason in reasons.items() if counts[name]]
    return f"; not judged: {', '.join(told)}" if told else ""


def _scores(row: dict[str, Any]) -> list[str]:
    shown = (("average_precision", ".3f"), ("roc_auc", ".4f"), ("f1", ".3f"), ("brier", ".4f"))
    return ["-" if row[name] is None else format(row[name], form) for name, form in shown]


def _events(events: dict[str, Any]) -> list[str]:
    return [str(events["failures"]), str(events["caught"]), _rate(events["false_alarms_per_machine_month"])]


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _duration(minutes: float) -> str:
    """Return a step in the unit that it is spoken of in: 10 s, 60 min, 1 d."""
    if minutes < 1:
        return f"{minutes * 60:g} s"
    return f"{minutes / 1440:g} d" if minutes % 1440 == 0 else f"{minutes:g} min"


def make_table(first: str, *columns: tuple[str, Any]) -> Table:
    """Return an empty table with columns of the given names and sides."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first)
    for name, justify in columns:
        # On a narrow terminal texts go over several lines; numbers stay whole.
        table.add_column(name, justify=justify, no_wrap=justify == "right")
    return table
