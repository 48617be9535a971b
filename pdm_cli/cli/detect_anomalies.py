"""``pdm detect-anomalies``: prepared telemetry to a table of anomalies."""

from __future__ import annotations

from typing import Annotated

from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings

_STAGE = STAGES["detect-anomalies"]


@with_settings(*_STAGE.sections)
def detect_anomalies(
    *,
    prepared: Annotated[str, input_port("prepared", "Output folder of pdm preprocess.")],
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Detect anomalous readings per machine and sensor with Seasonal Hybrid ESD.

    Causal mode compares each reading with earlier ones only, so that the anomalies can be features of a model. Batch
    mode uses the whole series, like Twitter's R package.

    Example: pdm detect-anomalies --prepared prepared --out anomalies
    """
    from pdm_cli.cli.render.results import draw_summary
    from pdm_cli.pipeline.execute import execute

    summary = execute(_STAGE, {"prepared": prepared}, out, settings=settings, progress=screen, overwrite=overwrite)
    payload = {**summary, "schema": "pdm.detect-anomalies/1", "out": out}
    screen.result(payload, lambda: [*draw_summary(_STAGE, summary), out])
    if summary["causal"]:
        screen.suggest("pdm", "train", "--prepared", prepared, "--anomalies", out, "--out", "model")
