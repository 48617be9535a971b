"""Health index of machines without known failures: distance from the machine's own past, calibrated on the fleet.

Readings are standardised by the machine's own history (:func:`~pdm_cli.features.robust_z.standardise`), and what the
other sensors explain is subtracted. Means of these residuals over trailing windows, and readings far outside the usual
range, add up to a deviation per sensor; the largest is that of the machine, and rare errors add to it. A reference span
at the beginning of the log determines the relation between sensors, the scales, and the level of an alarm. A sensor
that was constant in it has no scale: a change counts by how rare changes were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.events import find_episodes
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.machine_levels import MachineLevels, learn_relation
from pdm_cli.features.robust_z import MAD_TO_SIGMA, ZScores, standardise
from pdm_cli.schema import ERRORS as ERROR_LOG
from pdm_cli.schema import MACHINE, MAINT
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Trailing windows as shares of the longest; they overlap, so recent readings count more.
_SHARES = (1 / 12, 1 / 6, 1 / 3, 1.0)
# In longest windows: a machine's own history, the time between its updates, and its shortest length.
_HISTORY, _REFRESH, _LEAST = 20, 1 / 3, 2 / 3
# The spans over which maxima of the deviation are taken, which are nearly independent of each other; and the first rows
# of a machine, without enough history.
_MAXIMUM = 7 / 3
# Residuals are clipped to this many robust standard deviations, which limits the effect of a glitch.
_CLIP = 6.0
# A reading this many standard deviations away is unusual in itself, and its weight compared with the mean.
_UNUSUAL, _WEIGHT = 3.0, 1.5
# A deviation counts up to this multiple of that in the shortest window: less, once it is over.
_RECENT = 2.0
# Errors count in this share of the longest window, and this much of the logarithm of how rare they are.
_ERRORS_SHARE, _ERRORS_WEIGHT = 1 / 3, 0.5
# Quantiles of the maxima that determine the alarm level: damage in the reference span shows only in higher ones.
_QUANTILES = (0.25, 0.5)
# Fewest maxima above a level that show how often it is exceeded.
_FEWEST_EXCEEDANCES = 3
# A burst in the reference is a deviation above this multiple of the lower quartile of its maxima, which is 1 at least;
# bursts in a smaller share of the spans hardly change the calibration.
_BURST, _BURST_SHARE = 15.0, 0.05
FEWEST_MAXIMA = 5
"""Fewest maxima that the alarm level is estimated from."""
ERRORS = "errors"
"""Name of the deviation by errors, next to those of the sensors."""


@dataclass(frozen=True)
class HealthRules:
    """Longest trailing window in hours, and alarms expected per hour of a machine in normal operation."""

    window_hours: float
    alarms_per_hour: float

    @property
    def maximum_hours(self) -> float:
        """Length of the spans whose maxima calibrate the alarm level, and of a machine's first span without health."""
        return _MAXIMUM * self.window_hours

    def windows_us(self, grid_us: int) -> list[int]:
        """Return the trailing windows in microseconds, in whole intervals of the grid, ascending."""
        intervals = [max(round(share * self.window_hours * US_PER_HOUR / grid_us), 1) for share in _SHARES]
        return [count * grid_us for count in dict.fromkeys(intervals)]


@dataclass(frozen=True)
class AlarmLevel:
    """Distribution of the maxima of the deviation in normal operation (Gumbel), and the level of an alarm.

    Attributes
    ----------
    level : float
        Deviation that is exceeded at the chosen rate.
    scale : float
        Increase of the deviation for which exceedances are e times as rare.
    maxima : int
        Maxima that it was estimated from.
    """

    level: float
    scale: float
    maxima: int

    def health(self, deviations: FloatArray) -> FloatArray:
        """Return the health from 0 to 1: 0.5 at the alarm level.

        Its odds are how often the deviation is reached in normal operation, as a multiple of the alarm rate.
        """
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp((deviations - self.level) / self.scale)))


@dataclass(frozen=True)
class HealthIndex:
    """Health of machines at m instants.

    Attributes
    ----------
    instants : Instants
        Those after the reference span, in their original order.
    deviations : (s, m) array
        Deviation of each sensor, in units of its usual spread; NaN without readings or enough history. With a log of
        errors, the last row is their part.
    health : (m,) array
        1 as usual, below 0.5 an alarm; NaN where no sensor has a deviation.
    sensors : list of str
        The s sensors; with a log of errors, the last is :data:`ERRORS`.
    alarm : AlarmLevel
        Calibration on the reference span.
    constant : dict of str to float
        Sensors that did not vary in the reference span, and the health while one has another value; NaN for a sensor
        that had no value there and does not affect the health.
    bursts : DataFrame
        Deviations in the reference span that make it doubtful, largest first: ``machineID``, ``sensor``, ``start``,
        ``end``, and ``times_usual``, the ratio of the largest to the lower quartile of the maxima.
    """

    instants: Instants
    deviations: FloatArray
    health: FloatArray
    sensors: list[str]
    alarm: AlarmLevel
    constant: dict[str, float]
    bursts: pd.DataFrame

    @property
    def is_alarm(self) -> BoolArray:
        """Whether the health is below 0.5."""
        return np.asarray(self.health < 0.5)

    @property
    def top_sensors(self) -> IntArray:
        """Position of the sensor with the largest deviation; -1 where none is known."""
        return np.where(np.isnan(self.health), -1, np.argmax(np.nan_to_num(self.deviations, nan=-1.0), axis=0))


class ReferenceTooShort(ValueError):
    """The reference span holds too few spans of normal operation; the argument is their number."""


def find_health(
    telemetry: pd.DataFrame,
    instants: Instants,
    logs: Mapping[str, pd.DataFrame],
    *,
    until_us: int,
    rules: HealthRules,
    step_us: int,
    grid_us: int,
) -> HealthIndex:
    """Return the health at the instants after a reference span; each depends on earlier readings only.

    Parameters
    ----------
    telemetry : DataFrame
        ``machineID``, ``datetime`` (UTC, us) and float sensors; sorted by machine, then time.
    instants : Instants
        The instants; those up to ``until_us`` are the reference.
    logs : mapping of str to DataFrame
        Those of ``maint`` and ``errors`` that exist: ``machineID``, ``datetime``, and the type of errors (``errorID``).
        A replacement restarts all windows, since earlier readings say nothing about a new component.
    until_us : int
        End of the reference span.
    rules : HealthRules
        Lengths and alarm rate.
    step_us, grid_us : int
        Step of the telemetry and of the feature grid in microseconds.

    Raises
    ------
    ReferenceTooShort
        If the reference span has too few maxima for an alarm level.
    """
    history, refresh, least = (share * rules.window_hours for share in (_HISTORY, _REFRESH, _LEAST))
    scores = standardise(telemetry, step_us=step_us, window_hours=history, refresh_hours=refresh, least_hours=least)
    windows = rules.windows_us(grid_us)
    residuals = _find_residuals(scores, scores.times <= until_us)
    changes, has_value = _find_changes(scores, telemetry, until_us, fewest=windows[-1] / step_us)
    is_reference = instants.times <= until_us
    restarts = _restarts(logs.get(MAINT.name), instants)
    trail = _trail(scores, residuals, changes, instants, restarts, windows, step_us)
    deviations = _add_up(trail, is_reference)
    is_constant = np.isnan(deviations).all(axis=1)
    settled = instants.times - instants.starts()[instants.codes] >= rules.maximum_hours * US_PER_HOUR
    deviations[~(trail.is_known & settled)] = np.nan
    total = _largest(deviations)
    spans = _spans(instants, is_reference, rules)
    alarm = fit_alarm_level(total[is_reference], spans, rules)
    sensors, errors = scores.sensors, logs.get(ERROR_LOG.name)
    if errors is not None and len(errors):
        # The scale is a factor of e in rarity, which makes both comparable.
        surprise = _surprise(errors, instants, restarts, until_us, rules.window_hours * _ERRORS_SHARE)
        part = _ERRORS_WEIGHT * alarm.scale * surprise
        total, sensors, deviations = total + part, [*sensors, ERRORS], np.vstack([deviations, part])
        alarm = fit_alarm_level(total[is_reference], spans, rules)
    is_changed = trail.is_changed & settled
    rare = _rate_changes(is_changed, spans, is_reference, alarm, rules)
    by_change = np.where(is_changed, rare[:, None], np.nan)
    deviations[: len(rare)] = np.fmax(deviations[: len(rare)], by_change)
    health = alarm.health(np.fmax(total, np.fmax.reduce(by_change, axis=0)))
    of_change = np.where(has_value, alarm.health(rare), np.nan)
    constant = {scores.sensors[place]: float(of_change[place]) for place in np.flatnonzero(is_constant)}
    after, before = (
        Instants(instants.machines, instants.codes[rows], instants.times[rows])
        for rows in (~is_reference, is_reference)
    )
    known = scores.times <= until_us
    scores = replace(scores, codes=scores.codes[known], times=scores.times[known], z=scores.z[known])
    bursts = _find_bursts(scores, before, restarts[is_reference], windows, rules, step_us)
    return HealthIndex(after, deviations[:, ~is_reference], health[~is_reference], sensors, alarm, constant, bursts)


def _find_bursts(
    scores: ZScores, instants: Instants, restarts: IntArray, windows: list[int], rules: HealthRules, step_us: int
) -> pd.DataFrame:
    """Return the bursts of a reference span, see :class:`HealthIndex`.

    The part that other sensors explain is not subtracted: damage in the reference affects the relation between them.
    """
    is_any = np.ones(len(instants.times), np.bool_)
    residuals = _rescale(scores.z.T, np.ones(len(scores.times), np.bool_))
    trail = _trail(scores, residuals, np.zeros(residuals.shape, np.bool_), instants, restarts, windows, step_us)
    settled = instants.times - instants.starts()[instants.codes] >= rules.maximum_hours * US_PER_HOUR
    deviations = np.where(trail.is_known & settled, _add_up(trail, is_any), np.nan)
    spans = _spans(instants, is_any, rules)
    order = np.lexsort((instants.times, instants.codes))
    columns = [MACHINE, "sensor", "start", "end", "times_usual"]
    found = []
    for sensor, own in zip(scores.sensors, deviations, strict=True):
        known = ~np.isnan(own)
        maxima = pd.Series(own[known]).groupby(spans[known]).max()
        usual = max(float(maxima.quantile(_QUANTILES[0])), 1.0) if len(maxima) else math.inf
        if not (maxima > _BURST * usual).mean() >= _BURST_SHARE:
            continue
        rows = order[own[order] > _BURST * usual]
        codes, times = instants.codes[rows], instants.times[rows]
        for first, last in zip(*find_episodes(codes, times, merge_hours=rules.window_hours / 3), strict=True):
            ratio = float(own[rows[first : last + 1]].max()) / usual
            found.append((instants.machines[codes[first]], sensor, times[first], times[last], ratio))
    frame = pd.DataFrame(found, columns=columns)
    for name in ("start", "end"):
        frame[name] = frame[name].astype("int64").astype("datetime64[us]")
    return frame.sort_values("times_usual", ascending=False, kind="stable", ignore_index=True)


def _surprise(errors: pd.DataFrame, instants: Instants, restarts: IntArray, until_us: int, hours: float) -> FloatArray:
    """Return minus the logarithm of the expected number of each type of error in the last hours, added up.

    Only types that occurred since the restart count. The expected number is that of the reference, at least one error.
    """
    spans = np.minimum(instants.ends(), until_us) - instants.starts()
    watched = float(np.maximum(spans, 0).sum()) / US_PER_HOUR
    first = np.maximum(instants.times - round(hours * US_PER_HOUR), restarts)
    total = np.zeros(len(first))
    for _, own in errors.groupby("errorID"):
        log = EventLog(own, instants.machines)
        known = max(int(np.count_nonzero(log.times <= until_us)), 1)
        is_recent = log.position(instants.codes, instants.times, "right") > log.position(instants.codes, first, "right")
        total += np.where(is_recent, max(-math.log(known / watched * hours), 0.0), 0.0)
    return total


def _find_residuals(scores: ZScores, is_reference: BoolArray) -> FloatArray:
    """Return the z of each sensor less what the others explain, in robust standard deviations, (n, s)."""
    z = scores.z.T
    if len(z) > 1 and is_reference.any():
        z = learn_relation(MachineLevels(scores.sensors, [""], [z], z), is_reference).residuals(z)
    return _rescale(z, is_reference)


def _rescale(z: FloatArray, is_reference: BoolArray) -> FloatArray:
    """Return values of sensors (s, n) in robust standard deviations of the reference, clipped, (n, s)."""
    spreads = np.array([_spread(row[is_reference]) for row in z])
    return np.asarray(np.clip(z / spreads[:, None], -_CLIP, _CLIP).T)


def _find_changes(
    scores: ZScores, telemetry: pd.DataFrame, until_us: int, *, fewest: float
) -> tuple[BoolArray, BoolArray]:
    """Return which readings differ from the constant value of their machine in the reference, (n, s).

    Constant is a sensor with at least half of its readings at one value: it has no z. Also return which sensors have
    such a value on any machine, (s,).
    """
    readings = telemetry[scores.sensors].to_numpy(np.float64)
    changes, has_value = np.zeros(readings.shape, np.bool_), np.zeros(readings.shape[1], np.bool_)
    bounds = np.searchsorted(scores.codes, np.arange(len(scores.machines) + 1))
    for first, stop in pairwise(bounds.tolist()):
        own = readings[first:stop]
        known = pd.DataFrame(own[scores.times[first:stop] <= until_us])
        usual = known.median()
        is_constant = ((known - usual).abs().median() == 0) & (known.count() >= fewest)
        has_value |= is_constant.to_numpy()
        changes[first:stop] = is_constant.to_numpy() & ~np.isnan(own) & (own != usual.to_numpy())
    return changes, has_value


def _rate_changes(
    is_changed: BoolArray, spans: IntArray, is_reference: BoolArray, alarm: AlarmLevel, rules: HealthRules
) -> FloatArray:
    """Return the deviation while a sensor differs from its constant value, (s,).

    It is the one that normal operation exceeds as often as the sensor differed in the reference, in one span at least.
    """
    seen = np.array([len(np.unique(spans[row[is_reference]])) for row in is_changed])
    expected = rules.alarms_per_hour * rules.maximum_hours * alarm.maxima
    return np.asarray(alarm.level + alarm.scale * np.log(expected / np.maximum(seen, 1)))


def _spread(values: FloatArray) -> float:
    """Return the robust standard deviation about 0; infinite where it is 0 or unknown."""
    known = np.abs(values[np.isfinite(values) & (values != 0)])
    return MAD_TO_SIGMA * float(np.median(known)) if len(known) else math.inf


def _restarts(maint: pd.DataFrame | None, instants: Instants) -> IntArray:
    """Return the time of the machine's last replacement at each instant, or long before."""
    ages = np.full(len(instants.times), np.nan)
    if maint is not None:
        ages = EventLog(maint, instants.machines).last_until(instants)
    never = np.iinfo(np.int64).min // 2
    return np.where(np.isnan(ages), never, instants.times - np.rint(np.nan_to_num(ages) * US_PER_HOUR).astype(np.int64))


@dataclass(frozen=True)
class _Trail:
    """Sums over w trailing windows at m instants, over the square root of their expected number of readings.

    Attributes
    ----------
    is_known : (s, m) bool array
        Whether the longest window has a reading.
    means : (w, s, m) array
        Of the residuals.
    excesses : (s, m) array
        Of their distances beyond the usual range, in the longest window.
    is_changed : (s, m) bool array
        Whether a reading of the shortest window differs from the constant value of its sensor.
    readings : float
        Expected number of readings in the longest window.
    """

    is_known: BoolArray
    means: FloatArray
    excesses: FloatArray
    is_changed: BoolArray
    readings: float


def _trail(
    scores: ZScores,
    residuals: FloatArray,
    changes: BoolArray,
    instants: Instants,
    restarts: IntArray,
    windows: list[int],
    step_us: int,
) -> _Trail:
    sensors, rows = residuals.shape[1], len(instants.times)
    every = np.hstack([residuals, np.clip(np.abs(residuals) - _UNUSUAL, 0, _UNUSUAL), changes])
    found = np.zeros((len(windows), 3 * sensors, rows))
    is_known = np.zeros((sensors, rows), np.bool_)
    order = np.argsort(instants.codes, kind="stable")
    asked = np.searchsorted(instants.codes[order], np.arange(len(instants.machines) + 1))
    bounds = np.searchsorted(scores.codes, np.arange(len(scores.machines) + 1))
    for place, source in enumerate(scores.machines.get_indexer(instants.machines)):
        if source < 0:
            continue
        own, at = slice(bounds[source], bounds[source + 1]), order[asked[place] : asked[place + 1]]
        # Clipped readings add up without a loss of precision worth mentioning.
        sums, counts = _running(np.nan_to_num(every[own], nan=0.0)), _running(~np.isnan(every[own]))
        end = np.searchsorted(scores.times[own], instants.times[at], "right")
        for number, window in enumerate(windows):
            first = np.maximum(instants.times[at] - window, restarts[at])
            start = np.searchsorted(scores.times[own], first, "right")
            count = counts[end] - counts[start]
            # With fewer readings the sum is scaled as if noise were independent, so that all vary alike.
            found[number][:, at] = ((sums[end] - sums[start]) / np.sqrt(np.maximum(count, 1) * window / step_us)).T
            is_known[:, at] |= (count > 0)[:, :sensors].T
    excesses, is_changed = found[-1, sensors : 2 * sensors], found[0, 2 * sensors :] > 0
    return _Trail(is_known, found[:, :sensors], excesses, is_changed, windows[-1] / step_us)


def _running(values: NDArray[np.generic]) -> FloatArray:
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])


def _add_up(trail: _Trail, is_reference: BoolArray) -> FloatArray:
    """Return the deviation of each sensor, (s, m): of its means over all windows, and of single readings.

    NaN for a sensor that does not vary in the reference.
    """
    deviations = np.full(trail.is_known.shape, np.nan)
    for sensor in range(len(deviations)):
        scaled = [mean / _spread(mean[is_reference]) for mean in trail.means[:, sensor]]
        total = np.sum(scaled, axis=0)
        spread = _spread(total[is_reference])
        if math.isinf(spread):
            continue
        size = np.minimum(np.abs(total) / spread, _RECENT * np.abs(scaled[0]))
        excess = trail.excesses[sensor]
        # At least one reading, one standard deviation beyond the usual range.
        usual = max(float(np.sqrt(np.mean(excess[is_reference] ** 2))), 1 / trail.readings)
        deviations[sensor] = size + _WEIGHT * np.sqrt(excess / usual)
    return deviations


def _largest(deviations: FloatArray) -> FloatArray:
    """Return the largest deviation of the known sensors, NaN where none is known."""
    largest = np.max(np.nan_to_num(deviations, nan=-1.0), axis=0, initial=-1.0)
    return np.where(largest < 0, np.nan, largest)


def _spans(instants: Instants, is_reference: BoolArray, rules: HealthRules) -> IntArray:
    """Return the number of the span, over which a maximum is taken, of each reference instant."""
    times = instants.times[is_reference] - int(instants.times.min())
    spans = times // round(rules.maximum_hours * US_PER_HOUR)
    return np.asarray(instants.codes[is_reference] * (int(spans.max(initial=0)) + 1) + spans)


def fit_alarm_level(deviations: FloatArray, spans: IntArray, rules: HealthRules) -> AlarmLevel:
    """Return the deviation that normal operation exceeds at the chosen rate.

    Maxima over spans have a Gumbel distribution. Its quartile and its median determine it, so that damage in the
    reference has little effect. Its level is not above the one that was exceeded at this rate in a long reference: many
    errors widen the distribution in the middle only.

    Raises
    ------
    ReferenceTooShort
        If there are fewer than :data:`FEWEST_MAXIMA` spans.
    """
    known = ~np.isnan(deviations)
    maxima = pd.Series(deviations[known]).groupby(spans[known]).max().to_numpy()
    if len(maxima) < FEWEST_MAXIMA:
        raise ReferenceTooShort(len(maxima))
    low, middle = (float(value) for value in np.quantile(maxima, _QUANTILES))
    reduced_low, reduced_middle = (-math.log(-math.log(share)) for share in _QUANTILES)
    scale = max((middle - low) / (reduced_middle - reduced_low), 1e-6)
    # Exceedances per span.
    share = rules.alarms_per_hour * rules.maximum_hours
    steps = -math.log(share) - reduced_middle
    if share * len(maxima) >= _FEWEST_EXCEEDANCES and steps > 0:
        seen = (float(np.quantile(maxima, math.exp(-share))) - middle) / steps
        scale = min(scale, max(seen, 1e-6))
    return AlarmLevel(middle + scale * steps, scale, len(maxima))
