from __future__ import annotations

import pytest

from pdm_cli.features.build import (
    FEATURES,
    LEARNED,
    Context,
    build_features,
    learn_states,
    learn_vocabulary,
    match_states,
)
from pdm_cli.features.describe import name_feature
from tests.builders.problems import FOREVER, LABELS, TRAIN, simulated


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("volt_std_12h", "volt, standard deviation over 12 h"),
        ("volt_max_30min", "volt, max over 30 min"),
        ("volt_level_24h", "volt, mean over 24 h minus its usual level"),
        ("volt_residual_30min", "volt, mean over 30 min compared with the other sensors"),
        ("volt_trend_72h", "volt, change over 72 h"),
        ("volt_lowest_24h", "volt, lowest reading in 24 h minus its usual level"),
        ("volt_z_24h", "volt, mean distance from its median over 24 h in robust standard deviations"),
        ("volt_above_24h", "volt, share of readings far above the usual in 24 h"),
        ("hours_since_start", "hours since the first reading"),
        ("volt_sum_since_comp1", "volt, sum since comp1 was replaced"),
        ("hours_since_any_maint", "hours since any maintenance"),
        ("hours_since_error1", "hours since error1"),
        ("hours_since_volt_anomaly", "hours since a volt anomaly"),
        ("volt_anomaly_count_24h", "volt, anomalies in 24 h"),
        ("error1_count_24h", "error1, count in 24 h"),
        ("volt_shift_to_visit", "volt, hours from its shift to the next visit"),
        ("error2_to_visit", "hours from error2 to the next visit"),
        ("comp1_match_hours", "hours to a comp1 failure, from past failures"),
        ("age", "machine attribute age"),
    ],
)
def test_names_read_as_english(name: str, words: str) -> None:
    assert name_feature(name) == words


@pytest.mark.slow
def test_only_attributes_of_machines_are_named_so() -> None:
    sources = simulated()
    context = Context(sources, learn_vocabulary(sources, until_us=FOREVER), TRAIN, LABELS)
    machines = context.instants.machines
    states = learn_states(context, LEARNED, components=["comp1"], until_us=FOREVER, machines=machines == machines)
    names = build_features(context, FEATURES).join(match_states(context, states)).names
    assert {name for name in names if name_feature(name) == f"machine attribute {name}"} == {"model", "age"}
    assert len({name_feature(name) for name in names}) == len(names)
