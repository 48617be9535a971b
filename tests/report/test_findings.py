"""Data-quality findings in lines of text."""

from __future__ import annotations

import pytest

from pdm_cli.report.findings import describe_cost_caveats, describe_findings, list_caveats
from pdm_cli.report.lifetimes import describe_lifetime

LIFETIME = {
    "failures": 2,
    "hours_between_failures": 984.0,
    "hours_between_failures_interval": [840.0, 1152.0],
    "ageing": None,
}


@pytest.mark.parametrize(
    ("name", "count", "line"),
    [
        ("gaps", 1, "1 gap, filled with rows of missing readings (first: "),
        ("gaps", 1200, "1,200 gaps, filled with rows of missing readings (first: "),
        ("outside_time_range", 1, "1 reading or event at impossible times, set aside (first: "),
        ("dead_sensors", 1, "1 sensor that stopped before its machine's last row (first: "),
        ("maint_after_telemetry", 1, "1 maintenance event after the machine's telemetry (first: "),
    ],
)
def test_finding_that_occurs_once_is_singular(name: str, count: int, line: str) -> None:
    first = [{"machineID": 1, "datetime": "2015-01-13T07:00:00"}]
    quality = {
        "findings": {name: {"count": count, "first": first}},
        "ignored_columns": [],
        "failures": {},
        "events": {},
    }
    assert describe_findings(quality)[0].startswith(line)


def test_describe_findings_long_gap_has_separators() -> None:
    first = [{"machineID": 1, "datetime": "2015-01-13T07:00:00", "hours": 7344.0}]
    findings = {"long_gaps": {"count": 1, "first": first}}
    quality = {"findings": findings, "ignored_columns": [], "failures": {}, "events": {}}
    assert describe_findings(quality)[0].endswith("for 7,344 h)")


def test_describe_cost_caveats_assumed_costs_and_dear_alerts_are_reported() -> None:
    costs = {"assumed": True, "alerts": 2.5, "run_to_failure": 2.0, "fixed_interval": 3.0}
    assumed, dear = describe_cost_caveats(costs)
    assert assumed.startswith("The costs are assumed (missed failure 10, false alarm 1, planned repair 2): set yours ")
    assert dear == "Acting on alerts costs more than run-to-failure"
    assert describe_cost_caveats({**costs, "assumed": False, "alerts": 2.0}) == []
    # Metrics of earlier versions; unknown costs.
    assert describe_cost_caveats({"alerts": 1.0, "run_to_failure": 2.0, "fixed_interval": None}) == []
    assert describe_cost_caveats({"assumed": True, "alerts": None}) == []


def test_list_caveats_names_components_by_cause() -> None:
    components = {
        "rare": {"prior_only": True, "no_signs": False, "events": {"failures": 2, "caught": 0}, "lifetime": LIFETIME},
        "random": {"prior_only": False, "no_signs": True, "events": {"failures": 2, "caught": 0}},
        "untested": {"prior_only": False, "no_signs": False, "events": {"failures": 0}},
        "sound": {"prior_only": False, "no_signs": False, "events": {"failures": 2, "caught": 1}},
    }
    assert list_caveats(components) == [
        "Too few failures to train on, so only the base rate and no alerts: rare",
        "No warning signs before the failures, so no alerts: random",
        f"rare: {describe_lifetime(LIFETIME)}",
        "No failure counted in the test span, so the scores say little: untested",
    ]
    lucky = {"failures": 4, "caught": 3, "caught_by_chance": 2.5, "chance_p_value": 0.4}
    one = {"failures": 1, "caught": 1, "caught_by_chance": 0.08, "chance_p_value": 0.08}
    twice = {"failures": 2, "caught": 2, "caught_by_chance": 0.8, "chance_p_value": 0.1}
    better, missing = {**lucky, "chance_p_value": 0.05}, {**lucky, "caught": 0, "chance_p_value": 1.0}
    events = {"lucky": lucky, "one": one, "twice": twice, "better": better, "missing": missing}
    assert list_caveats({name: {"events": row} for name, row in events.items()}) == [
        "Not clearly better than chance in the same time under alert: lucky (3 of 4 failures caught, 2.5 by chance), "
        "twice (2 of 2 failures caught, 0.8 by chance)",
        "Too few failures to rule out chance: one (1 of 1 failure caught, 0.1 by chance)",
        "No failure caught: missing (of 4)",
    ]
    assert list_caveats({"sound": components["sound"]}) == []
