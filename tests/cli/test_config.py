"""``pdm config show``: every setting, its value, and where that came from."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from pdm_cli.settings.field import key_of
from pdm_cli.settings.load import ENV_RESERVED, resolve
from pdm_cli.settings.model import SECTIONS
from tests.cli.conftest import Pdm, assert_clear

ROOT = Path(__file__).parents[2]
CONFIG = """
[labels]
horizon_hours = 24
[preprocess]
ranges = {volt = [0, 400]}
phase_minutes = 0.5
[train]
cutoff = 2015-08-01T00:00:00
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AZURE_SUBSCRIPTION_ID", "AZUREML_ARM_SUBSCRIPTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my.toml"
    path.write_text(CONFIG)
    return path


def test_what_is_shown_is_a_config_file_with_the_same_settings(config: Path, pdm: Pdm, tmp_path: Path) -> None:
    for words in ((), ("--origin",)):
        outcome = pdm("config", "show", "--config", config, *words)
        assert outcome.code == 0, outcome.stderr
        (tmp_path / "shown.toml").write_text(outcome.stdout)
        again = resolve({}, config=str(tmp_path / "shown.toml"))
        assert again.settings == resolve({}, config=str(config)).settings
    for section, cls in SECTIONS.items():
        assert f"[{key_of(section)}]" in outcome.stdout
        assert all(f"{key_of(item.name)} =" in outcome.stdout for item in fields(cls))


def test_each_origin_is_named(config: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDM_CLI_TREES", "7")
    monkeypatch.setenv("AZUREML_ARM_SUBSCRIPTION", "abc")
    outcome = pdm("config", "show", "--origin", "--config", config)
    lines = {line.split(" =")[0]: line for line in outcome.stdout.splitlines()}
    assert lines["trees"].endswith("# environment: PDM_CLI_TREES")
    assert lines["subscription_id"].startswith('subscription_id = "abc"')
    assert lines["subscription_id"].endswith("# environment: AZUREML_ARM_SUBSCRIPTION")
    assert lines["horizon_hours"].endswith(f"# {config}")
    assert lines["lead_time_hours"].endswith("# default")


def test_json_holds_values_and_origins(config: Path, pdm: Pdm) -> None:
    found = pdm("config", "show", "--json", "--config", config).json
    assert (found["schema"], found["file"]) == ("pdm.config/1", str(config))
    assert found["settings"]["labels"]["horizon_hours"] == 24
    assert found["settings"]["train"]["cutoff"] == "2015-08-01T00:00:00"
    assert set(found["settings"]) == set(map(key_of, asdict(resolve({}).settings)))
    assert found["origins"]["horizon_hours"] == str(config)
    assert pdm("config", "show", "--json").json["file"] is None


def test_wrong_settings_are_told_with_their_variable(pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDM_CLI_TREES", "none")
    assert_clear(pdm("config", "show"), 3, "environment: PDM_CLI_TREES: ", "--trees in pdm run --help-all")


def test_setting_given_by_two_variables_is_rejected(pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDM_CLI_ALERT_RULE", "f1")
    monkeypatch.setenv("PDM_CLI_THRESHOLD", "cost")
    expected = "PDM_CLI_ALERT_RULE is the former name of PDM_CLI_THRESHOLD"
    assert_clear(pdm("config", "show"), 3, expected, "unset PDM_CLI_ALERT_RULE")


def test_wrong_setting_by_its_former_key_is_named_so(pdm: Pdm, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[train]\nalert_rule = "foo"\n', encoding="utf-8")
    outcome = pdm("config", "show", "--config", file)
    assert_clear(outcome, 3, f"{file}: [train] alert_rule: expected hysteresis, f1, cost or recall=0.95", "--help-all")


def test_json_has_settings_by_their_former_names_too(pdm: Pdm) -> None:
    settings = json.loads(pdm("config", "show", "--json").stdout)["settings"]
    assert settings["detect"]["threshold"] == settings["detect"]["anomaly_threshold"]
    assert settings["train"]["alert_rule"] == settings["train"]["threshold"]


def test_no_variable_that_the_documents_name_is_refused_as_a_setting() -> None:
    documents = [ROOT / "README.md", ROOT / ".ci/run", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*")]
    named = {name for path in documents for name in re.findall(r"PDM_CLI_[A-Z_]+", path.read_text(encoding="utf-8"))}
    settings = {f"PDM_CLI_{key_of(item.name).upper()}" for section in SECTIONS.values() for item in fields(section)}
    assert named
    assert named <= settings | ENV_RESERVED


def test_config_alone_shows_its_help(pdm: Pdm) -> None:
    outcome = pdm("config")
    assert outcome.code == 2
    assert "show" in outcome.stdout


@pytest.mark.parametrize("words", [(), ("--json",), ("--origin",), ("--debug",)])
@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize(
    "value", ['"postgresql://joe:s3cret@db/plant"', '"joe:s3cret@db"', '["postgresql://joe:s3cret@db/plant"]']
)
def test_show_never_prints_a_password_in_the_url_of_a_database(
    config: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch, source: str, value: str, words: tuple[str, ...]
) -> None:
    if source == "file":
        config.write_text(f"[import]\nsql = {value}\n")
    else:
        monkeypatch.setenv("PDM_CLI_SQL", value.strip('"'))
    outcome = pdm("config", "show", "--config", config, *words)
    assert outcome.code == 3
    assert "s3cret" not in outcome.stdout + outcome.stderr
    if "[" not in value and not words:
        origin = "my.toml: [import] sql" if source == "file" else "environment: PDM_CLI_SQL"
        assert_clear(outcome, 3, f"{origin}: the URL contains a password", "PDM_CLI_SQL_PASSWORD")


def test_show_prints_the_url_of_a_database_without_a_password(config: Path, pdm: Pdm) -> None:
    config.write_text('[import]\nsql = "postgresql://joe@db/plant"\n')
    assert 'sql = "postgresql://joe@db/plant"' in pdm("config", "show", "--config", config).stdout
