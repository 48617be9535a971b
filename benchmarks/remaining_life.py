"""Remaining life of the engines of C-MAPSS FD001, on NASA's own test: ``python -m benchmarks.remaining_life``.

pdm trains on the engines that ran to failure and predicts the life of the test engines at their last cycle; lives
beyond 125 cycles, true or predicted, count as 125. A plain LightGBM regressor, with and without the number of the
cycle, is trained on the same engines; pdm holds out a quarter of them. Figures of pdm are means over three seeds, which
differ by up to a cycle. Needs PDM_CLI_REFERENCE.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.fleets.sets import reference_folder
from pdm_cli.evaluation.remaining_life import score_error
from pdm_cli.io import bundle
from pdm_cli.pipeline.score import score_folder
from pdm_cli.progress import Silent
from pdm_cli.settings.model import Settings

FloatArray = NDArray[np.float64]

CAP = 125.0
SEEDS = (0, 1, 2)
MOST_ERROR = 11.4
SENSORS = [f"s{number}" for number in range(1, 22)]
COLUMNS = ["unit", "cycle", "os1", "os2", "os3", *SENSORS]
IMPORT = (
    *("--names", ",".join(COLUMNS), "--columns", "telemetry.machineID=unit", "--columns", "telemetry.datetime=cycle"),
    *("--cycles", "1h", "--end-is-failure", "engine"),
)
WINDOWS = (3, 12, 24, 72, 168)
# Root mean square error and sum of the asymmetric score, as the papers print them.
PUBLISHED = {
    "convolutional network (Babu et al. 2016, DASFAA)": (18.45, 1286.7),
    "LSTM (Zheng et al. 2017, ICPHM)": (16.14, 338.0),
    "deep convolutional network (Li et al. 2018, RESS 172)": (12.61, 273.7),
}


def read(name: str) -> pd.DataFrame:
    """Return a table of readings as NASA ships it."""
    path = reference_folder() / f"data/cmapss/{name}.txt.gz"
    return pd.read_csv(path, sep=r"\s+", header=None, names=COLUMNS)


def read_lives() -> FloatArray:
    """Return the true remaining lives of the test engines, in cycles."""
    with gzip.open(reference_folder() / "data/cmapss/RUL_FD001.txt.gz", "rt") as lines:
        return np.array([float(line) for line in lines], np.float64)


def run(*words: object) -> None:
    """Run a pdm command."""
    subprocess.run(
        [sys.executable, "-m", "pdm_cli", *map(str, words), "--quiet"], check=True, stdout=subprocess.DEVNULL
    )


def import_engines(folder: Path) -> None:
    """Import the engines to train and to test on."""
    for name, more in (("train", ()), ("test", ("--except", "*"))):
        logs = folder / f"logs_{name}"
        logs.mkdir()
        packed = reference_folder() / f"data/cmapss/{name}_FD001.txt.gz"
        (logs / f"{name}.txt").write_bytes(gzip.decompress(packed.read_bytes()))
        run("import", logs, "--out", folder / name, *IMPORT, *more)


def predict_with_pdm(folder: Path, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return the predicted life of each test engine, and the quantiles of the hours to failure, (engines, 3)."""
    run("run", "--data", folder / "train", "--out", folder / "work", "--fast", "--overwrite", "--seed", seed)
    model = bundle.load(folder / "work/model")
    forecast = score_folder(model, folder / "test", settings=Settings(), progress=Silent())
    instants, hazard = forecast.instants, model.hazard
    assert hazard is not None
    last = np.flatnonzero(instants.times == instants.ends()[instants.codes])
    last = last[np.argsort(pd.Index(instants.machines).astype(int)[instants.codes[last]])]
    hours, spread = hazard.spread(0, forecast.probabilities[last, 0], forecast.table, last)
    return hazard.mean(hours, spread), hazard.quantiles(hours, spread)


def plain_features(frame: pd.DataFrame, *, with_cycle: bool) -> FloatArray:
    """Return the readings and their means, deviations, extremes and changes over some windows."""
    by_engine = frame.groupby("unit")[SENSORS]
    parts = [frame[SENSORS]]
    for window in WINDOWS:
        rolling = by_engine.rolling(window, min_periods=1)
        parts += [getattr(rolling, name)().reset_index(drop=True) for name in ("mean", "std", "min", "max")]
        parts.append(frame[SENSORS] - by_engine.shift(window))
    columns = pd.concat([*parts, frame[["cycle"]]] if with_cycle else parts, axis=1)
    return columns.to_numpy(np.float64)


def predict_with_lightgbm(*, with_cycle: bool) -> FloatArray:
    """Return the life that a plain regressor predicts for each test engine."""
    from lightgbm import LGBMRegressor

    train, test = read("train_FD001"), read("test_FD001")
    life = np.minimum(train.groupby("unit")["cycle"].transform("max") - train["cycle"], CAP)
    model = LGBMRegressor(n_estimators=200, learning_rate=0.05, num_leaves=31, colsample_bytree=0.5, verbose=-1)
    model.fit(plain_features(train, with_cycle=with_cycle), life)
    is_last = (test["cycle"] == test.groupby("unit")["cycle"].transform("max")).to_numpy()
    return np.asarray(model.predict(plain_features(test, with_cycle=with_cycle)[is_last]))


def main() -> None:
    true = np.minimum(read_lives(), CAP)
    with tempfile.TemporaryDirectory() as name:
        import_engines(Path(name))
        predicted = [predict_with_pdm(Path(name), seed) for seed in SEEDS]
    found = {
        **{f"pdm run --fast --seed {seed}": life for seed, (life, _) in zip(SEEDS, predicted, strict=True)},
        "LightGBM regressor with the cycle": predict_with_lightgbm(with_cycle=True),
        "LightGBM regressor": predict_with_lightgbm(with_cycle=False),
        "mean of the test": np.full(len(true), true.mean()),
    }
    errors = {name: np.minimum(each, CAP) - true for name, each in found.items()}
    rows = {name: (float(np.sqrt(np.mean(each**2))), float(score_error(each).sum())) for name, each in errors.items()}
    print(f"{'':55}{'RMSE':>7}{'score':>8}")
    for name, (error, score) in {**rows, **PUBLISHED}.items():
        print(f"{name:55}{error:7.2f}{score:8.0f}")
    covered = []
    for _, hours in predicted:
        low, high = np.where(np.isnan(hours[:, 0]), CAP, hours[:, 0]), hours[:, 2]
        covered.append(np.mean((np.minimum(low, CAP) <= true) & (np.isnan(high) | (true <= high))))
    print(f"interval of pdm: {np.mean(covered):.0%} of the engines (80% expected)")
    error, score = (float(np.mean([rows[f"pdm run --fast --seed {seed}"][part] for seed in SEEDS])) for part in (0, 1))
    print(f"pdm: root mean square error {error:.2f} cycles, score {score:.0f}, means over {len(SEEDS)} seeds")
    print(f"{'holds' if error <= MOST_ERROR else 'FAILS'}: root mean square error at most {MOST_ERROR} cycles")


if __name__ == "__main__":
    main()
