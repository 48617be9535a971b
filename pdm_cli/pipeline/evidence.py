"""What the report of a model shows beside metrics and predictions, gathered while the data are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.pipeline.stages import QUALITY_FILE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pdm_cli.evaluation.evaluate import PredictedSpan
    from pdm_cli.features.table import FeatureTable
    from pdm_cli.models.ensemble import TrainedModel
    from pdm_cli.pipeline.prepared import Made
    from pdm_cli.training.dataset import Problem

EVIDENCE_FILE = "report.json"
SCHEMA = "pdm.report/1"
# Shapley values of more rows take their time and change little.
_ROWS_EXPLAINED = 240


def gather(
    prepared: Path, problem: Problem, model: TrainedModel, table: FeatureTable, span: PredictedSpan, made: Made
) -> dict[str, Any]:
    """Return what was found in the data, warning times, important features, and time lines of failures.

    Parameters
    ----------
    prepared : Path
        Prepared tables; what preprocess found is told where it is there.
    problem, model, table : Problem, TrainedModel, FeatureTable
        What was learned, and the features of all rows.
    span : PredictedSpan
        Predictions of the test span.
    made : Made
        How the anomalies were found.
    """
    from pdm_cli.evaluation.evaluate import list_warnings

    quality = prepared / QUALITY_FILE
    warnings = list_warnings(span, problem.components, lead=problem.lead)
    return {
        "schema": SCHEMA,
        "data": json.loads(quality.read_text(encoding="utf-8")) if quality.is_file() else None,
        "warnings": _count_warnings(warnings, problem),
        "importance": _rank_features(problem, model, table),
        "smooth_hours": made.settings.detect.smooth,
        "timelines": _cut_timelines(warnings, problem, span),
    }


def _count_warnings(warnings: pd.DataFrame, problem: Problem) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.evaluation.curves import count_warnings

    hours = warnings["warning_hours"].to_numpy(np.float64)
    edges, counts = count_warnings(hours, horizon_hours=problem.lead.horizon_hours)
    return {"edges_hours": edges.tolist(), "failures": counts, "missed": int(np.isnan(hours).sum())}


def _rank_features(problem: Problem, model: TrainedModel, table: FeatureTable) -> dict[str, Any]:
    from pdm_cli.evaluation.importance import draw_rows, rank_features

    is_ahead: np.ndarray[Any, Any] = (problem.labels == 1).any(axis=1)
    tested = problem.test_rows(problem.split)
    rows = draw_rows(tested, is_ahead, count=_ROWS_EXPLAINED, seed=problem.train.seed)
    features = rank_features(model.explain(table, rows), table.names, problem.components)
    return {"rows": len(rows), "rows_before_failure": int(is_ahead[rows].sum()), "features": features}


def _cut_timelines(warnings: pd.DataFrame, problem: Problem, span: PredictedSpan) -> dict[str, Any]:
    from pdm_cli.evaluation.timelines import Surroundings, choose_failures, cut_timeline

    context = problem.context
    around = Surroundings(
        context.sources.telemetry,
        context.scores,
        context.sources.events.get("anomalies"),
        span,
        problem.components,
        problem.lead.horizon_hours,
    )
    chosen = choose_failures(warnings)
    return {what: cut_timeline(warnings.iloc[position], around) for what, position in chosen.items()}
