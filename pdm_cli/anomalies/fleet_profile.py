"""The usual level, spread and season of a sensor on the other machines of a fleet, for a machine without history.

Causal: at a refit, the profile is from readings of other machines in the window before it. Each machine contributes a
summary of its window; the profile is the median of the summaries, and its spread has a part within and one between
machines.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.anomalies.causal_grid import CausalRules, Grid, fewest_readings, lay_out, split_at_gaps
from pdm_cli.anomalies.esd import critical_values
from pdm_cli.features.robust_z import MAD_TO_SIGMA

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# The spread between fewer machines is unknown; more than the upper number hardly change a median.
FEWEST_MACHINES, MOST_MACHINES = 10, 50
# Fewest seasons, and readings, of a machine that contributes.
_FEWEST_CYCLES, _FEWEST_READINGS = 3, 24
# Points of the season, and the number of refits per window.
_MOST_PHASES, _REFITS = 24, 28
# Variance of a median over that of a mean, for normal values.
_MEDIAN_VARIANCE = math.pi / 2


@dataclass(frozen=True, eq=False)
class Summaries:
    """Summaries of windows, one per row: of which refit, sensor and machine, with level, sigma and season.

    ``refit`` and ``sensor`` are numbers, ``machine`` is a hash; ``level`` and ``sigma`` are (k,), ``season`` (k, p) is
    the median at each phase minus their mean, NaN without readings.
    """

    refit: IntArray
    sensor: IntArray
    machine: NDArray[np.uint64]
    level: FloatArray
    sigma: FloatArray
    season: FloatArray

    @classmethod
    def join(cls, parts: Iterable[Summaries]) -> Summaries:
        """Return the rows of all parts, at least one."""
        every = list(parts)
        return cls(*(np.concatenate([getattr(part, name) for part in every]) for name in cls.__annotations__))

    def take(self, rows: NDArray[np.intp]) -> Summaries:
        """Return some rows."""
        return Summaries(*(getattr(self, name)[rows] for name in self.__annotations__))


@dataclass(frozen=True, eq=False)
class FleetFit:
    """The profile of the other machines at a refit: level, sigma, and the season (p,)."""

    level: float
    sigma: float
    season: FloatArray


@dataclass(frozen=True, eq=False)
class FleetScores:
    """Scores against the fleet, (B, n) each: tested value, expected value and score; NaN where not tested."""

    value: FloatArray
    expected: FloatArray
    score: FloatArray


def refit_us(rules: CausalRules) -> int:
    """Return the time between refits of the fleet: that of the machines, but not more than 28 per window."""
    least = rules.window * rules.step_us / _REFITS
    return rules.refit_us * max(1, math.ceil(least / rules.refit_us))


def phases(rules: CausalRules) -> int:
    """Return the number of points of the season: the largest divisor of its length that is small enough."""
    return max(number for number in range(1, _MOST_PHASES + 1) if max(rules.period, 1) % number == 0)


def hash_machine(machine: Any) -> np.uint64:
    """Return a number that depends on the name of a machine only, and selects machines at random."""
    digest = hashlib.blake2b(str(machine).encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "big"))


def find_refits(batch: FloatArray, times: IntArray, rules: CausalRules) -> IntArray:
    """Return the numbers of the refits at which a sensor of a machine, (B, n), lacks readings of its own."""
    refits = [np.empty(0, np.int64)]
    for rows in split_at_gaps(times, rules):
        grid, is_settled = lay_out(batch[:, rows], times[rows], rules)
        lacks = _lacks_readings(grid, is_settled, rules).any(axis=0)
        refits.append(np.unique(times[rows][lacks] // refit_us(rules)))
    return np.unique(np.concatenate(refits))


def _lacks_readings(grid: Grid, is_settled: BoolArray, rules: CausalRules) -> BoolArray:
    """Return which readings, (B, n), can be tested except that their own window has too few readings."""
    known = ~np.isnan(grid.readings)
    counted = np.concatenate([np.zeros((len(known), 1), np.int64), np.cumsum(known, axis=1)], axis=1)
    counts = counted[:, grid.ends] - counted[:, grid.ends - rules.window]
    is_few = (counts < fewest_readings(rules.window, rules.min_share))[:, grid.fit_of_row]
    return np.asarray(is_few & is_settled & known[:, grid.cells])


def summarize(batch: FloatArray, times: IntArray, machine: Any, refits: IntArray, rules: CausalRules) -> Summaries:
    """Summarize the windows of a machine before some refits, those with enough readings.

    Parameters
    ----------
    batch : (B, n) array
        Readings of its sensors, NaN where missing.
    times : (n,) int array
        Times of the rows in microseconds, increasing by whole steps.
    machine
        Its name.
    refits : (r,) int array
        Numbers of the refits.
    rules : CausalRules
        Settings of the tests.
    """
    parts = [empty_summaries(rules)]
    with np.errstate(invalid="ignore", over="ignore"):
        for rows in split_at_gaps(times, rules):
            parts += _summarize_piece(batch[:, rows], times[rows], refits, rules)
    joined = Summaries.join(parts)
    joined.machine[:] = hash_machine(machine)
    return joined


def empty_summaries(rules: CausalRules) -> Summaries:
    """Return summaries without rows."""
    return _summarize_window(np.empty((0, rules.window)), 0, 0, rules)


def _summarize_piece(batch: FloatArray, times: IntArray, refits: IntArray, rules: CausalRules) -> Iterator[Summaries]:
    grid, _ = lay_out(batch, times, rules)
    start, stop = int(times[0]), grid.readings.shape[1]
    ends = rules.window - (start - refits * refit_us(rules)) // rules.step_us
    for refit, end in zip(refits.tolist(), ends.tolist(), strict=True):
        # From the first cell with a reading to a window after the last one.
        if rules.window < end < stop + rules.window:
            window = grid.readings[:, end - rules.window : min(end, stop)]
            window = np.pad(window, ((0, 0), (0, rules.window - window.shape[1])), constant_values=np.nan)
            yield _summarize_window(window, refit, start // rules.step_us + end - 2 * rules.window, rules)


def _summarize_window(window: FloatArray, refit: int, first_step: int, rules: CausalRules) -> Summaries:
    """Summarize the windows of some sensors, (B, w), whose first column is a number of steps after 1970."""
    period, count = max(rules.period, 1), phases(rules)
    least = max(_FEWEST_READINGS, _FEWEST_CYCLES * period)
    sensor = np.flatnonzero((~np.isnan(window)).sum(axis=1) >= least)
    # (B, cycles, phases, steps of a phase), beginning with the first phase.
    turned = np.roll(window[sensor], first_step % period, axis=1) if rules.period else window[sensor]
    cycles = turned.reshape(len(sensor), rules.window // period, count, period // count)
    by_phase = cycles.transpose(0, 2, 1, 3).reshape(len(sensor), count, rules.window // count)
    season = _medians(by_phase)
    season -= (np.nansum(season, axis=1) / (~np.isnan(season)).sum(axis=1))[:, None]
    rest = (by_phase - season[:, :, None]).reshape(len(sensor), rules.window)
    level = _medians(rest)
    sigma = MAD_TO_SIGMA * _medians(np.abs(rest - level[:, None]))
    # The season is estimated from the same readings.
    known = (~np.isnan(rest)).sum(axis=1)
    sigma *= np.sqrt(known / np.maximum(known - count, 1))
    found = Summaries(
        np.full(len(sensor), refit, np.int64), sensor, np.zeros(len(sensor), np.uint64), level, sigma, season
    )
    # Readings beyond 1e308 have no spread.
    return found.take(np.flatnonzero(np.isfinite(level) & np.isfinite(sigma)))


def _medians(values: FloatArray) -> FloatArray:
    """Return medians along the last axis without NaN; NaN where nothing is known."""
    ordered = np.sort(values, axis=-1)
    count = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1)
    middle = (np.take_along_axis(ordered, low, -1) + np.take_along_axis(ordered, high, -1)) / 2
    return np.where(count > 0, middle, np.nan)[..., 0]


class FleetProfiles:
    """Profiles of a fleet, from summaries of its machines in any order.

    Parameters
    ----------
    summaries : Summaries
        Of all machines.
    """

    def __init__(self, summaries: Summaries) -> None:
        self.summaries = select_machines(summaries)
        self._keys = np.stack([self.summaries.sensor, self.summaries.refit])

    def find(self, sensor: int, refit: int, machine: np.uint64) -> FleetFit | None:
        """Return the profile of the machines other than one; None of too few."""
        own = self.summaries
        start, stop = self._find_rows(sensor, refit)
        rows = start + np.flatnonzero(own.machine[start:stop] != machine)[:MOST_MACHINES]
        if len(rows) < FEWEST_MACHINES:
            return None
        level = float(np.median(own.level[rows]))
        between = MAD_TO_SIGMA * float(np.median(np.abs(own.level[rows] - level)))
        within = float(np.median(own.sigma[rows]))
        # Of a reading of another machine, from a level that is estimated from as many machines.
        variance = within**2 + between**2 * (1 + _MEDIAN_VARIANCE / len(rows))
        return FleetFit(level, math.sqrt(variance), _medians(own.season[rows].T))

    def _find_rows(self, sensor: int, refit: int) -> tuple[int, int]:
        start, stop = (int(np.searchsorted(self._keys[0], sensor, side)) for side in _SIDES)
        refits = self._keys[1, start:stop]
        first, last = (start + int(np.searchsorted(refits, refit, side)) for side in _SIDES)
        return first, last


_SIDES: Sequence[Any] = ("left", "right")


def select_machines(summaries: Summaries) -> Summaries:
    """Return the summaries sorted by sensor, refit and machine, of no more machines than a profile uses.

    The selection at a refit depends on the summaries at that refit only. One machine more is kept, as one of them may
    be the machine that is tested.
    """
    order = np.lexsort((summaries.machine, summaries.refit, summaries.sensor))
    sensor, refit = summaries.sensor[order], summaries.refit[order]
    is_new = (np.diff(sensor, prepend=-1) != 0) | (np.diff(refit, prepend=np.iinfo(np.int64).min) != 0)
    starts = np.flatnonzero(is_new)
    place = np.arange(len(order)) - starts[np.cumsum(is_new) - 1] if len(order) else np.empty(0, np.int64)
    return summaries.take(order[place <= MOST_MACHINES])


def score_by_fleet(
    batch: FloatArray, times: IntArray, machine: Any, fleet: FleetProfiles, rules: CausalRules
) -> FleetScores:
    """Score the readings of a machine whose own windows have too few readings against those of the other machines.

    Parameters
    ----------
    batch : (B, n) array
        Readings of its sensors, NaN where missing.
    times : (n,) int array
        Times of the rows in microseconds, increasing by whole steps.
    machine
        Its name.
    fleet : FleetProfiles
        Of all machines; those of this one are not used.
    rules : CausalRules
        Settings of the tests.
    """
    value, expected, score = (np.full(batch.shape, np.nan) for _ in range(3))
    own = hash_machine(machine)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for rows in split_at_gaps(times, rules):
            grid, is_settled = lay_out(batch[:, rows], times[rows], rules)
            lacks = _lacks_readings(grid, is_settled, rules)
            for sensor in np.flatnonzero(lacks.any(axis=1)).tolist():
                chosen = np.flatnonzero(lacks[sensor])
                readings = grid.readings[sensor, grid.cells[chosen]]
                found = _score(readings, times[rows][chosen], fleet, (sensor, own), rules)
                at = rows.start + chosen
                value[sensor, at], expected[sensor, at], score[sensor, at] = readings, *found
    return FleetScores(value, expected, score)


def _score(
    readings: FloatArray, times: IntArray, fleet: FleetProfiles, series: tuple[int, np.uint64], rules: CausalRules
) -> tuple[FloatArray, FloatArray]:
    expected, sigma = np.full((2, len(times)), np.nan)
    refits, of_row = np.unique(times // refit_us(rules), return_inverse=True)
    phase = times // rules.step_us % max(rules.period, 1) * phases(rules) // max(rules.period, 1)
    for number, refit in enumerate(refits.tolist()):
        fit = fleet.find(series[0], refit, series[1])
        if fit is not None and fit.sigma > 0:
            own = of_row == number
            expected[own], sigma[own] = fit.level + fit.season[phase[own]], fit.sigma
    residuals = readings - expected
    deviations = {"both": np.abs(residuals), "pos": residuals, "neg": -residuals}[rules.direction]
    limit = critical_values(rules.window, 1, alpha=rules.alpha, one_tailed=rules.direction != "both")[0]
    score = deviations / sigma / limit
    is_scored = np.isfinite(score)
    return np.where(is_scored, expected, np.nan), np.where(is_scored, score, np.nan)
