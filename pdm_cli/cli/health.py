"""``pdm health``: prepared tables to a health index per machine, without a log of failures."""

from __future__ import annotations

from typing import Annotated

from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings

_STAGE = STAGES["health"]


@with_settings(*_STAGE.sections)
def health(
    *,
    prepared: Annotated[str, input_port("prepared", "Output folder of pdm preprocess.")],
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Measure the health of machines without a log of failures, and rank those with an alarm.

    Each machine is compared with its own past. The first part of the log defines normal operation and calibrates the
    alarms. pdm run uses this stage instead of train if there are no failures.

    Example: pdm health --prepared prepared --out health
    """
    from pdm_cli.cli.render.results import draw_summary
    from pdm_cli.pipeline.execute import execute

    summary = execute(_STAGE, {"prepared": prepared}, out, settings=settings, progress=screen, overwrite=overwrite)
    screen.result({**summary, "out": out}, lambda: [*draw_summary(_STAGE, summary), out])
