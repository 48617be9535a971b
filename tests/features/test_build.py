"""Features of whole fleets: their columns, and what these depend on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.features.build import (
    FEATURE_SETS,
    FEATURES,
    LEARNED,
    Context,
    Sources,
    Vocabulary,
    build_features,
    learn_states,
    learn_vocabulary,
    match_states,
)
from pdm_cli.features.maintenance_cycle import find_visit_cycle
from pdm_cli.features.table import FeatureTable
from pdm_cli.settings.model import LabelsParams
from tests.builders.features import build, column, tables_of
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, hours, log_frame
from tests.builders.problems import (
    FOREVER,
    LABELS,
    TRAIN,
    context_of,
    known_at,
    made_sources,
    microseconds,
    simulated,
    without,
)

SENSORS = ("volt", "rotate", "pressure", "vibration")
ERRORS = [f"error{i}" for i in range(1, 6)]
COMPONENTS = [f"comp{i}" for i in range(1, 5)]
FAMILIES = [*FEATURES, *LEARNED]
PLAIN = ("rolling", "hours_since", "counts", "attributes")
# Short windows, so that z and shifts have something to say of the few days that hypothesis makes.
SHORT = replace(TRAIN, z_window_hours=72.0, shift_hours=12.0, count_hours=(6.0, 24.0))


def states_of(context: Context, components: list[str], until_us: int = FOREVER) -> dict[str, Any]:
    everyone = np.ones(len(context.instants.machines), bool)
    return learn_states(context, LEARNED, components=components, until_us=until_us, machines=everyone)


@pytest.fixture(scope="module")
def fleet() -> Sources:
    return simulated(machines=5, days=90, seed=2)


@pytest.fixture(scope="module")
def whole(fleet: Sources) -> FeatureTable:
    context = context_of(fleet)
    return build_features(context, FAMILIES).join(match_states(context, states_of(context, COMPONENTS)))


def test_the_plain_families_have_the_52_columns_of_cy(fleet: Sources) -> None:
    table = build(fleet, PLAIN)
    expected = {f"{s}_{statistic}_{w}h" for s in SENSORS for w in (3, 12, 24) for statistic in ("mean", "std")}
    expected |= {f"hours_since_{kind}" for kind in [*ERRORS, "any_error", "any_maint", "any_failure"]}
    expected |= {f"hours_since_{kind}_{what}" for kind in COMPONENTS for what in ("replaced", "failed")}
    expected |= {f"{kind}_count_{window}h" for kind in ERRORS for window in (24, 48)} | {"model", "age"}
    assert len(table.names) == 52
    assert set(table.names) == expected
    assert table.categorical == ["model"]


def test_a_matrix_of_no_columns_has_its_rows_all_the_same(whole: FeatureTable) -> None:
    rows = np.array([0, 2, 5])
    assert whole.matrix([]).shape == (len(whole.columns[0]), 0)
    assert whole.matrix([], rows).shape == (3, 0)
    assert FeatureTable([], [], [], []).matrix([], rows).shape == (3, 0)


def test_each_family_has_its_columns(whole: FeatureTable) -> None:
    expected = {
        "anomalies": {f"hours_since_{s}_anomaly" for s in (*SENSORS, "any")}
        | {f"{s}_anomaly_count_{window}h" for s in SENSORS for window in (24, 48)}
        | {f"{s}_anomaly_score" for s in SENSORS},
        "visits": {"visit_period", "visit_phase", "hours_to_visit"},
        "cycle_places": {f"{s}_shift_to_visit" for s in SENSORS} | {f"{kind}_to_visit" for kind in ERRORS},
        "shifts": {f"{s}_{what}" for s in SENSORS for what in ("shift", "shift_age", "shift_step")},
        "levels": {f"{s}_level_{window}h" for s in SENSORS for window in (24, 168)},
        "trends": {f"{s}_trend_{window}h" for s in SENSORS for window in (72, 504)},
        "extremes": {f"{s}_{side}_{w}h" for s in SENSORS for side in ("lowest", "highest") for w in (24, 168)},
        "excursions": {f"{s}_{side}_{w}h" for s in SENSORS for side in ("z", "above", "below") for w in (24, 168)},
        "usage": {f"{s}_sum_since_{c}" for s in SENSORS for c in COMPONENTS} | {"hours_since_start"},
        "residuals": {f"{s}_residual_{window}h" for s in SENSORS for window in (24, 168)},
        "template": {f"{c}_{w}" for c in COMPONENTS for w in ("match", "match_hours", "match_visit", "match_lag")},
    }
    for family, names in expected.items():
        assert set(whole.names_of([family])) == names


def test_names_are_unique_and_every_column_has_one_value_a_row(fleet: Sources, whole: FeatureTable) -> None:
    assert len(set(whole.names)) == len(whole.names) == len(whole.families) == len(whole.columns)
    assert set(whole.families) == set(FAMILIES)
    assert {column.dtype for column in whole.columns} == {np.dtype(np.float32)}
    assert {column.shape for column in whole.columns} == {(len(fleet.rolling),)}


def test_every_column_knows_something_somewhere(whole: FeatureTable) -> None:
    # What tests below say of columns would be empty otherwise.
    assert [name for name in whole.names if np.isnan(column(whole, name)).all()] == []
    assert [family for family in FAMILIES if len(np.unique(whole.matrix(whole.names_of([family])))) < 3] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        ("errors", {"hours_since": 6, "counts": 10, "cycle_places": 5}),
        ("maint", {"hours_since": 5, "visits": 3, "cycle_places": 9, "template": 8, "usage": 16}),
        ("failures", {"hours_since": 5}),
        ("anomalies", {"anomalies": 17}),
        ("machines", {"attributes": 2}),
    ],
)
def test_a_family_falls_away_by_itself_where_its_table_is_missing(
    fleet: Sources, whole: FeatureTable, missing: str, lost: dict[str, int]
) -> None:
    context = context_of(without(fleet, missing))
    table = build_features(context, FAMILIES).join(match_states(context, states_of(context, COMPONENTS)))
    for family in FAMILIES:
        assert len(table.names_of([family])) == len(whole.names_of([family])) - lost.get(family, 0)
    assert table.names == [name for name in whole.names if name in table.names]
    same = [name for name in table.names if name not in table.names_of(LEARNED)]
    assert_array_equal(table.matrix(same), whole.matrix(same))


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["errors", "maint", "failures", "anomalies", "machines"])
def test_the_line_of_a_family_names_just_the_tables_it_reads(fleet: Sources, whole: FeatureTable, missing: str) -> None:
    context, states = context_of(without(fleet, missing)), states_of(context_of(fleet), COMPONENTS)
    table = build_features(context, FAMILIES).join(match_states(context, states))
    names = {family: whole.names_of([family]) for family in FAMILIES}
    differ = {
        family
        for family in FAMILIES
        if table.names_of([family]) != names[family]
        or not np.array_equal(table.matrix(names[family]), whole.matrix(names[family]), equal_nan=True)
    }
    registry = {**FEATURES, **LEARNED}
    assert differ == {family for family in FAMILIES if missing in registry[family].tables}


def test_with_telemetry_alone_what_needs_no_log_is_left(fleet: Sources) -> None:
    bare = without(fleet, *fleet.events, "machines")
    table = build(bare)
    assert set(table.families) == {"rolling", "shifts", "levels", "trends", "extremes", "excursions", "usage"}
    assert table.names_of(["rolling"]) == list(bare.rolling.columns[2:])
    assert_array_equal(table.matrix(table.names_of(["rolling"])), bare.rolling.iloc[:, 2:].to_numpy(np.float32))


@pytest.mark.parametrize("family", FEATURES)
def test_a_family_can_be_picked_and_is_the_same_alone(fleet: Sources, whole: FeatureTable, family: str) -> None:
    table = build(fleet, [family])
    assert table.names == whole.names_of([family])
    assert_array_equal(table.matrix(table.names), whole.matrix(table.names))


def test_learned_families_and_others_are_passed_over_by_what_they_are_not(fleet: Sources) -> None:
    context = context_of(fleet)
    assert build_features(context, ["template", "no such"]).names == []
    chosen = np.ones(5, bool)
    assert learn_states(context, ["rolling", "no such"], components=["comp1"], until_us=FOREVER, machines=chosen) == {}
    assert match_states(context, {}).names == []


def test_sets_name_families_that_are_there_and_every_family_is_in_one() -> None:
    named = [family for families in FEATURE_SETS.values() for family in families]
    assert set(named) == set(FAMILIES)
    assert all(len(set(families)) == len(families) for families in FEATURE_SETS.values())


def test_hours_since_any_are_those_since_the_latest_of_all_kinds(whole: FeatureTable) -> None:
    each = whole.matrix([f"hours_since_{kind}" for kind in ERRORS])
    assert_array_equal(column(whole, "hours_since_any_error"), np.fmin.reduce(each, axis=1))


def test_anomalies_come_from_their_table_alone(fleet: Sources, whole: FeatureTable) -> None:
    bare = without(fleet, "errors", "maint", "failures", "machines")
    table = build(bare, ["anomalies"])
    assert_array_equal(table.matrix(table.names), whole.matrix(whole.names_of(["anomalies"])))
    assert not [name for name in build(without(fleet, "anomalies")).names if "anomaly" in name]
    assert not [n for n, f in zip(whole.names, whole.families, strict=True) if f != "anomalies" and "anomaly" in n]


def test_the_visits_are_those_of_the_cycle(fleet: Sources, whole: FeatureTable) -> None:
    found = find_visit_cycle(fleet.events["maint"], context_of(fleet).instants)
    expected = np.stack([found.period_hours, found.phase, found.hours_to_next], axis=1).astype(np.float32)
    assert_array_equal(whole.matrix(["visit_period", "visit_phase", "hours_to_visit"]), expected)


def test_the_vocabulary_is_learned_up_to_the_cutoff_only() -> None:
    events = {"errors": log_frame([Event(1, 10, "known"), Event(1, 20, "at the cutoff"), Event(1, 20.5, "later")])}
    sources = tables_of([(1, 0.0)], events)
    vocabulary = learn_vocabulary(sources, until_us=EPOCH_US + 20 * HOUR_US)
    assert vocabulary.kinds == {"errors": ["at the cutoff", "known"]}
    assert not any("later" in name for name in build(sources, vocabulary=vocabulary).names)


def test_vocabulary_is_that_of_the_machines_trained_on() -> None:
    events = {"errors": log_frame([Event(1, 10, "known"), Event(2, 10, "of another")])}
    machines = pd.DataFrame({"machineID": [1, 2], "model": ["a", "b"], "age": [3, 4]})
    sources = tables_of([(1, 0.0), (2, 0.0)], events, machines=machines)
    vocabulary = learn_vocabulary(sources, until_us=FOREVER, machines=pd.Index([1]))
    assert vocabulary == Vocabulary({"errors": ["known"]}, {"model": ["a"]}, ["age"])


def test_columns_do_not_depend_on_what_happens_after_the_vocabulary_was_learned(
    fleet: Sources, whole: FeatureTable
) -> None:
    quiet = replace(fleet, events={name: events[events["kind"] == "none"] for name, events in fleet.events.items()})
    vocabulary = learn_vocabulary(fleet, until_us=FOREVER)
    expected = [name for name in whole.names if name not in whole.names_of(LEARNED)]
    assert build(quiet, vocabulary=vocabulary).names == expected


def test_the_template_learns_from_chosen_machines_and_the_past_alone(fleet: Sources) -> None:
    context = context_of(fleet)
    cutoff = int(np.quantile(context.instants.times, 0.6))
    chosen = np.array([True, False, True, True, False])
    found = learn_states(context, LEARNED, components=COMPONENTS, until_us=cutoff, machines=chosen)["template"]
    machines = context.instants.machines[chosen]
    events = {name: log[log["machineID"].isin(machines)] for name, log in fleet.events.items()}
    kept = replace(fleet, events=events, telemetry=fleet.telemetry[fleet.telemetry["machineID"].isin(machines)])
    expected = replace(context, sources=known_at(kept, cutoff))
    assert found.to_json() == states_of(expected, COMPONENTS)["template"].to_json()
    assert found.to_json() != states_of(context, COMPONENTS, cutoff)["template"].to_json()


def test_what_a_learned_family_knows_can_be_written_and_read_back(fleet: Sources) -> None:
    context = context_of(fleet)
    states = states_of(context, COMPONENTS)
    read = {name: LEARNED[name].load(json.loads(json.dumps(LEARNED[name].dump(s)))) for name, s in states.items()}
    found, expected = match_states(context, read), match_states(context, states)
    assert found.matrix(found.names).tobytes() == expected.matrix(expected.names).tobytes()


def test_a_horizon_too_short_for_the_template_has_no_columns_of_it(fleet: Sources) -> None:
    for horizon, count in ((5.0, 0), (6.0, 16)):
        context = context_of(fleet, labels=LabelsParams(0.0, horizon))
        table = match_states(context, states_of(context, COMPONENTS))
        assert len(table.names_of(["template"])) == count


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@given(sources=made_sources(), now=hours(24, 200))
def test_cutting_the_future_off_leaves_past_rows_bit_identical(family: str, sources: Sources, now: float) -> None:
    now_us = microseconds(now)
    past = known_at(sources, now_us)
    assume(len(past.rolling))
    vocabulary = learn_vocabulary(sources, until_us=now_us)
    assert learn_vocabulary(past, until_us=FOREVER) == vocabulary
    full, cut = (Context(tables, vocabulary, SHORT, LABELS) for tables in (sources, past))
    # What was learned stays as it is, be it from the future: columns are made with it, not from its tables.
    states = states_of(full, ["c1", "c2"]) if family in LEARNED else {}
    tables = [build_features(c, [family]).join(match_states(c, states)) for c in (full, cut)]
    assert tables[0].names == tables[1].names
    expected = {key: row for key, row in rows_by_key(full, tables[0]).items() if key[1] <= now_us}
    assert rows_by_key(cut, tables[1]) == expected


def rows_by_key(context: Context, table: FeatureTable) -> dict[tuple[Any, int], bytes]:
    instants = context.instants
    keys = zip(instants.machines[instants.codes].tolist(), instants.times.tolist(), strict=True)
    rows = table.matrix(table.names) if table.names else np.empty((len(instants.times), 0), np.float32)
    return {key: row.tobytes() for key, row in zip(keys, rows, strict=True)}


@pytest.mark.ci
@given(made_sources(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_of_log_lines_does_not_matter(sources: Sources, random: Any) -> None:
    def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
        order = list(range(len(frame)))
        random.shuffle(order)
        return frame.iloc[order].reset_index(drop=True)

    machines = sources.machines
    other = replace(
        sources,
        rolling=shuffled(sources.rolling),
        events={name: shuffled(log) for name, log in sources.events.items()},
        machines=None if machines is None else shuffled(machines),
    )
    assert learn_vocabulary(other, until_us=FOREVER) == learn_vocabulary(sources, until_us=FOREVER)
    found = []
    for tables in (sources, other):
        context = context_of(tables, train=SHORT)
        states = states_of(context, ["c1", "c2"])
        found.append(rows_by_key(context, build_features(context, FAMILIES).join(match_states(context, states))))
    assert found[0] == found[1]
