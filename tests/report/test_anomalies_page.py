from __future__ import annotations

from typing import Any

from pdm_cli.report.anomalies_page import AnomalyFacts, compose_anomalies_page
from pdm_cli.report.page import Page, render

COUNTS = {
    **{"series": 3, "judged": 1_000, "unjudged": 250, "anomalies": 30, "share": 0.03},
    **{"skipped": 0, "capped": 0, "untested_pieces": 0, "judged_by_fleet": 0},
}


def entry(rank: int, *, by: str = "machine") -> dict[str, Any]:
    times = {"start": "2000-01-01T06:00:00", "end": "2000-01-02T07:00:00"}
    part = {"sensor": "volt", "direction": "both", **times, "readings": 20, "score": 2.34, "by": by}
    return {"rank": rank, "machineID": "pump-7", **times, "readings": 20, "score": 2.34, "sensors": [part]}


def course() -> dict[str, Any]:
    found = {"hours": [0.0, 1.0], "values": [9.0, 8.0], "expected": [5.0, 5.0]}
    return {"hours": [-2.0, -1.0, 0.0, 1.0], "readings": [5.0, None, 9.0, 8.0], "length_hours": 2.0, "anomalies": found}


def page_of(entries: list[dict[str, Any]], **changes: Any) -> Page:
    summary = {
        **{"causal": True, "mode": "causal", "smooth_hours": 24.0, "period_hours": 24.0, "window_days": 28.0},
        **{"sensors": {"volt": COUNTS}, "machines": [], "skipped": []},
        **{"episodes": entries, "episode_count": len(entries)},
        **changes,
    }
    return compose_anomalies_page(AnomalyFacts(summary, [course()] * min(len(entries), 2), None, {}))


def test_compose_anomalies_page_lists_ten_episodes_and_collapses_the_others() -> None:
    episodes = page_of([entry(rank) for rank in range(1, 13)], episode_count=300).sections[0]
    assert [len(grid.rows) for grid in episodes.grids] == [10, 2]
    assert episodes.grids[0].rows[0] == [
        *("1", "pump-7", "volt high and low", "2000-01-01 06:00 to 2000-01-02 07:00", "2.3", "20")
    ]
    assert episodes.grids[1].summary == "Episodes 11 to 12"
    assert episodes.grids[1].note == "288 more are in episodes.parquet."
    assert [figure.caption for figure in episodes.figures] == [
        f"{rank}: machine pump-7, volt; hours from 2000-01-01 06:00 UTC." for rank in (1, 2)
    ]


def test_compose_anomalies_page_names_episodes_that_the_fleet_shows() -> None:
    page = page_of([entry(1, by="fleet")], sensors={"volt": {**COUNTS, "judged_by_fleet": 120}})
    assert page.sections[0].grids[0].rows[0][2] == "volt high and low (compared with the fleet)"
    assert "(120 with those of other machines, as their machine had too few)" in page.subtitle


def test_compose_anomalies_page_shows_cycles_and_units() -> None:
    page = page_of([entry(1)], cycle_hours=1.0, units={"volt": "V"})
    row = page.sections[0].grids[0].rows[0]
    assert row[2:4] == ["volt [V] high and low", "cycle 6 to 31"]
    assert page.sections[0].figures[0].caption == "1: machine pump-7, volt [V]; cycles from cycle 6."
    assert "UTC" not in page.subtitle


def test_compose_anomalies_page_without_anomalies_says_so() -> None:
    page = page_of([], sensors={"volt": {**COUNTS, "judged": 0, "anomalies": 0, "share": None}})
    assert page.sections[0].paragraphs == ["No reading is anomalous."]
    assert [tile.value for tile in page.tiles] == ["0", "-", "-", "100%"]
    assert "<h1>Anomalies</h1>" in render(page)


def test_compose_anomalies_page_lists_series_that_were_not_tested() -> None:
    skipped = [
        {"machineID": n, "sensor": "volt", "readings": 40, "reason": "the series is constant"} for n in range(130)
    ]
    section = page_of([], skipped=skipped).sections[2]
    assert section.heading == "Series not tested"
    assert len(section.grids[0].rows) == 100
    assert section.grids[0].note == "and 30 more in summary.json"
