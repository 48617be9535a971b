"""The recipes of docs/import.md, from files to a trained model, on small exports of the same shapes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.builders.exports import write_drives, write_engines, write_plant
from tests.cli.conftest import Pdm

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs/import.md"
QUICK = ("--fast", "--trees", "30", "--negative-share", "1", "--jobs", "1")
NAMES = ",".join(["unit", "cycle", "os1", "os2", "os3", *(f"s{number}" for number in range(1, 22))])


def recipe(name: str) -> list[list[str]]:
    """Return the words of the commands of a recipe, without ``pdm``."""
    recipes = DOCS.read_text(encoding="utf-8").split("\n## Recipes\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", recipes, re.DOTALL)
    commands = [command for block in blocks for command in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(command)[1:] for command in commands]
    return [words for words in found if words[1] == name or f"raw-{name}" in words]


def run_all(pdm: Pdm, commands: list[list[str]]) -> dict[str, Any]:
    """Run an import and ``pdm run``, and return the metrics."""
    assert [words[0] for words in commands] == ["import", "run"]
    imported, trained = (pdm(*words, *(QUICK if words[0] == "run" else ())) for words in commands)
    assert imported.code == 0, imported.stderr
    assert trained.code == 0, trained.stderr
    out = Path(commands[1][commands[1].index("--out") + 1])
    metrics = json.loads((out / "model/metrics.json").read_text())
    return {**metrics, "screen": trained.stdout + trained.stderr}


@pytest.mark.parametrize(
    ("name", "write", "components"),
    [
        ("cmapss", write_engines, {"engine"}),
        ("backblaze", write_drives, {"failure"}),
        ("plant", write_plant, {"bearing", "seal"}),
    ],
)
def test_recipe_leads_from_files_to_a_model(
    name: str,
    write: Callable[[Path], None],
    components: set[str],
    pdm: Pdm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    write(tmp_path / name)
    metrics = run_all(pdm, recipe(name))
    assert set(metrics["components"]) == components
    assert "prior_only" not in metrics
    assert metrics["macro"]["roc_auc"] > 0.8


@pytest.mark.ci
def test_recipe_of_cycles_as_first_written_prints_cycles(
    pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    write_engines(tmp_path / "logs")
    (tmp_path / "logs/test_FD001.txt").unlink()
    command = (
        f"import logs --out raw --names {NAMES} --columns telemetry.machineID=unit --columns telemetry.datetime=cycle "
        "--cycles 1h --end-is-failure engine"
    )
    metrics = run_all(pdm, [command.split(), ["run", "--data", "raw", "--out", "work"]])
    assert "cycle" in metrics["screen"]
    assert len(pd.read_parquet("raw/failures.parquet")) == 12
