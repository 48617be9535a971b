"""The fleet template: what sensors and errors show in the last hours before a failure, and how well a machine's match.

A matched filter: the template is learned from failures of the whole fleet; at an instant t the last hours of a machine
are laid over it as if the component failed at t + r, for every r, and compared with normal running [1]_.

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
from pdm_cli.features.hourly_history import Histories
from pdm_cli.features.robust_z import ZScores
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# Lags averaged into each lag of the template: itself, two before, two after.
_SMOOTHED = 5
# Standard errors by which a mean must leave 0 to be believed, and the chance that goes with it.
_BELIEVED, _CHANCE = 4.0, 3.2e-5
_LONGEST_HOURS = 168
_LEAST_MATCH, _GREATEST_MATCH = -50.0, 80.0
# Rows of a matrix product. BLAS may round a row differently in a matrix of another size or at another place in it, so
# sizes are fixed, and a row's place follows from its stamp alone.
_STACK = 64
# What is said of each component; the last two need the hours to the next visit.
_COLUMNS = ("match", "match_hours", "match_visit", "match_lag")


@dataclass(frozen=True)
class FleetTemplate:
    """What goes ahead of a failure of each of c components, hour by hour; lag a is the hour (F - a - 1 h, F - a].

    Attributes
    ----------
    components, sensors, kinds : list of str
        The c components, s sensors and k kinds of error.
    mean_z : (c, lags, s) array
        Mean robust z of the sensor at that lag; 0 where it is within noise.
    error_share : (c, lags, k) array
        Share of failures with an error of that kind in that hour, in (0, 1); the base share for kinds that are no
        commoner ahead of a failure.
    base_share : (k,) array
        Share of hours of normal running with an error of that kind, in (0, 1).
    """

    components: list[str]
    sensors: list[str]
    kinds: list[str]
    mean_z: FloatArray
    error_share: FloatArray
    base_share: FloatArray

    @property
    def hours(self) -> int:
        """Lags, in hours."""
        return int(self.mean_z.shape[1])

    def to_json(self) -> dict[str, Any]:
        """Return names and nested lists of numbers, for :meth:`from_json`."""
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
        """Read what :meth:`to_json` returned.

        Raises
        ------
        KeyError
            If a part is missing.
        ValueError
            If its parts do not belong together, or a share is no share.
        """
        components, sensors, kinds = (list(content[name]) for name in ("components", "sensors", "kinds"))
        c, s, k = len(components), len(sensors), len(kinds)
        mean_z = np.array(content["mean_z"], np.float64)
        lags = mean_z.shape[1] if mean_z.ndim == 3 else 0
        error_share = np.array(content["error_share"], np.float64)
        base_share = np.array(content["base_share"], np.float64)
        shapes = (mean_z.shape, error_share.shape, base_share.shape)
        if not lags or shapes != ((c, lags, s), (c, lags, k), (k,)):
            raise ValueError(f"a template of {c} components, {s} sensors and {k} kinds of error has shapes {shapes}")
        shares = np.concatenate([error_share.ravel(), base_share])
        if not (np.isfinite(mean_z).all() and ((shares > 0) & (shares < 1)).all()):
            raise ValueError("a template holds a number that is not finite, or a share that is not within 0 and 1")
        return cls(components, sensors, kinds, mean_z, error_share, base_share)


def template_hours(horizon_hours: float) -> int:
    """Return how many lags serve a horizon: half as many hours again, at most a week."""
    return min(math.ceil(1.5 * horizon_hours), _LONGEST_HOURS)


def learn_template(
    scores: ZScores,
    errors: pd.DataFrame,
    failures: pd.DataFrame,
    *,
    components: list[str],
    kinds: list[str],
    until_us: int,
    step_us: int,
    hours: int = 72,
) -> FleetTemplate:
    """Learn the template from the failures with stamp <= ``until_us``; nothing later is looked at.

    Every mean is one over failures and five neighbouring lags. The mean z is 0 unless it leaves 0 by more than four
    standard errors. A kind of error counts for a component if at some lag there are more of it than chance lets come in
    normal running; its share is never below the base share.

    Parameters
    ----------
    scores : ZScores
        Robust z of the telemetry.
    errors : DataFrame
        ``machineID, datetime, kind``; kinds other than ``kinds`` are not seen.
    failures : DataFrame
        ``machineID, datetime, failure``; those of machines without telemetry are left out.
    components, kinds : list of str
        What the template is for. A component that has not failed matches nothing.
    until_us : int
        Last instant that may be known, microseconds since 1970, UTC.
    step_us : int
        Step of the telemetry in microseconds.
    hours : int
        Lags, 1 or more.
    """
    past = failures[to_microseconds(failures[TIME]) <= until_us]
    histories = Histories(scores, errors, scores.machines, kinds)
    machines = scores.machines.get_indexer(pd.Index(past[MACHINE]))
    rows, times = pd.Index(components).get_indexer(pd.Index(past["failure"])), to_microseconds(past[TIME])
    totals = np.zeros((len(components), hours, histories.width))
    for machine in np.unique(machines[machines >= 0]).tolist():
        own = (machines == machine) & (rows >= 0)
        np.add.at(totals, rows[own], histories.hours_back(machine, times[own], hours))
    normal = _base_share(scores, errors, past, kinds, until_us=until_us, step_us=step_us, hours=hours)
    readings, counts, seen, known = histories.split(_smooth(totals))
    return FleetTemplate(
        components=list(components),
        sensors=list(scores.sensors),
        kinds=list(kinds),
        mean_z=np.where(np.abs(readings) > _BELIEVED * np.sqrt(counts), readings / np.maximum(counts, 1), 0.0),
        error_share=_error_share(seen, known, normal),
        base_share=normal,
    )


def _smooth(totals: FloatArray) -> FloatArray:
    """Add up neighbouring lags, axis 1; at both ends as many as there are."""
    side = _SMOOTHED // 2
    padded = np.pad(totals, ((0, 0), (side, side), (0, 0)))
    summed: FloatArray = sliding_window_view(padded, _SMOOTHED, axis=1).sum(axis=-1)
    return summed


def _base_share(
    scores: ZScores,
    errors: pd.DataFrame,
    failures: pd.DataFrame,
    kinds: list[str],
    *,
    until_us: int,
    step_us: int,
    hours: int,
) -> FloatArray:
    """Return the share of hours with an error of each kind, of hours that are not the last ones before a failure."""
    failed = EventLog(failures, scores.machines)
    first_times = scores.times[np.searchsorted(scores.codes, np.arange(len(scores.machines)))]

    def is_normal(codes: IntArray, times: IntArray) -> NDArray[np.bool_]:
        is_known = (times >= first_times[codes]) & (times <= until_us)
        # Also true where no failure follows.
        return is_known & ~(failed.next_from(codes, times) - times < hours * US_PER_HOUR)

    normal_hours = np.count_nonzero(is_normal(scores.codes, scores.times)) * step_us / US_PER_HOUR
    counts = np.zeros(len(kinds))
    for column, kind in enumerate(kinds):
        log = EventLog(errors[errors["kind"] == kind], scores.machines)
        counts[column] = np.count_nonzero(is_normal(log.codes, log.times))
    # At most a half: a log that tells of the same error over and over may hold more errors than hours.
    return np.minimum((counts + 1) / (normal_hours + 2), 0.5)


def _error_share(seen: FloatArray, known: FloatArray, base_share: FloatArray) -> FloatArray:
    """Return the share of each kind, given how many hours have an error (c, lags, k) and are known (c, lags, 1)."""
    from scipy.special import gammainc

    # The chance of so many errors or more, if their number were Poisson distributed as in normal running.
    chance = np.where(seen > 0, gammainc(np.maximum(seen, 1), known * base_share), 1.0)
    matters = chance.min(axis=1, keepdims=True) < _CHANCE
    # As if one failure more had come unannounced; never below the base, for an error at an odd time is no good sign.
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
    template shifted by r against normal running: hour h back from t stands at lag r + h. The mean z of an hour is
    Gaussian with unit variance, an hour has an error of a kind or not; missing readings count for nothing. L is
    clipped to [-50, 80].

    Parameters
    ----------
    template : FleetTemplate
        Learned by :func:`learn_template`.
    scores : ZScores
        Robust z of the same sensors.
    errors : DataFrame
        ``machineID, datetime, kind``.
    instants : Instants
        The m rows wanted.
    hours_to_visit : (m,) array or None
        Hours to the next expected visit, NaN where unknown.
    reach_hours : float
        Largest r. An r that leaves no lag of the template is left out.
    step_hours : int
        Step of r; quickest where it divides the grid of the instants.

    Yields
    ------
    name, values : str, (m,) array
        For each component ``_match``, the log of the mean of exp L over r; ``_match_hours``, the expected r under
        softmax of L; and, if visits are given, ``_match_visit``, L at the r nearest the visit, NaN where that is
        unknown or more than a step beyond the largest r; ``_match_lag``, the expected r less the hours to the visit.

    Raises
    ------
    ValueError
        If the sensors are not those of the template, or there is no r.
    """
    if scores.sensors != template.sensors:
        raise ValueError(f"the template is for sensors {template.sensors}, not {scores.sensors}")
    if not template.components:
        return
    ahead = step_hours * np.arange(1.0, min(reach_hours, template.hours - 1) // step_hours + 1)
    if not len(ahead):
        raise ValueError(f"no multiple of {step_hours} h within {reach_hours} h and {template.hours} lags")
    histories = Histories(scores, errors, instants.machines, template.kinds)
    weights = _weights(template, step_hours)
    visits = np.full(len(instants.times), np.nan) if hours_to_visit is None else hours_to_visit
    values = np.empty((len(template.components), len(_COLUMNS), len(instants.times)))
    for machine, rows in _alike(instants, step_hours * US_PER_HOUR):
        ratios = _log_ratios(histories, machine, instants.times[rows], weights, len(ahead))
        values[:, :, rows] = _summarise(ratios, ahead, visits[rows])
    wanted = _COLUMNS if hours_to_visit is not None else _COLUMNS[:2]
    for component, columns in zip(template.components, values, strict=True):
        for column, name in enumerate(wanted):
            yield f"{component}_{name}", columns[column]


def _alike(instants: Instants, step_us: int) -> Iterator[tuple[int, IntArray]]:
    """Yield rows of one machine whose times are a whole number of steps apart."""
    phases = instants.times % step_us
    order = np.lexsort((phases, instants.codes))
    is_new = (np.diff(instants.codes[order]) != 0) | (np.diff(phases[order]) != 0)
    for rows in np.split(order, np.flatnonzero(is_new) + 1) if len(order) else ():
        yield int(instants.codes[rows[0]]), rows


def _weights(template: FleetTemplate, step_hours: int) -> FloatArray:
    """Return what each number of an hour adds to the log ratio at each lag, (blocks, step * width, c).

    The lags stand in blocks of a step, filled up with zeros.
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


def _log_ratios(histories: Histories, machine: int, times: IntArray, weights: FloatArray, reach: int) -> FloatArray:
    """Return the log likelihood ratios (m, c, r) at times of one machine that are a whole number of steps apart.

    An hour's share in L depends on its lag and thus, of all instants and r, on t + r alone. So the matrix product
    takes each block of hours to each block of lags once, and L adds up the blocks towards the same t + r.
    """
    blocks, width, components = weights.shape
    step = width // histories.width
    step_us, phase = step * US_PER_HOUR, times[0] % (step * US_PER_HOUR)
    at = times // step_us
    first = (at.min() - blocks) // _STACK * _STACK
    count = -(-(at.max() + 1 - first) // _STACK) * _STACK
    hourly = histories.hours_back(machine, np.arange(first, first + count) * step_us + phase, step)
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
