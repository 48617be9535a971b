from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pdm_cli.errors import ConfigError, PdmError, UsageError
from pdm_cli.settings.field import option_name
from pdm_cli.settings.load import CONFIG_FILE, Resolved, option_words, resolve, restore, section_fields
from pdm_cli.settings.model import MAX_SEED, SECTIONS, Settings

ALL_FIELDS = [(section, field) for section in SECTIONS for field in section_fields(section)]
SOURCES = ["option", "environment", "file"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def settings_from(
    folder: Path,
    toml: str | None = None,
    *,
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | None = None,
) -> Resolved:
    if toml is not None:
        (folder / CONFIG_FILE).write_text(toml, encoding="utf-8")
    return resolve(options or {}, config=config, environ=environ or {}, folder=folder)


def from_source(folder: Path, source: str, section: str, key: str, text: str) -> Resolved:
    """Give one text by way of an option, an environment variable or the config file."""
    if source == "option":
        return settings_from(folder, options={key: text})
    if source == "environment":
        return settings_from(folder, environ={f"PDM_CLI_{key.upper()}": text})
    return settings_from(folder, f"[{section}]\n{key} = '{text}'\n")


def in_utc(value: object) -> object:
    """Return a time that bears no zone as one of UTC, and anything else as it is."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def assert_config_error(caught: pytest.ExceptionInfo[PdmError], *words: str, hint: str) -> None:
    assert type(caught.value) is ConfigError
    assert caught.value.exit_code == 3
    for word in words:
        assert word in caught.value.message
    assert hint in str(caught.value.hint)


def test_nothing_given_is_the_defaults(folder: Path) -> None:
    found = settings_from(folder)
    assert found.settings == Settings()
    assert set(found.origins.values()) == {"default"}
    assert set(found.origins) == {field.name for _, field in ALL_FIELDS}


def test_option_goes_before_environment_before_file_before_default(folder: Path) -> None:
    toml = "[labels]\nhorizon_hours = 10\n[train]\ntrees = 11\nfolds = 3\n"
    environ = {"PDM_CLI_HORIZON_HOURS": "20", "PDM_CLI_TREES": "21"}
    found = settings_from(folder, toml, options={"horizon_hours": 30.0, "trees": None}, environ=environ)
    settings, origins = found.settings, found.origins
    assert (settings.labels.horizon_hours, origins["horizon_hours"]) == (30, "option")
    assert (settings.train.trees, origins["trees"]) == (21, "environment: PDM_CLI_TREES")
    assert (settings.train.folds, origins["folds"]) == (3, str(folder / CONFIG_FILE))
    assert (settings.labels.lead_time_hours, origins["lead_time_hours"]) == (3, "default")


@pytest.mark.parametrize("value", [0, 0.0, ()])
def test_an_option_of_nothing_is_still_given(folder: Path, value: object) -> None:
    key = "sensors" if value == () else "max_gap_hours"
    found = settings_from(
        folder, "[preprocess]\nmax_gap_hours = 5\n[columns]\nsensors = ['volt']\n", options={key: value}
    )
    assert found.origins[key] == "option"


def test_the_config_file_is_the_named_one_then_that_of_the_environment_then_that_of_the_folder(folder: Path) -> None:
    paths = {}
    for number, name in enumerate(["option.toml", "environment.toml"], start=1):
        paths[name] = folder / name
        paths[name].write_text(f"[train]\ntrees = {number}\n")
    environ = {"PDM_CLI_CONFIG": str(paths["environment.toml"])}
    toml = "[train]\ntrees = 3\n"
    assert settings_from(folder, toml).settings.train.trees == 3
    assert settings_from(folder, toml, environ=environ).settings.train.trees == 2
    found = settings_from(folder, toml, environ=environ, config=str(paths["option.toml"]))
    assert (found.settings.train.trees, found.origins["trees"]) == (1, str(paths["option.toml"]))


def test_an_unknown_section_is_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, "[label]\nhorizon_hours = 10\n")
    assert_config_error(caught, CONFIG_FILE, "[label]", hint="'labels'")


def test_an_unknown_key_is_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, "[labels]\nhorizon_hour = 10\n")
    assert_config_error(caught, CONFIG_FILE, "[labels]", "'horizon_hour'", hint="'horizon_hours'")


def test_an_unknown_key_like_no_other_is_refused_with_all_names(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, "[labels]\nxyzzy = 10\n")
    assert_config_error(caught, "'xyzzy'", hint="lead_time_hours, horizon_hours")


def test_a_key_in_the_wrong_section_is_told_the_right_one(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, "[train]\nhorizon_hours = 10\n")
    assert_config_error(caught, CONFIG_FILE, "[train]", "'horizon_hours'", hint="[labels]")


def test_a_key_above_all_sections_is_told_the_right_one(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, "trees = 10\n")
    assert_config_error(caught, CONFIG_FILE, "trees", hint="[train]")


def test_a_section_that_is_a_value_is_refused(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, "train = 10\n")
    assert_config_error(caught, CONFIG_FILE, "train", hint="[train]")


def test_an_unknown_variable_is_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, environ={"PDM_CLI_HORIZON_HOUR": "10"})
    assert_config_error(caught, "environment", "PDM_CLI_HORIZON_HOUR", hint="'PDM_CLI_HORIZON_HOURS'")


def test_a_variable_like_no_other_is_refused_without_a_guess(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, environ={"PDM_CLI_XYZZY": "10"})
    assert_config_error(caught, "PDM_CLI_XYZZY", hint="sample_config.toml")


def test_other_variables_are_none_of_ours(folder: Path) -> None:
    found = settings_from(folder, environ={"HOME": "x", "PDM_HOME": "x", "PDM_CLI_REFERENCE": "x", "TREES": "7"})
    assert found.settings == Settings()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("section", "key", "text"),
    [
        ("train", "trees", "many"),
        ("train", "trees", "0"),
        ("train", "trees", "1.5"),
        ("labels", "horizon_hours", "nan"),
        ("labels", "horizon_hours", "inf"),
        ("labels", "horizon_hours", "-1"),
        ("labels", "horizon_hours", "-1d"),
        ("labels", "horizon_hours", "0s"),
        ("labels", "horizon_hours", "11years"),
        ("features", "windows_hours", "3h,367d"),
        ("features", "min_share", "1.01"),
        ("features", "windows_hours", "3,x"),
        ("features", "windows_hours", "3,-12"),
        ("features", "windows_hours", ","),
        ("features", "statistics", "mean,median"),
        ("preprocess", "on_duplicate", "last"),
        ("preprocess", "ranges", "volt=0"),
        ("preprocess", "ranges", "volt:0:4"),
        ("preprocess", "ranges", "volt=a:b"),
        ("preprocess", "ranges", "volt=4:0"),
        ("preprocess", "rows_in_memory", "10"),
        ("train", "cutoff", "yesterday"),
        ("train", "cutoff", "2015-13-01"),
        ("train", "cutoff", "2015"),
        ("preprocess", "timezone", "Europe/Berln"),
        ("preprocess", "phase_minutes", "1e300"),
        ("detect", "longterm_days", "1e300"),
        ("train", "shift_hours", "1"),
        ("train", "folds", "100000000"),
        ("train", "max_leaves", "5000000000"),
        ("train", "min_child_weight", "1e300"),
        ("train", "l2", "1e300"),
        ("train", "seed", str(MAX_SEED + 1)),
        ("train", "seed", str(2**63)),
        ("costs", "missed_failure", "1e308"),
        ("costs", "false_alarm", "1e308"),
        ("costs", "planned_repair", "1e308"),
    ],
)
def test_a_wrong_value_is_refused_and_its_source_named(
    folder: Path, source: str, section: str, key: str, text: str
) -> None:
    with pytest.raises(PdmError) as caught:
        from_source(folder, source, section, key, text)
    kind, exit_code, where = {
        "option": (UsageError, 2, option_name(key)),
        "environment": (ConfigError, 3, f"environment: PDM_CLI_{key.upper()}"),
        "file": (ConfigError, 3, f"{folder / CONFIG_FILE}: [{section}] {key}"),
    }[source]
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code
    assert caught.value.message.startswith(where + ":")
    assert "\n" not in caught.value.message
    assert ("such as" if key in ("ranges", "cutoff") else "--help-all") in str(caught.value.hint)


def test_wrong_times_and_ranges_get_the_expected_form(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from(folder, options={"until": "gestern"})
    assert caught.value.hint == "such as 2024-01-30 or 2024-01-30T06:00"
    with pytest.raises(UsageError) as caught:
        settings_from(folder, options={"ranges": "Flow=400:0"})
    assert str(caught.value) == "--ranges: Flow needs low < high, got 400:0"
    assert caught.value.hint == "sensor and low:high, such as volt=0:400"


@pytest.mark.parametrize("text", ["5x", "3h5", "h", "1M", "1h,2h", "\u0663h\u00b2"])
def test_a_text_that_is_no_duration_is_rejected_with_examples(folder: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from(folder, options={"grid_hours": text})
    assert caught.value.message == f"--grid-hours: {text!r} is not a duration such as 10s, 15min, 3h or 1d"


def test_option_words_of_durations_give_the_same_settings(folder: Path) -> None:
    options = {"grid_hours": "10s", "windows_hours": "70s,7min,1d"}
    features = settings_from(folder, options=options).settings.features
    words = option_words("features", features)
    again = {name[2:].replace("-", "_"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    assert settings_from(folder, options=again).settings.features == features


def test_option_words_leave_out_defaults_that_follow_from_the_data_unless_given(folder: Path) -> None:
    assert "--grid-hours" not in option_words("features", settings_from(folder).settings.features)
    given = settings_from(folder, options={"grid_hours": "3h"}).settings.features
    words = option_words("features", given)
    assert words[:2] == ["--grid-hours", "3.0"]
    assert "--windows-hours" not in words


def test_settings_that_contradict_one_another_are_refused(folder: Path) -> None:
    with pytest.raises(PdmError, match=r"^--lead-time-hours \(60\) must not exceed --horizon-hours \(48\)$") as caught:
        settings_from(folder, options={"lead_time_hours": 60})
    assert caught.value.exit_code == 2
    assert caught.value.hint == "lower --lead-time-hours"
    with pytest.raises(PdmError, match="horizon_hours") as caught:
        settings_from(folder, "[labels]\nhorizon_hours = 2\n")
    assert_config_error(caught, CONFIG_FILE, "lead_time_hours", hint="lower --lead-time-hours")


def test_an_option_is_blamed_where_it_contradicts_the_file(folder: Path) -> None:
    toml = "[labels]\nlead_time_hours = 10\n"
    with pytest.raises(PdmError) as caught:
        settings_from(folder, toml, options={"horizon_hours": 5.0})
    assert caught.value.exit_code == 2
    assert caught.value.message == "--lead-time-hours (10) must not exceed --horizon-hours (5)"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("section", "key", "text", "value"),
    [
        ("features", "windows_hours", "3,12, 1.5", (3.0, 12.0, 1.5)),
        ("features", "windows_hours", "6", (6.0,)),
        ("features", "statistics", "max, mean", ("max", "mean")),
        ("columns", "sensors", "volt,rotate", ("volt", "rotate")),
        ("preprocess", "ranges", "volt=0:400, rotate=-9.5:1e3", {"volt": (0, 400), "rotate": (-9.5, 1000)}),
        ("preprocess", "ranges", "oil pressure=0:4", {"oil pressure": (0, 4)}),
        ("preprocess", "on_duplicate", "mean", "mean"),
        ("train", "trees", "7", 7),
        ("labels", "horizon_hours", "24", 24.0),
        ("labels", "horizon_hours", "2w", 336.0),
        ("features", "windows_hours", "10s,15min, 3h,1.5d,12", (10 / 3600, 0.25, 3.0, 36.0, 12.0)),
        ("features", "grid_hours", "1h 30min", 1.5),
        ("preprocess", "phase_minutes", "90s", 1.5),
        ("detect", "window_days", "36h", 1.5),
        ("costs", "least_warning_hours", "1 day", 24.0),
        ("train", "time_budget_seconds", "5min", 300.0),
        ("train", "cutoff", "2015-10-01", datetime(2015, 10, 1)),
        ("train", "cutoff", "2015-10-01 06:00", datetime(2015, 10, 1, 6)),
        ("train", "cutoff", "2015-10-01T06:00:00", datetime(2015, 10, 1, 6)),
        ("train", "cutoff", "2015-10-01T06:00:00Z", datetime(2015, 10, 1, 6)),
        ("train", "cutoff", "2015-10-01T08:00:00+02:00", datetime(2015, 10, 1, 6)),
    ],
)
def test_texts_are_understood_from_every_source(
    folder: Path, source: str, section: str, key: str, text: str, value: object
) -> None:
    found = getattr(getattr(from_source(folder, source, section, key, text).settings, section), key)
    assert in_utc(found) == in_utc(value)


@pytest.mark.parametrize(
    ("toml", "section", "key", "value"),
    [
        ("[features]\nwindows_hours = [3, 12.5]", "features", "windows_hours", (3.0, 12.5)),
        ("[features]\nwindows_hours = [3, '1d']", "features", "windows_hours", (3.0, 24.0)),
        ("[columns]\nsensors = ['volt']", "columns", "sensors", ("volt",)),
        ("[preprocess]\nranges = {volt = [0, 400]}", "preprocess", "ranges", {"volt": (0, 400)}),
        ("[preprocess.ranges]\nvolt = [0, 400]", "preprocess", "ranges", {"volt": (0, 400)}),
        ("[train]\ncutoff = 2015-10-01T06:00:00", "train", "cutoff", datetime(2015, 10, 1, 6)),
        ("[train]\ncutoff = 2015-10-01", "train", "cutoff", datetime(2015, 10, 1)),
        ("[train]\ncutoff = 2015-10-01T08:00:00+02:00", "train", "cutoff", datetime(2015, 10, 1, 6)),
    ],
)
def test_values_of_toml_are_understood(folder: Path, toml: str, section: str, key: str, value: object) -> None:
    assert in_utc(getattr(getattr(settings_from(folder, toml).settings, section), key)) == in_utc(value)


@pytest.mark.parametrize(
    "toml", ["[train]\ntrees = true\n", "[train]\ntrees = [1]\n", "[features]\nwindows_hours = 3\n"]
)
def test_values_of_another_type_are_refused(folder: Path, toml: str) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, toml)
    assert_config_error(caught, CONFIG_FILE, hint="--help")


@pytest.mark.parametrize("content", [b"trees: 10", b"[train\n", b"[train]\ntrees = 1\ntrees = 2\n"])
def test_a_file_that_is_not_toml_is_refused(folder: Path, content: bytes) -> None:
    (folder / CONFIG_FILE).write_bytes(content)
    with pytest.raises(PdmError) as caught:
        settings_from(folder)
    assert_config_error(caught, CONFIG_FILE, "not valid TOML", hint="sample_config.toml")


def test_a_file_in_another_encoding_is_rejected(folder: Path) -> None:
    (folder / CONFIG_FILE).write_bytes(b"\xff\xfe[")
    with pytest.raises(PdmError) as caught:
        settings_from(folder)
    assert_config_error(caught, CONFIG_FILE, "not UTF-8", hint="UTF-8")


def test_a_file_with_the_mark_of_windows_editors_is_read(folder: Path) -> None:
    (folder / CONFIG_FILE).write_bytes(b"\xef\xbb\xbf[train]\r\ntrees = 7\r\n")
    assert settings_from(folder).settings.train.trees == 7


@pytest.mark.parametrize("source", ["option", "environment"])
def test_a_named_file_that_is_missing_is_refused(folder: Path, source: str) -> None:
    path = str(folder / "mine.toml")
    with pytest.raises(PdmError) as caught:
        settings_from(
            folder,
            config=path if source == "option" else None,
            environ={"PDM_CLI_CONFIG": path} if source == "environment" else {},
        )
    assert_config_error(caught, "mine.toml", "No such file", hint="--config")


def test_a_folder_is_no_config_file(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, config=str(folder))
    assert_config_error(caught, str(folder), hint="--config")


def test_every_name_is_unique_over_all_sections() -> None:
    twice = [name for name, count in Counter(field.name for _, field in ALL_FIELDS).items() if count > 1]
    assert twice == []


@pytest.mark.parametrize(("section", "field"), [pytest.param(s, f, id=f"{s}.{f.name}") for s, f in ALL_FIELDS])
def test_every_setting_has_one_line_of_help_and_a_default_that_is_valid(folder: Path, section: str, field: Any) -> None:
    text = field.metadata["help"]
    assert text
    assert text.endswith(".")
    assert "\n" not in text
    assert isinstance(field.metadata["changes_result"], bool)
    default = getattr(getattr(Settings(), section), field.name)
    beside = dict([field.metadata["only_for"]]) if field.metadata["only_for"] else {}
    options = {field.name: default, **beside} if field.metadata["may_be_empty"] else {}
    assert getattr(getattr(settings_from(folder, options=options).settings, section), field.name) == default


def test_an_option_without_effect_is_refused_but_a_config_file_may_hold_it(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"^--max-anoms: has no effect with --mode causal$") as caught:
        settings_from(folder, options={"max_anoms": 0.2})
    assert caught.value.hint == "use --mode batch, or drop --max-anoms"
    with pytest.raises(UsageError, match=r"^--window-days: has no effect with --mode batch$"):
        settings_from(folder, options={"window_days": 7.0, "mode": "batch"})
    assert settings_from(folder, "[detect]\nmax_anoms = 0.2\n").settings.detect.max_anoms == 0.2
    assert settings_from(folder, environ={"PDM_CLI_MAX_ANOMS": "0.3"}).settings.detect.max_anoms == 0.3


def test_sections_and_settings_name_each_other() -> None:
    assert list(SECTIONS) == list(Settings.__dataclass_fields__)
    assert all(type(getattr(Settings(), name)) is cls for name, cls in SECTIONS.items())


@pytest.mark.parametrize(
    ("section", "former", "current", "text"),
    [
        ("train", "alert_rule", "threshold", "cost"),
        ("train", "time_budget", "time_budget_seconds", "60"),
        ("detect", "threshold", "anomaly_threshold", "p95"),
        ("detect", "smooth", "smooth_hours", "12"),
    ],
)
def test_former_name_in_file_environment_or_model_sets_the_current_setting(
    folder: Path, section: str, former: str, current: str, text: str
) -> None:
    from_file = settings_from(folder, f"[{section}]\n{former} = '{text}'\n")
    (folder / CONFIG_FILE).unlink()
    from_environment = settings_from(folder, environ={f"PDM_CLI_{former.upper()}": text})
    stored = restore({section: {former: text}}, "model.json")
    for found in (from_file.settings, from_environment.settings, stored):
        assert str(getattr(getattr(found, section), current)).removesuffix(".0") == text
    assert from_environment.origins[current] == f"environment: PDM_CLI_{former.upper()}"


def test_variable_threshold_is_the_alert_rule_unless_the_value_is_one_for_anomalies(folder: Path) -> None:
    rule = settings_from(folder, environ={"PDM_CLI_THRESHOLD": "recall=0.9"}).settings
    assert (rule.train.threshold, rule.detect.anomaly_threshold) == ("recall=0.9", "none")
    anomalies = settings_from(folder, environ={"PDM_CLI_THRESHOLD": "p99"}).settings
    assert (anomalies.train.threshold, anomalies.detect.anomaly_threshold) == ("hysteresis", "p99")


def test_former_and_current_name_together_are_rejected(folder: Path) -> None:
    with pytest.raises(PdmError) as caught:
        settings_from(folder, "[train]\nalert_rule = 'f1'\nthreshold = 'cost'\n")
    assert_config_error(caught, "'alert_rule'", "'threshold'", hint="remove one")


def test_ranges_of_two_sources_are_not_merged(folder: Path) -> None:
    found = settings_from(folder, "[preprocess]\nranges = {volt = [0, 9]}\n", environ={"PDM_CLI_RANGES": "rotate=0:5"})
    assert found.settings.preprocess.ranges == {"rotate": (0, 5)}


def test_variable_of_another_program_is_outranked_by_ours(folder: Path) -> None:
    environ = {"PDM_CLI_WORKSPACE": "ours", "AZUREML_ARM_WORKSPACE_NAME": "job", "AZUREML_WORKSPACE_NAME": "tools"}
    assert settings_from(folder, environ=environ).settings.azure.workspace == "ours"
    del environ["PDM_CLI_WORKSPACE"]
    found = settings_from(folder, environ=environ)
    assert (found.settings.azure.workspace, found.origins["workspace"]) == (
        "tools",
        "environment: AZUREML_WORKSPACE_NAME",
    )


def test_resolving_twice_builds_the_validators_once(folder: Path) -> None:
    settings_from(folder)
    start = time.perf_counter()
    for _ in range(10):
        settings_from(folder)
    # Building them takes more than 20 ms each time.
    assert time.perf_counter() - start < 0.2
