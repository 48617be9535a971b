"""``pdm detect-anomalies``: prepared telemetry to a table of anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pdm_cli.cli.options import Out, Overwrite, input_port, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    pass

_STAGE = STAGES["detect-anomalies"]


@with_settings(*_STAGE.sections)
def detect_anomalies(
    *,
    prepared: Annotated[str, input_port("prepared", "Prepared tables, written by pdm preprocess.")],
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Find anomalous readings of every machine and sensor with Seasonal Hybrid ESD.

    Mode causal judges each reading by earlier ones, so that the anomalies may become features of a model. Mode batch
    looks at the whole series, as Twitter's R package does.

    Example: pdm detect-anomalies --prepared prepared --out anomalies
    """
    from pdm_cli.cli.render.summary import draw_summary
    from pdm_cli.pipeline.runner import execute

    summary = execute(_STAGE, {"prepared": prepared}, out, settings=settings, progress=screen, overwrite=overwrite)
    payload = {**summary, "schema": "pdm.detect-anomalies/1", "out": out}
    screen.result(payload, lambda: [*draw_summary(_STAGE, summary), out])
    if summary["causal"]:
        screen.suggest("pdm", "train", "--prepared", prepared, "--anomalies", out, "--out", "model")
