"""``pdm run``: the three stages in order, the last one by whether failures are known; unchanged stages are reused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pdm_cli.cli.help import flag
from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.run import run_stages
from pdm_cli.pipeline.stages import CHAIN, HEALTH_CHAIN, STAGES, list_sections
from pdm_cli.settings.model import Settings

Force = Annotated[bool, flag("--force", text="Run unchanged stages again.")]


@with_settings(*list_sections((*CHAIN, *HEALTH_CHAIN)))
def run(
    *,
    data: Annotated[str, input_port("data", "Folder of raw tables.")],
    out: Out,
    force: Force = False,
    overwrite: Overwrite = False,  # noqa: ARG001 - stages replace their own output; pdm submit uses it
    settings: Settings,
    screen: Screen,
) -> None:
    """Run all stages from raw tables to a trained model (without failures: health).

    Reuses stages whose inputs, settings and code are unchanged.

    Example: pdm run --data raw --out work
    """
    from pdm_cli.cli.render.results import draw_summary

    summary = run_stages(data, out, settings=settings, progress=screen, force=force)
    stage = STAGES["health" if summary["schema"].startswith("pdm.health/") else "train"]
    folder = str(Path(out) / stage.folder)
    screen.result({**summary, "out": folder}, lambda: [*draw_summary(stage, summary), folder])
    if stage.command == "train":
        screen.suggest("pdm", "predict", "--data", data, "--model", folder, "--out", "predictions")
