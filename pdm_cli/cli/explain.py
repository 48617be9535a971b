"""``pdm explain``: what drove the probability of one machine at one time."""

from __future__ import annotations

from typing import Annotated

import typer

from pdm_cli.cli.help import DATA_PANEL, OUTPUT_PANEL
from pdm_cli.cli.options import input_port, number, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.settings.model import Settings


@with_settings("columns", "preprocess", "alerts", has_model=True)
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
    from pdm_cli.pipeline.explain import Question, parse_time
    from pdm_cli.pipeline.explain import explain as explain_prediction

    question = Question(machine, None if at is None else parse_time(at), component, top)
    payload = explain_prediction(data, model, question, settings=settings, progress=screen)
    screen.result(payload, lambda: draw_explanation(payload))
