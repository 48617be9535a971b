"""Grid, windows, lead time and horizon against the step and the span of the telemetry."""

from __future__ import annotations

import pytest

from pdm_cli.preparation.windows import (
    WindowsDoNotFit,
    add_labels,
    check_windows,
    find_misfits,
    propose_windows,
)
from pdm_cli.settings.load import resolve
from pdm_cli.settings.model import FeaturesParams, LabelsParams

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
STEPS = [SECOND, 10 * SECOND, MINUTE, 7 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY]


@pytest.mark.parametrize("step_us", STEPS)
@pytest.mark.parametrize("span_us", [HOUR, DAY, 10 * DAY, 40 * DAY, 400 * DAY])
def test_proposal_of_any_step_and_span_fits_both(step_us: int, span_us: int) -> None:
    found = propose_windows(step_us, span_us)
    lengths = (found.grid_us, *found.windows_us, found.lead_time_us, found.horizon_us)
    assert all(length > 0 and length % step_us == 0 for length in lengths)
    assert max(lengths) <= max(span_us, step_us)
    assert found.horizon_us <= max(span_us // 12, step_us)
    assert found.grid_us <= found.lead_time_us <= found.horizon_us
    settings = resolve({**found.features, **found.labels}, environ={}).settings
    assert not find_misfits(step_us, settings.features)
    assert round(settings.labels.horizon_hours * HOUR) == found.horizon_us


@pytest.mark.parametrize("step_us", [SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR])
def test_proposal_where_the_defaults_fit_is_the_defaults(step_us: int) -> None:
    found = propose_windows(step_us, 365 * DAY)
    settings = resolve({**found.features, **found.labels}, environ={}).settings
    assert (settings.features, settings.labels) == (FeaturesParams(), LabelsParams())


def test_misfits_are_all_in_one_error_with_values_that_fit() -> None:
    with pytest.raises(WindowsDoNotFit) as caught:
        check_windows(DAY, FeaturesParams(windows_hours=(3.0, 24.0, 36.0)), span_us=39 * DAY)
    assert caught.value.message == (
        "telemetry: settings do not fit the step of 1d: --grid-hours 3 is shorter; "
        "--windows-hours 3,36 are not whole numbers of steps"
    )
    assert caught.value.hint == "use --grid-hours 1d --windows-hours 1d,3d,7d"
    full = add_labels(caught.value, FeaturesParams(), LabelsParams(horizon_hours=240))
    assert "--lead-time-hours 3 is shorter" in full.message
    assert "--horizon-hours 240 is too long for telemetry of 39d" in full.message
    assert full.hint == f"{caught.value.hint} --lead-time-hours 1d --horizon-hours 3d"
    assert full.exit_code == 4
