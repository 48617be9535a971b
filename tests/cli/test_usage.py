"""Wrong words, settings and output folders: one line, a hint, the exit code, and nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pdm_cli.cli.options import pick_settings
from tests.cli.conftest import QUICK, Pdm, assert_clear

Config = Callable[[str], None]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Write the config of the folder that commands run in."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> None:
        Path("pdm-cli.toml").write_text(text)

    return write


BAD_USAGE = {
    "unknown command": (("trian",), "no such command 'trian'", "did you mean pdm train?"),
    "command like no other": (("zzz",), "no such command 'zzz'", "pdm --help"),
    "unknown command of a group": (("jobs", "shwo"), "no such command 'shwo'", "did you mean pdm jobs show?"),
    "unknown command to submit": (("submit", "trian"), "'trian' cannot be submitted", "did you mean train?"),
    "unknown option": (("preprocess", "--dat", "x"), "no such option: --dat", "did you mean --data?"),
    "unknown setting": (
        ("train", "--horizn-hours", "9"),
        "no such option: --horizn-hours",
        "did you mean --horizon-hours?",
    ),
    "option without its value": (
        ("train", "--prepared", "x", "--out"),
        "--out: needs a value",
        "unset shell variable?",
    ),
    "option for a value": (
        ("train", "--prepared", ".", "--out", "--fast"),
        "--out: expected a folder, got",
        "variable",
    ),
    "setting without its value": (
        ("run", "--data", "x", "--out", "y", "--cutoff"),
        "--cutoff: needs a value",
        "unset shell variable?",
    ),
    "version misspelt": (("--verison",), "no such option: --verison", "did you mean pdm --version?"),
    "version in short": (("-V",), "no such option: -V", "did you mean pdm --version?"),
    "help as a command": (("help",), "no such command 'help'", "did you mean pdm --help?"),
    "talking in front": (("-v", "preprocess"), "-v: put options after the command", "pdm COMMAND -v"),
    "option in front": (("--json", "preprocess"), "--json: put options after the command", "pdm COMMAND --json"),
    "option like no other": (("preprocess", "--zzz", "x"), "no such option: --zzz", "pdm preprocess --help"),
    "missing option": (("preprocess", "--data", "x"), "missing option '--out'", "pdm preprocess --help"),
    "wrong number": (
        ("train", "--prepared", "x", "--out", "y", "--trees", "many"),
        "--trees: 'many' is not a whole number",
        "--help",
    ),
    "number out of bounds": (("train", "--prepared", "x", "--out", "y", "--trees", "0"), "--trees:", "--help"),
    "wrong choice": (("preprocess", "--data", "x", "--out", "y", "--on-duplicate", "last"), "'last'", "--help"),
    "wrong time": (
        ("train", "--prepared", "x", "--out", "y", "--cutoff", "2015-13-01"),
        "--cutoff:",
        "such as 2024-01-30",
    ),
    "no such folder": (("preprocess", "--data", "nowhere", "--out", "y"), "--data nowhere: no such folder", "folder"),
    "cloud address": (("preprocess", "--data", "azureml:raw:1", "--out", "y"), "not a local folder", "local"),
}


@pytest.mark.parametrize("name", BAD_USAGE)
def test_wrong_usage_ends_in_one_line_with_exit_2(name: str, pdm: Pdm) -> None:
    words, message, hint = BAD_USAGE[name]
    assert_clear(pdm(*words), 2, message, hint)


@pytest.mark.parametrize("word", ["install", "add", "lock", "update", "init", "build", "sync", "use", "venv"])
def test_words_of_the_package_manager_are_answered(word: str, pdm: Pdm) -> None:
    outcome = pdm(word, "requests")
    assert_clear(
        outcome, 2, "this is pdm-cli (predictive maintenance)", f"python -m pdm {word} for the package manager"
    )


@pytest.mark.parametrize("words", [("run", "test"), ("config", "list")])
def test_commands_of_both_tell_the_package_manager_s_way_where_its_words_are_used(
    words: tuple[str, ...], pdm: Pdm
) -> None:
    outcome = pdm(*words)
    assert outcome.code == 2
    assert f"for the PDM package manager, use python -m pdm {words[0]}" in outcome.stderr


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ('[train]\nthreshold = "recal=0.9"\n', {}, "pdm-cli.toml: [train] threshold: "),
        ('[train]\nalgorithms = ["xgbost"]\n', {}, "pdm-cli.toml: [train] algorithms: "),
        ("", {"PDM_CLI_ALERT_RULE": "foo"}, "environment: PDM_CLI_ALERT_RULE: "),
    ],
)
def test_what_a_config_or_the_environment_says_wrong_is_theirs(
    text: str,
    variables: dict[str, str],
    message: str,
    config: Config,
    work: Path,
    pdm: Pdm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outcome = pdm("train", "--prepared", work / "prepared", "--out", tmp_path / "model")
    assert outcome.code == 3
    assert f"error: {message}" in outcome.stderr


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("[train]\ntest_start = 2015-04-01\n", ("--cutoff", "2015-04-01"), "--test-start 2015-04-01T00:00: less than"),
        ("[train]\ncutoff = 2015-04-01\n", ("--split", "machine"), "--cutoff: has no effect with --split machine"),
    ],
)
def test_where_a_given_option_does_not_go_with_a_config_the_option_is_to_be_mended(
    text: str, words: tuple[str, ...], message: str, config: Config, work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    config(text)
    outcome = pdm("train", "--prepared", work / "prepared", "--out", tmp_path / "model", *words)
    assert outcome.code == 2
    assert f"error: {message}" in outcome.stderr


def test_what_a_config_says_wrong_of_a_job_is_the_config_s_too(config: Config, work: Path, pdm: Pdm) -> None:
    config('[train]\nthreshold = "recal=0.9"\n')
    outcome = pdm("submit", "--dry-run", "train", "--prepared", work / "prepared")
    assert outcome.code == 3
    assert "error: pdm-cli.toml: [train] threshold: " in outcome.stderr


def test_a_gate_of_a_config_is_the_config_s(config: Config, work: Path, fleet: Path, pdm: Pdm) -> None:
    config('[evaluate]\nfail_on = ["foo>1"]\n')
    outcome = pdm("evaluate", "--data", fleet, "--model", work / "model")
    assert outcome.code == 3
    assert "error: pdm-cli.toml: [evaluate] fail_on: " in outcome.stderr


def test_a_folder_of_another_command_in_the_output_folder_is_told_as_such(work: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = pdm("predict", "--data", fleet, "--model", work / "model", "--out", work, "--overwrite")
    assert_clear(outcome, 2, f"{work}: contains anomalies, the output of pdm detect-anomalies", "--out")
    outcome = pdm("demo", "--out", work / "model")
    assert_clear(outcome, 2, "contains the output of pdm train", "--out names the folder above")
    assert not (work / "model" / "data").exists()


def test_output_folder_that_is_not_empty_needs_overwrite(work: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = pdm("preprocess", "--data", fleet, "--out", work / "prepared")
    assert_clear(outcome, 2, "prepared: not empty", "--overwrite")


def test_output_folder_with_files_of_others_is_never_replaced(fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    outcome = pdm("preprocess", "--data", fleet, "--out", tmp_path, "--overwrite")
    assert_clear(outcome, 2, "not empty, contains files not written by pdm", "new or empty folder")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_another_command_wrote_is_not_replaced(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--data", fleet, "--overwrite")
    model = Path(shutil.copytree(work / "model", tmp_path / "model"))
    outcome = pdm("preprocess", *words, "--out", model)
    assert_clear(outcome, 2, "contains the output of pdm train", "choose another folder with --out")
    outcome = pdm("predict", *words, "--model", work / "model", "--out", model)
    assert_clear(outcome, 2, "contains the output of pdm train", "--out")
    assert_clear(pdm("simulate", "--out", model, "--overwrite"), 2, "contains the output of pdm train", "--out")
    Path(shutil.copytree(work / "model", tmp_path / "work/prepared"))
    outcome = pdm("run", *words, "--out", tmp_path / "work")
    assert_clear(outcome, 2, "prepared: contains the output of pdm train", "--out")
    assert content(model) == content(tmp_path / "work/prepared") == content(work / "model")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_run_does_not_write_into_the_raw_tables(raw: Path, pdm: Pdm) -> None:
    before = content(raw)
    assert_clear(pdm("run", "--data", raw, "--out", raw), 2, "same folder as --data", "another folder")
    assert content(raw) == before


def test_output_folder_that_is_the_input_is_refused(work: Path, pdm: Pdm) -> None:
    words = ("detect-anomalies", "--prepared", work / "prepared", "--out", work / "prepared", "--overwrite")
    assert_clear(pdm(*words), 2, "same folder as --prepared", "another folder")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[labels]\nhorizn_hours = 3\n", "[labels] unknown key 'horizn_hours'", "did you mean 'horizon_hours'?"),
        (
            "[train]\nhorizn_hours = 3\n",
            "[train] unknown key 'horizn_hours'",
            "did you mean 'horizon_hours' in section [labels]?",
        ),
        ("[label]\nhorizon_hours = 3\n", "unknown section [label]", "did you mean 'labels'?"),
        ("[labels]\nhorizon_hours = 'x'\n", "[labels] horizon_hours: ", "--horizon-hours"),
        ("[labels\n", "not valid TOML", "sample_config.toml"),
    ],
)
def test_config_errors_end_in_one_line_with_exit_3(
    text: str, message: str, hint: str, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text(text)
    outcome = pdm("run", "--data", fleet, "--out", tmp_path / "out", "--config", tmp_path / "my.toml")
    assert_clear(outcome, 3, message, hint)


def test_wrong_environment_is_a_config_error(
    fleet: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PDM_CLI_HORIZON_HOURS", "soon")
    outcome = pdm("run", "--data", fleet, "--out", tmp_path / "out")
    assert_clear(outcome, 3, "environment: PDM_CLI_HORIZON_HOURS", "--horizon-hours")


@pytest.mark.parametrize("words", [("--data", "", "--out", "w"), ("--data", "raw", "--out", "")])
def test_an_empty_folder_name_is_refused(words: tuple[str, ...], raw: Path, pdm: Pdm) -> None:
    words = tuple(str(raw) if word == "raw" else word for word in words)
    for command in ("run", "preprocess"):
        assert_clear(pdm(command, *words), 2, " is empty", "unset")


def test_demo_never_replaces_tables_of_others(pdm: Pdm, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/telemetry.parquet").write_text("mine")
    outcome = pdm("demo", "--machines", 24, "--days", 150, "--out", tmp_path)
    assert_clear(outcome, 2, "not written by pdm: telemetry.parquet", "new or empty folder")
    assert (tmp_path / "data/telemetry.parquet").read_text() == "mine"


@pytest.mark.ci
@pytest.mark.slow
def test_paths_may_hold_a_colon(raw: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw.rename("raw:1")
    assert pdm("run", "--data", "raw:1", "--out", "em:key:x", "--jobs", 1, *QUICK).code == 0
    words = ("--model", "em:key:x/model", "--out", "at-2015-11-15T18:00")
    assert pdm("predict", "--data", "raw:1", *words).code == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"threshold": "p95"}, {"anomaly_threshold": "p95"}),
        ({"threshold": "f1"}, {"threshold": "f1"}),
        ({"threshold": "p95", "alert_rule": "cost"}, {"anomaly_threshold": "p95", "threshold": "cost"}),
    ],
)
def test_threshold_of_run_means_the_setting_that_has_the_value(given: dict[str, str], expected: dict[str, str]) -> None:
    assert pick_settings(("detect", "train"), given) == expected


@pytest.mark.parametrize(
    ("words", "former", "current"),
    [
        (("train", "--prepared", "x", "--alert-rule", "f1", "--threshold", "f1"), "--alert-rule", "--threshold"),
        (("run", "--data", "x", "--threshold", "p95", "--anomaly-threshold", "p99"), "--threshold", "--anomaly-thresh"),
    ],
)
def test_option_given_by_two_names_is_rejected(words: tuple[str, ...], former: str, current: str, pdm: Pdm) -> None:
    assert_clear(pdm(*words, "--out", "y"), 2, f"{former}: is the former name of {current}", f"drop {former}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("detect-anomalies", "--prepared", "x", "--out", "y", "--threshold", "p95"),
            "--anomaly-threshold: has no effect",
        ),
        (("run", "--data", "x", "--out", "y", "--time-budget", "-1"), "--time-budget-seconds: "),
        (("run", "--data", "x", "--out", "y", "--smooth", "-1"), "--smooth-hours: "),
    ],
)
def test_former_option_name_sets_the_current_setting(words: tuple[str, ...], message: str, pdm: Pdm) -> None:
    assert_clear(pdm(*words), 2, message, "--")
