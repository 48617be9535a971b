"""The fleet template: sensors and errors in the last hours before a failure, and how well a machine matches them.

A matched filter: the template is estimated from failures of the whole fleet; at an instant t the last hours of a
machine are aligned with it as if the component failed at t + r, for every r, and compared with normal operation [1]_.

References
----------
.. [1] S. M. Kay (1998), Fundamentals of Statistical Signal Processing II: Detection Theory, chapters 4 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.robust_z import ZScores
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# Lags averaged into each lag of the template: itself, two before, two after.
_SMOOTHED = 5
# Standard errors by which a mean must differ from 0 to count, and the corresponding probability.
_SIGNIFICANT, _CHANCE = 4.0, 3.2e-5
_LONGEST_HOURS = 168
_LEAST_MATCH, _GREATEST_MATCH = -50.0, 80.0
# Rows per matrix product. BLAS may round a row differently depending on the size of the matrix and the row's position
# in it, so sizes are fixed and the position of a row depends on its time only.
_STACK = 64
# Features of each component; the last two need the hours to the next visit.
_COLUMNS = ("match", "match_hours", "match_visit", "match_lag")


@dataclass(frozen=True)
class FleetTemplate:
    """The hours before a failure of each of c components; lag a is the hour (F - a - 1 h, F - a].

    ``components``, ``sensors`` and ``kinds`` name the c components, s sensors and k types of error.

    Attributes
    ----------
    mean_z : (c, lags, s) array
        Mean robust z of the sensor at that lag; 0 where it is within noise.
    error_share : (c, lags, k) array
        Share of failures with an error of that type in that hour, in (0, 1); the base share for types that are no more
        frequent before a failure.
    base_share : (k,) array
        Share of hours of normal operation with an error of that type, in (0, 1).
    """

    components: list[str]
    sensors: list[str]
    kinds: list[str]
    mean_z: FloatArray
    error_share: FloatArray
    base_share: FloatArray

    @property
    def hours(self) -> int:
        """Number of lags, in hours."""
        return int(self.mean_z.shape[1])

    def to_json(self) -> dict[str, Any]:
        """Return names and nested lists of numbers for :meth:`from_json`."""
        return {
            "components": self.components,
            "sensors": self.sensors,
            "kinds": self.kinds,
            "mean_z": self.mean_z.tolist(),
            "error_share": self.error_share.tolist(),
            "base_share": self.base_share.tolist(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> FleetTemplate:
        """Read the output of :meth:`to_json`.

        Raises
        ------
        KeyError
            If a part is missing.
        ValueError
            If the shapes of its parts do not match, or a share is not in (0, 1).
        """
        components, sensors, kinds = (list(content[name]) for name in ("components", "sensors", "kinds"))
        c, s, k = len(components), len(sensors), len(kinds)
        mean_z = np.array(content["mean_z"], np.float64)
        lags = mean_z.shape[1] if mean_z.ndim == 3 else 0
        error_share = np.array(content["error_share"], np.float64)
        base_share = np.array(content["base_share"], np.float64)
        shapes = (mean_z.shape, error_share.shape, base_share.shape)
        if not lags or shapes != ((c, lags, s), (c, lags, k), (k,)):
            raise ValueError(f"a template of {c} components, {s} sensors and {k} error types has shapes {shapes}")
        shares = np.concatenate([error_share.ravel(), base_share])
        if not (np.isfinite(mean_z).all() and ((shares > 0) & (shares < 1)).all()):
            raise ValueError("a template has a number that is not finite, or a share that is not between 0 and 1")
        return cls(components, sensors, kinds, mean_z, error_share, base_share)


def template_hours(horizon_hours: float) -> int:
    """Return the number of lags for a horizon: 1.5 times its hours, at most a week."""
    return min(math.ceil(1.5 * horizon_hours), _LONGEST_HOURS)


@dataclass(frozen=True)
class TemplateScope:
    """Components, types of error, and lags in hours (1 or more) of a template."""

    components: list[str]
    kinds: list[str]
    hours: int = 72


def learn_template(
    scores: ZScores,
    errors: pd.DataFrame,
    failures: pd.DataFrame,
    scope: TemplateScope,
    *,
    until_us: int,
    step_us: int,
) -> FleetTemplate:
    """Estimate the template from the failures up to ``until_us``; later records are not used.

    Every mean covers failures and five neighbouring lags. The mean z is 0 unless it differs from 0 by more than four
    standard errors. A type of error counts for a component if at some lag it is more frequent than chance allows in
    normal operation; its share is never below the base share.

    Parameters
    ----------
    scores : ZScores
        Robust z of the telemetry.
    errors : DataFrame
        ``machineID, datetime, kind``; types outside the scope are ignored.
    failures : DataFrame
        ``machineID, datetime, failure``; those of machines without telemetry are ignored.
    scope : TemplateScope
        Components, types of error and lags. A component that has not failed matches nothing.
    until_us : int
        Last known instant, microseconds since 1970, UTC.
    step_us : int
        Step of the telemetry in microseconds.
    """
    past = failures[to_microseconds(failures[TIME]) <= until_us]
    history = HourlyHistory(scores, errors, scores.machines, scope.kinds)
    machines = scores.machines.get_indexer(pd.Index(past[MACHINE]))
    rows, times = pd.Index(scope.components).get_indexer(pd.Index(past["failure"])), to_microseconds(past[TIME])
    totals = np.zeros((len(scope.components), scope.hours, history.width))
    for machine in np.unique(machines[machines >= 0]).tolist():
        own = (machines == machine) & (rows >= 0)
        np.add.at(totals, rows[own], history.hours_back(machine, times[own], scope.hours))
    normal = _base_share(scores, errors, past, scope, until_us=until_us, step_us=step_us)
    readings, counts, seen, known = history.split(_smooth(totals))
    return FleetTemplate(
        components=list(scope.components),
        sensors=list(scores.sensors),
        kinds=list(scope.kinds),
        mean_z=np.where(np.abs(readings) > _SIGNIFICANT * np.sqrt(counts), readings / np.maximum(counts, 1), 0.0),
        error_share=_error_share(seen, known, normal),
        base_share=normal,
    )


def _smooth(totals: FloatArray) -> FloatArray:
    """Add up neighbouring lags, axis 1; fewer of them at both ends."""
    side = _SMOOTHED // 2
    padded = np.pad(totals, ((0, 0), (side, side), (0, 0)))
    summed: FloatArray = sliding_window_view(padded, _SMOOTHED, axis=1).sum(axis=-1)
    return summed


def _base_share(
    scores: ZScores,
    errors: pd.DataFrame,
    failures: pd.DataFrame,
    scope: TemplateScope,
    *,
    until_us: int,
    step_us: int,
) -> FloatArray:
    """Return the share of hours with an error of each type, not counting the last hours before a failure."""
    failed = EventLog(failures, scores.machines)
    first_times = scores.times[np.searchsorted(scores.codes, np.arange(len(scores.machines)))]

    def is_normal(codes: IntArray, times: IntArray) -> NDArray[np.bool_]:
        is_known = (times >= first_times[codes]) & (times <= until_us)
        # Also true where no failure follows.
        return is_known & ~(failed.next_from(codes, times) - times < scope.hours * US_PER_HOUR)

    normal_hours = np.count_nonzero(is_normal(scores.codes, scores.times)) * step_us / US_PER_HOUR
    counts = np.zeros(len(scope.kinds))
    for column, kind in enumerate(scope.kinds):
        log = EventLog(errors[errors["kind"] == kind], scores.machines)
        counts[column] = np.count_nonzero(is_normal(log.codes, log.times))
    # At most a half: a log that repeats the same error may hold more errors than hours.
    return np.minimum((counts + 1) / (normal_hours + 2), 0.5)


def _error_share(seen: FloatArray, known: FloatArray, base_share: FloatArray) -> FloatArray:
    """Return the share of each type, given the hours with an error (c, lags, k) and the known hours (c, lags, 1)."""
    from scipy.special import gammainc

    # Probability of at least this many errors under the Poisson rate of normal operation.
    chance = np.where(seen > 0, gammainc(np.maximum(seen, 1), known * base_share), 1.0)
    matters = chance.min(axis=1, keepdims=True) < _CHANCE
    # As if one more failure had come without an error; never below the base: an unusual error is not a good sign.
    return np.where(matters, np.maximum(seen / (known + _SMOOTHED), base_share), base_share)


def match_template(
    template: FleetTemplate,
    scores: ZScores,
    errors: pd.DataFrame,
    instants: Instants,
    hours_to_visit: FloatArray | None,
    *,
    reach_hours: float = 48,
    step_hours: int = 3,
) -> Iterator[tuple[str, FloatArray]]:
    """Yield how well the last hours before each instant match the template of each component.

    For r = step, 2 step .. reach hours to failure, L(r) is the log likelihood ratio of the last hours under the
    template shifted by r against normal operation: hour h before t has lag r + h. The mean z of an hour is Gaussian
    with unit variance, an hour has an error of a type or not; missing readings are ignored. L is clipped to [-50, 80].

    Parameters
    ----------
    template : FleetTemplate
        From :func:`learn_template`.
    scores : ZScores
        Robust z of the same sensors.
    errors : DataFrame
        ``machineID, datetime, kind``.
    instants : Instants
        The m rows.
    hours_to_visit : (m,) array or None
        Hours to the next expected visit, NaN where unknown.
    reach_hours : float
        Largest r. Values of r that leave no lag of the template are skipped.
    step_hours : int
        Step of r; fastest where it divides the grid of the instants.

    Yields
    ------
    name, values : str, (m,) array
        For each component ``_match``, the log of the mean of exp L over r; ``_match_hours``, the expected r under
        softmax of L; and, if visits are given, ``_match_visit``, L at the r nearest the visit, NaN where that is
        unknown or more than a step beyond the largest r; ``_match_lag``, the expected r minus the hours to the visit.

    Raises
    ------
    ValueError
        If the sensors differ from those of the template, or no r is possible.
    """
    if scores.sensors != template.sensors:
        raise ValueError(f"the template is for sensors {template.sensors}, not {scores.sensors}")
    if not template.components:
        return
    ahead = step_hours * np.arange(1.0, min(reach_hours, template.hours - 1) // step_hours + 1)
    if not len(ahead):
        raise ValueError(f"no multiple of {step_hours} h within {reach_hours} h and {template.hours} lags")
    history = HourlyHistory(scores, errors, instants.machines, template.kinds)
    weights = _weights(template, step_hours)
    visits = np.full(len(instants.times), np.nan) if hours_to_visit is None else hours_to_visit
    values = np.empty((len(template.components), len(_COLUMNS), len(instants.times)))
    for machine, rows in _same_phase(instants, step_hours * US_PER_HOUR):
        ratios = _log_ratios(history, machine, instants.times[rows], weights, len(ahead))
        values[:, :, rows] = _summarise(ratios, ahead, visits[rows])
    names = _COLUMNS if hours_to_visit is not None else _COLUMNS[:2]
    for component, columns in zip(template.components, values, strict=True):
        for column, name in enumerate(names):
            yield f"{component}_{name}", columns[column]


def _same_phase(instants: Instants, step_us: int) -> Iterator[tuple[int, IntArray]]:
    """Yield rows of one machine whose times are a whole number of steps apart."""
    phases = instants.times % step_us
    order = np.lexsort((phases, instants.codes))
    is_new = (np.diff(instants.codes[order]) != 0) | (np.diff(phases[order]) != 0)
    for rows in np.split(order, np.flatnonzero(is_new) + 1) if len(order) else ():
        yield int(instants.codes[rows[0]]), rows


def _weights(template: FleetTemplate, step_hours: int) -> FloatArray:
    """Return the contribution of each number of an hour to the log ratio at each lag, (blocks, step * width, c).

    The lags are grouped in blocks of a step, padded with zeros.
    """
    share, base = template.error_share, template.base_share
    absent = np.log1p(-share) - np.log1p(-base)
    parts = (
        template.mean_z,
        -np.square(template.mean_z) / 2,
        np.log(share) - np.log(base) - absent,
        absent.sum(axis=-1, keepdims=True),
    )
    by_lag = np.concatenate(parts, axis=-1).transpose(1, 2, 0)
    filled = np.pad(by_lag, ((0, -template.hours % step_hours), (0, 0), (0, 0)))
    return filled.reshape(-1, step_hours * by_lag.shape[1], by_lag.shape[2])


def _log_ratios(history: HourlyHistory, machine: int, times: IntArray, weights: FloatArray, reach: int) -> FloatArray:
    """Return the log likelihood ratios (m, c, r) at times of one machine that are a whole number of steps apart.

    The contribution of an hour to L depends on its lag and so, over all instants and r, on t + r only. The matrix
    product therefore combines each block of hours with each block of lags once, and L adds up the blocks with the same
    t + r.
    """
    blocks, width, components = weights.shape
    step = width // history.width
    step_us, phase = step * US_PER_HOUR, times[0] % (step * US_PER_HOUR)
    at = times // step_us
    first = (at.min() - blocks) // _STACK * _STACK
    count = -(-(at.max() + 1 - first) // _STACK) * _STACK
    hourly = history.hours_back(machine, np.arange(first, first + count) * step_us + phase, step)
    product = hourly.reshape(-1, _STACK, width) @ weights.transpose(1, 0, 2).reshape(width, -1)
    shares = product.reshape(count, blocks, components)
    ratios = np.zeros((len(times), components, reach))
    total = np.zeros((count + blocks, components))
    for block in range(blocks - 1, 0, -1):
        total[block : block + count] += shares[:, block]
        if block <= reach:
            ratios[:, :, block - 1] = total[at - first + block]
    return ratios


def _summarise(ratios: FloatArray, ahead: FloatArray, visits: FloatArray) -> FloatArray:
    """Return the columns (c, 4, m) of log likelihood ratios (m, c, r)."""
    ratios = np.clip(ratios, _LEAST_MATCH, _GREATEST_MATCH)
    peak = ratios.max(axis=-1)
    likelihood = np.exp(ratios - peak[..., None])
    total = likelihood.sum(axis=-1)
    expected = (likelihood * ahead).sum(axis=-1) / total
    near = visits <= ahead[-1] + ahead[0]
    nearest = np.clip(np.floor(np.where(near, visits, 0.0) / ahead[0] + 0.5).astype(np.int64) - 1, 0, len(ahead) - 1)
    at_visit = np.where(near[:, None], ratios[np.arange(len(visits)), :, nearest], np.nan)
    columns = (peak + np.log(total / len(ahead)), expected, at_visit, expected - visits[:, None])
    return np.stack(columns).transpose(2, 0, 1)


class HourlyHistory:
    """Readings and errors of each machine, hour by hour before any instant.

    ``errors`` has ``machineID, datetime, kind``; ``machines`` are referred to by position; ``kinds`` are the k types of
    error to include.
    """

    def __init__(self, scores: ZScores, errors: pd.DataFrame, machines: pd.Index, kinds: list[str]) -> None:
        self._scores, self._kinds = scores, kinds
        codes = scores.machines.get_indexer(machines)
        self._first, self._stop = (np.searchsorted(scores.codes, codes, side) for side in ("left", "right"))
        owners = machines.get_indexer(pd.Index(errors[MACHINE]))
        of_kind = pd.Index(kinds, dtype=object).get_indexer(pd.Index(errors["kind"]).astype(object))
        times = to_microseconds(errors[TIME])
        order = np.lexsort((times, owners))
        order = order[of_kind[order] >= 0]
        self._error_owners, self._error_times, self._error_kinds = owners[order], times[order], of_kind[order]

    @property
    def width(self) -> int:
        """Numbers per hour in :meth:`hours_back`."""
        return 2 * len(self._scores.sensors) + len(self._kinds) + 1

    def split(self, hourly: FloatArray) -> list[FloatArray]:
        """Split the last axis of :meth:`hours_back` into z, whether it exists, errors, and known hours."""
        sensors, kinds = len(self._scores.sensors), len(self._kinds)
        return np.split(hourly, [sensors, 2 * sensors, 2 * sensors + kinds], axis=-1)

    def hours_back(self, machine: int, ends: IntArray, hours: int) -> FloatArray:
        """Return the last hours before each of e ends; hour h is (end - h - 1 h, end - h].

        Returns
        -------
        (e, hours, width) array
            For each sensor the mean z of the hour, 0 without readings; for each sensor whether it has readings; for
            each type whether there was an error; whether the hour is known. Hours before the machine's first reading
            are unknown: neither errors nor their absence count.
        """
        rows = slice(self._first[machine], self._stop[machine])
        times, scores = self._scores.times[rows], self._scores.z[rows]
        hourly = np.zeros((len(ends), hours, self.width))
        z, there, errors, known = self.split(hourly)
        if not len(times):
            return hourly
        records, cells = _hour_cells(times, ends, hours)
        for sensor, column in enumerate(scores.T):
            values = column[records]
            is_there = np.isfinite(values)
            counts = np.bincount(cells, is_there, len(ends) * hours)
            sums = np.bincount(cells, np.where(is_there, values, 0.0), len(ends) * hours)
            z[..., sensor] = (sums / np.maximum(counts, 1)).reshape(len(ends), hours)
            there[..., sensor] = (counts > 0).reshape(len(ends), hours)
        bounds = np.searchsorted(self._error_owners, [machine, machine + 1])
        own = slice(*bounds)
        records, cells = _hour_cells(self._error_times[own], ends, hours)
        errors[cells // hours, cells % hours, self._error_kinds[own][records]] = 1.0
        known[..., 0] = ends[:, None] - np.arange(hours) * US_PER_HOUR >= times[0]
        errors *= known
        return hourly


def _hour_cells(times: IntArray, ends: IntArray, hours: int) -> tuple[IntArray, IntArray]:
    """Return the records within the hours before each end, and for each its cell end * hours + hour.

    ``times`` are sorted; a record before several ends is repeated.
    """
    first = np.searchsorted(times, ends - hours * US_PER_HOUR, "right")
    counts = np.searchsorted(times, ends, "right") - first
    owners = np.repeat(np.arange(len(ends)), counts)
    records = np.arange(len(owners)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    return records, owners * hours + (ends[owners] - times[records]) // US_PER_HOUR
