"""``pdm train``: prepared tables (and causal anomalies) to a model folder with held-out metrics."""

from __future__ import annotations

from typing import Annotated

from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings

_STAGE = STAGES["train"]


@with_settings(*_STAGE.sections)
def train(
    *,
    prepared: Annotated[str, input_port("prepared", "Output folder of pdm preprocess.")],
    anomalies: Annotated[
        str | None, input_port("anomalies", "Output folder of pdm detect-anomalies (causal mode).")
    ] = None,
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Train a model that predicts component failures, and evaluate it on held-out data.

    Searches algorithms, features and hyper-parameters with time-ordered cross-validation, unless --fast is given.

    Example: pdm train --prepared prepared --anomalies anomalies --out model
    """
    from pdm_cli.cli.render.results import draw_summary
    from pdm_cli.pipeline.execute import execute

    inputs = {"prepared": prepared, "anomalies": anomalies}
    metrics = execute(_STAGE, inputs, out, settings=settings, progress=screen, overwrite=overwrite)
    screen.result({**metrics, "out": out}, lambda: [*draw_summary(_STAGE, metrics), out])
