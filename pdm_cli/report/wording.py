"""Phrases that the report and the terminal share."""

from __future__ import annotations

import math
from typing import Any

from pdm_cli.text import show_count, show_stamp

_FINDING_NAMES = {
    "duplicates": "readings with the same machine and stamp",
    "out_of_order": "rows out of order",
    "not_finite": "infinite readings (or over 1e30), now missing",
    "out_of_range": "readings out of range, now missing",
    "off_grid": "readings between grid stamps, moved to the next",
    "gaps": "gaps, now rows of missing readings",
    "long_gaps": "gaps longer than the limit, left out",
    "missing_values": "missing readings",
    "frozen_sensors": "spans at one value",
    "dead_sensors": "sensors without readings to the machine's end",
    "duplicate_events": "events given twice, kept once",
    "events_without_telemetry": "events of machines without telemetry",
    "errors_before_telemetry": "errors before the machine's telemetry",
    "errors_after_telemetry": "errors after the machine's telemetry",
    "maint_before_telemetry": "maintenance before the machine's telemetry",
    "maint_after_telemetry": "maintenance after the machine's telemetry",
    "failures_before_telemetry": "failures before the machine's telemetry",
    "failures_after_telemetry": "failures after the machine's telemetry",
    "machines_without_telemetry": "machines with attributes but no telemetry",
    "machines_without_attributes": "machines with telemetry but no attributes",
}


# More components than this are left to quality.json.
_MOST_COMPONENTS = 12


# Lower levels of alerts would read .000.
_LEAST_LEVEL = 0.001


# Higher ones would read 1.000, which none reaches.
_MOST_LEVEL = 0.9995


def tell_findings(quality: dict[str, Any]) -> list[str]:
    """Return one line a finding, for where the whole table would be too much."""
    components = tell_components(quality)
    lines = [f"failures by component: {components}"] if components else []
    lines += [f"{count:,} {name} (first: {first})" for name, count, first in list_findings(quality)]
    if quality["ignored_columns"]:
        lines.append(f"columns of telemetry that are no sensors: {', '.join(quality['ignored_columns'])}")
    return lines


def list_findings(quality: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Return what was found in the data: in words, how often, and where first."""
    return [
        (_FINDING_NAMES.get(name, name.replace("_", " ")), finding["count"], _place(finding["first"]))
        for name, finding in quality["findings"].items()
        if finding["count"]
    ]


def tell_components(quality: dict[str, Any]) -> str:
    """Return the failures of the first components and how many components more there are; empty where not known."""
    counts = quality.get("components") or {}
    told = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:_MOST_COMPONENTS])
    more = len(counts) - _MOST_COMPONENTS
    return f"{told} and {show_count(more, 'component')} more" if more > 0 else told


def show_level(value: float) -> str:
    """Return the probability at which an alert goes on or off; one above 1 is never reached."""
    if value > 1:
        return "never"
    if value > _MOST_LEVEL:
        return f"{math.floor(value * 1e5) / 1e5:.5f}"
    return f"{value:.3f}" if value >= _LEAST_LEVEL else f"{value:.2g}"


def _place(first: list[dict[str, Any]]) -> str:
    """Return the first row of a finding as ``machine 3, 2015-01-04 06:00, sensor volt``."""
    if not first:
        return ""
    row = first[0]
    parts = [f"machine {row['machineID']}", *(show_stamp(row[n]) for n in ("datetime",) if n in row)]
    return ", ".join([*parts, *(f"{n} {v}" for n, v in row.items() if n not in ("machineID", "datetime"))])
