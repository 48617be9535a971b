"""``pdm predict``: new raw tables and a model to probabilities, alerts and a ranked work list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings

_STAGE = STAGES["predict"]


@with_settings(*_STAGE.sections, has_model=True)
def predict(
    *,
    data: Annotated[str, input_port("data", "Folder of new raw tables, in the format of the training data.")],
    model: Annotated[str, input_port("model", "Output folder of pdm train.")],
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Predict failures from new raw tables: probabilities, alerts, and a ranked work list.

    Example: pdm predict --data raw --model model --out predictions
    """
    from pdm_cli.cli.render.results import draw_summary
    from pdm_cli.pipeline.ended_alerts import mark_ended_alerts
    from pdm_cli.pipeline.execute import execute

    inputs = {"data": data, "model": model}
    summary = execute(_STAGE, inputs, out, settings=settings, progress=screen, overwrite=overwrite)
    screen.result({**summary, "out": out}, lambda: [*draw_summary(_STAGE, mark_ended_alerts(Path(out), summary)), out])
    if summary["worklist"]:
        first = summary["worklist"][0]
        row = ["--machine", first["machineID"], "--at", first["datetime"][:16]]
        if settings.alerts.alarm_budget is not None:
            row += ["--alarm-budget", settings.alerts.alarm_budget]
        screen.suggest("pdm", "explain", "--data", data, "--model", model, *row)
