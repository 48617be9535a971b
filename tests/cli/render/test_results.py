from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from pdm_cli.cli.render.results import draw_anomalies, draw_metrics, draw_quality
from pdm_cli.report.findings import list_findings

COUNTS = {
    **{"series": 2, "judged": 10, "unjudged": 0, "anomalies": 1, "share": 0.1},
    **{"skipped": 0, "capped": 0, "untested_pieces": 0, "judged_by_fleet": 0},
}
SUMMARY: dict[str, Any] = {
    "causal": True,
    "smooth_hours": 24.0,
    "period_hours": 24.0,
    "window_days": 28.0,
    "sensors": {"volt": COUNTS},
    "machines": [],
    "episodes": [],
    "episode_count": 0,
    "skipped": [],
}


def lines_of(**changes: Any) -> list[str]:
    return [item for item in draw_anomalies({**SUMMARY, **changes}) if isinstance(item, str)]


def skipped(machine: int, sensor: str, reason: str) -> dict[str, Any]:
    return {"machineID": machine, "sensor": sensor, "readings": 1_000, "reason": reason}


def test_findings_name_the_component_of_an_event() -> None:
    first = [{"machineID": 1, "datetime": "2014-06-14T06:00:00", "comp": "comp2"}]
    quality = {"findings": {"maint_before_telemetry": {"count": 447, "first": first}}}
    assert list_findings(quality)[0][2] == "machine 1, 2014-06-14 06:00, component comp2"


def test_draw_anomalies_describes_the_detection_in_one_line() -> None:
    line = "tested: trailing means over 24 h, season of 24 h, compared with the 28 days before each reading"
    assert lines_of() == [line]
    assert lines_of(smooth_hours=0.0, period_hours=0.0) == [
        "tested: raw readings, no season, compared with the 28 days before each reading"
    ]


def test_series_at_the_cap_are_counted_over_the_sensors() -> None:
    text = lines_of(causal=False, max_anoms=0.1, sensors={"volt": {**COUNTS, "capped": 2}, "rotate": COUNTS})
    assert text[1:] == ["2 series reached --max-anoms 0.1 and may have more anomalies"]


def test_draw_anomalies_counts_pieces_that_were_not_tested() -> None:
    text = lines_of(sensors={"volt": {**COUNTS, "untested_pieces": 2}, "rotate": COUNTS})
    assert text[1:] == ["2 pieces between gaps were not tested; unjudged.parquet lists them"]


def test_draw_anomalies_counts_readings_compared_with_the_fleet() -> None:
    text = lines_of(sensors={"volt": {**COUNTS, "judged_by_fleet": 1_200}, "rotate": COUNTS})
    assert text[1:] == ["1,200 readings of machines with too short a history compared with the other machines instead"]


def episode(rank: int) -> dict[str, Any]:
    part = {"sensor": "volt", "direction": "pos", "by": "machine"}
    times = {"start": "2015-01-01T06:00:00", "end": "2015-01-02T07:00:00"}
    sensors = [part, {**part, "sensor": "rotate", "direction": "neg"}]
    return {"rank": rank, "machineID": 7, **times, "score": 2.34, "readings": 50, "sensors": sensors}


def test_draw_anomalies_lists_ten_episodes_and_counts_the_others() -> None:
    episodes = [episode(rank) for rank in range(1, 13)]
    drawn = draw_anomalies({**SUMMARY, "episodes": episodes, "episode_count": 250})
    console = Console(width=120)
    with console.capture() as capture:
        console.print(*drawn, sep="\n")
    text = capture.get()
    row = next(" ".join(line.split()) for line in text.splitlines() if line.startswith((" 1 ", "1 ")))
    assert row == "1 7 volt high, rotate low 2015-01-01 06:00 2015-01-02 07:00 2.3 50"
    assert text.count("volt high, rotate low") == 10
    assert "240 more are in episodes.parquet" in " ".join(text.split())


def test_series_with_the_same_reason_share_a_line_and_a_screen_is_not_flooded() -> None:
    alike = [skipped(machine, sensor, "constant") for machine in (3, 4) for sensor in ("volt", "rotate")]
    assert lines_of(skipped=alike)[1:] == [
        "not tested: volt, rotate of machine 3 and 1 more (4,000 readings): constant"
    ]
    many = [skipped(machine, "volt", f"a gap of {machine} h") for machine in range(1, 31)]
    text = lines_of(skipped=many)[1:]
    assert text[0] == "not tested: volt of machine 1 (1,000 readings): a gap of 1 h"
    assert text[10:] == ["not tested: 20 more groups of series; all are in summary.json"]


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(10 / 60, "10 s"), (0.01 / 6, "0.1 s"), (1, "1 min"), (60, "60 min"), (1440, "1 d"), (10_080, "7 d")],
)
def test_the_step_is_told_in_its_own_unit(minutes: float, text: str) -> None:
    facts = {
        "readings": 1234,
        "sensors": ["volt"],
        "machines": 1,
        "start": "2015-01-01T06:00:00",
        "end": "2015-02-01T06:00:00",
        "step_minutes": minutes,
    }
    quality = {
        "telemetry": facts,
        "features": {"rows": 5, "columns": 8},
        "events": {},
        "findings": {},
        "ignored_columns": [],
    }
    lines = str(draw_quality(quality)[0]).splitlines()
    assert lines[0] == "1,234 readings of 1 sensor (volt) on 1 machine"
    assert lines[1].endswith(f"UTC, every {text}")


SCORES = {"roc_auc": 0.99, "average_precision": 0.9, "brier": 0.001, "f1": 0.8}
EVENTS = {
    "failures": 3,
    "caught": 0,
    "caught_24h": 0,
    "warning_hours": {"q25": None, "median": None, "q75": None},
    "false_alarms_per_machine_month": 0.0,
}
SPLIT = {
    "test_rows": 400,
    "test_start": "2015-10-15T00:00",
    "test_end": "2016-01-01T00:00",
    "cutoff": "2015-10-01T00:00",
    "horizon_hours": 48.0,
    "train_rows": 2_000,
    "fitted_rows": 900,
    "negative_share": 0.4,
}


def metrics_of(*, on: float = 0.5, off: float = 0.5, failures: int = 3, **not_judged: int) -> dict[str, Any]:
    events = {**EVENTS, "failures": failures, "not_judged": {"early": 0, "no_telemetry": 0, **not_judged}}
    return {
        "split": SPLIT,
        "components": {"comp1": {**SCORES, "threshold": on, "alert_off": off, "events": events}},
        "macro": SCORES,
        "events": events,
        "costs": {"alerts": None},
    }


def draw(metrics: dict[str, Any]) -> str:
    console = Console(width=300)
    with console.capture() as capture:
        for item in draw_metrics(metrics):
            console.print(item)
    return capture.get()


def drawn(*, split: dict[str, Any] | None = None, **facts: Any) -> str:
    return draw({**metrics_of(**facts), "split": {**SPLIT, **(split or {})}})


@pytest.mark.parametrize(
    ("level", "text"),
    [(0.5, "0.500"), (0.001, "0.001"), (0.000456, "0.00046"), (0.0000123, "1.2e-05"), (0.0, "0")],
)
def test_low_levels_of_alerts_show_their_digits(level: float, text: str) -> None:
    after = drawn(on=2.0, off=level).split("never")[1]
    assert after.split()[0] == text


def test_rows_that_were_not_fitted_are_explained() -> None:
    text = "trained on 2,000 rows with outcomes known by 2015-10-01 00:00 UTC"
    thinned = ", fitted on 900 of them: all rows before a failure and a weighted sample of 40% of the others"
    assert text + thinned in drawn()
    assert text + "\n" in drawn(split={"fitted_rows": 2_000})


def test_draw_metrics_gives_reasons_for_failures_not_counted() -> None:
    assert "not counted" not in drawn()
    text = drawn(early=2, no_telemetry=1)
    assert "caught 0 of 3 failures; not counted: " in text
    early = "2 in the first 48 h of the test, as warnings may come before it"
    assert f"{early}, 1 without telemetry to warn from" in text
    assert f"no warning times; not counted: {early}" in drawn(failures=0, early=2)


CHANCE = {"alert_share": 0.0004, "episode_precision": 0.42, "caught_by_chance": 1.25, "chance_p_value": 0.3}


def test_draw_metrics_shows_time_under_alert_and_what_chance_catches() -> None:
    metrics, time = metrics_of(), "under alert <0.1% of the time"
    assert "under alert" not in draw(metrics)
    metrics["events"] |= CHANCE
    text = f"{time}; 42% of the alert episodes with a known outcome were followed by a failure"
    assert f"{text}; chance would catch 1.2 of 3 failures in that time\n" in draw(metrics)
    metrics["events"] |= {"episode_precision": None, "caught_by_chance": 0.0}
    assert f"{time}; no alert episode has a known outcome, so none can be a false alarm\n" in draw(metrics)
    metrics["events"] |= {"alert_share": 0.0}
    assert "under alert 0% of the time\n" in draw(metrics)


def test_draw_metrics_names_components_that_chance_equals() -> None:
    metrics = metrics_of()
    metrics["components"]["comp1"]["events"] |= {**CHANCE, "caught": 2}
    note = "not clearly better than chance in the same time under alert: comp1 (2 of 3 failures caught, 1.2 by chance)"
    assert f"{note}\n" in draw(metrics)


def test_draw_metrics_width_of_hours_to_failure_has_ordinary_digits() -> None:
    hours = {"coverage": 0.8, "level": 0.8, "median_width_hours": 112.4, "mean_error_hours": 36.2}
    text = draw({**metrics_of(), "hours_to_failure": hours})
    assert "which is 110 h wide in the median; the predicted median is wrong by 36 h on average\n" in text


def test_draw_quality_counts_events_in_words() -> None:
    facts = {"readings": 2, "sensors": ["volt"], "machines": 1, "step_minutes": 60}
    telemetry = {**facts, "start": "2015-01-01T06:00:00", "end": "2015-02-01T06:00:00"}
    quality = {
        **{"telemetry": telemetry, "features": {"rows": 1, "columns": 1}, "findings": {}, "ignored_columns": []},
        "events": {"failures": 1, "maint": 3_286, "errors": 0},
    }
    assert str(draw_quality(quality)[0]).splitlines()[3] == "1 failure, 3,286 replacements, 0 errors"


def test_draw_metrics_compares_the_first_days_of_machines_with_the_rest() -> None:
    first = {"rows": 30, "average_precision": 0.846, "failures": 1, "caught": 0}
    after = {"rows": 90, "average_precision": 0.977, "failures": 0, "caught": 0}
    metrics = {**metrics_of(), "cold_start": {"days": 30, "first": first, "after": after}}
    parts = ("average precision 0.846, 0 of 1 failure caught", "average precision 0.977, no failures")
    text = f"of each machine: {parts[0]}; after them: {parts[1]}\n"
    assert f"first 30 days {text}" in draw(metrics)
    assert f"first 60 cycles {text}" in draw({**metrics, "cycle_hours": 12.0})
    for part in ("first", "after"):
        unknown = {"rows": 90, "average_precision": None, "failures": 0, "caught": 0}
        metrics["cold_start"] = {"days": 30, "first": first, "after": after, part: unknown}
        assert "of each machine" not in draw(metrics)


def test_costs_without_fixed_intervals_say_why() -> None:
    costs = {"unit": "EUR", "alerts": 1.5, "run_to_failure": 4.0, "fixed_interval": 2.0}
    line = "cost in EUR per machine and month: acting on alerts 1.50, run-to-failure 4.00"
    assert f"{line}, fixed-interval replacement 2.00\n" in draw({**metrics_of(), "costs": costs})
    unknown = {**metrics_of(), "costs": {**costs, "fixed_interval": None}}
    gap = f"{line}; no estimate for fixed-interval replacement: "
    assert f"{gap}the lifetimes of a component are unknown\n" in draw(unknown)
    # Metrics of evaluate have no training rows.
    split = {name: value for name, value in SPLIT.items() if name not in ("train_rows", "fitted_rows")}
    assert f"{gap}only train computes it, from its data\n" in draw({**unknown, "split": split})
