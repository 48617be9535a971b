"""Evaluate a model on raw tables with known failures, and check gates on its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import GateNotMet, NotEnoughData, UsageError
from pdm_cli.pipeline.score import Forecast, find_trained, score_folder
from pdm_cli.progress import Progress
from pdm_cli.settings.model import Settings
from pdm_cli.text import show_count, show_number
from pdm_cli.units import current, exact_time, show_hours, using, utc

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.evaluation.evaluate import PredictedSpan
    from pdm_cli.evaluation.gates import Gate


def evaluate(data: str | Path, model: str | Path, *, settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the metrics of a model on raw tables that it has not seen.

    Raises
    ------
    UsageError
        If a folder is missing.
    NotEnoughData
        If there is no failure log, or no row that the model has not seen.
    FeatureMismatch
        If the tables differ from those of the training.
    """
    import numpy as np

    from pdm_cli.evaluation.evaluate import EvaluationSettings, evaluate_span
    from pdm_cli.io import bundle
    from pdm_cli.pipeline.execute import check_inputs, find_units
    from pdm_cli.pipeline.hours_metrics import measure_hours
    from pdm_cli.pipeline.stages import STAGES
    from pdm_cli.pipeline.train import mark_silent
    from pdm_cli.settings.cycles import convert_cycles

    folders = check_inputs(STAGES["predict"], {"data": str(data), "model": str(model)})
    loaded = bundle.load(folders["model"])
    units = find_units(folders)
    settings = convert_cycles(settings, units)
    with using(units):
        forecast = score_folder(loaded, folders["data"], settings=settings, progress=progress)
        span, rows = _select_span(forecast, progress)
    trained = forecast.recipe.settings
    how = EvaluationSettings(trained.labels, trained.costs, trained.train.merge_hours)
    metrics = evaluate_span(span, forecast.components, forecast.bundle.model.rules, lives={}, settings=how)
    mark_silent(metrics, loaded)
    metrics["hours_to_failure"], _ = measure_hours(loaded, forecast.table, span, np.flatnonzero(rows))
    return {"schema": "pdm.evaluate/1", **metrics, "split": _describe_split(forecast, span), **units.summary()}


def parse_gates(conditions: Sequence[str]) -> list[Gate]:
    """Return the gates of ``--fail-on``.

    Raises
    ------
    UsageError
        If a condition is not one.
    """
    from pdm_cli.evaluation.gates import parse_gate

    try:
        return [parse_gate(condition) for condition in conditions]
    except ValueError as exc:
        raise UsageError(f"--fail-on: {exc}", hint='such as --fail-on "ap<0.9"') from exc


def check_gates(gates: Sequence[Gate], metrics: dict[str, Any], progress: Progress) -> GateNotMet | None:
    """Report the gates that the model passes, and return the error that names the others."""
    failing = [gate for gate in gates if gate.fails(metrics)]
    for gate in gates:
        if gate not in failing:
            progress.info(f"evaluate: passed --fail-on {_describe_gate(gate, metrics)}")
    if not failing:
        return None
    has_value = any(gate.read(metrics) is not None for gate in failing)
    hint = (
        "check the component with the lowest AP; newer training data may help"
        if has_value
        else "use data that has failures and spans enough time to evaluate them"
    )
    conditions = "; ".join(_describe_gate(gate, metrics) for gate in failing)
    return GateNotMet(f"failed --fail-on {conditions}", hint=hint, metrics=metrics)


def _describe_gate(gate: Gate, metrics: dict[str, Any]) -> str:
    value = gate.read(metrics)
    return f"{gate}: {gate.metric} is " + ("undefined" if value is None else show_number(value))


def _select_span(forecast: Forecast, progress: Progress) -> tuple[PredictedSpan, NDArray[np.bool_]]:
    """Return predictions, labels and failures of the rows that the model has not seen, and these rows."""
    import numpy as np

    from pdm_cli.evaluation.evaluate import PredictedSpan
    from pdm_cli.features.events import Instants
    from pdm_cli.features.labels import first_rows, follow_up, label_failures, last_readings
    from pdm_cli.schema import MACHINE

    instants, lead = forecast.instants, forecast.recipe.settings.labels
    failures = _find_failures(forecast, progress)
    rows = _select_unseen_rows(forecast, progress)
    telemetry = forecast.context.sources.telemetry
    known = follow_up(last_readings(telemetry), failures, instants.machines, params=lead)
    labels = label_failures(instants, failures, forecast.components, known=known, params=lead)[rows]
    if np.isnan(labels).all():
        raise NotEnoughData(
            f"telemetry.parquet: no row is followed by {show_hours(lead.horizon_hours)} of data, the horizon",
            hint="use later telemetry",
        )
    if not (labels == 1).any():
        progress.warn("no failure in the test span: AP, AUC and F1 cannot be computed")
    seen = Instants(instants.machines, instants.codes[rows], instants.times[rows])
    scored = instants.machines[np.unique(seen.codes)]
    span = PredictedSpan(
        seen,
        labels,
        forecast.probabilities[rows],
        forecast.alerts[rows],
        failures[failures[MACHINE].isin(scored)],
        known,
        first_rows(telemetry, instants.machines),
    )
    return span, rows


def _find_failures(forecast: Forecast, progress: Progress) -> pd.DataFrame:
    events = forecast.renewals
    if "failures" not in events:
        raise NotEnoughData("failures.parquet: missing; evaluate needs the known failures", hint="add the failure log")
    failures = events["failures"].rename(columns={"kind": "failure"})
    unknown = sorted(set(failures["failure"]) - set(forecast.components))
    if unknown:
        progress.info(f"evaluate: ignoring failures of {', '.join(unknown)}, which the model does not predict")
    return failures


def _select_unseen_rows(forecast: Forecast, progress: Progress) -> NDArray[np.bool_]:
    """Return the rows that the model was not trained on."""
    import numpy as np

    from pdm_cli.timestamps import read_stamp

    instants, recipe = forecast.instants, forecast.recipe
    trained, split = recipe.trained, recipe.settings.train.split
    cutoff, start = (read_stamp(trained[name]) for name in ("cutoff", "test_start"))
    is_later = (instants.times > cutoff) & (instants.times >= start)
    is_trained = find_trained(recipe, instants.machines)
    rows = np.ones(len(instants.times), np.bool_)
    if is_trained.any() and not is_trained.all() and split != "time":
        rows = ~is_trained[instants.codes] & (is_later if split == "both" else True)
        count = int((~is_trained).sum())
        progress.info(f"evaluate: scoring only the {show_count(count, 'machine')} that the model was not trained on")
    elif is_trained.any():
        rows = is_later
        since = f"{exact_time(start if start > cutoff else cutoff)}{utc()}"
        progress.info(f"evaluate: some machines were in the training data: scoring only rows from {since} on")
    if not rows.any():
        seen = "telemetry.parquet: the model has seen every row"
        if current().counts_cycles:
            # Machines have clocks of their own, so none of their data are later.
            raise NotEnoughData(seen, hint="use other machines")
        raise NotEnoughData(
            f"{seen}; it was trained on data up to {exact_time(cutoff)}{utc()}, and its test starts at "
            f"{exact_time(start)}{utc()}",
            hint="use later telemetry or other machines",
        )
    return rows


def _describe_split(forecast: Forecast, span: PredictedSpan) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.timestamps import show

    labels = forecast.recipe.settings.labels
    return {
        "cutoff": forecast.recipe.trained["cutoff"],
        "test_start": show(int(span.rows.times.min())),
        "test_end": show(int(span.rows.times.max())),
        "test_rows": int((~np.isnan(span.labels[:, 0])).sum()),
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
    }
