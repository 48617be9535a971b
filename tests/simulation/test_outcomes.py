from __future__ import annotations

import pandas as pd

from pdm_cli.simulation.outcomes import match_outcomes

END = pd.Timestamp("2015-06-30 06:00")


def truth_of(*rows: tuple[int, str, str, str, bool]) -> pd.DataFrame:
    """Return an answer key of (machine, component, first hour, last hour, fails)."""
    truth = pd.DataFrame(rows, columns=["machineID", "component", "datetime", "until", "fails"])
    stamps = {"datetime": "datetime64[us]", "until": "datetime64[us]"}
    return truth.astype(stamps).assign(sensor="volt", step=20.0)


def worklist_of(*rows: tuple[int, int, str, str]) -> pd.DataFrame:
    columns = ["rank", "machineID", "component", "since"]
    types = {"rank": "int64", "machineID": "int64", "component": "str", "since": "datetime64[us]"}
    return pd.DataFrame(rows, columns=columns).astype(types)


def test_match_outcomes_lists_missed_failures_last() -> None:
    truth = truth_of(
        (1, "comp1", "2015-06-29 06:00", "2015-07-01 06:00", True),
        # Over when the work list is made; without a failure; without a line.
        (2, "comp1", "2015-06-28 06:00", "2015-06-30 06:00", True),
        (3, "comp1", "2015-06-29 06:00", "2015-07-01 06:00", False),
        (4, "comp2", "2015-06-30 06:00", "2015-07-02 06:00", True),
    )
    worklist = worklist_of(
        (1, 1, "comp1", "2015-06-29 18:00"), (2, 2, "comp1", "2015-06-28 18:00"), (3, 3, "comp1", "2015-06-30 06:00")
    )
    outcomes = match_outcomes(worklist, truth, end=END)
    assert outcomes["machineID"].tolist() == [1, 2, 3, 4]
    assert outcomes["rank"].fillna(0).tolist() == [1, 2, 3, 0]
    assert outcomes["failed"].dt.day.fillna(0).tolist() == [1, 0, 0, 2]
    assert outcomes["warning_hours"].fillna(0).tolist() == [36, 0, 0, 0]


def test_the_same_machine_may_fail_in_two_components() -> None:
    truth = truth_of(
        (1, "comp1", "2015-06-29 06:00", "2015-07-01 06:00", True),
        (1, "comp2", "2015-06-29 06:00", "2015-07-01 06:00", True),
    )
    outcomes = match_outcomes(worklist_of((1, 1, "comp2", "2015-06-30 00:00")), truth, end=END)
    assert outcomes["component"].tolist() == ["comp2", "comp1"]
    assert outcomes["rank"].isna().tolist() == [False, True]


def test_an_empty_work_list_lacks_every_failure() -> None:
    truth = truth_of((1, "comp1", "2015-06-29 06:00", "2015-07-01 06:00", True))
    outcomes = match_outcomes(worklist_of(), truth, end=END)
    assert outcomes["rank"].isna().tolist() == [True]
    assert match_outcomes(worklist_of(), truth.iloc[:0], end=END).empty
