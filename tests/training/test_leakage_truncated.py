from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_cli.anomalies.detectors import find_anomalies
from pdm_cli.errors import ModelError
from pdm_cli.features.build import FEATURES, LEARNED, Context, Family, build_features, learn_states, match_states
from pdm_cli.settings.model import DetectParams, FeaturesParams
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.training.leakage_checks import choose_sample, compare_truncated, rebuild_truncated
from tests.builders.examples import FEW
from tests.builders.problems import (
    DETECT,
    FEATURES_PARAMS,
    HOUR_US,
    LABELS,
    TRAIN,
    context_of,
    made_sources,
    microseconds,
    simulated,
    without,
)

SHORT = replace(TRAIN, z_window_hours=72.0, shift_hours=12.0)


@pytest.fixture(scope="module")
def context() -> Context:
    return context_of(simulated(machines=4, days=60, seed=3))


def states_of(context: Context) -> dict[str, Any]:
    everyone = np.ones(len(context.instants.machines), bool)
    components = context.vocabulary.kinds.get("failures", ["c1"])
    return learn_states(context, LEARNED, components=components, until_us=2**62, machines=everyone)


def check(
    context: Context,
    positions: Any,
    *,
    features: FeaturesParams = FEATURES_PARAMS,
    detect: DetectParams = DETECT,
) -> None:
    """Compare the features of some instants with those made without what came later."""
    states, instants = states_of(context), context.instants
    table = build_features(context, FEATURES).join(match_states(context, states))
    cut = rebuild_truncated(context, positions, table.names, states, features=features, detect=detect)
    machines = instants.machines[instants.codes[positions]].tolist()
    compare_truncated(table.names, table.matrix(table.names, positions), cut, machines, instants.times[positions])


def sample_of(context: Context) -> Any:
    """Return rows of the third week: there is some history behind them, and failures lie ahead."""
    times = context.instants.times
    return choose_sample(
        context.instants,
        (times >= microseconds(24 * 14)) & (times < microseconds(24 * 21)),
        before_failure=times < 0,
        seed=0,
    )


@pytest.mark.slow
def test_features_of_a_fleet_do_not_use_the_future(context: Context) -> None:
    check(context, sample_of(context))


@pytest.mark.slow
@settings(max_examples=FEW)
@given(made_sources(), st.integers(0, 3))
def test_features_of_any_tables_do_not_use_the_future(sources: Any, seed: int) -> None:
    # Anomalies are found anew in what is cut, so that those made up have no place here.
    made = context_of(without(sources, "anomalies"), train=SHORT)
    every = np.ones(len(made.instants.times), bool)
    check(made, choose_sample(made.instants, every, before_failure=~every, seed=seed))


@pytest.mark.slow
def test_rebuild_truncated_keeps_the_order_of_positions(context: Context) -> None:
    states, names = states_of(context), ["volt_mean_3h", "volt_shift", "hours_since_any_maint", "comp1_match"]
    positions = np.array([300, 20, 301, 700, 299])
    table = build_features(context, FEATURES).join(match_states(context, states))
    cut = rebuild_truncated(context, positions, names, states, features=FEATURES_PARAMS, detect=DETECT)
    assert cut.tobytes() == table.matrix(names, positions).tobytes()


def test_rebuild_truncated_without_rows_is_empty(context: Context) -> None:
    none = np.array([], np.intp)
    cut = rebuild_truncated(context, none, ["volt_shift"], {}, features=FEATURES_PARAMS, detect=DETECT)
    assert cut.shape == (0, 1)


def hours_to_next_failure(context: Context) -> Any:
    ahead = context.log_of("failures").next_from(context.instants.codes, context.instants.times)
    return (ahead - context.instants.times) / US_PER_HOUR


def mean_around(context: Context) -> Any:
    """Mean of the reading, the one before and the one after."""
    telemetry, instants = context.sources.telemetry, context.instants
    smooth = telemetry.groupby("machineID")["volt"].transform(lambda x: x.rolling(3, center=True, min_periods=1).mean())
    by_row = telemetry.assign(smooth=smooth).set_index(["machineID", "datetime"])["smooth"]
    stamps = instants.times.astype("datetime64[us]")
    return by_row.reindex(list(zip(instants.machines[instants.codes], stamps, strict=True))).to_numpy()


def errors_in_all(context: Context) -> Any:
    return np.full(len(context.instants.times), float(len(context.sources.events["errors"])))


def rank_among_rows(context: Context) -> Any:
    """Where the row's value stands among all of the table."""
    return np.argsort(np.argsort(context.sources.rolling["volt_mean_24h"].to_numpy())).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("peek", [hours_to_next_failure, mean_around, errors_in_all, rank_among_rows])
def test_planted_leaking_feature_is_named(
    context: Context, monkeypatch: pytest.MonkeyPatch, peek: Callable[[Context], Any]
) -> None:
    def planted(context: Context) -> Iterator[tuple[str, Any]]:
        yield "honest", np.zeros(len(context.instants.times))
        yield "planted", peek(context)

    monkeypatch.setitem(FEATURES, "planted", Family(planted))
    with pytest.raises(ModelError, match=r"feature planted of machine \d at .* uses the future") as caught:
        check(context, sample_of(context))
    assert caught.value.details == {"features": ["planted"]}


@pytest.mark.slow
def test_batch_anomalies_are_named_as_leaking(context: Context) -> None:
    batch = DetectParams(mode="batch", jobs=1)
    found, _ = find_anomalies(context.sources.telemetry, step_us=HOUR_US, params=batch)
    events = {**context.sources.events, "anomalies": found.rename(columns={"sensor": "kind"})}
    told = context_of(replace(context.sources, events=events))
    with pytest.raises(ModelError, match="uses the future") as caught:
        check(told, sample_of(told), detect=batch)
    features = caught.value.details["features"]
    assert isinstance(features, list)
    assert all("anomaly" in name for name in features)


@pytest.mark.slow
def test_back_filled_rolling_features_are_named_as_leaking(context: Context) -> None:
    rolling = context.sources.rolling
    filled = rolling.assign(volt_mean_24h=rolling.groupby("machineID")["volt_mean_24h"].shift(-1).ffill())
    told = Context(replace(context.sources, rolling=filled), context.vocabulary, TRAIN, LABELS)
    with pytest.raises(ModelError) as caught:
        check(told, sample_of(told))
    assert caught.value.details == {"features": ["volt_mean_24h"]}
