"""Probabilities, and alerts switched by walking along them."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from pdm_cli.evaluation.alerts import AlertRule
from tests.builders.fleets import EPOCH_US, HOUR_US

levels = st.sampled_from([0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0])


def us(hour: float) -> int:
    """Return the microsecond stamp of an hour."""
    return EPOCH_US + round(hour * HOUR_US)


def slow_switch(
    probabilities: list[float], codes: list[int], hours: list[float], rule: AlertRule, reset_hours: float = 24.0
) -> list[bool]:
    """Walk along each machine with a switch in hand."""
    found: list[bool] = []
    is_on, machine, last_known = False, None, -math.inf
    for p, code, hour in zip(probabilities, codes, hours, strict=True):
        if code != machine:
            is_on, machine, last_known = False, code, -math.inf
        if hour - last_known > reset_hours:
            is_on = False
        if p >= rule.on:
            is_on = True
        elif p < rule.off:
            is_on = False
        if not math.isnan(p):
            last_known = hour
        found.append(is_on)
    return found
