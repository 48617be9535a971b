"""Failures by the age of a part: what remains to plan with where nothing else announces them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.costs import Lives
from pdm_cli.evaluation.intervals import rate_interval
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.units import Units

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Ageing = Literal["wear", "random", "early"]

LEVEL = 0.9
# Fewer failures do not determine two parameters and how uncertain they are.
FEWEST_FAILURES = 3
# With fewer, even parts that fail at random too often seem to wear out.
FEWEST_FAILURES_TO_AGE = 10
# Up to this shape, parts of twice the age fail at most 1.4 times as often.
_LARGEST_RANDOM_SHAPE = 1.5
# Lives that are all but equal have no finite shape.
_LARGEST_SHAPE = 100.0


@dataclass(frozen=True)
class Weibull:
    """Distribution of the age at which a part fails.

    Attributes
    ----------
    shape : float
        1 if a part fails at random, larger if it wears out, smaller if it fails early.
    scale_hours : float
        Age by which 63 % of the parts have failed.
    covariance : (float, float, float)
        Variance of the logarithm of the shape, covariance, and variance of the logarithm of the scale.
    longest_hours : float
        Longest life, failed or not; nothing is known beyond.
    lives, failures : int
        Number of lives of known age, and of those that ended by failure.
    """

    shape: float
    scale_hours: float
    covariance: tuple[float, float, float]
    longest_hours: float
    lives: int
    failures: int

    def __post_init__(self) -> None:
        spread, joint, scale = self.covariance
        is_positive = min(self.shape, self.scale_hours, self.longest_hours, spread, scale) > 0
        if not (is_positive and joint**2 < spread * scale and FEWEST_FAILURES <= self.failures <= self.lives):
            raise ValueError("not a distribution of lives")

    def shape_interval(self) -> tuple[float, float]:
        """Return the 90 % interval of the shape."""
        # The likeliest shape of few failures is too large on average, so that parts would seem to wear out.
        middle = self.shape * (1 - 1 / self.failures)
        reach = math.exp(_quantile() * math.sqrt(self.covariance[0]))
        return middle / reach, middle * reach

    def age_at(self, share: float) -> float:
        """Return the age in hours by which this share of the parts has failed."""
        return float(self.scale_hours * (-math.log1p(-share)) ** (1 / self.shape))

    def probability(self, ages: FloatArray, hours: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return P(T <= age + hours | T > age) and its 90 % interval, by the delta method on log hazard."""
        with np.errstate(divide="ignore", invalid="ignore"):
            starts = self.shape * np.log(ages / self.scale_hours)
            ends = self.shape * np.log((ages + hours) / self.scale_hours)
            before, until = np.exp(starts), np.exp(ends)
            hazard = until - before
            by_shape = (until * ends - np.where(before > 0, before * starts, 0.0)) / hazard
        spread, joint, scale = self.covariance
        variance = spread * by_shape**2 - 2 * joint * by_shape * self.shape + scale * self.shape**2
        reach = np.exp(_quantile() * np.sqrt(np.maximum(variance, 0.0)))
        return -np.expm1(-hazard), -np.expm1(-hazard / reach), -np.expm1(-hazard * reach)


@dataclass(frozen=True)
class Lifetime:
    """How often a component fails, and how that depends on its age.

    Attributes
    ----------
    failures : int
        Number of failures.
    machine_hours : float
        Hours in which they were counted, over all machines.
    rate, rate_low, rate_high : float
        Failures per machine and hour, with the 90 % interval.
    weibull : Weibull or None
        Distribution of the life; ``None`` with fewer than three failures at a known age.
    """

    failures: int
    machine_hours: float
    rate: float
    rate_low: float
    rate_high: float
    weibull: Weibull | None

    def __post_init__(self) -> None:
        if not (self.machine_hours > 0 and 0 <= self.rate_low <= self.rate <= self.rate_high):
            raise ValueError("not a failure rate")

    def summary(self) -> dict[str, Any]:
        """Return the facts for people, in JSON types; ``None`` where unknown or without limit."""
        between = [1 / rate if rate else None for rate in (self.rate, self.rate_high, self.rate_low)]
        facts = {
            "failures": self.failures,
            "machine_hours": self.machine_hours,
            "hours_between_failures": between[0],
            "hours_between_failures_interval": between[1:],
            "ageing": self.ageing,
        }
        if self.weibull is None:
            return facts
        return {
            **facts,
            "lives": self.weibull.lives,
            "shape": self.weibull.shape,
            "shape_interval": list(self.weibull.shape_interval()),
            "tenth_fails_by_hours": self.weibull.age_at(0.1),
        }

    @property
    def ageing(self) -> Ageing | None:
        """Whether the failure rate depends on age; ``None`` if failures are too few to know."""
        if self.weibull is None or self.weibull.failures < FEWEST_FAILURES_TO_AGE:
            return None
        low, high = self.weibull.shape_interval()
        if low > 1 or high < 1:
            return "wear" if low > 1 else "early"
        return "random" if high < _LARGEST_RANDOM_SHAPE else None

    def probability(self, ages: FloatArray, hours: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the probability of a failure within some hours, and its 90 % interval.

        By age if the component wears out, and its mean otherwise. Ages above the longest life count as that: nobody has
        seen older parts, and they may well have been replaced without a record.

        Parameters
        ----------
        ages : (n,) array
            Age of each part in hours.
        hours : float
            Hours ahead.
        """
        if self.weibull is not None and self.ageing == "wear":
            return self.weibull.probability(np.minimum(ages, self.weibull.longest_hours), hours)
        share, low, high = (np.full(len(ages), value) for value in self.mean_probability(hours))
        return share, low, high

    def mean_probability(self, hours: float) -> tuple[float, float, float]:
        """Return the probability of a failure within some hours at a random time, and its 90 % interval."""
        share, low, high = (-math.expm1(-rate * hours) for rate in (self.rate, self.rate_low, self.rate_high))
        return share, low, high


def fit_lifetime(lives: Lives, failures: FloatArray, hours: FloatArray) -> Lifetime | None:
    """Estimate how often a component fails, and how that depends on its age; ``None`` if no machine was watched.

    The rate counts all failures, the distribution only lives whose beginning is known. Leaving out the others does not
    bias it: a life is in by when it began, not by how long it lasted. Machines differ, so the variance is that of
    independent lives times the design effect between machines, at least 1 [1]_. With fewer than three failures, or on
    a single machine, this effect is unknown: the interval then holds for independent failures.

    Parameters
    ----------
    lives : Lives
        Lives that began in the log.
    failures, hours : (machines,) arrays
        Number of failures of the component, and hours in which they were counted, of each machine.

    References
    ----------
    .. [1] J. N. K. Rao, A. J. Scott (1984), On chi-squared tests for multiway contingency tables with cell proportions
       estimated from survey data, Annals of Statistics 12(1), 46-60.
    """
    count, total = int(failures.sum()), float(hours.sum())
    if not total:
        return None
    interval = rate_interval(failures, hours, LEVEL) if count >= FEWEST_FAILURES else None
    low, high = _exact_rate_interval(count, total) if interval is None else interval
    return Lifetime(count, total, count / total, low, high, _fit_weibull(lives))


def _quantile() -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + LEVEL) / 2))


def find_installations(
    maint: pd.DataFrame | None, component: str, machines: pd.Index, starts_us: IntArray, *, units: Units
) -> pd.DataFrame | None:
    """Return when new parts of a component were installed other than after its failures; ``None`` if unknown.

    At its replacements, and with the first cycle of a machine that counts its cycles from 1, as it is new then.

    Parameters
    ----------
    maint : DataFrame or None
        ``machineID, datetime`` and ``kind``, the component replaced.
    component : str
        The component.
    machines : Index
        The machines.
    starts_us : (machines,) int array
        First reading of each.
    units : Units
        Of the log: whether it counts cycles, and when cycle 1 is.
    """
    logs = [] if maint is None else [maint.loc[maint["kind"] == component, [MACHINE, TIME]]]
    if units.counts_cycles:
        is_new = starts_us <= units.time_of(1)
        logs.append(pd.DataFrame({MACHINE: machines[is_new], TIME: starts_us[is_new].astype("datetime64[us]")}))
    return pd.concat(logs, ignore_index=True) if logs else None


def _exact_rate_interval(count: int, hours: float) -> tuple[float, float]:
    """Return the interval of the rate of a Poisson process."""
    from scipy.stats import chi2

    tail = (1 - LEVEL) / 2
    low = float(chi2.ppf(tail, 2 * count)) if count else 0.0
    return low / (2 * hours), float(chi2.ppf(1 - tail, 2 * (count + 1))) / (2 * hours)


def _fit_weibull(lives: Lives) -> Weibull | None:
    from scipy.stats import CensoredData, FitError, weibull_min

    count = int(lives.failed.sum())
    if count < FEWEST_FAILURES:
        return None
    # The search starts from the mean and expects numbers around 1.
    unit = float(lives.hours.sum()) / count
    hours = lives.hours / unit
    if np.ptp(hours) < 1 / _LARGEST_SHAPE**2:
        return None
    try:
        with np.errstate(all="ignore"):
            data = CensoredData.right_censored(hours, ~lives.failed)
            shape, _, scale = (float(value) for value in weibull_min.fit(data, 1.0, floc=0, scale=1.0))
    except FitError:
        return None
    if not (0 < shape < _LARGEST_SHAPE and 0 < scale < math.inf):
        return None
    covariance = _covariance(Lives(hours, lives.failed, lives.codes), shape, scale)
    if covariance is None:
        return None
    return Weibull(shape, scale * unit, covariance, float(lives.hours.max()), len(lives.hours), count)


def _covariance(lives: Lives, shape: float, scale: float) -> tuple[float, float, float] | None:
    """Return the covariance of the logarithms of shape and scale; ``None`` if the likelihood has no maximum there."""
    failed = lives.failed.astype(np.float64)
    logs = shape * np.log(lives.hours / scale)
    hazard = np.exp(logs)
    scores = np.stack([failed * (1 + logs) - hazard * logs, shape * (hazard - failed)])
    corner = shape * float((hazard + hazard * logs - failed).sum())
    information = np.array(
        [[float((hazard * logs * (1 + logs) - failed * logs).sum()), -corner], [-corner, shape**2 * hazard.sum()]]
    )
    product = information[0, 0] * information[1, 1]
    if not (information[0, 0] > 0 and product - corner**2 > 1e-9 * product):
        return None
    inverse = np.linalg.inv(information)
    machines, codes = np.unique(lives.codes, return_inverse=True)
    effect = 1.0
    if len(machines) > 1:
        sums = np.stack([np.bincount(codes, own) for own in scores])
        between = len(machines) / (len(machines) - 1) * sums @ sums.T
        effect = max(effect, float(np.trace(inverse @ between)) / 2)
    covariance = effect * inverse
    return float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])
