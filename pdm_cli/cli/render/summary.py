"""A stage's summary, drawn the way its command shows it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pdm_cli.pipeline.stages import Stage

if TYPE_CHECKING:
    from rich.console import RenderableType

# ``module:function`` below this package; imported when a summary is shown.
DRAWINGS = {
    "preprocess": "results:draw_quality",
    "detect-anomalies": "results:draw_anomalies",
    "train": "results:draw_metrics",
    "predict": "forecast:draw_forecast",
}


def draw_summary(stage: Stage, summary: dict[str, Any]) -> list[RenderableType]:
    """Draw a stage's summary."""
    module, _, function = DRAWINGS[stage.command].partition(":")
    drawn: list[RenderableType] = getattr(import_module(f"pdm_cli.cli.render.{module}"), function)(summary)
    return drawn
