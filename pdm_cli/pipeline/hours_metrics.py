"""Metrics of the hours to failure that a model predicts for a test span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pdm_cli.evaluation.evaluate import PredictedSpan
    from pdm_cli.features.table import FeatureTable
    from pdm_cli.io.bundle import Bundle


def measure_hours(
    saved: Bundle, table: FeatureTable, span: PredictedSpan, rows: NDArray[np.intp]
) -> tuple[dict[str, Any], NDArray[np.float64]] | tuple[None, None]:
    """Return the metrics of the hours to failure and of each horizon, and the hours of each row and component.

    ``None`` for both if the model is of an older version.

    Parameters
    ----------
    saved : Bundle
        The model.
    table : FeatureTable
        Features of all rows.
    span : PredictedSpan
        Predictions and truth.
    rows : int array
        Positions of the rows of the span.
    """
    import numpy as np

    from pdm_cli.evaluation.failure_times import evaluate_horizon, evaluate_hours
    from pdm_cli.evaluation.remaining_life import evaluate_life

    hazard, components = saved.hazard, saved.model.components
    if hazard is None:
        return None, None
    lead = saved.recipe.settings.labels
    spread = [hazard.spread(column, span.probabilities[:, column], table, rows) for column in range(len(components))]
    hours = np.stack([hazard.quantiles(*each) for each in spread], axis=1)
    horizons = []
    for horizon in sorted({each for own, _ in spread for each in own}):
        probabilities = np.stack(
            [found[:, own.index(horizon)] if horizon in own else np.full(len(rows), np.nan) for own, found in spread],
            axis=1,
        )
        horizons.append(evaluate_horizon(span, components, probabilities, lead=lead, hours=horizon))
    life = None
    if len(components) == 1:
        own, found = spread[0]
        unit = saved.recipe.units.cycle_hours or 1.0
        life = evaluate_life(span, hazard.mean(own, found), hours[:, 0], cap_hours=own[-1], unit_hours=unit)
    metrics = {**evaluate_hours(span, components, hours, lead=lead), "horizons": horizons, "remaining_life": life}
    return metrics, hours
