"""Fit AutoGluon on Parquet files and write its probabilities: ``python autogluon_process.py FOLDER SECONDS``.

A script of its own, because AutoGluon pins other versions of pandas and scikit-learn than pdm uses.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from autogluon.tabular import TabularPredictor


def main(folder: Path, seconds: float) -> None:
    parts = {part: pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "validation", "test")}
    predictor = TabularPredictor(
        label="_label",
        problem_type="binary",
        eval_metric="average_precision",
        sample_weight="_weight",
        path=str(folder / "autogluon"),
        verbosity=0,
    )
    predictor.fit(
        parts["train"],
        tuning_data=parts["validation"],
        time_limit=seconds,
        presets="medium_quality",
        num_cpus=1,
    )
    held_out = predictor.predict_proba(parts["validation"])[1]
    refitted = predictor.refit_full()
    model = refitted.get(predictor.model_best, predictor.model_best)
    tested = predictor.predict_proba(parts["test"], model=model)[1]
    for part, probabilities in (("validation", held_out), ("test", tested)):
        frame = pd.DataFrame({"probability": probabilities.to_numpy()})
        frame.to_parquet(folder / f"{part}-probabilities.parquet", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
