"""Calls of ``pdm predict`` and ``pdm evaluate``, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.cli.conftest import Outcome, Pdm


def predict(pdm: Pdm, data: Path, model: Path, out: Path, *words: object) -> Outcome:
    return pdm("predict", "--data", data, "--model", model, "--out", out, *words)


def evaluate(pdm: Pdm, data: Path, model: Path, *words: object) -> Outcome:
    return pdm("evaluate", "--data", data, "--model", model, *words)


def read(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "predictions.parquet")


def metrics_of(model: Path) -> dict:
    return json.loads((model / "metrics.json").read_text())
