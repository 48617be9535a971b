"""``pdm evaluate``: score a model on labelled raw tables that it has not seen, with gates for CI."""

from __future__ import annotations

from typing import Annotated

from pdm_cli.cli.options import input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.settings.model import Settings


@with_settings("columns", "preprocess", "alerts", "evaluate", has_model=True)
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
    from pdm_cli.pipeline.evaluate import check_gates, parse_gates
    from pdm_cli.pipeline.evaluate import evaluate as evaluate_model

    gates = parse_gates(settings.evaluate.fail_on)
    metrics = evaluate_model(data, model, settings=settings, progress=screen)
    error = check_gates(gates, metrics, screen)
    # With --json stdout is one object: that of the error, which includes the metrics.
    if error is None or not screen.as_json:
        screen.result(metrics, lambda: draw_metrics(metrics))
    if error is not None:
        raise error
