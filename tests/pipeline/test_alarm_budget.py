"""Alert rules moved to a budget, in the unit of the log."""

from __future__ import annotations

import pytest

from pdm_cli.pipeline.alarm_budget import describe_budget, move_alerts
from pdm_cli.units import DATES, Units, using
from tests.builders.bundles import make_bundle
from tests.builders.progress import Recorder

# The rules of the first component have 0, 1 and 4 false alarms in a third of a machine-month: 3 and 12 per month.
CASES = [
    (DATES, 2.9, 0, "0 false alarms, 0 of 8 failures caught"),
    (DATES, 3.1, 1, "3 false alarms, 3 of 8 failures caught"),
    # 3 per month of 730.5 cycles are 4.1 per 1,000 of them.
    (Units(cycle_hours=1.0), 4.0, 0, "0 false alarms, 0 of 8 failures caught"),
    (Units(cycle_hours=1.0), 4.2, 1, "4.11 false alarms, 3 of 8 failures caught"),
]


@pytest.mark.parametrize(("units", "budget", "place", "expected"), CASES)
def test_move_alerts_counts_false_alarms_in_the_unit_of_the_log(
    units: Units, budget: float, place: int, expected: str
) -> None:
    bundle, progress = make_bundle(), Recorder()
    with using(units):
        moved = move_alerts(bundle, budget, progress)
    assert moved.curves[0].chosen == place
    assert [curve.current.rule for curve in moved.curves] == moved.model.rules
    (line,) = progress.lines
    per = "machine and 1,000 cycles" if units.counts_cycles else "machine and month"
    assert line.startswith(
        f"alert thresholds for at most {budget:g} false alarms per {per} (--alarm-budget): comp1 0.3"
    )
    assert line.endswith(expected)


def test_move_alerts_without_a_budget_changes_nothing() -> None:
    bundle, progress = make_bundle(), Recorder()
    assert move_alerts(bundle, None, progress) is bundle
    assert not progress.lines


def test_describe_budget_has_rates_per_month() -> None:
    with using(DATES):
        found = describe_budget(move_alerts(make_bundle(), 3.1, Recorder()), 3.1)
    assert (found["limit"], found["caught"], found["failures"]) == (3.1, 3, 8)
    assert found["limit_per_machine_month"] == 3.1
    assert found["false_alarms_per_machine_month"] == pytest.approx(3.0)
    assert found["rules"]["comp1"] == {"on": 0.6, "off": 0.5}


def test_describe_budget_of_cycles_has_its_limit_per_month_too() -> None:
    with using(Units(cycle_hours=1.0)):
        found = describe_budget(move_alerts(make_bundle(), 4.2, Recorder()), 4.2)
    assert found["limit"] == 4.2
    # A month has 730.5 cycles; 3 false alarms are within the limit.
    assert found["limit_per_machine_month"] == pytest.approx(4.2 * 0.7305)
    assert found["false_alarms_per_machine_month"] == pytest.approx(3.0)
