"""``pdm preprocess``: raw tables to prepared tables."""

from __future__ import annotations

from typing import Annotated

from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings

_STAGE = STAGES["preprocess"]


@with_settings(*_STAGE.sections)
def preprocess(
    *,
    data: Annotated[str, input_port("data", "Folder of raw tables; only telemetry is required.")],
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Clean raw tables, put telemetry on a regular time grid, and compute rolling features.

    Example: pdm preprocess --data raw --out prepared
    """
    from pdm_cli.cli.render.results import draw_summary
    from pdm_cli.pipeline.execute import execute

    quality = execute(_STAGE, {"data": data}, out, settings=settings, progress=screen, overwrite=overwrite)
    screen.result({**quality, "schema": "pdm.preprocess/1", "out": out}, lambda: [*draw_summary(_STAGE, quality), out])
    screen.suggest("pdm", "detect-anomalies", "--prepared", out, "--out", "anomalies")
