"""The hazard: how the probability of a failure is spread over the time before and after the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.evaluation.hours_to_failure import LEVELS, find_mean, find_quantiles
from pdm_cli.features.table import FeatureTable
from pdm_cli.models.ensemble import Member

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]
# Rows predicted at a time, so that copies of the features stay small for large fleets.
_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Branch:
    """Failures of one component before or after the main horizon.

    Attributes
    ----------
    component : int
        Position of the component.
    is_within : bool
        Whether the horizons are shorter than the main one.
    hours : list of float
        The k horizons, increasing.
    member : Member
        Predicts k columns: the probability of a failure up to each horizon, given that the component fails within the
        main horizon (``is_within``) or not within it.
    calibrations : list of Calibration
        One per horizon.
    """

    component: int
    is_within: bool
    hours: list[float]
    member: Member
    calibrations: list[Calibration]

    def predict(self, table: FeatureTable, rows: IndexArray) -> FloatArray:
        """Return the calibrated probabilities of some rows, shape (r, k), increasing in every row."""
        raw = self.member.model.predict(table.matrix(self.member.features, rows))
        columns = [calibration.apply(raw[:, column]) for column, calibration in enumerate(self.calibrations)]
        return np.maximum.accumulate(np.stack(columns, axis=1), axis=1)


@dataclass(frozen=True)
class HazardModel:
    """A discrete-time hazard [1]_: it adds shorter and longer horizons to the probabilities of a model.

    Without branches, all times up to the main horizon are equally probable, and none beyond is predicted.

    Attributes
    ----------
    lead_hours, horizon_hours : float
        Lead time and main horizon; the first is below the second unless there are no branches.
    branches : list of Branch
        At most two per component.

    References
    ----------
    .. [1] G. Tutz, M. Schmid (2016), Modeling Discrete Time-to-Event Data, Springer.
    """

    lead_hours: float
    horizon_hours: float
    branches: list[Branch] = field(default_factory=list)

    def hours_of(self, component: int) -> list[float]:
        """Return the horizons of a component, the main one included, increasing."""
        own = [hours for branch in self.branches if branch.component == component for hours in branch.hours]
        return sorted([self.horizon_hours, *own])

    def spread(
        self, component: int, probability: FloatArray, table: FeatureTable, rows: IndexArray
    ) -> tuple[list[float], FloatArray]:
        """Return the horizons of a component, and the probability of a failure up to each of them.

        Parameters
        ----------
        component : int
            Position of the component.
        probability : (r,) array
            Probability of a failure within the main horizon, which stays as it is.
        table : FeatureTable
            Features of m rows.
        rows : (r,) int array
            Rows to predict.

        Returns
        -------
        hours : list of float
            The k horizons.
        probabilities : (r, k) array
            Increasing in every row.
        """
        found = {self.horizon_hours: probability}
        for branch in self.branches:
            if branch.component == component:
                given = branch.predict(table, rows)
                for hours, share in zip(branch.hours, given.T, strict=True):
                    found[hours] = probability * share
                    if not branch.is_within:
                        found[hours] = probability + (1 - probability) * share
        horizons = sorted(found)
        return horizons, np.stack([found[each] for each in horizons], axis=1)

    def predict(self, table: FeatureTable, probabilities: FloatArray, rows: IndexArray) -> FloatArray:
        """Return quantiles of the hours to the failure that is at least a lead time ahead, shape (r, c, 3).

        Those of a row do not depend on other rows.

        Parameters
        ----------
        table : FeatureTable
            Features of m rows.
        probabilities : (m, c) array
            Of a failure within the main horizon.
        rows : (r,) int array
            Rows to predict.
        """
        count = probabilities.shape[1]
        found = np.empty((len(rows), count, len(LEVELS)))
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            for component in range(count):
                hours, spread = self.spread(component, probabilities[block, component], table, block)
                found[start : start + len(block), component] = self.quantiles(hours, spread)
        return found

    def quantiles(self, hours: Sequence[float], spread: FloatArray) -> FloatArray:
        """Return quantiles of the hours to failure, shape (r, 3), from the result of :meth:`spread`."""
        return find_quantiles(*self._from_lead_time(hours, spread))

    def mean(self, hours: Sequence[float], spread: FloatArray) -> FloatArray:
        """Return the mean of the hours to failure up to the last horizon, shape (r,), from the same result."""
        return find_mean(*self._from_lead_time(hours, spread))

    def _from_lead_time(self, hours: Sequence[float], spread: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the horizons and probabilities with the lead time, before which no failure is predicted."""
        # With a lead time as long as the horizon, the failure is predicted at that time.
        start = min(self.lead_hours, np.nextafter(hours[0], -1))
        return np.array([start, *hours]), np.column_stack([np.zeros(len(spread)), spread])
