"""Choose grid, windows, lead time and horizon from a log, where the user has set none and the defaults do not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import PdmError
from pdm_cli.pipeline.stages import QUALITY_FILE
from pdm_cli.settings.field import option_name
from pdm_cli.settings.model import ColumnsParams, FeaturesParams, LabelsParams, PreprocessParams, Settings

if TYPE_CHECKING:
    from pdm_cli.io.scan import TelemetryScan
    from pdm_cli.preparation.windows import Log
    from pdm_cli.progress import Progress

# Key of the quality report with the choice, which training follows.
CHOSEN = "chosen"
_LABELS = ["lead_time_hours", "horizon_hours"]


@dataclass(frozen=True)
class _Raw:
    """Raw tables: equal if they are the same files, read in the same way."""

    folder: Path
    columns: ColumnsParams
    params: PreprocessParams = field(compare=False)
    identity: tuple[object, ...]

    @classmethod
    def of(cls, folder: Path, settings: Settings) -> _Raw:
        from pdm_cli.io.folders import list_files
        from pdm_cli.schema import FAILURES, TELEMETRY

        files = [(path, path.stat()) for table in (TELEMETRY, FAILURES) for path in list_files(folder, table)]
        params = settings.preprocess
        read = (params.step_minutes, params.phase_minutes, params.timezone, params.time_range)
        identity = (*read, *((path, found.st_size, found.st_mtime_ns) for path, found in files))
        return cls(folder, settings.columns, params, identity)


def scan(folder: Path, settings: Settings) -> TelemetryScan:
    """Return the scan of raw telemetry, which several steps of a command need.

    Raises
    ------
    PdmError
        As :meth:`pdm_cli.io.raw.RawTelemetry.scan`.
    """
    return _scan(_Raw.of(folder, settings))


@lru_cache(maxsize=1)
def _scan(raw: _Raw) -> TelemetryScan:
    from pdm_cli.io.raw import RawTelemetry

    return RawTelemetry(raw.folder, raw.columns, raw.params).scan()


def describe_log(folder: Path, settings: Settings) -> Log:
    """Return step, span and typical life of raw tables.

    Raises
    ------
    PdmError
        If the telemetry cannot be read or has no regular step.
    """
    return _describe(_Raw.of(folder, settings))


@lru_cache(maxsize=1)
def _describe(raw: _Raw) -> Log:
    import pandas as pd

    from pdm_cli.io.raw import read_events
    from pdm_cli.preparation.windows import Log, find_life
    from pdm_cli.schema import FAILURES

    found = _scan(raw)
    life, is_run_to_failure = None, False
    failures = read_events(raw.folder, FAILURES, raw.columns, raw.params.timezone)
    if failures is not None:
        spans = pd.DataFrame.from_dict(found.ends_us, orient="index", columns=["first", "last"])
        life, is_run_to_failure = find_life(failures, spans, found.step_us)
    return Log(found.step_us, found.span_us, life, is_run_to_failure)


def complete_settings(folders: Mapping[str, Path], settings: Settings) -> Settings:
    """Return the settings of preprocess and training with values that fit the raw tables where none is set."""
    from pdm_cli.preparation.windows import fit_settings

    try:
        log = describe_log(folders["data"], settings)
    except (PdmError, OSError):
        # The work itself reports this, after its other checks.
        return settings
    features, labels = fit_settings(log, settings.features, settings.labels)
    return replace(settings, features=features, labels=labels)


def check_lengths(folder: Path, settings: Settings) -> None:
    """Reject grid, windows and horizon of completed settings that do not fit raw tables.

    Raises
    ------
    WindowsDoNotFit
        Names all of them; the hint has values that fit.
    """
    from pdm_cli.preparation.windows import check_settings

    try:
        log = describe_log(folder, settings)
    except PdmError:
        # The first stage reports this, after its other checks.
        return
    check_settings(log, settings.features, settings.labels)


def complete_labels(folders: Mapping[str, Path], settings: Settings) -> Settings:
    """Return the settings of training with the lead time and the horizon that preprocess chose, where none is set."""
    chosen = read_choice(folders["prepared"])
    if chosen is None:
        return settings
    given = settings.labels.given
    lead, horizon = float(chosen["lead_time_hours"]), float(chosen["horizon_hours"])
    if "horizon_hours" in given:
        horizon = settings.labels.horizon_hours
        lead = min(lead, horizon)
    if "lead_time_hours" in given:
        lead = settings.labels.lead_time_hours
        horizon = max(horizon, 2 * lead) if "horizon_hours" not in given else horizon
    labels = LabelsParams(lead, horizon)
    labels.note_given(given)
    return replace(settings, labels=labels)


def read_choice(prepared: Path) -> dict[str, Any] | None:
    """Return what preprocess chose for its tables; ``None`` if the defaults fitted, or were set."""
    path = prepared / QUALITY_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = content.get(CHOSEN) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else None


def record_choice(folder: Path, settings: Settings) -> dict[str, Any]:
    """Return the entry of the quality report with the choice; empty if nothing was chosen."""
    features, labels = settings.features, settings.labels
    if not _chosen_names(features, labels):
        return {}
    values = {
        "grid_hours": features.grid_hours,
        "windows_hours": list(features.windows_hours),
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
    }
    return {CHOSEN: {**values, "for": describe_log(folder, settings).describe()}}


def report_choice(folder: Path, settings: Settings, progress: Progress) -> None:
    """Report the values that :func:`complete_settings` chose."""
    if names := _chosen_names(settings.features, settings.labels):
        values = _show(settings.features, settings.labels, names)
        log = describe_log(folder, settings)
        progress.info(f"preprocess: {values}: chosen for {log.describe()}; {_how_to_change(names)}")


def report_labels(prepared: Path, labels: LabelsParams, progress: Progress) -> None:
    """Report the lead time and the horizon that :func:`complete_labels` chose."""
    chosen = read_choice(prepared)
    names = [name for name in _LABELS if name not in labels.given]
    if chosen is not None and names:
        values = _show(FeaturesParams(), labels, names)
        progress.info(f"train: {values}: chosen for {chosen['for']}; {_how_to_change(names)}")


def report_trained(labels: LabelsParams, progress: Progress) -> None:
    """Report the lead time and the horizon of a model, unless they are the usual ones."""
    if labels != LabelsParams():
        values = _show(FeaturesParams(), labels, _LABELS)
        progress.info(f"predict: {values}: as in the training")


def _chosen_names(features: FeaturesParams, labels: LabelsParams) -> list[str]:
    """Return the settings that were not set but differ from their defaults."""
    from pdm_cli.preparation.windows import names_to_fit

    default: dict[str, Any] = {**vars(FeaturesParams()), **vars(LabelsParams())}
    values: dict[str, Any] = {**vars(features), **vars(labels)}
    free = [name for section in (features, labels) for name in names_to_fit(section) if name not in section.given]
    return free if any(values[name] != default[name] for name in free) else []


def _show(features: FeaturesParams, labels: LabelsParams, names: list[str]) -> str:
    from pdm_cli.preparation.windows import Windows
    from pdm_cli.settings.duration import show_length
    from pdm_cli.units import current

    found, joint = Windows.of(features, labels), ", " if current().counts_cycles else ","
    shown = {
        "grid_hours": show_length(found.grid_us),
        "windows_hours": joint.join(map(show_length, found.windows_us)),
        "lead_time_hours": show_length(found.lead_time_us),
        "horizon_hours": show_length(found.horizon_us),
    }
    words = {"grid_hours": "grid", "windows_hours": "windows", "lead_time_hours": "lead time"}
    return ", ".join(f"{words.get(name, 'horizon')} {shown[name]}" for name in names)


def _how_to_change(names: list[str]) -> str:
    options = [option_name(name) for name in names]
    return f"change with {' and '.join(filter(None, [', '.join(options[:-1]), options[-1]]))}"
