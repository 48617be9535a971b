"""Build the report of an output folder from its files alone."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import ModelError, UsageError
from pdm_cli.io.folders import find_below, list_files
from pdm_cli.pipeline.stages import EVIDENCE_FILE, IMPORT_FILE, STAGES
from pdm_cli.schema import HEALTH, MACHINE, PREDICTIONS, TELEMETRY, TIME, Table

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.evaluation.alarm_budget import AlarmCurve
    from pdm_cli.evaluation.curves import Curve
    from pdm_cli.report.health_page import Course
    from pdm_cli.report.page import Page
    from pdm_cli.report.predictions_page import Outlook

_MAKERS = "import, preprocess, detect-anomalies, health, train or predict"
_AGAIN = "run the command that wrote the folder again"
_TIMED_FILES = (STAGES["train"].summary, "leaderboard.csv")
# Rows of the work list whose last days are drawn, and the number of days.
_MOST_OUTLOOKS, _OUTLOOK_DAYS = 8, 7
# The same of the health of machines.
_MOST_COURSES, _COURSE_DAYS = 8, 90


def make_report(folder: Path, made: Mapping[str, Any] | None) -> str:
    """Return the report of an output folder as HTML.

    Parameters
    ----------
    folder : Path
        Written by ``pdm import``, ``preprocess``, ``detect-anomalies``, ``health``, ``train`` or ``predict``.
    made : mapping or None
        Its manifest, which need not exist yet.

    Raises
    ------
    UsageError
        If the folder is of another command.
    ModelError
        If a file is missing or damaged.
    """
    from pdm_cli.pipeline.quality import measure_raw
    from pdm_cli.report.page import render
    from pdm_cli.settings.model import Settings

    makers = {
        STAGES["train"].summary: _read_model,
        STAGES["predict"].summary: _read_predictions,
        STAGES["health"].summary: _read_health,
        STAGES["preprocess"].summary: _read_quality,
        STAGES["detect-anomalies"].summary: _read_anomalies,
        IMPORT_FILE: _read_import,
    }
    for summary, read in makers.items():
        if (folder / summary).is_file():
            try:
                return render(read(folder, made))
            except FileNotFoundError as exc:
                raise ModelError(f"{exc.filename}: no such file", hint=_AGAIN) from exc
            except (ValueError, KeyError, TypeError) as exc:
                raise ModelError(f"{folder}: cannot build a report from its files: {exc}", hint=_AGAIN) from exc
    if list_files(folder, TELEMETRY):
        # Raw tables that pdm did not import.
        return render(_compose_quality(folder, made, measure_raw(folder, Settings()), []))
    below = find_below(folder, lambda child: (child / STAGES["train"].summary).is_file())
    hint = f"did you mean {below}?" if below else f"choose a folder written by pdm {_MAKERS}"
    raise UsageError(f"{folder}: contains no telemetry, anomalies, health, model or predictions", hint=hint)


def _read_quality(folder: Path, made: Mapping[str, Any] | None) -> Page:
    return _compose_quality(folder, made, _read_json(folder / STAGES["preprocess"].summary), [])


def _read_anomalies(folder: Path, made: Mapping[str, Any] | None) -> Page:
    from pdm_cli.report.anomalies_page import AnomalyFacts, compose_anomalies_page

    summary, evidence = _read_json(folder / STAGES["detect-anomalies"].summary), _read_json(folder / EVIDENCE_FILE)
    return compose_anomalies_page(AnomalyFacts(summary, evidence["courses"], made, _hash_files(folder)))


def _read_import(folder: Path, made: Mapping[str, Any] | None) -> Page:
    summary = _read_json(folder / IMPORT_FILE)
    return _compose_quality(folder, made, summary["quality"], summary["warnings"])


def _compose_quality(
    folder: Path, made: Mapping[str, Any] | None, quality: dict[str, Any] | None, warnings: list[str]
) -> Page:
    from pdm_cli.report.quality_page import QualityFacts, compose_quality_page

    if quality is None or "problems" not in quality:
        raise ValueError("the quality of the data is unknown")
    settings = {} if made is None else made["parameters"]
    return compose_quality_page(QualityFacts(quality, warnings, settings, made, _hash_files(folder)))


def _read_model(folder: Path, made: Mapping[str, Any] | None) -> Page:
    from pdm_cli.io.bundle import BUNDLE_FILE
    from pdm_cli.report.model_page import ModelFacts, compose_model_page

    metrics, bundle = _read_json(folder / STAGES["train"].summary), _read_json(folder / BUNDLE_FILE)
    facts = ModelFacts(
        metrics=metrics,
        evidence=_read_json(folder / EVIDENCE_FILE),
        curves=_read_curves(folder, list(metrics["components"])),
        alarms=_read_alarm_curves(bundle),
        settings=bundle["settings"],
        made=made,
        files=_hash_files(folder),
    )
    return compose_model_page(facts)


def _read_curves(folder: Path, components: list[str]) -> dict[str, tuple[Curve | None, tuple[float, float] | None]]:
    import numpy as np

    from pdm_cli.evaluation.curves import alert_point, precision_recall

    frame = _read_table(folder, PREDICTIONS, ("component", "probability", "alert", "label"))
    curves = {}
    for component in components:
        own = frame[frame["component"] == component]
        labels = own["label"].to_numpy(np.float64, na_value=np.nan)
        probabilities, alerts = own["probability"].to_numpy(np.float64), own["alert"].to_numpy(np.bool_)
        curves[component] = precision_recall(labels, probabilities), alert_point(labels, alerts)
    return curves


def _read_alarm_curves(bundle: Mapping[str, Any]) -> dict[str, AlarmCurve]:
    from pydantic import TypeAdapter

    from pdm_cli.evaluation.alarm_budget import AlarmCurve

    # Models of earlier versions have none.
    curves = TypeAdapter(list[AlarmCurve]).validate_python(bundle.get("curves", []))
    return dict(zip(bundle["components"], curves, strict=bool(curves)))


def _read_predictions(folder: Path, made: Mapping[str, Any] | None) -> Page:
    from pdm_cli.pipeline.ended_alerts import mark_ended_alerts
    from pdm_cli.report.predictions_page import PredictionFacts, compose_predictions_page

    summary = mark_ended_alerts(folder, _read_json(folder / STAGES["predict"].summary))
    facts = PredictionFacts(
        summary=summary,
        drift=_read_drift(folder),
        outlooks=_read_outlooks(folder, summary["worklist"][:_MOST_OUTLOOKS]),
        made=made,
        files=_hash_files(folder),
    )
    return compose_predictions_page(facts)


def _read_drift(folder: Path) -> list[tuple[str, str, float | None]]:
    import pandas as pd

    from pdm_cli.evaluation.drift import AGEING, describe_drift

    # NA is a valid feature name.
    drift = pd.read_csv(folder / "drift.csv", keep_default_na=False, na_values={"stability_index": [""]})
    drift = drift[~drift["family"].isin(AGEING)]
    indexes = [None if pd.isna(index) else float(index) for index in drift["stability_index"]]
    return [(feature, describe_drift(index), index) for feature, index in zip(drift["feature"], indexes, strict=True)]


def _read_outlooks(folder: Path, work: list[dict[str, Any]]) -> list[Outlook]:
    import pandas as pd

    from pdm_cli.report.predictions_page import Outlook

    if not work:
        return []
    frame = _read_table(folder, PREDICTIONS, (MACHINE, TIME, "component", "probability", "alert"))
    frame = frame[frame[MACHINE].isin([row[MACHINE] for row in work])]
    outlooks = []
    for row in work:
        own = frame[(frame[MACHINE] == row[MACHINE]) & (frame["component"] == row["component"])]
        # Up to the last reading, at which the alert may be off.
        hours = (own[TIME] - own[TIME].max()) / pd.Timedelta(hours=1)
        is_drawn = hours.between(-24 * _OUTLOOK_DAYS, 0)
        own, hours = own[is_drawn], hours[is_drawn]
        # A line needs two points; with --latest there is one per machine.
        if len(own) > 1:
            drawn = own["probability"].tolist(), own["alert"].tolist()
            outlooks.append(Outlook(str(row[MACHINE]), row["component"], hours.tolist(), *drawn))
    return outlooks


def _read_health(folder: Path, made: Mapping[str, Any] | None) -> Page:
    from pdm_cli.report.health_page import HealthFacts, compose_health_page

    summary = _read_json(folder / STAGES["health"].summary)
    rows = [*summary["ranking"], *summary["latest_episodes"], *summary["nearest"]]
    machines = list(dict.fromkeys(row["machineID"] for row in rows))[:_MOST_COURSES]
    return compose_health_page(HealthFacts(summary, _read_courses(folder, machines), made, _hash_files(folder)))


def _read_courses(folder: Path, machines: list[Any]) -> list[Course]:
    """Return the last months of the health of machines."""
    import pandas as pd

    from pdm_cli.report.health_page import Course

    frame = _read_table(folder, HEALTH, (MACHINE, TIME, "health", "alarm"))
    courses = []
    for machine in machines:
        own = frame[frame[MACHINE] == machine]
        hours = (own[TIME] - own[TIME].max()) / pd.Timedelta(hours=1)
        is_drawn = hours >= -24 * _COURSE_DAYS
        own, hours = own[is_drawn], hours[is_drawn]
        if len(own) > 1:
            courses.append(Course(str(machine), hours.tolist(), own["health"].tolist(), own["alarm"].tolist()))
    return courses


def _read_table(folder: Path, table: Table, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of a table of a folder."""
    from pdm_cli.io import parquet

    path = folder / table.file
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    there = parquet.open_file(path).schema_arrow.names
    missing = [name for name in columns if name not in there]
    if missing:
        raise ModelError(f"{path}: no column {missing[0]!r}", hint=_AGAIN)
    return parquet.read_frame(path, columns)


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _hash_files(folder: Path) -> dict[str, str]:
    """Return the hashes of the files that are identical for identical inputs.

    Left out: files with durations, the manifest, which lists them all, and the report itself.
    """
    from pdm_cli.io import manifest
    from pdm_cli.report.page import REPORT_FILE

    own = (manifest.MANIFEST_FILE, REPORT_FILE, *_TIMED_FILES)
    # Hidden files belong to other runs in progress.
    files = [path for path in folder.iterdir() if path.is_file() and path.name not in own and path.name[0] != "."]
    return {path.name: manifest.hash_file(path)["sha256"] for path in files}
