"""Quality and time of whole-process training, compared with plain baselines: ``python -m benchmarks.training``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.reference import raw_folder
from benchmarks.stages import SPLIT, measure

# All families except the template, which is estimated from past failures.
WITHOUT_TEMPLATE = "rolling,hours_since,counts,attributes,visits,cycle_places,shifts"
# The features of the older pipeline: rolling means and deviations, and hours since each type of event.
OLDER = "rolling,hours_since"

RUNS: dict[str, tuple[str, ...]] = {
    "train --fast": ("--fast",),
    "train, default budget": (),
    "logistic regression, same rows": ("--fast", "--algorithms", "logistic_regression"),
    "older features, same booster": ("--fast", "--families", OLDER),
    "without the fleet template": ("--fast", "--families", WITHOUT_TEMPLATE),
    "--fast, horizon 24 h": ("--fast", "--horizon-hours", "24"),
    "--fast, horizon 168 h": ("--fast", "--horizon-hours", "168"),
}
# On the reference set with this split and 48 h: the required scores, and those of a near-Bayes filter that knows the
# process that generated the data.
KNOWN = (
    ("bar", ">=.980", "", ">=.930", "<=.0011", "all", "all", "<=.10", "--fast <= 45"),
    ("ceiling", ".992", ".9999", ".953", ".0007", "", "", ".17", ""),
)
NAMES = ("", "AP", "AUC", "F1", "Brier", "caught", "24 h ahead", "false*", "seconds")


def row(name: str, metrics: dict[str, Any], seconds: float) -> tuple[str, ...]:
    macro, events = metrics["macro"], metrics["events"]
    scores = [f"{macro[key]:.4f}" for key in ("average_precision", "roc_auc", "f1")]
    caught = [f"{events[key]} of {events['failures']}" for key in ("caught", "caught_24h")]
    false = f"{events['false_alarms_per_machine_month']:.3f}"
    return name, *scores, f"{macro['brier']:.5f}", *caught, false, f"{seconds:.1f}"


def show(cells: tuple[str, ...]) -> None:
    print(f"{cells[0]:32}" + "".join(f"{cell:>13}" for cell in cells[1:]), flush=True)


def main() -> None:
    print(f"{' '.join(SPLIT)}, horizon 48 h unless stated otherwise; * false alarms per machine-month")
    for cells in (NAMES, *KNOWN):
        show(cells)
    with tempfile.TemporaryDirectory(prefix="pdm-benchmark-") as folder:
        prepared, anomalies, model = (Path(folder) / name for name in ("prepared", "anomalies", "model"))
        measure("preprocess", "--data", raw_folder(), "--out", prepared)
        measure("detect-anomalies", "--prepared", prepared, "--out", anomalies)
        words = ("train", "--prepared", prepared, "--anomalies", anomalies, "--out", model, "--overwrite", *SPLIT)
        for name, options in RUNS.items():
            seconds, _ = measure(*words, *options)
            metrics = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
            search = metrics["search"]
            cut = f" ({search['trials']} of {search['trials_wanted']} trials)" if search["cut_short"] else ""
            show(row(name + cut, metrics, seconds))


if __name__ == "__main__":
    main()
