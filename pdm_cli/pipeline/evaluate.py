"""Evaluate a model on raw tables with known failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.errors import NotEnoughData
from pdm_cli.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.evaluation.evaluate import PredictedSpan
    from pdm_cli.features.build import Sources
    from pdm_cli.io.bundle import Bundle
    from pdm_cli.pipeline.score import Forecast


def _score(loaded: Bundle, forecast: Forecast, progress: Progress) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.evaluation.evaluate import EvaluationSettings, PredictedSpan, evaluate_span
    from pdm_cli.features.events import Instants
    from pdm_cli.features.labels import label_failures, last_times
    from pdm_cli.schema import MACHINE

    recipe, context, components = loaded.recipe, forecast.context, loaded.model.components
    instants = context.instants
    failures = _find_failures(context.sources, components, progress)
    rows = _unseen_rows(loaded, instants, progress)
    lead, ends = recipe.settings.labels, last_times(context.sources.telemetry)
    labels = label_failures(instants, failures, components, ends=ends, params=lead)
    if np.isnan(labels[rows]).all():
        told = f"telemetry.parquet: no row with a horizon of {lead.horizon_hours:g} h of data after it"
        raise NotEnoughData(told, hint="give later telemetry")
    seen = Instants(instants.machines, instants.codes[rows], instants.times[rows])
    scored = instants.machines[np.unique(seen.codes)]
    span = PredictedSpan(
        seen,
        labels[rows],
        forecast.probabilities[rows],
        forecast.alerts[rows],
        failures[failures[MACHINE].isin(scored)],
        instants.ends(),
    )
    train = recipe.settings.train
    settings = EvaluationSettings(lead, recipe.settings.costs, train.merge_hours, train.seed)
    metrics = evaluate_span(span, components, loaded.model.rules, lives={}, settings=settings)
    return {"schema": "pdm.evaluate/1", **metrics, "split": _describe_split(loaded, span)}


def _find_failures(sources: Sources, components: Sequence[str], progress: Progress) -> pd.DataFrame:
    if "failures" not in sources.events:
        raise NotEnoughData("failures.parquet: evaluate needs the failures that came", hint="give their log")
    failures = sources.events["failures"].rename(columns={"kind": "failure"})
    strangers = sorted(set(failures["failure"]) - set(components))
    if strangers:
        progress.info(f"evaluate: ignoring failures of {', '.join(strangers)}, which the model does not predict")
    return failures


def _describe_split(loaded: Bundle, span: PredictedSpan) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.timestamps import show

    labels, trained = loaded.recipe.settings.labels, loaded.recipe.trained
    return {
        "cutoff": trained["cutoff"],
        "test_start": show(int(span.rows.times.min())),
        "test_end": show(int(span.rows.times.max())),
        "test_rows": int((~np.isnan(span.labels[:, 0])).sum()),
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
    }


def _unseen_rows(loaded: Bundle, instants: Any, progress: Progress) -> NDArray[np.bool_]:
    """Return the rows that the model has not learned from."""
    import numpy as np

    from pdm_cli.pipeline.score import find_trained
    from pdm_cli.timestamps import read_stamp

    trained, split = loaded.recipe.trained, loaded.recipe.settings.train.split
    cutoff, start = (read_stamp(trained[name]) for name in ("cutoff", "test_start"))
    is_later = (instants.times > cutoff) & (instants.times >= start)
    is_trained = find_trained(loaded.recipe, instants.machines)
    rows = np.ones(len(instants.times), np.bool_)
    if is_trained.any() and not is_trained.all() and split != "time":
        rows = ~is_trained[instants.codes] & (is_later if split == "both" else True)
        count = int((~is_trained).sum())
        progress.info(f"evaluate: scoring only the {count:,} machines that the model was not trained on")
    elif is_trained.any():
        rows = is_later
        since = trained["test_start"] if start > cutoff else trained["cutoff"]
        progress.info(f"evaluate: the data includes machines of the training: scoring only rows from {since} UTC on")
    if not rows.any():
        raise NotEnoughData(
            "telemetry.parquet: no row that the model has not seen: it knows its machines up to "
            f"{trained['cutoff']} UTC, and its test starts at {trained['test_start']} UTC",
            hint="give later telemetry or other machines",
        )
    return rows
