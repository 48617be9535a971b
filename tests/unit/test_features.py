from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fleet_builders import EPOCH_US, HOUR_US, Event, fleets, hours, log_frame, rows_frame
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.core.features import FEATURES, FeatureTable, Sources, Vocabulary, build_features, learn_vocabulary

SENSORS = ("volt", "rotate", "pressure", "vibration")
ERRORS = [f"error{i}" for i in range(1, 6)]
COMPONENTS = [f"comp{i}" for i in range(1, 5)]
COUNT_HOURS = (24.0, 48.0)
FOREVER = 2**62


def rolling_frame(rows: list[tuple[Any, float]], sensors: tuple[str, ...] = SENSORS) -> pd.DataFrame:
    names = [f"{s}_{statistic}_{w}h" for s in sensors for w in (3, 12, 24) for statistic in ("mean", "std")]
    values = np.random.default_rng(0).normal(size=(len(rows), len(names)))
    return rows_frame(rows).join(pd.DataFrame(values, columns=names))


def full_sources() -> Sources:
    rows = [(machine, float(hour)) for machine in (1, 2, 3) for hour in range(0, 72, 3)]
    log = {
        "errors": [Event(1 + i % 3, 7.0 * i, kind) for i, kind in enumerate(ERRORS)],
        "maint": [Event(1 + i % 3, 5.0 * i, kind) for i, kind in enumerate(COMPONENTS)],
        "failures": [Event(1 + i % 3, 11.0 * i, kind) for i, kind in enumerate(COMPONENTS)],
    }
    machines = pd.DataFrame({"machineID": [1, 2, 3], "model": ["model3", "model1", "model3"], "age": [18, 7, 8]})
    return Sources(rolling_frame(rows), {name: log_frame(events) for name, events in log.items()}, machines)


def build(sources: Sources, vocabulary: Vocabulary | None = None) -> FeatureTable:
    vocabulary = vocabulary or learn_vocabulary(sources, until_us=FOREVER)
    return build_features(sources, vocabulary, count_hours=COUNT_HOURS)


def column(table: FeatureTable, name: str) -> np.ndarray:
    return table.values[:, table.names.index(name)]


def test_the_full_set_has_the_52_columns_of_cy() -> None:
    table = build(full_sources())
    expected = {name for name in rolling_frame([(1, 0.0)]).columns if name not in ("machineID", "datetime")}
    expected |= {f"hours_since_{kind}" for kind in [*ERRORS, "any_error", "any_maint", "any_failure"]}
    expected |= {f"hours_since_{kind}_{what}" for kind in COMPONENTS for what in ("replaced", "failed")}
    expected |= {f"{kind}_count_{window}h" for kind in ERRORS for window in (24, 48)} | {"model", "age"}
    assert len(table.names) == 52
    assert set(table.names) == expected
    assert table.categorical == ["model"]
    assert table.values.shape == (72, 52)
    assert table.values.dtype == np.float32


@pytest.mark.parametrize(
    ("missing", "lost"),
    [("errors", 5 + 1 + 10), ("maint", 4 + 1), ("failures", 4 + 1), ("machines", 2)],
)
def test_a_family_falls_away_where_its_table_is_missing(missing: str, lost: int) -> None:
    sources = full_sources()
    events = {name: frame for name, frame in sources.events.items() if name != missing}
    machines = None if missing == "machines" else sources.machines
    table = build(Sources(sources.rolling, events, machines))
    full = build(sources)
    assert len(table.names) == 52 - lost
    assert table.names == [name for name in full.names if name in table.names]
    for name in table.names:
        assert_array_equal(column(table, name), column(full, name))


def test_with_rolling_features_alone_they_are_the_table() -> None:
    rolling = full_sources().rolling
    table = build(Sources(rolling, {}, None))
    assert table.names == list(rolling.columns[2:])
    assert_array_equal(table.values, rolling.iloc[:, 2:].to_numpy(np.float32))


def test_causal_anomalies_become_hours_since_and_counts_per_sensor() -> None:
    log = log_frame([Event(1, 5, "volt"), Event(1, 6, "rotate"), Event(1, 7, "volt")])
    log["score"] = [1.5, 2.5, 3.5]
    table = build(Sources(rolling_frame([(1, 6.0), (1, 9.0)]), {"anomalies": log}, None))
    assert column(table, "volt_anomaly_score").tolist() == [1.5, 3.5]
    assert column(table, "rotate_anomaly_score").tolist() == [2.5, 2.5]
    assert column(table, "hours_since_volt_anomaly").tolist() == [1, 2]
    assert column(table, "hours_since_any_anomaly").tolist() == [0, 2]
    assert column(table, "volt_anomaly_count_24h").tolist() == [1, 2]


def test_hours_since_any_are_those_since_the_latest_of_all_kinds() -> None:
    table = build(full_sources())
    each = np.stack([column(table, f"hours_since_{kind}") for kind in ERRORS])
    assert_array_equal(column(table, "hours_since_any_error"), np.fmin.reduce(each))


@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_categories_are_positions_in_the_sorted_list_and_unknown_ones_are_missing(dtype: str) -> None:
    known = pd.DataFrame({"machineID": [1, 2], "model": pd.Series(["model3", "model1"], dtype=dtype)})
    rolling = rolling_frame([(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (5, 0.0)])
    vocabulary = learn_vocabulary(Sources(rolling, {}, known), until_us=FOREVER)
    assert vocabulary.categories == {"model": ["model1", "model3"]}
    # Machine 3 has a model never seen, machine 4 none, and machine 5 is not in the table.
    later = pd.DataFrame(
        {"machineID": [4, 3, 2, 1], "model": pd.Series([None, "new", "model1", "model3"], dtype=dtype)}
    )
    table = build(Sources(rolling, {}, later), vocabulary)
    assert_array_equal(column(table, "model"), [1, 0, np.nan, np.nan, np.nan])


def test_numeric_attributes_are_looked_up_by_machine() -> None:
    machines = pd.DataFrame({"machineID": ["b", "a"], "age": [7, 18], "is_new": [True, False]})
    table = build(Sources(rolling_frame([("a", 0.0), ("a", 3.0), ("b", 0.0), ("c", 0.0)]), {}, machines))
    assert table.categorical == []
    assert_array_equal(column(table, "age"), [18, 18, 7, np.nan])
    assert_array_equal(column(table, "is_new"), [0, 0, 1, np.nan])


def test_the_vocabulary_is_learned_up_to_the_cutoff_only() -> None:
    events = {"errors": log_frame([Event(1, 10, "known"), Event(1, 20, "at the cutoff"), Event(1, 20.5, "later")])}
    sources = Sources(rolling_frame([(1, 0.0)]), events, None)
    vocabulary = learn_vocabulary(sources, until_us=EPOCH_US + 20 * HOUR_US)
    assert vocabulary.kinds == {"errors": ["at the cutoff", "known"]}
    assert not any("later" in name for name in build(sources, vocabulary).names)


def test_columns_do_not_depend_on_what_happens_after_the_vocabulary_was_learned() -> None:
    sources = full_sources()
    vocabulary = learn_vocabulary(sources, until_us=EPOCH_US + 20 * HOUR_US)
    quiet = {name: events[events["kind"] == "none"] for name, events in sources.events.items()}
    assert (
        build(Sources(sources.rolling, quiet, sources.machines), vocabulary).names == build(sources, vocabulary).names
    )


@st.composite
def made_sources(draw: st.DrawFn) -> Sources:
    fleet = draw(fleets)
    rows = sorted(
        draw(st.lists(st.tuples(st.sampled_from(fleet), hours()), min_size=1, max_size=30, unique=True)),
        key=lambda row: (fleet.index(row[0]), row[1]),
    )
    events = {}
    for table, kinds in (("errors", ["e1", "e2"]), ("maint", ["c1"]), ("failures", ["c1", "c2"]), ("anomalies", ["v"])):
        if draw(st.booleans()):
            event = st.builds(Event, st.sampled_from(fleet), hours(-48, 200), st.sampled_from(kinds))
            events[table] = log_frame(draw(st.lists(event, max_size=12)))
    if "anomalies" in events:
        # One score a stamp: a sensor has no two anomalies at once.
        events["anomalies"]["score"] = 1.0 + events["anomalies"]["datetime"].dt.hour
    machines = pd.DataFrame(
        {"machineID": list(fleet), "model": ["b", "a", "b"][: len(fleet)], "age": range(len(fleet))}
    )
    return Sources(rolling_frame(rows, ("volt",)), events, draw(st.sampled_from([machines, None])))


def rows_by_key(table: FeatureTable) -> dict[tuple[Any, int], bytes]:
    keys = zip(table.instants.machines[table.instants.codes].tolist(), table.instants.times.tolist(), strict=True)
    return {key: row.tobytes() for key, row in zip(keys, table.values, strict=True)}


@settings(max_examples=60, deadline=None)
@given(made_sources(), hours())
def test_cutting_the_future_off_leaves_past_rows_bit_identical(sources: Sources, now: float) -> None:
    now_us = EPOCH_US + round(now * HOUR_US)
    is_past = sources.rolling["datetime"] <= pd.Timestamp(now_us, unit="us")
    if not is_past.any():
        return
    past = Sources(
        sources.rolling[is_past].reset_index(drop=True),
        {name: log[log["datetime"] <= pd.Timestamp(now_us, unit="us")] for name, log in sources.events.items()},
        sources.machines,
    )
    vocabulary = learn_vocabulary(sources, until_us=now_us)
    assert learn_vocabulary(past, until_us=FOREVER) == vocabulary
    full, cut = build(sources, vocabulary), build(past, vocabulary)
    assert full.names == cut.names
    expected = {key: row for key, row in rows_by_key(full).items() if key[1] <= now_us}
    assert rows_by_key(cut) == expected


@settings(max_examples=60, deadline=None)
@given(made_sources(), st.randoms(use_true_random=False))
def test_the_order_of_machines_and_of_log_lines_does_not_matter(sources: Sources, random: Any) -> None:
    def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
        order = list(range(len(frame)))
        random.shuffle(order)
        return frame.iloc[order].reset_index(drop=True)

    machines = sources.machines
    other = Sources(
        shuffled(sources.rolling),
        {name: shuffled(log) for name, log in sources.events.items()},
        None if machines is None else shuffled(machines),
    )
    assert learn_vocabulary(other, until_us=FOREVER) == learn_vocabulary(sources, until_us=FOREVER)
    assert rows_by_key(build(other)) == rows_by_key(build(sources))


def test_every_family_yields_one_value_a_row() -> None:
    sources = full_sources()
    table = build(sources)
    vocabulary = learn_vocabulary(sources, until_us=FOREVER)
    for family in FEATURES.values():
        for _, values in family(sources, table.instants, vocabulary, COUNT_HOURS):
            assert values.shape == (72,)
