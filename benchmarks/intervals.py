"""Coverage of the 90 % intervals on simulated fleets: ``python -m benchmarks.intervals``.

For each size of fleet: how often the interval contains the true value, and its mean width, compared with bootstrap
percentiles over machines. Machines differ in how often they fail, in how well their failures show, and in their false
alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.events import EventOutcome
from pdm_cli.evaluation.exposure import Exposure
from pdm_cli.evaluation.intervals import event_intervals, precision_interval

FloatArray = NDArray[np.float64]
FLEETS = 500
SIZES = (10, 25, 100)
ROWS = 120
# As many machines as give the true values to three digits.
MANY = 20_000


@dataclass(frozen=True)
class World:
    """Means over machines: failures, share caught, false alarms per month; and how alike machines are."""

    failures: float
    caught: float
    false_alarms: float
    alike: float


WORLDS = [World(1.5, 0.8, 0.3, 10.0), World(0.5, 0.6, 0.3, 10.0), World(3.0, 0.9, 1.0, 5.0)]


def draw_events(world: World, machines: int, rng: np.random.Generator) -> tuple[EventOutcome, Exposure]:
    """Draw the outcome of a fleet over three months at most."""
    failures = rng.poisson(rng.gamma(2.0, world.failures / 2, machines))
    caught = rng.binomial(failures, rng.beta(world.caught * world.alike, (1 - world.caught) * world.alike, machines))
    months = 3 * rng.uniform(0.5, 1.0, machines)
    false = rng.poisson(rng.exponential(world.false_alarms, machines) * months)
    codes = np.repeat(np.arange(machines), failures)
    is_caught = np.concatenate([np.arange(count) < hits for count, hits in zip(failures, caught, strict=True)])
    level = rng.normal(3.0, 0.5, machines)[codes] + rng.normal(0.0, 0.6, len(codes))
    warning = np.where(is_caught, np.minimum(np.exp(level), 48.0), np.nan)
    episodes = np.repeat(np.arange(machines), false)
    times, is_false = np.zeros(len(codes), np.int64), np.ones(len(episodes), np.bool_)
    outcome = EventOutcome(warning, len(episodes), codes, episodes, is_false, ~is_false, times)
    return outcome, Exposure(months, months)


def draw_rows(machines: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Draw labels and probabilities: some machines have a span of rows before a failure, which shows more or less."""
    codes = np.repeat(np.arange(machines), ROWS)
    has_failed = rng.random(machines) < 0.6
    ahead = (np.tile(np.arange(ROWS), machines) >= ROWS - 12) & has_failed[codes]
    shows = rng.normal(2.5, 1.0, machines)[codes]
    odds = np.where(ahead, shows, 0.0) + rng.normal(0.0, 0.5, machines)[codes] + rng.normal(0.0, 1.0, len(codes))
    return ahead.astype(np.float64)[:, None], (1 / (1 + np.exp(-odds)))[:, None], codes


def measure_events(outcome: EventOutcome, exposure: Exposure) -> dict[str, float]:
    """Return the value of each metric."""
    hours = outcome.warning_hours
    return {
        "caught_share": float(np.mean(~np.isnan(hours))) if len(hours) else np.nan,
        "median_warning_hours": float(np.nanmedian(hours)) if np.any(~np.isnan(hours)) else np.nan,
        "false_alarms_per_machine_month": outcome.false_alarms / exposure.alarm_months,
    }


def bootstrap(measure: Callable[[NDArray[np.int64]], float], machines: int, rng: np.random.Generator) -> list[float]:
    """Return percentiles over 200 fleets of machines drawn with replacement."""
    values = [measure(rng.integers(0, machines, machines)) for _ in range(200)]
    known = np.array(values)[np.isfinite(values)]
    return np.quantile(known, [0.05, 0.95]).tolist() if len(known) else [np.nan, np.nan]


def caught_again(outcome: EventOutcome) -> Callable[[NDArray[np.int64]], float]:
    """Return a function from drawn machines to the share of their failures that is caught."""

    def measure(drawn: NDArray[np.int64]) -> float:
        weights = np.bincount(drawn, minlength=drawn.max() + 1 + len(drawn))[outcome.failure_codes]
        total = weights.sum()
        return float(weights @ ~np.isnan(outcome.warning_hours) / total) if total else np.nan

    return measure


class Coverage:
    """Counts how often intervals contain the true value."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[bool, float]]] = {}

    def add(self, name: str, interval: list[float] | None, truth: float) -> None:
        """Count an interval, if there is one."""
        if interval is not None and np.isfinite(interval).all():
            low, high = interval
            self._found.setdefault(name, []).append((low - 1e-9 <= truth <= high + 1e-9, high - low))

    def show(self, title: str) -> None:
        """Print the share that contains the truth, and the mean width."""
        for name, found in self._found.items():
            share, width = np.mean(found, axis=0)
            print(f"{title:44} {name:38} {share:5.1%} of {len(found)}, mean width {width:.3f}", flush=True)


def main() -> None:
    """Print a line per world, size and metric."""
    rng = np.random.default_rng(0)
    for world in WORLDS:
        truth = measure_events(*draw_events(world, MANY, rng)) | {
            "caught_share": world.caught,
            "false_alarms_per_machine_month": world.false_alarms,
        }
        for size in SIZES:
            coverage = Coverage()
            for _ in range(FLEETS):
                outcome, exposure = draw_events(world, size, rng)
                found = event_intervals([outcome], exposure)
                for name, value in truth.items():
                    coverage.add(name, found[name], value)
                percentiles = bootstrap(caught_again(outcome), size, rng)
                coverage.add("caught_share (bootstrap percentiles)", percentiles, world.caught)
            coverage.show(f"{world.failures} failures, {world.caught:.0%} caught, {size} machines")
    from sklearn.metrics import average_precision_score

    labels, probabilities, _ = draw_rows(MANY, rng)
    truth_precision = float(average_precision_score(labels, probabilities))
    for size in SIZES:
        coverage = Coverage()
        for _ in range(FLEETS):
            interval = precision_interval(*draw_rows(size, rng))["average_precision"]
            coverage.add("average_precision", interval, truth_precision)
        coverage.show(f"{size} machines")


if __name__ == "__main__":
    main()
