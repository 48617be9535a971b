"""Failures by age in plain English, for the report and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdm_cli.units import current, show_hours


def describe_lifetime(lifetime: Mapping[str, Any]) -> str:
    """Return how often a component fails, and how that depends on its age.

    Parameters
    ----------
    lifetime : mapping
        From :meth:`pdm_cli.evaluation.lifetimes.Lifetime.summary`.

    Examples
    --------
    >>> between = {"hours_between_failures": 6000.0, "hours_between_failures_interval": [4800.0, 7200.0]}
    >>> shape = {"ageing": "random", "shape": 1.02, "shape_interval": [0.85, 1.2]}
    >>> describe_lifetime({"failures": 40, **between, **shape})
    'fails every 250 days per machine (90%: 200 to 300 days), at random (Weibull shape 1.02, 0.85 to 1.20): replacing \
it by age does not help'
    """
    low, high = lifetime["hours_between_failures_interval"]
    if not lifetime["failures"]:
        return f"did not fail on the machines trained on, so less than once in {show_life(low)} per machine"
    mean = show_life(lifetime["hours_between_failures"])
    often = f"fails every {mean} per machine (90%: {_join_range(show_life(low), show_life(high))})"
    unknown = f"{often}; too few failures at a known age to say whether it wears out"
    if "shape" not in lifetime:
        return unknown
    ends = (f"{end:.2f}" for end in lifetime["shape_interval"])
    shape = f"(Weibull shape {lifetime['shape']:.2f}, {' to '.join(ends)})"
    if lifetime["ageing"] == "wear":
        tenth = show_life(lifetime["tenth_fails_by_hours"])
        return f"{often}; wears out {shape}: 10% fail by an age of {tenth}, so replace it by age"
    if lifetime["ageing"] == "early":
        return f"{often}, less often with age {shape}: replacing it by age does not help"
    if lifetime["ageing"] == "random":
        return f"{often}, at random {shape}: replacing it by age does not help"
    return f"{unknown} {shape}"


def describe_risk(component: str, risk: Mapping[str, Any]) -> str:
    """Return the chance of a failure of a component on any machine, as one clause."""
    ageing = {"random": ", at random", "early": ", less often with age"}.get(risk["ageing"], "")
    return f"{component} {show_risk(risk)}{ageing}"


def show_risk(risk: Mapping[str, Any]) -> str:
    """Return a low probability and its interval.

    Examples
    --------
    >>> show_risk({"probability": 0.0071, "low": 0.0003, "high": 0.012})
    '0.7% (<0.1 to 1.2%)'
    """
    share, low, high = (_show_percent(risk[key]) for key in ("probability", "low", "high"))
    return share if low == high else f"{share} ({_join_range(low, high)})"


def show_part_age(part: Mapping[str, Any]) -> str:
    """Return the age of a part: ``201 days``, or ``365 days or more`` if it may be older."""
    return show_life(part["age_hours"]) + (" or more" if part["is_minimum"] else "")


def show_life(hours: float) -> str:
    """Return a life in days, below three days in hours, or in cycles."""
    if current().counts_cycles:
        return show_hours(round(hours), ",.0f")
    return f"{hours / 24:,.0f} days" if hours >= 72 else f"{hours:.3g} h"


def _show_percent(probability: float) -> str:
    if probability < 0.0005:
        return "<0.1%"
    return f"{probability:.1%}" if probability < 0.0995 else f"{min(probability, 0.99):.0%}"


def _join_range(low: str, high: str) -> str:
    """Return two quantities as a range, with the unit once if it is the same: ``200 to 300 days``."""
    for unit in (" days", " h", " cycles", "%"):
        if low.endswith(unit) and high.endswith(unit):
            return f"{low.removesuffix(unit)} to {high}"
    return f"{low} to {high}"
