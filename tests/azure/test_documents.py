"""Every command of the documents is run, in order, by the shell, against the emulator where it is about Azure."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pdm_cli.cli.job_command import parse_call
from pdm_cli.pipeline.simulate import write_fleet
from pdm_cli.settings.load import resolve
from pdm_cli.simulation.fleet import simulate_fleet
from tests.azure.emulator import Emulator
from tests.azure.processes import run
from tests.builders.databases import write_sqlite
from tests.builders.exports import write_drives, write_engines, write_plant

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Run by .ci/run to the letter.
SET_UP = "python3 -m venv .venv && "
# A gate that is not met is no fault of the document.
DONE = (0, 10)


def blocks_of(document: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(document.read_text()) if kind == language]


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet with the time and the machines that the documents speak of: as Parquet tables, and as CSV files."""
    folder = tmp_path_factory.mktemp("year")
    write_fleet(simulate_fleet(machines=28, days=365, seed=3), folder / "raw")
    (folder / "logs").mkdir()
    for path in (folder / "raw").glob("*.parquet"):
        table = pd.read_parquet(path)
        # No document names one of those between.
        table = table[~table["machineID"].between(13, 26)]
        table.to_parquet(path, index=False)
        table.to_csv(folder / "logs" / f"{path.stem}.csv", index=False)
    return folder


@pytest.fixture
def place(year: Path, tmp_path: Path) -> Path:
    """A folder with the data that the documents name, and ``pdm`` on the path."""
    folder = tmp_path / "place"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/pdm").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pdm_cli "$@"\n')
    (folder / "bin/pdm").chmod(0o755)
    for name in ("raw", "new", "later"):
        (folder / name).symlink_to(year / "raw")
    (folder / "logs").symlink_to(year / "logs")
    for name, write in (("cmapss", write_engines), ("backblaze", write_drives), ("plant", write_plant)):
        (folder / name).mkdir()
        write(folder / name)
    write_sqlite(folder / "plant.db")
    return folder


@pytest.mark.ci
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_works(document: Path, place: Path, azure_env: dict[str, str], emulator: Emulator) -> None:
    path = f"{place / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    # Small models, soon made: what is tested is that the words are right.
    quick = {"PDM_CLI_TRIALS": "1", "PDM_CLI_TREES": "20", "PDM_CLI_POLL_SECONDS": "0.5"}
    printed = ""
    for kind, block in BLOCK.findall(document.read_text()):
        if kind == "text":
            assert_head_is_printed(block, printed)
        if kind != "sh" or block.startswith(SET_UP):
            continue
        if "pdm import" in block and (place / "raw").is_symlink():
            (place / "raw").unlink()
        words = ["bash", "-euo", "pipefail", "-c", block]
        environment = azure_env | quick | {"PATH": path}
        done = run(words, environment, place)
        assert done.code in DONE, f"{block}\n{done.stderr}"
        printed = done.stdout + done.stderr
    assert not emulator.refused_hosts


def assert_head_is_printed(block: str, printed: str) -> None:
    """The numbers are those of other data, the head of a table is the same."""
    lines = block.splitlines()
    if len(lines) > 1 and set(lines[1].strip()) == {"─"}:
        assert " ".join(lines[0].split()) in " ".join(printed.split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_config_is_read(document: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks_of(document, "toml")):
        tomllib.loads(block)
        config = tmp_path / f"{number}.toml"
        config.write_text(block)
        resolve({}, config=str(config), environ={})


@pytest.mark.ci
def test_the_script_of_the_examples_trains_and_fetches(place: Path, azure_env: dict[str, str], tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = azure_env | {"PATH": path, "PDM_CLI_TRIALS": "1", "PDM_CLI_TREES": "20"}
    words = [str(ROOT / "examples/train-on-azure.sh"), "raw", str(tmp_path / "fetched")]
    done = run(words, environment, place)
    assert done.code == 0, done.stderr
    assert (tmp_path / "fetched/model/bundle.json").is_file()
    assert "done: the model is in" in done.stdout


@pytest.mark.parametrize("name", ["github-actions.yml", "azure-pipelines.yml"])
def test_the_workflows_call_commands_that_there_are(name: str) -> None:
    import typer.main
    import yaml

    from pdm_cli.cli.app import app

    text = (ROOT / "examples" / name).read_text()
    yaml.safe_load(text)
    # What the CI system fills in.
    text = re.sub(r"\$\(Build[^)]*\)|\$\{\{[^}]*\}\}", "x", text)
    root = typer.main.get_command(app)
    calls = re.findall(r"-m pdm_cli ((?:\\\n|[^\n|)])+)", text)
    assert calls
    for call in calls:
        words = [word for word in shlex.split(call.replace("\\\n", " ")) if word != "||"]
        words = words[: next((place for place, word in enumerate(words) if "=$?" in word), len(words))]
        if words[0] == "submit":
            command = next(place for place, word in enumerate(words) if word == "run")
            parse_call(words[command:], config=None)
        parse(root, words)


def parse(command: Any, words: list[str]) -> None:
    """Let a command, or the sub-command that is named first, read its options."""
    if hasattr(command, "commands"):
        parse(command.load(words[0]) if hasattr(command, "load") else command.commands[words[0]], words[1:])
    else:
        extra = {"allow_interspersed_args": False} if command.name == "submit" else {}
        command.make_context(command.name, words, **extra)
