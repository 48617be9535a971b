"""``pdm evaluate``: score a model on labelled raw tables that it has not seen, with gates for CI."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pdm_cli.commands.options import input_port, with_settings
from pdm_cli.commands.stages import STAGES
from pdm_cli.errors import GateNotMet, NotEnoughData, UsageError
from pdm_cli.params import Settings
from pdm_cli.report.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.bundle import Bundle
    from pdm_cli.commands.forecast import Forecast
    from pdm_cli.core.features import Sources
    from pdm_cli.core.gates import Gate
    from pdm_cli.core.judging import PredictedSpan


@with_settings("columns", "preprocess", "evaluate")
def evaluate(
    *,
    data: Annotated[str, input_port("data", "Raw tables with the failures that came.")],
    model: Annotated[str, input_port("model", "Model folder, written by pdm train.")],
    settings: Settings,
    screen: Screen,
) -> None:
    """Score a model on raw tables with known failures: other machines, or later time.

    Of machines that the model was trained on, only what came after its test start is looked at.

    Example: pdm evaluate --model model --data raw --fail-on "ap<0.9"
    """
    from pdm_cli import bundle
    from pdm_cli.commands.execution import check_inputs
    from pdm_cli.commands.forecast import make_forecast
    from pdm_cli.report.results import draw_metrics

    gates = _parse_gates(settings.evaluate.fail_on)
    folders = check_inputs(STAGES["predict"], {"data": data, "model": model})
    loaded = bundle.load(folders["model"])
    with tempfile.TemporaryDirectory(prefix="pdm-evaluate-") as work:
        forecast = make_forecast(loaded, folders["data"], Path(work), settings=settings, screen=screen)
        metrics = _score(loaded, forecast, screen)
    failing = [gate for gate in gates if gate.fails(metrics)]
    for gate in gates:
        if gate not in failing:
            screen.say(f"evaluate: passes --fail-on {_tell(gate, metrics)}")
    # With --json stdout is one object: that of the error, which then holds the metrics.
    if not (failing and screen.as_json):
        screen.result(metrics, lambda: draw_metrics(metrics))
    _refuse(failing, metrics)


def _score(loaded: Bundle, forecast: Forecast, screen: Screen) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.core.events import Instants
    from pdm_cli.core.judging import PredictedSpan, judge_span
    from pdm_cli.core.labels import label_failures, last_stamps
    from pdm_cli.schema import MACHINE

    recipe, context, components = loaded.recipe, forecast.context, loaded.model.components
    instants = context.instants
    failures = _find_failures(context.sources, components, screen)
    rows = _unseen_rows(loaded, instants, screen)
    lead, ends = recipe.settings.labels, last_stamps(context.sources.telemetry)
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
    metrics = judge_span(
        span,
        components,
        loaded.model.rules,
        lead=lead,
        costs=recipe.settings.costs,
        lives={},
        merge_hours=recipe.settings.train.merge_hours,
        seed=recipe.settings.train.seed,
    )
    return {"schema": "pdm.evaluate/1", **metrics, "split": _describe_split(loaded, span)}


def _find_failures(sources: Sources, components: Sequence[str], screen: Screen) -> pd.DataFrame:
    if "failures" not in sources.events:
        raise NotEnoughData("failures.parquet: evaluate needs the failures that came", hint="give their log")
    failures = sources.events["failures"].rename(columns={"kind": "failure"})
    strangers = sorted(set(failures["failure"]) - set(components))
    if strangers:
        screen.say(f"evaluate: failures of {', '.join(strangers)} are left out: the model does not know of them")
    return failures


def _describe_split(loaded: Bundle, span: PredictedSpan) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.core.stamps import show

    labels, trained = loaded.recipe.settings.labels, loaded.recipe.trained
    return {
        "cutoff": trained["cutoff"],
        "test_start": show(int(span.rows.times.min())),
        "test_end": show(int(span.rows.times.max())),
        "test_rows": int((~np.isnan(span.labels[:, 0])).sum()),
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
    }


def _unseen_rows(loaded: Bundle, instants: Any, screen: Screen) -> NDArray[np.bool_]:
    """Return the rows that the model has not learned from."""
    import numpy as np

    from pdm_cli.commands.forecast import find_trained
    from pdm_cli.core.stamps import read_stamp

    trained, split = loaded.recipe.trained, loaded.recipe.settings.train.split
    cutoff, start = (read_stamp(trained[name]) for name in ("cutoff", "test_start"))
    is_later = (instants.times > cutoff) & (instants.times >= start)
    is_trained = find_trained(loaded.recipe, instants.machines)
    rows = np.ones(len(instants.times), np.bool_)
    if is_trained.any() and not is_trained.all() and split != "time":
        rows = ~is_trained[instants.codes] & (is_later if split == "both" else True)
        screen.say(f"evaluate: only the {(~is_trained).sum():,} machines that the model was not trained on are scored")
    elif is_trained.any():
        rows = is_later
        since = trained["test_start"] if start > cutoff else trained["cutoff"]
        screen.say(f"evaluate: machines of the training are in the data: only rows from {since} UTC on are scored")
    if not rows.any():
        raise NotEnoughData(
            "telemetry.parquet: no row that the model has not seen: it knows its machines up to "
            f"{trained['cutoff']} UTC, and its test starts at {trained['test_start']} UTC",
            hint="give later telemetry or other machines",
        )
    return rows


def _parse_gates(conditions: tuple[str, ...]) -> list[Gate]:
    from pdm_cli.core.gates import parse_gate

    try:
        return [parse_gate(condition) for condition in conditions]
    except ValueError as exc:
        raise UsageError(f"--fail-on: {exc}", hint='such as --fail-on "ap<0.9"') from exc


def _refuse(failing: list[Gate], metrics: dict[str, Any]) -> None:
    """Fail where a condition holds, and name all that do.

    Raises
    ------
    GateNotMet
        If the model does not pass.
    """
    if failing:
        told = ", ".join(_tell(gate, metrics) for gate in failing)
        is_told = any(gate.read(metrics) is not None for gate in failing)
        worse = "the model does not pass: see which component is worst, and train again on newer data"
        hint = worse if is_told else "give data with failures, and a span long enough to judge them"
        raise GateNotMet(f"--fail-on {told}", hint=hint, metrics=metrics)


def _tell(gate: Gate, metrics: dict[str, Any]) -> str:
    value = gate.read(metrics)
    return f"{gate} ({gate.metric} " + ("cannot be told)" if value is None else f"is {value:.4g})")
