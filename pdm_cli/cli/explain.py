"""``pdm explain``: what drove the probability of one machine at one time."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from pdm_cli.cli.options import DATA_PANEL, OUTPUT_PANEL, input_port, number, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import DataError, UsageError
from pdm_cli.pipeline.explain import _describe_before, _describe_reasons, _describe_row, _find_row
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings


@with_settings("columns", "preprocess")
def explain(
    *,
    model: Annotated[str, input_port("model", "Output folder of pdm train.")],
    data: Annotated[str, input_port("data", "Folder of raw tables, in the format of the training data.")],
    machine: Annotated[
        str, typer.Option("--machine", help="Machine to explain.", metavar="NAME", rich_help_panel=DATA_PANEL)
    ],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="Time of the prediction (UTC).",
            metavar="TIME",
            show_default="latest",
            rich_help_panel=DATA_PANEL,
        ),
    ] = None,
    component: Annotated[
        str | None,
        typer.Option(
            "--component",
            help="Component to explain.",
            metavar="NAME",
            show_default="most likely to fail",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    top: Annotated[int, number("--top", text="Number of features to list.", min=1, max=1000)] = 8,
    settings: Settings,
    screen: Screen,
) -> None:
    """Explain a prediction: top features, their typical values, and the preceding days.

    Example: pdm explain --model model --data raw --machine 42 --at 2015-10-01
    """
    from pdm_cli.cli.render.explanation import draw_explanation
    from pdm_cli.io import bundle
    from pdm_cli.pipeline.runner import check_inputs
    from pdm_cli.pipeline.score import make_forecast

    time_us = None if at is None else _parse_time(at)
    folders = check_inputs(STAGES["predict"], {"data": data, "model": model})
    loaded = bundle.load(folders["model"])
    if component is not None and component not in loaded.model.components:
        known = ", ".join(loaded.model.components)
        raise DataError(f"--component {component}: not in the model", hint=f"the model knows {known}")
    with tempfile.TemporaryDirectory(prefix="pdm-explain-") as work:
        forecast = make_forecast(loaded, folders["data"], Path(work), settings=settings, progress=screen)
    row = _find_row(loaded, forecast, machine, time_us, screen)
    payload = {
        "schema": "pdm.explain/1",
        **_describe_row(loaded, forecast, row),
        **_describe_reasons(loaded, forecast, row, component, top),
        "before": _describe_before(loaded, forecast, row),
    }
    screen.result(payload, lambda: draw_explanation(payload))


def _parse_time(text: str) -> int:
    from pdm_cli.timestamps import microseconds

    try:
        return microseconds(datetime.fromisoformat(text))
    except ValueError as exc:
        raise UsageError(f"--at: {text!r} is not a time", hint="such as 2015-10-01T06:00") from exc
