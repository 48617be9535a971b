"""Templates the slow way: plain loops that say what the fast code must return."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pdm_cli.features.failure_template import FleetTemplate
from tests.builders.templates import Fleet


def in_hour(records: Sequence[Any], machine: int, end: float, back: int) -> list[Any]:
    return [r for r in records if r.machine == machine and end - back - 1 < r.hour <= end - back]


def slow_mean_z(fleet: Fleet, machine: int, end: float, back: int, sensor: int) -> float:
    values = [r.z[sensor] for r in in_hour(fleet.readings, machine, end, back) if math.isfinite(r.z[sensor])]
    return sum(values) / len(values) if values else math.nan


def is_known(fleet: Fleet, machine: int, hour: float) -> bool:
    return any(r.machine == machine and r.hour <= hour for r in fleet.readings)


def has_error(fleet: Fleet, machine: int, end: float, back: int, kind: str) -> bool:
    return any(e.kind == kind for e in in_hour(fleet.errors, machine, end, back))


def slow_log_ratio(template: FleetTemplate, fleet: Fleet, row: tuple[int, float], component: int, r: int) -> float:
    machine, now = row
    total = 0.0
    for back in range(template.hours - r):
        for sensor in range(len(template.sensors)):
            mu, z = template.mean_z[component, r + back, sensor], slow_mean_z(fleet, machine, now, back, sensor)
            # Logarithm of the ratio of two densities of unit variance.
            total += 0.0 if math.isnan(z) else (z**2 - (z - mu) ** 2) / 2
        for kind, name in enumerate(template.kinds):
            if is_known(fleet, machine, now - back):
                q, base = template.error_share[component, r + back, kind], template.base_share[kind]
                error = has_error(fleet, machine, now, back, name)
                total += math.log(q / base) if error else math.log((1 - q) / (1 - base))
    return min(max(total, -50.0), 80.0)


def slow_columns(
    template: FleetTemplate, fleet: Fleet, row: tuple[int, float], component: int, visit: float, ahead: list[int]
) -> list[float]:
    ratios = [slow_log_ratio(template, fleet, row, component, r) for r in ahead]
    likelihoods = [math.exp(ratio) for ratio in ratios]
    expected = sum(r * likelihood for r, likelihood in zip(ahead, likelihoods, strict=True)) / sum(likelihoods)
    # Of two that are as near, the later.
    nearest = min(range(len(ahead)), key=lambda i: (abs(ahead[i] - visit), -i))
    at_visit = ratios[nearest] if visit <= ahead[-1] + ahead[0] else math.nan
    return [math.log(sum(likelihoods) / len(ahead)), expected, at_visit, expected - visit]


def slow_base_share(fleet: Fleet, kind: str, hours: int) -> float:
    def is_normal(record: Any) -> bool:
        return is_known(fleet, record.machine, record.hour) and not any(
            f.machine == record.machine and 0 <= f.hour - record.hour < hours for f in fleet.failures
        )

    errors = sum(e.kind == kind and is_normal(e) for e in fleet.errors)
    return min((errors + 1) / (sum(map(is_normal, fleet.readings)) * fleet.step + 2), 0.5)


def slow_mu(fleet: Fleet, component: str, lag: int, sensor: int, hours: int) -> float:
    values = [
        slow_mean_z(fleet, f.machine, f.hour, near, sensor)
        for f in fleet.failures
        for near in range(max(lag - 2, 0), min(lag + 3, hours))
        if f.kind == component
    ]
    there = [value for value in values if not math.isnan(value)]
    mean = sum(there) / len(there) if there else 0.0
    return mean if there and abs(mean) > 4 / math.sqrt(len(there)) else 0.0


def slow_shares(fleet: Fleet, component: str, kind: str, hours: int) -> list[float]:
    base = slow_base_share(fleet, kind, hours)
    shares, matters = [], False
    for lag in range(hours):
        near = range(max(lag - 2, 0), min(lag + 3, hours))
        looked_at = [
            has_error(fleet, f.machine, f.hour, a, kind)
            for f in fleet.failures
            for a in near
            if f.kind == component and is_known(fleet, f.machine, f.hour - a)
        ]
        seen, n = sum(looked_at), len(looked_at)
        fewer = sum(math.exp(-n * base) * (n * base) ** i / math.factorial(i) for i in range(seen))
        matters |= seen > 0 and 1 - fewer < 3.2e-5
        shares.append(max(seen / (n + 5), base))
    return shares if matters else [base] * hours
