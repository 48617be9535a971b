"""Findings in event tables."""

from __future__ import annotations

import pandas as pd

from pdm_cli.preparation.quality import check_events, new_findings
from pdm_cli.schema import FAILURES, MACHINE, MAINT, TIME, Table

SPANS = pd.DataFrame(
    {"first": pd.to_datetime(["2015-01-02", "2015-01-03"]), "last": pd.to_datetime(["2015-01-09", "2015-01-08"])},
    index=pd.Index([1, 2], name=MACHINE),
)


def events(table: Table, *rows: tuple[int, str]) -> pd.DataFrame:
    machines, times = zip(*rows, strict=True)
    return pd.DataFrame(
        {TIME: [pd.Timestamp(time) for time in times], MACHINE: machines, table.columns[-1].name: "comp1"}
    )


def test_check_events_counts_and_keeps_events_outside_the_telemetry() -> None:
    findings = new_findings()
    failures = events(FAILURES, (1, "2015-01-02"), (1, "2015-01-01"), (1, "2015-01-09"), (2, "2015-01-09"))
    kept = check_events(FAILURES, failures, SPANS, findings)
    pd.testing.assert_frame_equal(kept, failures)
    check_events(MAINT, events(MAINT, (1, "2014-06-01"), (2, "2015-01-02 23:00")), SPANS, findings)
    counts = {name: finding.count for name, finding in findings.items() if finding.count}
    assert counts == {"failures_before_telemetry": 1, "failures_after_telemetry": 1, "maint_before_telemetry": 2}
    assert findings["failures_after_telemetry"].first == [{TIME: "2015-01-09T00:00:00", MACHINE: 2, "failure": "comp1"}]


def test_check_events_drops_and_counts_unknown_machines_and_duplicates() -> None:
    findings = new_findings()
    rows = events(FAILURES, (1, "2015-01-04"), (1, "2015-01-04"), (9, "2015-01-04"))
    assert len(check_events(FAILURES, rows, SPANS, findings)) == 1
    assert findings["duplicate_events"].first[0]["table"] == "failures.parquet"
    assert findings["events_without_telemetry"].first[0][MACHINE] == 9
