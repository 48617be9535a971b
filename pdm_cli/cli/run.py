"""``pdm run``: the three stages in order; unchanged stages are reused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pdm_cli.cli.help import flag
from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.run import run_stages
from pdm_cli.pipeline.stages import CHAIN, STAGES, list_sections
from pdm_cli.settings.model import Settings

Force = Annotated[bool, flag("--force", text="Run unchanged stages again.")]


@with_settings(*list_sections(CHAIN))
def run(
    *,
    data: Annotated[str, input_port("data", "Folder of raw tables.")],
    out: Out,
    force: Force = False,
    overwrite: Overwrite = False,  # noqa: ARG001 - stages replace their own output; pdm submit uses it
    settings: Settings,
    screen: Screen,
) -> None:
    """Run all stages from raw tables to a trained model.

    Reuses stages whose inputs, settings and code are unchanged.

    Example: pdm run --data raw --out work
    """
    from pdm_cli.cli.render.results import draw_metrics

    metrics = run_stages(data, out, settings=settings, progress=screen, force=force)
    model = str(Path(out) / STAGES["train"].folder)
    screen.result({**metrics, "out": model}, lambda: [*draw_metrics(metrics), model])
    screen.suggest("pdm", "predict", "--data", data, "--model", model, "--out", "predictions")
