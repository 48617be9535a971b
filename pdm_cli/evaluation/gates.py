"""Quality gates for CI: conditions under which a model fails, such as ``ap<0.9``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Name in a condition to the metric's path in metrics.json.
GATE_METRICS: dict[str, tuple[str, ...]] = {
    "ap": ("macro", "average_precision"),
    "auc": ("macro", "roc_auc"),
    "f1": ("macro", "f1"),
    "brier": ("macro", "brier"),
    "calibration_error": ("calibration_error",),
    "caught": ("events", "caught_share"),
    "warning_hours": ("events", "warning_hours", "median"),
    "false_alarms": ("events", "false_alarms_per_machine_month"),
}
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FORM = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class Gate:
    """A condition that fails a model: a metric of :data:`GATE_METRICS`, a comparison operator and a limit."""

    metric: str
    comparison: str
    limit: float

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.limit:g}"

    def read(self, metrics: Mapping[str, Any]) -> float | None:
        """Return the metric; ``None`` if it is undefined."""
        return read_metric(metrics, self.metric)

    def fails(self, metrics: Mapping[str, Any]) -> bool:
        """Return whether the model fails; an undefined metric fails, too."""
        value = self.read(metrics)
        return value is None or _OPERATORS[self.comparison](value, self.limit)


def read_metric(metrics: Mapping[str, Any], name: str) -> float | None:
    """Return the metric named in :data:`GATE_METRICS`; ``None`` if it is undefined."""
    value: Any = metrics
    for key in GATE_METRICS[name]:
        value = value[key]
    return None if value is None else float(value)


def parse_gate(text: str) -> Gate:
    """Parse a condition.

    Raises
    ------
    ValueError
        If its form or metric is invalid.

    Examples
    --------
    >>> parse_gate("ap<0.9")
    Gate(metric='ap', comparison='<', limit=0.9)
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a condition such as ap<0.9")
    metric, comparison, number = found.groups()
    if metric not in GATE_METRICS:
        raise ValueError(f"unknown metric {metric!r}, known: {', '.join(GATE_METRICS)}")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise ValueError(f"{number!r} is not a finite number")
    return Gate(metric, comparison, limit)
