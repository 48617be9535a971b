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
from pdm_cli.features.describe import describe_feature, name_feature
from pdm_cli.units import Units, using
from tests.builders.problems import FOREVER, LABELS, TRAIN, simulated


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("volt_std_12h", "volt, standard deviation over 12 h"),
        ("volt_max_30min", "volt, max over 30 min"),
        ("volt_level_24h", "volt, mean over 24 h minus its usual level"),
        ("volt_residual_30min", "volt, mean over 30 min compared with the other sensors"),
        ("volt_trend_72h", "volt, change per 48 h"),
        ("volt_trend_90min", "volt, change per 60 min"),
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


def test_describe_feature_trend_is_a_rate_between_the_outer_thirds() -> None:
    assert describe_feature("volt_trend_72h", -0.3, typical=0.1) == "volt changes by -0.3 per 48 h (typical: 0.1)"
    with using(Units(cycle_hours=1, sensors={"s4": "K"})):
        assert describe_feature("s4_trend_315h", 27.3) == "s4 changes by 27.3 K per 210 cycles"


@pytest.mark.parametrize(("value", "shown"), [(512.3, "+510"), (-3.14, "-3.1"), (1.0, "+1"), (12_345.0, "+12,000")])
def test_describe_feature_deviations_have_ordinary_digits(value: float, shown: str) -> None:
    noun = "standard deviation" if shown == "+1" else "standard deviations"
    assert describe_feature("volt_shift_step", value) == f"volt shifted by {shown} {noun}"


@pytest.mark.slow
def test_only_attributes_of_machines_are_named_so() -> None:
    sources = simulated()
    context = Context(sources, learn_vocabulary(sources, until_us=FOREVER), TRAIN, LABELS)
    machines = context.instants.machines
    states = learn_states(context, LEARNED, components=["comp1"], until_us=FOREVER, machines=machines == machines)
    names = build_features(context, FEATURES).join(match_states(context, states)).names
    assert {name for name in names if name_feature(name) == f"machine attribute {name}"} == {"model", "age"}
    assert len({name_feature(name) for name in names}) == len(names)
