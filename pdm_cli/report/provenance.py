"""Provenance of an output folder, for the end of its report: settings, versions, hashes, command."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from pdm_cli.report.page import Grid, Section, make_columns
from pdm_cli.settings.model import SECTIONS
from pdm_cli.text import show_number
from pdm_cli.units import current, show_hours, show_time

# Telemetry may have thousands of parts.
_MOST_FILES = 30


def describe_provenance(
    made: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    files: Mapping[str, str],
    *,
    detected: Collection[str] = (),
) -> Section:
    """Return the provenance section of a report.

    ``made`` is the manifest of the folder, if any; ``settings`` maps sections to settings and values; ``files`` maps
    the files of the folder to their SHA-256; ``detected`` are settings whose values are detected unless they are given.
    """
    changed, kept = _compare(settings, detected)
    columns = make_columns("setting", "value", "default")
    grids = [Grid("Settings that differ from the defaults", columns, changed)] if changed else []
    grids.append(
        Grid("Settings at their defaults", columns[:2], kept, summary=f"Settings at their defaults ({len(kept):,})")
    )
    paragraphs = [] if changed else ["All settings have their default values."]
    command = []
    if made is None:
        paragraphs.append("The folder has no manifest.json, so command, versions and inputs are unknown.")
    else:
        command = ["pdm", *(shlex.quote(word) for word in made["command_line"][1:])]
        first = ("pdm-cli", "python")
        others = sorted(name for name in made["versions"] if name not in first)
        versions = [[name, made["versions"][name]] for name in (*first, *others)]
        versions.append(["pdm-cli source code, SHA-256", made["code"]])
        grids.append(Grid("Versions", make_columns("program", "version"), versions))
        grids.append(_list_inputs(made["inputs"]))
    hashes = [[name, digest] for name, digest in sorted(files.items())]
    grids.append(
        Grid("Output files", make_columns("file", "SHA-256"), hashes, summary=f"Output files ({len(hashes):,})")
    )
    return Section("made", "Provenance", paragraphs, grids=grids, command=command)


def _list_inputs(inputs: Mapping[str, Mapping[str, Any]]) -> Grid:
    rows = [
        [f"{port}/{name}", f"{facts['bytes']:,}", facts["sha256"]]
        for port, found in sorted(inputs.items())
        for name, facts in sorted(found.items())
    ]
    more = len(rows) - _MOST_FILES
    note = f"and {more:,} more in manifest.json" if more > 0 else ""
    columns = make_columns("file", ">bytes", "SHA-256")
    return Grid("Input files", columns, rows[:_MOST_FILES], note, summary=f"Input files ({len(rows):,})")


def _compare(settings: Mapping[str, Any], detected: Collection[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Return the settings that differ from the defaults, and those that do not."""
    changed, kept = [], []
    # In the order of the settings model; the file sorts its keys.
    for section in (name for name in SECTIONS if name in settings):
        # Through JSON, like the settings of a manifest.
        defaults = json.loads(json.dumps(asdict(SECTIONS[section]()), default=str))
        for name in (name for name in defaults if name in settings[section]):
            value, default = _show(settings[section][name]), _show(defaults[name])
            is_default = value == default
            if current().counts_cycles:
                value = _add_cycles(name, settings[section][name], value)
            if is_default:
                kept.append([f"{section}.{name}", value])
            elif f"{section}.{name}" in detected:
                kept.append([f"{section}.{name}", f"{value} (detected unless given)"])
            else:
                changed.append([f"{section}.{name}", value, default])
    return changed, kept


def _add_cycles(name: str, value: Any, shown: str) -> str:
    """Return a value with the cycles that its hours are, or the cycle of a time."""
    if name.endswith("_hours") and isinstance(value, (float, int)):
        return f"{shown} ({show_hours(value)})"
    if name.endswith("_hours") and isinstance(value, list):
        return f"{shown} ({', '.join(map(show_hours, value))})"
    is_time = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", value)
    return show_time(value) if is_time else shown


def _show(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return show_number(value, "g")
    if isinstance(value, list):
        return ", ".join(_show(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_show(part)}" for name, part in value.items())
    return str(value)
