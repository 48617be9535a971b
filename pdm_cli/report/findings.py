"""Data-quality findings in plain English, for the report and the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import starmap
from typing import Any

from pdm_cli.report.lifetimes import describe_lifetime
from pdm_cli.settings.model import CostsParams
from pdm_cli.text import name_some, show_count, show_number
from pdm_cli.units import (
    current,
    in_rate_unit,
    in_units_of_summary,
    name_sensor,
    per_machine_time,
    show_days,
    show_hours,
    show_range,
    show_time,
    show_whole_days,
)

# Bursts in the reference of the health that are named.
_MOST_BURSTS = 3

_FINDING_NAMES = {
    "copies": "rows that repeat the first of their machine and time, dropped",
    "duplicates": "different readings of the same machine and time",
    "out_of_order": "rows out of order",
    "not_finite": "infinite readings (or over 1e30), set to missing",
    "out_of_range": "readings out of range, set to missing",
    "outside_time_range": "readings and events at impossible times, set aside",
    "off_grid": "readings off the time grid, moved to the next grid time",
    "gaps": "gaps, filled with rows of missing readings",
    "long_gaps": "gaps longer than the limit, not filled",
    "missing_values": "missing readings",
    "frozen_sensors": "periods of constant readings",
    "dead_sensors": "sensors that stopped before their machine's last row",
    "duplicate_events": "duplicate events, kept once",
    "events_without_telemetry": "events of machines without telemetry",
    "errors_before_telemetry": "errors before the machine's telemetry",
    "errors_after_telemetry": "errors after the machine's telemetry",
    "maint_before_telemetry": "maintenance events before the machine's telemetry",
    "maint_after_telemetry": "maintenance events after the machine's telemetry",
    "failures_before_telemetry": "failures before the machine's telemetry",
    "failures_after_telemetry": "failures after the machine's telemetry",
    "machines_without_telemetry": "machines with attributes but no telemetry",
    "machines_without_attributes": "machines with telemetry but no attributes",
}
# Tables of events, and a row of each.
_EVENT_NAMES = {"errors": "error", "maint": "replacement", "failures": "failure"}
# Columns of events whose names are not words.
_COLUMN_NAMES = {"comp": "component", "failure": "component", "errorID": "error"}
# The first noun of a description, of which there are some.
_PLURAL = re.compile(r"\b(reading|row|gap|period|sensor|event|error|failure|machine)s\b")
# Sides of an episode of anomalies.
_SIDES = {"pos": "high", "neg": "low", "both": "high and low"}
SCORE_NOTE = (
    "The score is the highest test statistic of an episode divided by its critical value: readings above 1 are "
    "anomalous. The order is by scores and number of readings together."
)
# If chance catches as many failures in more than this share of the cases, the alerts show little skill.
_MOST_CHANCE = 0.05
# With this many times the failures that chance catches, it is the number of failures that is too small.
_FAR_BETTER = 3
# More components than this are in quality.json only.
_MOST_COMPONENTS = 12


@in_units_of_summary
def describe_findings(quality: dict[str, Any]) -> list[str]:
    """Return one line per finding, for a short overview."""
    components = count_components(quality)
    lines = [f"failures by component: {components}"] if components else []
    lines += [f"{_count_finding(count, name)} (first: {first})" for name, count, first in list_findings(quality)]
    if quality["ignored_columns"]:
        lines.append(f"ignored telemetry columns (not numeric): {', '.join(quality['ignored_columns'])}")
    return lines


def describe_cost_caveats(costs: Mapping[str, Any]) -> list[str]:
    """Return sentences, without full stops, on costs that were assumed, and on alerts that do not pay."""
    if costs["alerts"] is None:
        return []
    lines = []
    if costs.get("assumed"):
        default = CostsParams()
        prices = (
            f"missed failure {default.missed_failure:g}, false alarm {default.false_alarm:g}, planned repair "
            f"{default.planned_repair:g}"
        )
        lines.append(
            f"The costs are assumed ({prices}): set yours with --missed-failure, --false-alarm and --planned-repair"
        )
    alternatives = {"run_to_failure": "run-to-failure", "fixed_interval": "fixed-interval replacement"}
    known = {label: costs[name] for name, label in alternatives.items() if costs[name] is not None}
    cheaper = [label for label, cost in known.items() if cost < costs["alerts"]]
    if cheaper:
        lines.append(f"Acting on alerts costs more than {' and '.join(cheaper)}")
    return lines


def describe_alarm_rate(summary: Mapping[str, Any]) -> str:
    """Return how many alarms a summary of health expects in normal operation."""
    per_year = summary["alarms_per_machine_year"]
    rate, per = per_year, "machine and year"
    if current().counts_cycles:
        rate, per = in_rate_unit(per_year / 12), per_machine_time()
    return f"{show_number(rate, '.3g')} alarm{'s' * (rate != 1)} expected per {per} in normal operation"


def describe_constant_sensors(summary: Mapping[str, Any]) -> list[str]:
    """Return sentences, without full stops, on the sensors that did not vary in the reference of the health."""
    names: dict[float | None, list[str]] = {}
    for row in summary["constant_sensors"]:
        names.setdefault(row["health"], []).append(name_sensor(row["sensor"]))
    return [f"{name_some(own)}: {_describe_change(health)}" for health, own in names.items()]


def describe_bursts(summary: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return a sentence, without full stop, on a doubtful reference of the health, and what helps."""
    bursts = summary["reference_bursts"]
    if not bursts:
        return None
    shown = [
        f"{row['machineID']} {name_sensor(row['sensor'])} {show_range(row['start'], row['end'])}"
        for row in bursts[:_MOST_BURSTS]
    ]
    rest = len(bursts) - len(shown)
    named = "; ".join([*shown, f"and {rest:,} more"] if rest else shown)
    days = show_whole_days(summary["reference_days"])
    text = f"the first {days}, on which alarms are calibrated, may not be normal: {named}"
    return text, (
        "if this was damage, the same later may cause no alarm: end --reference-days before it, or remove these "
        "readings"
    )


def _describe_change(health: float | None) -> str:
    if health is None:
        return "no constant value and no variation in the reference, so no effect on the health"
    effect = "raises an alarm" if health < 0.5 else "does not raise an alarm: it is not known to be rare"
    return f"did not vary in the reference; a change lowers the health to {health:.2f}, which {effect}"


def _count_finding(count: int, name: str) -> str:
    """Return a number and the description of a finding: ``1 gap, filled with rows of missing readings``."""
    if count == 1:
        name = _PLURAL.sub(r"\1", name.replace("readings and events", "reading or event"), count=1)
        name = name.replace(" before their ", " before its ")
    return f"{count:,} {name}"


def show_share(share: float) -> str:
    """Return the share of missing readings in percent; not 0% if some are missing.

    Examples
    --------
    >>> [show_share(share) for share in (0.0, 0.0002, 0.034, 0.5, 1.0)]
    ['0%', '<0.1%', '3.4%', '50%', '100%']
    """
    if share == 0:
        return "0%"
    if share < 0.001:
        return "<0.1%"
    return f"{share:.1%}" if share < 0.1 else f"{min(share, 0.99):.0%}" if share < 1 else "100%"


@in_units_of_summary
def list_findings(quality: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Return description, count and first occurrence of each finding."""
    return [
        (_FINDING_NAMES.get(name, name.replace("_", " ")), finding["count"], _describe_place(finding["first"]))
        for name, finding in quality["findings"].items()
        if finding["count"]
    ]


def count_events(events: Mapping[str, int], *, but_for: str = "") -> str:
    """Return the number of events in each table: ``1 failure, 340 errors``; empty without tables."""
    counts = (show_count(count, _EVENT_NAMES.get(name, name)) for name, count in events.items() if name != but_for)
    return ", ".join(counts)


def count_components(quality: dict[str, Any]) -> str:
    """Return the failures of the first components and the number of further components; empty if unknown."""
    counts = quality.get("components") or {}
    shown = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:_MOST_COMPONENTS])
    more = len(counts) - _MOST_COMPONENTS
    return f"{shown} and {show_count(more, 'component')} more" if more > 0 else shown


def _describe_place(first: list[dict[str, Any]]) -> str:
    """Return the first row of a finding as ``machine 3, 2015-01-04 06:00, sensor volt``."""
    if not first:
        return ""
    row = first[0]
    parts = [f"machine {row['machineID']}", *(show_time(row[n]) for n in ("datetime",) if n in row)]
    return ", ".join([*parts, *(_describe_value(n, v) for n, v in row.items() if n not in ("machineID", "datetime"))])


def _describe_value(name: str, value: Any) -> str:
    if name == "hours":
        return f"for {show_hours(value, ',g')}"
    return f"{_COLUMN_NAMES.get(name, name)} {show_time(value) if name == 'until' else value}"


def list_caveats(components: dict[str, Any]) -> list[str]:
    """Return sentences, without full stops, on components with less than the numbers suggest, given their metrics."""
    rare, random = ([name for name, row in components.items() if row.get(key)] for key in ("prior_only", "no_signs"))
    lines = []
    if rare:
        lines.append(f"Too few failures to train on, so only the base rate and no alerts: {name_some(rare)}")
    if random:
        lines.append(f"No warning signs before the failures, so no alerts: {name_some(random)}")
    lines += [
        f"{name}: {describe_lifetime(row['lifetime'])}" for name, row in components.items() if row.get("lifetime")
    ]
    events = {name: row["events"] for name, row in components.items()}
    lines += _compare_with_chance(events)
    lines += _list_uncaught({name: own for name, own in events.items() if name not in (*rare, *random)})
    if untested := [name for name, own in events.items() if not own["failures"]]:
        lines.append(f"No failure counted in the test span, so the scores say little: {name_some(untested)}")
    return lines


def list_facts(metrics: Mapping[str, Any]) -> list[str]:
    """Return sentences, without capitals and full stops, on what the scores do not show, as far as it is known."""
    found = (
        describe_chance(metrics["events"]),
        describe_cold_start(metrics),
        describe_hours(metrics),
        describe_life(metrics),
    )
    return [fact for fact in found if fact]


def describe_chance(events: dict[str, Any]) -> str:
    """Return the time under alert and how many failures chance would catch in it; empty if unknown."""
    if events.get("alert_share") is None:
        # Metrics of an earlier version.
        return ""
    text = f"under alert {show_share(events['alert_share'])} of the time"
    if events["episode_precision"] is not None:
        known = "alert episodes with a known outcome"
        text += f"; {events['episode_precision']:.0%} of the {known} were followed by a failure"
    elif events["alert_share"]:
        # Alerts at the end of the data count in the time, but not as false alarms.
        text += "; no alert episode has a known outcome, so none can be a false alarm"
    if events["caught_by_chance"]:
        failures = show_count(events["failures"], "failure")
        text += f"; chance would catch {events['caught_by_chance']:,.1f} of {failures} in that time"
    return text


def describe_cold_start(metrics: Mapping[str, Any]) -> str:
    """Return the quality in the first days of each machine and after them; empty if one of them is untested."""
    parts = metrics.get("cold_start")
    if parts is None:
        # Metrics of an earlier version.
        return ""
    first, after = (_describe_part(parts[name]) for name in ("first", "after"))
    if not (first and after):
        return ""
    return f"first {show_days(parts['days'])} of each machine: {first}; after them: {after}"


def describe_hours(metrics: Mapping[str, Any]) -> str:
    """Return how often the predicted interval contains the failure, and its width; empty if that is not known."""
    # Older models do not predict the hours.
    found = metrics.get("hours_to_failure")
    if not found or found["coverage"] is None:
        return ""
    text = f"of the rows with an alert, {found['coverage']:.0%} fail in the predicted interval"
    text += f" ({found['level']:.0%} expected)"
    if found["median_width_hours"] is not None:
        text += f", which is {show_hours(found['median_width_hours'], '.2g')} wide in the median"
    if found["mean_error_hours"] is not None:
        text += f"; the predicted median is wrong by {show_hours(found['mean_error_hours'], '.2g')} on average"
    return text


def describe_life(metrics: Mapping[str, Any]) -> str:
    """Return the error of the predicted remaining life; empty for machines that do not run until they fail."""
    found = (metrics.get("hours_to_failure") or {}).get("remaining_life")
    if not found:
        return ""
    rmse, constant, cap = (
        show_hours(found[name], ".3g") for name in ("rmse_hours", "constant_rmse_hours", "cap_hours")
    )
    return (
        f"remaining life of the {show_count(found['machines'], 'machine')} that failed, up to {cap}: root mean square "
        f"error {rmse} (of a constant: {constant}); {found['coverage']:.0%} within the predicted interval"
    )


def _describe_part(part: dict[str, Any]) -> str:
    """Return average precision and failures caught; empty without either."""
    precision, failures = part["average_precision"], part["failures"]
    if precision is None and not failures:
        return ""
    caught = f"{part['caught']:,} of {show_count(failures, 'failure')} caught" if failures else "no failures"
    return caught if precision is None else f"average precision {precision:.3f}, {caught}"


def _list_uncaught(events: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return a sentence, without a full stop, on the components of which no failure was caught, if there are any."""
    names = [
        f"{name} (of {own['failures']:,})" for name, own in events.items() if own["failures"] and not own["caught"]
    ]
    return [f"No failure caught: {name_some(names)}"] if names else []


def _compare_with_chance(events: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return sentences, without full stops, on components that chance may equal, although they caught failures."""
    # Metrics of an earlier version have no p-value.
    possible = {name: own for name, own in events.items() if (own.get("chance_p_value") or 0.0) > _MOST_CHANCE}
    caught = {name: own for name, own in possible.items() if own["caught"]}
    few = {name: own for name, own in caught.items() if own["caught"] >= _FAR_BETTER * own["caught_by_chance"]}
    lucky = {name: own for name, own in caught.items() if name not in few}
    heads = {
        "Not clearly better than chance in the same time under alert": lucky,
        "Too few failures to rule out chance": few,
    }
    return [f"{head}: {', '.join(starmap(_describe_catch, own.items()))}" for head, own in heads.items() if own]


def list_weak(test: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return sentences, without full stops, on components that did badly in the test of the model.

    ``test`` has their failures, those caught, and those caught by chance.
    """
    lines = [*_compare_with_chance(test), *_list_uncaught(test)]
    return [f"In the test of the model, {line[0].lower()}{line[1:]}" for line in lines]


def _describe_catch(name: str, events: dict[str, Any]) -> str:
    found = f"{events['caught']:,} of {show_count(events['failures'], 'failure')} caught"
    return f"{name} ({found}, {events['caught_by_chance']:,.1f} by chance)"


def describe_sensors(entry: Mapping[str, Any]) -> str:
    """Return the sensors of an episode of anomalies and their sides: ``volt high, rotate low``."""
    parts = [f"{name_sensor(part['sensor'])} {_SIDES[part['direction']]}" for part in entry["sensors"]]
    text = name_some(parts)
    return f"{text} (compared with the fleet)" if all(part["by"] == "fleet" for part in entry["sensors"]) else text


def show_score(score: float) -> str:
    """Return a score with two significant digits or more."""
    return f"{score:,.0f}" if score >= 10 else f"{score:.1f}"
