"""``pdm evaluate``: score a model on labelled raw tables that it has not seen, with gates for CI."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pdm_cli.cli.options import input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import GateNotMet, UsageError
from pdm_cli.pipeline.evaluate import _score
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    from pdm_cli.evaluation.gates import Gate


@with_settings("columns", "preprocess", "evaluate")
def evaluate(
    *,
    data: Annotated[str, input_port("data", "Folder of raw tables, with failures.")],
    model: Annotated[str, input_port("model", "Output folder of pdm train.")],
    settings: Settings,
    screen: Screen,
) -> None:
    """Evaluate a model on raw tables with known failures: other machines, or later data.

    For machines in the training data, only data after the start of the test span count.

    Example: pdm evaluate --model model --data raw --fail-on "ap<0.9"
    """
    from pdm_cli.cli.render.results import draw_metrics
    from pdm_cli.io import bundle
    from pdm_cli.pipeline.runner import check_inputs
    from pdm_cli.pipeline.score import make_forecast

    gates = _parse_gates(settings.evaluate.fail_on)
    folders = check_inputs(STAGES["predict"], {"data": data, "model": model})
    loaded = bundle.load(folders["model"])
    with tempfile.TemporaryDirectory(prefix="pdm-evaluate-") as work:
        forecast = make_forecast(loaded, folders["data"], Path(work), settings=settings, progress=screen)
        metrics = _score(loaded, forecast, screen)
    failing = [gate for gate in gates if gate.fails(metrics)]
    for gate in gates:
        if gate not in failing:
            screen.info(f"evaluate: passes --fail-on {_tell(gate, metrics)}")
    # With --json stdout is one object: that of the error, which then holds the metrics.
    if not (failing and screen.as_json):
        screen.result(metrics, lambda: draw_metrics(metrics))
    _refuse(failing, metrics)


def _parse_gates(conditions: tuple[str, ...]) -> list[Gate]:
    from pdm_cli.evaluation.gates import parse_gate

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
