from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from pdm_cli.cli.app import COMMANDS as LISTED
from pdm_cli.cli.app import ErrorMappingGroup
from pdm_cli.settings.field import key_of, option_name
from pdm_cli.settings.load import resolve
from pdm_cli.settings.model import SECTIONS, Settings
from tests.cli.conftest import Pdm

ROOT = Path(__file__).parents[2]
LOADED: dict[str, Any] = {name: ErrorMappingGroup(name="pdm").load(name) for name in LISTED}
COMMANDS = [name for name, command in LOADED.items() if not hasattr(command, "commands")]
IN_GROUPS = [f"{name} {one}" for name in LISTED if name not in COMMANDS for one in LOADED[name].commands]
HEAVY = (
    "pandas",
    "numpy",
    "pyarrow",
    "scipy",
    "sklearn",
    "statsmodels",
    "xgboost",
    "matplotlib",
    "jinja2",
    "pydantic",
    "pydantic_settings",
    "azure",
)


def test_help_lists_every_command(pdm: Pdm) -> None:
    outcome = pdm("--help")
    assert outcome.code == 0
    assert all(f"│ {command} " in outcome.stdout for command in LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_a_command_is_listed_with_what_its_own_help_says_of_it(name: str) -> None:
    assert LISTED[name].line == (LOADED[name].short_help or LOADED[name].help)


def test_help_of_jobs_lists_each_of_its_commands(pdm: Pdm) -> None:
    outcome = pdm("jobs", "--help")
    assert outcome.code == 0
    assert all(command.split()[1] in outcome.stdout for command in IN_GROUPS if command.startswith("jobs"))
    alone = pdm("jobs")
    assert (alone.code, alone.stdout) == (2, outcome.stdout)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", [*COMMANDS, *IN_GROUPS])
def test_each_help_begins_with_an_example_and_groups_its_options(
    command: str, flag: str, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = pdm(*command.split(), flag)
    assert outcome.code == 0
    lines = [line.strip() for line in outcome.stdout.splitlines() if line.strip()]
    assert lines[0].startswith(f"Usage: pdm {command} ")
    assert lines[1].startswith("Example: ")
    assert f"pdm {command}" in lines[1]
    panels = {line.strip("╭─╮ ") for line in lines if line.startswith("╭")}
    assert "Output" in panels
    assert panels <= {"Arguments", "Data", "Columns", "Failures", "Databases", "Anomalies", "Model", "Azure", "Output"}


@pytest.mark.parametrize("command", [*COMMANDS, *IN_GROUPS])
def test_help_texts_lose_no_brackets(command: str) -> None:
    name, *inner = command.split()
    found = LOADED[name].commands[inner[0]] if inner else LOADED[name]
    for text in filter(None, (found.help, found.short_help, *(getattr(one, "help", None) for one in found.params))):
        written = re.sub(r"\[/?dim\]", "", text).replace("\\[", "[")
        assert Text.from_markup(text).plain == written


def test_help_shows_sections_and_quoted_choices(pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = pdm("import", "--help").stdout
    assert "to the section [import] of the config file" in shown
    assert "['.', ','; default: '.']" in shown


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", [*COMMANDS, *IN_GROUPS])
def test_lines_of_help_are_filled(command: str, columns: int, pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    prose, *options = pdm(*command.split(), "--help").stdout.split("╭", maxsplit=1)
    for line, following in pairwise(line.strip() for line in prose.splitlines()):
        # A line ends where the first word of the next has no room any more; the example stays whole.
        assert not (line and following) or len(f"{line} {following.split()[0]}") > columns - 2
    # Nothing is cut off, and flags have no type.
    assert "…" not in options[0]
    assert "<bool>" not in options[0]


def test_every_setting_is_an_option_of_run_or_of_what_comes_after() -> None:
    for name, section in SECTIONS.items():
        own = {"azure": "submit", "import_": "import", "alerts": "predict"}
        command = LOADED[name if name in ("predict", "evaluate") else own.get(name, "run")]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {option_name(item.name) for item in fields(section)} <= options


@pytest.mark.parametrize(
    ("option", "remark"),
    [
        ("--max-anoms", "[>=0 <=0.49; default: 0.1]"),
        ("--alpha", "[>0 <1; default: 0.005]"),
        ("--jobs", "[>=0 <=1024; default: 0]"),
        ("--l2", "[>=0 <=1e+09; default: 3]"),
        # Bounds of optional numbers, and of each number of a list.
        ("--window-days", "[>0 <=366]"),
        ("--windows-hours", "[>0 <=8784; default: 3,12,24]"),
        ("--timezone", "[default: UTC]"),
        ("--split", "[auto, time, machine, both; default: auto]"),
    ],
)
def test_help_all_shows_bounds_choices_and_defaults(
    option: str, remark: str, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = pdm("run", "--help-all").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if f" {option} " in line)
    # The help of an option may go on in the next lines.
    assert remark in " ".join(" ".join(lines[start : start + 3]).replace("│", " ").split())


@pytest.mark.parametrize("command", ["train", "run"])
def test_help_fits_80_lines_and_names_the_advanced_options_that_help_all_shows(
    command: str, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, full = pdm(command, "--help").stdout, pdm(command, "--help-all").stdout
    assert len(short.splitlines()) <= 80
    advanced = [item.name for section in SECTIONS.values() for item in fields(section) if item.metadata["advanced"]]
    advanced = [name for name in advanced if f" {option_name(name)} " in full]
    assert f"{len(advanced)} advanced options: pdm {command} --help-all" in short
    assert not [name for name in advanced if f" {option_name(name)} " in short]
    assert "Advanced" in full


@pytest.mark.parametrize("command", ["", "demo", "report", "config", "config show", "jobs", "completion"])
def test_help_all_of_a_command_without_advanced_options_equals_help(command: str, pdm: Pdm) -> None:
    short, full = pdm(*command.split(), "--help"), pdm(*command.split(), "--help-all")
    assert (full.code, full.stdout, full.stderr) == (0, short.stdout, "")
    assert "--help-all" not in short.stdout


def test_help_of_fail_on_names_its_values(pdm: Pdm) -> None:
    assert "--fail-on               CONDITIONS" in pdm("evaluate", "--help").stdout


@pytest.mark.slow
def test_former_names_of_options_are_shown_nowhere(pdm: Pdm) -> None:
    shown = "".join(pdm(command, "--help-all").stdout for command in ("run", "detect-anomalies", "train"))
    assert not re.search(r"--(smooth|time-budget|alert-rule) ", shown)
    assert pdm("detect-anomalies", "--help-all").stdout.count("--threshold") == 0


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "pdm_cli", "--help"]
    log = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in log.splitlines() if "|" in line}
    assert "typer" in imported
    assert not imported & set(HEAVY)


def test_version_is_told(pdm: Pdm) -> None:
    outcome = pdm("--version")
    assert outcome.code == 0
    assert outcome.stdout.startswith("pdm-cli ")


def comment_above(key: str, text: str) -> str:
    """Return the comment that ends in the line above a key, joined to one line."""
    lines = text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{key} = "))
    comment = takewhile(lambda line: re.match(r"# (?![a-z0-9_]+ = )", line), reversed(lines[:place]))
    return " ".join(line.removeprefix("# ") for line in reversed(list(comment)))


def test_sample_config_documents_every_setting_with_its_default() -> None:
    text = (ROOT / "sample_config.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    assert set(content) == set(map(key_of, SECTIONS))
    for section, cls in SECTIONS.items():
        for item in fields(cls):
            assert comment_above(key_of(item.name), text).startswith(item.metadata["help"])
            default = item.default_factory() if item.default_factory is not MISSING else item.default
            if default is None:
                assert f"# {item.name} = " in text
                continue
            given = content[key_of(section)][key_of(item.name)]
            assert (tuple(given) if isinstance(given, list) else given) == default
        assert set(content[key_of(section)]) <= {key_of(item.name) for item in fields(cls)}


def test_sample_config_is_read_as_the_defaults() -> None:
    assert resolve({}, config=str(ROOT / "sample_config.toml"), environ={}).settings == Settings()


def test_ci_calls_the_commands_of_the_readme_to_the_letter() -> None:
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert "pdm demo" in lines[0]
    assert "pytest" in lines[1]
    assert "grep '^python3 -m venv .venv && ' README.md" in (ROOT / ".ci/run").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "generated"),
    [("write_commands.py", "docs/commands.md"), ("write_sample_config.py", "sample_config.toml")],
)
def test_generated_file_is_up_to_date(script: str, generated: str, tmp_path: Path) -> None:
    written = tmp_path / "written"
    subprocess.run([sys.executable, str(ROOT / "docs" / script), str(written)], check=True)
    assert written.read_bytes() == (ROOT / generated).read_bytes(), f"python docs/{script}"
