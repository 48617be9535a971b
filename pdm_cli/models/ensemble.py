"""A trained model: an ensemble of members, with a calibration and an alert rule per component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.alerts import AlertRule, switch_alerts
from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.features.events import Instants
from pdm_cli.features.table import FeatureTable
from pdm_cli.models import Model

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
# Rows predicted at a time, so that copies of the features stay small for large fleets.
_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Member:
    """A fitted algorithm and its feature columns, in the order it was fitted on."""

    algorithm: str
    features: list[str]
    model: Model


@dataclass(frozen=True)
class TrainedModel:
    """An ensemble: the mean of its members, calibrated, and alert rules.

    Attributes
    ----------
    components : list of str
        The c components.
    members : list of Member
        One or more, unless no component is learned.
    calibrations, rules : list
        One per component; a constant calibration marks a component that is not learned: members do not predict it.
    """

    components: list[str]
    members: list[Member]
    calibrations: list[Calibration]
    rules: list[AlertRule]

    @property
    def learned(self) -> list[int]:
        """Positions of the components that the members predict, in their order."""
        return [column for column, calibration in enumerate(self.calibrations) if calibration.kind != "constant"]

    def predict(self, table: FeatureTable, rows: BoolArray | None = None) -> FloatArray:
        """Return calibrated probabilities, shape (m, c).

        The probabilities of a row do not depend on other rows, to the last bit.

        Parameters
        ----------
        table : FeatureTable
            Features of m rows; further columns are ignored.
        rows : (m,) bool array, optional
            Rows to predict; the others are NaN.

        Raises
        ------
        FeatureMismatch
            If a column is missing.
        """
        count, learned = len(table.columns[0]), self.learned
        positions = np.arange(count) if rows is None else np.flatnonzero(rows)
        probabilities = np.full((count, len(self.components)), np.nan)
        for start in range(0, len(positions), _BLOCK_ROWS):
            block = positions[start : start + _BLOCK_ROWS]
            raw = np.zeros((len(block), len(self.components)))
            if learned:
                parts = [member.model.predict(table.matrix(member.features, block)) for member in self.members]
                raw[:, learned] = average(parts)
            for column, calibration in enumerate(self.calibrations):
                probabilities[block, column] = calibration.apply(raw[:, column])
        return probabilities

    def alert(self, probabilities: FloatArray, instants: Instants) -> BoolArray:
        """Return where each component's alert is on, shape (m, c), for all rows sorted by machine, then time."""
        columns = [
            switch_alerts(probabilities[:, column], instants.codes, instants.times, rule)
            for column, rule in enumerate(self.rules)
        ]
        return np.stack(columns, axis=1)

    def explain(self, table: FeatureTable, rows: NDArray[np.intp]) -> FloatArray:
        """Return the contribution of each column of the table to the log-odds of some rows, shape (r, c, f)."""
        total = np.zeros((len(rows), len(self.components), len(table.names)))
        for member in self.members:
            columns = [table.names.index(name) for name in member.features]
            own = np.ix_(range(len(rows)), self.learned, columns)
            total[own] += member.model.contributions(table.matrix(member.features, rows))
        return total / max(len(self.members), 1)


def average(predictions: Sequence[FloatArray]) -> FloatArray:
    """Return the mean of the members' predictions, shape (m, c); with one member its own, to the last bit."""
    return np.asarray(sum(predictions[1:], start=predictions[0]) / len(predictions))
