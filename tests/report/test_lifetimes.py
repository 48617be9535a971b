from __future__ import annotations

from typing import Any

import pytest

from pdm_cli.report.lifetimes import describe_lifetime, describe_risk, show_life, show_part_age, show_risk
from pdm_cli.units import Units, using

FACTS: dict[str, Any] = {
    "failures": 107,
    "hours_between_failures": 984.0,
    "hours_between_failures_interval": [840.0, 1152.0],
    "ageing": None,
}
SHAPE = {"shape": 2.3, "shape_interval": [1.8, 2.9], "tenth_fails_by_hours": 400.0}
RISK = {"probability": 0.0071, "low": 0.005, "high": 0.012}


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "; too few failures at a known age to say whether it wears out"),
        (SHAPE, "; too few failures at a known age to say whether it wears out (Weibull shape 2.30, 1.80 to 2.90)"),
        (
            {"ageing": "wear", **SHAPE},
            "; wears out (Weibull shape 2.30, 1.80 to 2.90): 10% fail by an age of 17 days, so replace it by age",
        ),
        (
            {"ageing": "random", **SHAPE},
            ", at random (Weibull shape 2.30, 1.80 to 2.90): replacing it by age does not help",
        ),
        (
            {"ageing": "early", **SHAPE},
            ", less often with age (Weibull shape 2.30, 1.80 to 2.90): replacing it by age does not help",
        ),
    ],
)
def test_describe_lifetime_says_whether_age_helps(changes: dict[str, Any], end: str) -> None:
    assert describe_lifetime({**FACTS, **changes}) == f"fails every 41 days per machine (90%: 35 to 48 days){end}"


def test_describe_lifetime_without_failures_has_a_limit() -> None:
    facts = {**FACTS, "failures": 0, "hours_between_failures": None, "hours_between_failures_interval": [2400.0, None]}
    assert (
        describe_lifetime(facts) == "did not fail on the machines trained on, so less than once in 100 days per machine"
    )


def test_describe_lifetime_counts_cycles_where_the_log_does() -> None:
    with using(Units(cycle_hours=1)):
        assert "every 984 cycles per machine (90%: 840 to 1,152 cycles)" in describe_lifetime(FACTS)


def test_show_life_is_in_hours_below_three_days() -> None:
    assert [show_life(hours) for hours in (1.25, 71.5, 72, 24_000)] == ["1.25 h", "71.5 h", "3 days", "1,000 days"]


def test_describe_risk_is_one_clause() -> None:
    assert describe_risk("belt", {**RISK, "ageing": "random"}) == "belt 0.7% (0.5 to 1.2%), at random"
    assert describe_risk("belt", {**RISK, "ageing": "early"}) == "belt 0.7% (0.5 to 1.2%), less often with age"
    assert describe_risk("belt", {**RISK, "ageing": None}) == "belt 0.7% (0.5 to 1.2%)"


def test_show_risk_has_no_range_that_says_nothing() -> None:
    assert show_risk({"probability": 1e-6, "low": 1e-7, "high": 1e-5}) == "<0.1%"
    assert show_risk({"probability": 0.25, "low": 0.0996, "high": 0.999}) == "25% (10 to 99%)"


def test_show_part_age_marks_parts_that_may_be_older() -> None:
    assert show_part_age({"age_hours": 8760.0, "is_minimum": True}) == "365 days or more"
    assert show_part_age({"age_hours": 8760.0, "is_minimum": False}) == "365 days"
