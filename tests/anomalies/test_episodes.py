from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.anomalies.episodes import Course, cut_course, find_episodes, keep_top, list_episodes
from pdm_cli.schema import EPISODES

HOUR = 3_600_000_000
START = pd.Timestamp("2015-01-01T06:00")


def anomalies(*rows: tuple[Any, str, int, float, str], by: str = "machine") -> pd.DataFrame:
    """Anomalies from (machine, sensor, hour, score, direction)."""
    machine, sensor, hours, score, direction = zip(*rows, strict=True) if rows else ([], [], [], [], [])
    return pd.DataFrame(
        {
            "machineID": pd.Series(machine, dtype="int64"),
            "sensor": pd.Series(sensor, dtype="str"),
            "datetime": (START + pd.to_timedelta(hours, unit="h")).astype("datetime64[us]"),
            "value": np.array(score, np.float64) * 10,
            "expected": np.full(len(score), 5.0),
            "score": np.array(score, np.float64),
            "direction": pd.Series(direction, dtype="str"),
            "by": pd.Series([by] * len(score), dtype="str"),
        }
    )


def find(found: pd.DataFrame, reach: int = 1) -> pd.DataFrame:
    return find_episodes(found, reach_us=reach * HOUR, step_us=HOUR)


def hour_of(time: pd.Timestamp) -> int:
    return int((time - START) / pd.Timedelta(hours=1))


# The slow oracle: one reading after the other, one pair of episodes after the other.


def loop(found: pd.DataFrame, reach: int) -> list[dict[str, Any]]:
    episodes: list[dict[str, Any]] = []
    for row in found.to_dict("records"):
        key, hour = (row["machineID"], row["sensor"], row["by"]), hour_of(row["datetime"])
        if not episodes or episodes[-1]["key"] != key or hour - episodes[-1]["hours"][-1] > reach:
            episodes.append({"key": key, "hours": [], "scores": [], "directions": set()})
        episodes[-1]["hours"].append(hour)
        episodes[-1]["scores"].append(row["score"])
        episodes[-1]["directions"].add(row["direction"])
    for episode in episodes:
        episode["severity"] = sum(score**2 for score in episode["scores"]) ** 0.5
        episode["cells"] = set(range(episode["hours"][0], episode["hours"][-1] + 1))
    for lead in sorted(episodes, key=lambda episode: -round(episode["severity"], 9)):
        if "lead" in lead:
            continue
        for other in episodes:
            is_free = "lead" not in other and other["key"][0] == lead["key"][0]
            if is_free and 2 * len(other["cells"] & lead["cells"]) >= len(other["cells"] | lead["cells"]):
                other["lead"] = id(lead)
    return episodes


@st.composite
def found_anomalies(draw: st.DrawFn) -> pd.DataFrame:
    rows = []
    for machine in range(1, draw(st.integers(1, 3)) + 1):
        for sensor in "pqr"[: draw(st.integers(1, 3))]:
            hours = draw(st.sets(st.integers(0, 40), max_size=25))
            # Distinct scores, so that no two episodes are equally severe.
            score = 1.5 + machine + ord(sensor) / 1000
            rows += [
                (machine, sensor, h, score + h / 977, draw(st.sampled_from(["pos", "neg"]))) for h in sorted(hours)
            ]
    return anomalies(*rows)


@given(found_anomalies(), st.integers(1, 4))
def test_episodes_equal_those_of_a_loop_over_readings(found: pd.DataFrame, reach: int) -> None:
    table, expected = find(found, reach), loop(found, reach)
    assert list(table.columns) == [column.name for column in EPISODES.columns]
    ours = {(row.machineID, row.sensor, hour_of(row.start)): row for row in table.itertuples()}
    assert len(ours) == len(expected) == len(table)
    numbers: dict[int, set[tuple[int, int]]] = {}
    for episode in expected:
        row = ours[*episode["key"][:2], episode["hours"][0]]
        assert (hour_of(row.end), row.readings) == (episode["hours"][-1], len(episode["hours"]))
        assert row.direction == (episode["directions"].pop() if len(episode["directions"]) == 1 else "both")
        assert row.score == max(episode["scores"])
        assert hour_of(row.peak) == episode["hours"][int(np.argmax(episode["scores"]))]
        assert row.value == 10 * row.score
        assert row.severity == pytest.approx(episode["severity"], rel=1e-12)
        numbers.setdefault(episode["lead"], set()).add((row.machineID, row.episode))
    # Those of one leader have one number, and no two leaders the same one.
    assert all(len(own) == 1 for own in numbers.values())
    assert len(set.union(*numbers.values(), set())) == len(numbers)
    for _, own in table.groupby("machineID"):
        assert own["episode"].is_monotonic_increasing
        assert set(own["episode"]) == set(range(1, own["episode"].nunique() + 1))
        assert own.groupby("episode")["start"].min().is_monotonic_increasing


def test_find_episodes_of_several_sensors_at_one_time_are_one_line() -> None:
    found = anomalies(
        *((1, "volt", hour, 3.0, "pos") for hour in range(10, 20)),
        *((1, "rotate", hour, 2.0, "neg") for hour in range(12, 20)),
        # Within the time of the others, but much shorter.
        (1, "vibration", 13, 9.0, "pos"),
    )
    entries = list_episodes(find(found))
    assert [[row["sensor"] for row in entry["sensors"]] for entry in entries] == [["volt", "rotate"], ["vibration"]]
    both = entries[0]
    assert (both["start"], both["end"]) == ("2015-01-01T16:00:00", "2015-01-02T01:00:00")
    assert (both["readings"], both["score"]) == (18, 3.0)
    assert both["severity"] == pytest.approx((10 * 9 + 8 * 4) ** 0.5)
    assert [row["direction"] for row in both["sensors"]] == ["pos", "neg"]


def test_keep_top_ranks_by_score_and_length() -> None:
    found = anomalies(
        (1, "volt", 0, 4.0, "pos"),
        *((1, "volt", hour, 2.0, "pos") for hour in range(10, 19)),
        (2, "volt", 0, 4.0, "pos"),
        (2, "volt", 30, 1.5, "pos"),
    )
    top = keep_top(list_episodes(find(found)), 3)
    # Nine readings of 2 weigh 6; equally severe ones keep their order.
    assert [(row["machineID"], row["severity"]) for row in top] == [(1, 6.0), (1, 4.0), (2, 4.0)]


def test_find_episodes_splits_where_the_profile_changes() -> None:
    early, late = anomalies((1, "volt", 0, 2.0, "pos"), by="fleet"), anomalies((1, "volt", 1, 2.0, "pos"))
    table = find(pd.concat([early, late], ignore_index=True))
    assert table["by"].tolist() == ["fleet", "machine"]


def test_find_episodes_without_anomalies_has_the_columns_of_the_schema() -> None:
    table = find(anomalies())
    assert list(table.columns) == [column.name for column in EPISODES.columns]
    assert table.empty
    assert list_episodes(table) == []


def telemetry(rows: int, absent: slice = slice(0)) -> pd.DataFrame:
    hours = np.delete(np.arange(rows), np.arange(rows)[absent])
    return pd.DataFrame({"datetime": START + pd.to_timedelta(hours, unit="h"), "volt": hours.astype(np.float64)})


def course_of(readings: pd.DataFrame, found: pd.DataFrame, first: int, last: int) -> Course:
    start_us = START.value // 1000
    return cut_course(readings, found, (start_us + first * HOUR, start_us + last * HOUR), HOUR)


def test_cut_course_shows_four_days_before_and_two_after() -> None:
    found = anomalies(*((1, "volt", hour, 2.0, "pos") for hour in (3, 300, 301, 302)))
    course = course_of(telemetry(500), found, 300, 302)
    assert (course["hours"][0], course["hours"][-1], course["length_hours"]) == (-96.0, 50.0, 3.0)
    assert course["readings"] == [float(hour) for hour in range(204, 351)]
    assert course["anomalies"] == {"hours": [0.0, 1.0, 2.0], "values": [20.0] * 3, "expected": [5.0] * 3}


def test_cut_course_has_no_readings_in_a_gap() -> None:
    course = course_of(telemetry(500, absent=slice(250, 290)), anomalies((1, "volt", 300, 2.0, "pos")), 300, 300)
    missing = [hour for hour, reading in zip(course["hours"], course["readings"], strict=True) if reading is None]
    assert missing == [float(hour) for hour in range(-50, -10)]


def test_cut_course_of_a_long_episode_has_few_points() -> None:
    found = anomalies(*((1, "volt", hour, 2.0, "pos") for hour in range(1000, 3000)))
    course = course_of(telemetry(6000), found, 1000, 2999)
    assert 150 < len(course["hours"]) <= 242
    assert len(course["anomalies"]["hours"]) <= 122
    # Means of 21 hours each.
    assert course["readings"][1] - course["readings"][0] == pytest.approx(21, abs=11)
