"""The recipes of docs/import.md, from files to a trained model, on small exports of the same shapes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Pdm

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs/import.md"
QUICK = ("--fast", "--trees", "30", "--negative-share", "1", "--jobs", "1")
NAMES = ",".join(["unit", "cycle", "os1", "os2", "os3", *(f"s{number}" for number in range(1, 22))])
# The words of the work orders.
COMPONENTS = "word,component\nlager,bearing\nglrd,seal\n"
FAILURES = {"Lager AS defekt, laut": "vibration", "GLRD undicht; Pumpe steht": "pressure"}


def recipe(name: str) -> list[list[str]]:
    """Return the words of the commands of a recipe, without ``pdm``."""
    recipes = DOCS.read_text(encoding="utf-8").split("\n## Recipes\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", recipes, re.DOTALL)
    commands = [command for block in blocks for command in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(command)[1:] for command in commands]
    return [words for words in found if words[1] == name or f"raw-{name}" in words]


def write_engines(folder: Path) -> None:
    """Write engines until they fail as C-MAPSS has them: text with two blanks at the ends of lines, no header."""
    rng = np.random.default_rng(1)
    for name, engines in (("train_FD001.txt", 12), ("test_FD001.txt", 2)):
        with (folder / name).open("w", encoding="ascii") as file:
            for engine in range(1, engines + 1):
                cycles = int(rng.integers(120, 180))
                wear = np.clip((np.arange(cycles) - cycles + 60) / 60, 0, 1) ** 2
                readings = rng.normal(500, 1, (cycles, 21)) + np.outer(wear, [8] * 4 + [0] * 17)
                settings = rng.normal(0, 0.002, (cycles, 3))
                for cycle in range(cycles):
                    values = " ".join(f"{value:.4f}" for value in (*settings[cycle], *readings[cycle]))
                    file.write(f"{engine} {cycle + 1} {values}  \n")


def write_drives(folder: Path) -> None:
    """Write a file per day with a row per drive; drives are missing after the day on which they failed."""
    rng = np.random.default_rng(2)
    drives, days = 30, 90
    ends = {drive: int(rng.integers(30, days)) for drive in range(0, drives, 2)}
    for day in range(days):
        date = (pd.Timestamp("2013-04-10") + pd.Timedelta(days=day)).strftime("%Y-%m-%d")
        lines = ["date,serial_number,model,capacity_bytes,failure,smart_5_raw,smart_194_raw"]
        for drive in range(drives):
            end = ends.get(drive, days)
            if day <= end:
                sectors = max(0, day - end + 10) * 40 + int(rng.integers(0, 5))
                row = f"ST3000,3000592982016,{int(day == end)},{sectors},{int(rng.integers(20, 30))}"
                lines.append(f"{date},W1F0{drive:03},{row}")
        (folder / f"{date}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_plant(folder: Path) -> None:
    """Write the long form of a historian, work orders and equipment in cp1252 with decimal commas."""
    rng = np.random.default_rng(3)
    times = pd.date_range("2023-01-01", periods=120 * 24, freq="h")
    dates = times.strftime("%d.%m.%Y %H:%M:%S")
    log, orders = ["Tag;Timestamp;Value"], ["Auftrag;Auftragsart;Technischer Platz;Kurztext;Stoerungsbeginn"]
    for pump in ("P-101", "P-102", "P-103", "P-104"):
        series = {name: rng.normal(20, 1, len(times)) for name in FAILURES.values()}
        for number, row in enumerate(range(200, len(times), 230)):
            text = list(FAILURES)[number % 2]
            series[FAILURES[text]][row - 72 : row] += np.linspace(0, 8, 72)
            orders.append(f'{len(orders)};M2 breakdown;{pump};"{text}";{dates[row]}')
            orders.append(f"{len(orders)};M1 preventive;{pump};Öl gewechselt;{dates[row + 50 - number]}")
        for name, unit in (("vibration", "mm/s"), ("pressure", "°bar")):
            for row, value in enumerate(series[name]):
                shown = "Bad Input" if row % 500 == 7 else f"{value:.3f}".replace(".", ",")
                log.append(f"{pump}.{name} [{unit}];{dates[row]};{shown}")
    equipment = ["Technischer Platz;Baujahr", *(f"P-{number};{1904 + number}" for number in range(101, 105))]
    for name, lines in (("historian_export", log), ("SAP_Auftraege", orders), ("Equipments", equipment)):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="cp1252")
    (folder.parent / "components.csv").write_text(COMPONENTS, encoding="utf-8")


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
