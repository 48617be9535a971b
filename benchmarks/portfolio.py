"""Choice of the settings that every search tries early: ``python -m benchmarks.portfolio``.

Evaluates the same random settings on the folds of several small fleets, and chooses greedily those that leave the least
regret to the best setting of each fold. Test spans are not used. Results are kept in a folder, so that an interrupted
run resumes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleets import sets
from pdm_cli import preprocess
from pdm_cli.models import ESTIMATORS, no_checkpoint
from pdm_cli.models.base import Range
from pdm_cli.pipeline.prepared import read_sources
from pdm_cli.pipeline.simulate import simulate_blocks, write_fleets
from pdm_cli.progress import Silent
from pdm_cli.settings.model import CostsParams, LabelsParams, TrainParams
from pdm_cli.simulation.profiles import PROFILES
from pdm_cli.training.dataset import SELECTED, Problem, make_problem
from pdm_cli.training.search import Candidate
from pdm_cli.training.train import Trainer

FloatArray = NDArray[np.float64]

MACHINES, DAYS, SEED = 24, 360, 7
"""Size and seed of the simulated fleets, which are not those of ``benchmarks.fleets``."""

SETTINGS = {"xgboost": 6, "lightgbm": 6, "extra_trees": 6, "logistic_regression": 1}
"""Random settings of each algorithm, besides its defaults."""

FEATURE_SETS = ("full", "slow", "template", "plain")
"""Every other random setting uses one of these instead of the first set."""

SIZE = 6
"""Number of settings in the portfolio, at most."""

DRAWS = 200
"""Random portfolios to compare with."""


@dataclass(frozen=True)
class Fleet:
    """Raw tables, and settings of their training."""

    raw: Path
    train: TrainParams
    labels: LabelsParams
    grid_hours: float | None = None


def list_fleets(folder: Path) -> dict[str, Fleet]:
    """Write raw tables into ``folder`` unless they exist; sets of the reference only if PDM_CLI_REFERENCE is set."""
    train, labels = TrainParams(threads=2), LabelsParams()
    fleets = {}
    for profile in ("step", "ramp", "wear", "spikes"):
        raw = folder / profile / "raw"
        if not (raw / "truth.parquet").exists():
            raw.mkdir(parents=True, exist_ok=True)
            write_fleets(simulate_blocks(machines=MACHINES, days=DAYS, seed=SEED, profile=profile), raw)
        # The scores of a component without signs are noise.
        shown = tuple(mode.component for mode in PROFILES[profile].modes if mode.sign != "none")
        fleets[profile] = Fleet(raw, replace(train, components=shown), labels)
    if not os.environ.get("PDM_CLI_REFERENCE"):
        return fleets
    known = sets.list_sets()
    by_machine = replace(train, split="machine")
    return {
        **fleets,
        "reference": Fleet(known["reference-time"].write(folder / "reference"), train, labels),
        "fd001": Fleet(known["fd001"].write(folder / "fd001/raw"), by_machine, LabelsParams(1.0, 30.0), 1.0),
        "backblaze": Fleet(known["backblaze"].write(folder / "backblaze/raw"), by_machine, LabelsParams(24.0, 120.0)),
    }


def open_fleet(fleet: Fleet, folder: Path) -> Problem:
    """Return the labelled rows of at most :data:`MACHINES` machines, or of all where each fails once at most."""
    how = {"on_duplicate": "first"} if fleet.grid_hours is None else {"grid_hours": fleet.grid_hours}
    preprocess(fleet.raw, out=folder / "prepared", overwrite=True, **how)
    sources, _ = read_sources(folder / "prepared", None, Silent())
    if fleet.train.split != "machine":
        kept = sources.rolling["machineID"].drop_duplicates().iloc[:MACHINES]
        frames = {
            name: frame[frame["machineID"].isin(kept)].reset_index(drop=True) for name, frame in sources.events.items()
        }
        sources = replace(
            sources,
            rolling=sources.rolling[sources.rolling["machineID"].isin(kept)].reset_index(drop=True),
            telemetry=sources.telemetry[sources.telemetry["machineID"].isin(kept)].reset_index(drop=True),
            events=frames,
        )
    return make_problem(sources, train=fleet.train, labels=fleet.labels, costs=CostsParams())


def draw_settings() -> list[Candidate]:
    """Return the defaults of each algorithm, then its random settings."""
    found = []
    for place, (name, count) in enumerate(SETTINGS.items()):
        algorithm, rng = ESTIMATORS[name], np.random.default_rng([SEED, place])
        found.append(Candidate(name, SELECTED, dict(algorithm.defaults)))
        for number in range(count):
            values = {key: _draw(span, rng) for key, span in algorithm.space.items()}
            other = str(rng.choice(FEATURE_SETS))
            found.append(Candidate(name, other if number % 2 else SELECTED, {**algorithm.defaults, **values}))
    return found


def _draw(span: Range, rng: np.random.Generator) -> float:
    low, high = (math.log(end) if span.log else end for end in (span.low, span.high))
    drawn = float(rng.uniform(low, high))
    value = math.exp(drawn) if span.log else drawn
    return round(value) if span.integer else float(f"{value:.3g}")


def measure(problem: Problem, settings: Sequence[Candidate]) -> Iterator[dict[str, Any]]:
    """Yield the scores of each setting on the folds; a feature set that the fleet lacks becomes the first one."""
    trainer = Trainer(problem, {name: ESTIMATORS[name] for name in SETTINGS}, 1, time.monotonic, Silent())
    for candidate in settings:
        known = trainer.feature_sets
        own = candidate if candidate.feature_set in known else replace(candidate, feature_set=known[0])
        yield {
            "setting": asdict(candidate),
            "scores": [result.score for result in trainer.evaluate(own, 0, no_checkpoint)],
        }


def measure_all(folder: Path, settings: Sequence[Candidate]) -> dict[str, FloatArray]:
    """Return the (folds, settings) scores of each fleet; results are kept in ``folder``."""
    found = {}
    for name, fleet in list_fleets(folder / "sets").items():
        store = folder / f"{name}.jsonl"
        lines = store.read_text(encoding="utf-8").splitlines() if store.exists() else []
        known = {Candidate(**row["setting"]).key(): row["scores"] for row in map(json.loads, lines)}
        missing = [candidate for candidate in settings if candidate.key() not in known]
        if missing:
            problem = open_fleet(fleet, folder / "sets" / name)
            for candidate, row in zip(missing, measure(problem, missing), strict=True):
                with store.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                known[candidate.key()] = row["scores"]
        found[name] = np.array([known[candidate.key()] for candidate in settings]).T
        print(f"{name}: best {found[name].mean(axis=0).max():.3f}", flush=True)
    return found


def choose(scores: FloatArray, start: Sequence[int], size: int) -> list[int]:
    """Return up to ``size`` settings besides those of ``start``, in the order of their choice.

    Each is the one that reduces the mean regret most: the best score of a fold minus the best among the chosen
    settings. Once no regret is left, the others are chosen in the same way, as if none had been chosen: what is best on
    a few folds is so partly by chance.

    Parameters
    ----------
    scores : (folds, settings) array
        Scores on the folds of all fleets.
    start : sequence of int
        Settings that are tried in any case.
    size : int
        Most settings to choose.
    """
    chosen: list[int] = []
    reached = start_reached = scores[:, list(start)].max(axis=1)
    left = scores.copy()
    while len(chosen) < size:
        gains = np.maximum(left - reached[:, None], 0).mean(axis=0)
        best = int(np.argmax(gains))
        if gains[best] > 0:
            chosen.append(best)
            reached = np.maximum(reached, left[:, best])
            left[:, best] = -np.inf
        elif reached is start_reached:
            break
        else:
            reached = start_reached
    return chosen


def regret(scores: FloatArray, chosen: Sequence[int]) -> FloatArray:
    """Return the best score of each fold minus the best among the chosen settings."""
    found: FloatArray = scores.max(axis=1) - scores[:, list(chosen)].max(axis=1)
    return found


def leave_one_out(scores: FloatArray, fleets: NDArray[np.int64], start: Sequence[int], size: int) -> FloatArray:
    """Return the regret on each fold of a portfolio chosen on the other fleets; ``fleets`` has the fleet of each."""
    found = np.empty(len(scores))
    for fleet in np.unique(fleets):
        own = fleets == fleet
        chosen = choose(scores[~own], start, size)
        found[own] = regret(scores[own], [*start, *chosen])
    return found


def random_regret(scores: FloatArray, start: Sequence[int], size: int) -> FloatArray:
    """Return the mean regret on each fold of portfolios drawn at random."""
    rng = np.random.default_rng(SEED)
    others = np.setdiff1d(np.arange(scores.shape[1]), start)
    drawn = [rng.choice(others, size, replace=False).tolist() for _ in range(DRAWS)]
    found: FloatArray = np.mean([regret(scores, [*start, *own]) for own in drawn], axis=0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.portfolio", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("portfolio"), help="where results are kept")
    parser.add_argument("--size", type=int, default=SIZE, help=f"most settings to choose [default: {SIZE}]")
    arguments = parser.parse_args()
    settings = draw_settings()
    found = measure_all(arguments.folder, settings)
    scores = np.concatenate(list(found.values()))
    fleets = np.repeat(np.arange(len(found)), [len(own) for own in found.values()])
    start = [place for place, one in enumerate(settings) if one.hyper == ESTIMATORS[one.algorithm].defaults]
    chosen = choose(scores, start, arguments.size)
    print(f"\n{len(settings)} settings on {len(scores)} folds of {len(found)} fleets; the portfolio:")
    for place in chosen:
        print(f"    {settings[place]!r},")
    columns = {
        "defaults": regret(scores, start),
        "portfolio": regret(scores, [*start, *chosen]),
        "of others": leave_one_out(scores, fleets, start, arguments.size),
        "at random": random_regret(scores, start, arguments.size),
    }
    print(f"\n{'regret':22}" + "".join(f"{name:>10}" for name in columns))
    for fleet, name in enumerate(found):
        means = [column[fleets == fleet].mean() for column in columns.values()]
        print(f"{name:22}" + "".join(f"{mean:10.4f}" for mean in means))
    print(f"{'mean':22}" + "".join(f"{column.mean():10.4f}" for column in columns.values()))
    print("of others: chosen without the fleet; at random: mean of portfolios of the same size")


if __name__ == "__main__":
    main()
