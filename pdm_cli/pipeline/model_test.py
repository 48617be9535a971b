"""Results of a model in the test of its training, for the caveats of its predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pdm_cli.pipeline.stages import STAGES

_KEYS = ("failures", "caught", "caught_by_chance", "chance_p_value")


def read_test(model: Path) -> dict[str, dict[str, Any]]:
    """Return failures, those caught, and those caught by chance, of each component that can alert.

    Parameters
    ----------
    model : Path
        A model folder. Without its metrics, or with those of an earlier version, the result is empty.
    """
    try:
        metrics = json.loads((model / STAGES["train"].summary).read_text(encoding="utf-8"))
        return {
            name: {key: row["events"][key] for key in _KEYS}
            for name, row in metrics["components"].items()
            if not (row["prior_only"] or row["no_signs"])
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Predictions do without the metrics.
        return {}
