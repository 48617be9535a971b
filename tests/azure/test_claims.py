from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pdm_cli.azure.submit import FoundJob, is_lapsed

NOW = datetime(2015, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(("status", "lapsed"), [("Queued", False), ("Running", False), ("Completed", True)])
def test_is_lapsed_unfinished_job_holds(status: str, lapsed: bool) -> None:
    holder = FoundJob("", "", {}, status)
    assert is_lapsed(holder, NOW - timedelta(days=30), NOW) == lapsed


@pytest.mark.parametrize(("hours", "lapsed"), [(0, False), (23, False), (25, True)])
def test_is_lapsed_missing_job_lapses_after_a_day(hours: int, lapsed: bool) -> None:
    assert is_lapsed(None, NOW - timedelta(hours=hours), NOW) == lapsed
