"""The work list of a forecast, with its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.io.bundle import Bundle
    from pdm_cli.pipeline.score import Forecast

# With fewer lines on the work list it is told what comes next, as many lines again.
_LITTLE_WORK = 3
_MOST_NEAREST = 3


def rank(loaded: Bundle, forecast: Forecast) -> pd.DataFrame:
    """Return what to see to now, and why."""
    from pdm_cli.scoring.worklist import rank_work

    labels, events = loaded.recipe.settings.labels, forecast.context.sources.events
    worklist = rank_work(
        forecast.context.instants,
        forecast.probabilities,
        forecast.alerts,
        loaded.model.components,
        renewals=[events[name] for name in ("maint", "failures") if name in events],
        lead_time_hours=labels.lead_time_hours,
        horizon_hours=labels.horizon_hours,
    )
    return worklist.assign(reasons=_tell_reasons(loaded, forecast, worklist))


def look_nearest(loaded: Bundle, forecast: Forecast, worklist: pd.DataFrame) -> pd.DataFrame:
    """Return what is nearest to an alert where the work list says little; no row where it says enough."""
    from pdm_cli.scoring.worklist import find_nearest

    return find_nearest(
        forecast.context.instants,
        forecast.probabilities,
        loaded.model.components,
        worklist,
        thresholds=[rule.on for rule in loaded.model.rules],
        horizon_hours=loaded.recipe.settings.labels.horizon_hours,
        most=_MOST_NEAREST if len(worklist) < _LITTLE_WORK else 0,
    )


def _tell_reasons(loaded: Bundle, forecast: Forecast, worklist: pd.DataFrame) -> list[str]:
    import numpy as np
    import pandas as pd

    from pdm_cli.features.describe import describe_feature, feature_topic
    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.schema import MACHINE, TIME
    from pdm_cli.scoring.explanation import row_until, top_reasons, typical_values

    instants, table = forecast.context.instants, forecast.table
    codes = instants.machines.get_indexer(pd.Index(worklist[MACHINE])).tolist()
    times = to_microseconds(worklist[TIME]).tolist()
    rows = np.array([row_until(instants, *each) for each in zip(codes, times, strict=True)], np.intp)
    columns = [loaded.model.components.index(name) for name in worklist["component"]]
    added = loaded.model.explain(table, rows)[np.arange(len(rows)), columns]
    values = table.matrix(table.names, rows)
    reasons = top_reasons(
        added, table.names, values, categories=loaded.recipe.vocabulary.categories, topic_of=feature_topic
    )
    usual = typical_values(loaded.fingerprint, loaded.recipe.categorical)
    return [
        "; ".join(describe_feature(each.name, each.value, typical=usual[each.name].median) for each in row)
        for row in reasons
    ]
