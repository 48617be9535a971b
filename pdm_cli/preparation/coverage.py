"""How much of the telemetry ends up in rolling features, and why if it is almost nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdm_cli.preparation.cleaning import same_machine_as_above, sensors_of, to_microseconds
from pdm_cli.preparation.windows import propose_windows, show_options, show_roughly
from pdm_cli.schema import FEATURES, TIME
from pdm_cli.settings.model import FeaturesParams
from pdm_cli.text import show_count
from pdm_cli.timestamps import US_PER_HOUR

# Fewer feature rows than this, or a smaller share of feature values that exist, are almost nothing.
_FEW_ROWS = 10
_FEW_VALUES = 0.1


@dataclass(frozen=True)
class Shortage:
    """Almost nothing is left: the fact and its cause, and the options that help."""

    message: str
    hint: str
    is_total: bool

    def warning(self) -> str:
        """Return both in one line."""
        return f"{self.message}; {self.hint}"


class Coverage:
    """Counts of readings and rolling features, batch by batch of whole machines."""

    def __init__(self, step_us: int) -> None:
        self._step_us = step_us
        self._rows = self._readings = self._runs = self._longest = 0
        self._feature_rows = self._values = self._cells = 0

    def add(self, clean: pd.DataFrame, rolling: pd.DataFrame) -> None:
        """Add clean telemetry and its rolling features."""
        has_reading = np.isfinite(clean[sensors_of(clean)].to_numpy()).any(axis=1)
        times = to_microseconds(clean[TIME])
        is_next = same_machine_as_above(clean)
        is_next[1:] &= np.diff(times) == self._step_us
        # A run of readings ends at a missing one, a gap or another machine.
        is_start = has_reading & ~(is_next & np.append(False, has_reading[:-1]))
        lengths = np.bincount(np.cumsum(is_start)[has_reading]) if has_reading.any() else np.zeros(1, np.int64)
        self._rows += len(clean)
        self._readings += int(has_reading.sum())
        self._runs += int(is_start.sum())
        self._longest = max(self._longest, int(lengths.max()))
        values = rolling.drop(columns=list(FEATURES.key))
        self._feature_rows += len(rolling)
        self._values += int(values.notna().to_numpy().sum())
        self._cells += values.size

    def find_shortage(self, features: FeaturesParams) -> Shortage | None:
        """Return why there are almost no rolling features, if so."""
        if self._feature_rows >= _FEW_ROWS and self._values >= _FEW_VALUES * self._cells:
            return None
        amount = f"{show_count(self._feature_rows, 'feature row')} of {show_count(self._rows, 'telemetry row')}"
        if self._feature_rows:
            amount = f"only {amount}" if self._feature_rows < _FEW_ROWS else amount
            share = self._values / max(self._cells, 1)
            amount += f", {1 - share:.0%} of the features missing" if share < _FEW_VALUES else ""
        cause, hint = self._explain(features)
        return Shortage(f"{amount}: {cause}", hint, is_total=not self._values)

    def _explain(self, features: FeaturesParams) -> tuple[str, str]:
        if not self._readings:
            return "no sensor has a finite reading", "add readings, or check --sensors and --ranges"
        longest_us, share = self._longest * self._step_us, self._readings / self._rows
        lengths_us = [round(hours * US_PER_HOUR) for hours in (features.grid_hours, *features.windows_hours)]
        typical_us = self._readings // self._runs * self._step_us
        if typical_us < max(min(lengths_us[1:]), lengths_us[0]):
            proposal = propose_windows(self._step_us, longest_us)
            pieces = f"{show_count(self._runs, 'piece')} without gaps, the longest {show_roughly(longest_us)}"
            cause = f"the readings come in {pieces}, but the grid is {show_roughly(lengths_us[0])} and the windows are "
            cause += ", ".join(map(show_roughly, lengths_us[1:]))
            if proposal.grid_us < lengths_us[0] or min(proposal.windows_us) < min(lengths_us[1:]):
                return cause, f"set {show_options(proposal.features)}"
            return cause, "provide telemetry with fewer gaps, or set a larger --step-minutes"
        if share < features.min_share:
            missing = f"{1 - share:.0%} of the rows have no reading"
            return missing, f"set a smaller --min-share (now {features.min_share:g}), or check --ranges"
        covered = f"the readings cover {show_roughly(self._readings * self._step_us)}"
        return (
            f"{covered}, for a grid of {show_roughly(lengths_us[0])}",
            "provide longer telemetry, or set a shorter --grid-hours",
        )
