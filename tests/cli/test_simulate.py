"""``pdm simulate``: the same bytes however they come about, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pdm_cli.io import manifest
from pdm_cli.pipeline import simulate
from pdm_cli.pipeline.simulate import write_fleets
from pdm_cli.simulation.fleet import simulate_machines
from tests.cli.conftest import Pdm

TABLES = ["errors", "failures", "machines", "maint", "telemetry", "truth"]
WORDS = ("simulate", "--machines", 7, "--days", 60, "--seed", 3)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def simulated(pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "raw"
    outcome = pdm(*WORDS, "--out", folder)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-1] == str(folder)
    return folder


def test_the_tables_and_a_manifest_are_written(simulated: Path) -> None:
    assert list(digests(simulated)) == [f"{name}.parquet" for name in TABLES]
    made = manifest.read(simulated)
    assert made is not None
    assert made["parameters"] == {"simulate": {"machines": 7, "days": 60, "seed": 3}}
    assert manifest.is_whole(simulated, made)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(simulated: Path, pdm: Pdm, tmp_path: Path) -> None:
    out = tmp_path / "raw"
    assert pdm(*WORDS, "--out", out).code == 0
    assert digests(out) == digests(simulated)
    assert pdm(*WORDS[:-1], 4, "--out", out, "--overwrite").code == 0
    assert not set(digests(out).values()) & set(digests(simulated).values())


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_cut_into_blocks_changes_no_byte(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "GROUP_ROWS", 3000)
    numbers = range(1, 8)
    blocks = [simulate_machines(numbers[i : i + size], days=60, seed=3) for i in range(0, 7, size)]
    written = [tmp_path / "blocks", tmp_path / "whole"]
    for folder, fleets in zip(written, (blocks, [simulate_machines(numbers, days=60, seed=3)]), strict=True):
        folder.mkdir()
        write_fleets(fleets, folder)
    assert digests(written[0]) == digests(written[1])
    # 1,441 rows a machine: two to a row group.
    groups = pq.ParquetFile(written[0] / "telemetry.parquet")
    assert [groups.metadata.row_group(i).num_rows // 1441 for i in range(groups.num_row_groups)] == [2, 2, 2, 1]


def test_a_machine_is_the_same_in_a_larger_fleet(simulated: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("simulate", "--machines", 90, "--days", 60, "--seed", 3, "--out", tmp_path / "raw", "--json")
    outcome = pdm(*words)
    assert outcome.code == 0
    assert outcome.json["schema"] == "pdm.simulate/1"
    for name in TABLES:
        large = pd.read_parquet(tmp_path / f"raw/{name}.parquet")
        assert outcome.json["rows"][name] == len(large)
        own = large[large["machineID"] <= 7].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, pd.read_parquet(simulated / f"{name}.parquet"), check_exact=True)


def test_preprocess_takes_the_folder_and_leaves_the_answer_key(simulated: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("preprocess", "--data", simulated, "--out", tmp_path / "prepared", "--json")
    assert outcome.code == 0
    assert outcome.json["telemetry"]["sensors"] == ["volt", "rotate", "pressure", "vibration"]
    made = manifest.read(tmp_path / "prepared")
    assert made is not None
    assert "truth.parquet" not in made["inputs"]["data"]


@pytest.mark.parametrize(
    "words",
    [("--machines", 0), ("--machines", -1), ("--days", 0), ("--days", -3), ("--seed", -1), ("--days", "many")],
)
def test_a_bad_number_is_refused_by_name(words: tuple[object, ...], pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("simulate", *words, "--out", tmp_path / "raw")
    assert outcome.code == 2
    assert f"error: {words[0]}: " in outcome.stderr
    assert not (tmp_path / "raw").exists()


def test_what_is_there_is_kept_unless_told_otherwise(simulated: Path, pdm: Pdm) -> None:
    before = digests(simulated)
    outcome = pdm("simulate", "--machines", 1, "--days", 1, "--out", simulated)
    assert outcome.code == 2
    assert "--overwrite" in outcome.stderr
    assert digests(simulated) == before


def test_a_fleet_without_any_event_has_all_its_tables(pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("simulate", "--machines", 1, "--days", 1, "--out", tmp_path / "raw", "--json")
    assert outcome.json["rows"]["failures"] == 0
    assert pd.read_parquet(tmp_path / "raw/failures.parquet").columns.tolist() == ["datetime", "machineID", "failure"]


PROFILE_WORDS = ("simulate", "--machines", 3, "--days", 30, "--seed", 3, "--profile", "mixed")


def test_simulate_profile_same_seed_writes_the_same_bytes_and_records_the_profile(pdm: Pdm, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        outcome = pdm(*PROFILE_WORDS, "--out", folder, "--json")
        assert outcome.code == 0, outcome.stderr
        assert outcome.json["profile"] == "mixed"
    assert digests(first) == digests(second)
    written = manifest.read(first)
    assert written is not None
    assert written["parameters"] == {"simulate": {"machines": 3, "days": 30, "seed": 3, "profile": "mixed"}}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_simulate_profile_size_of_blocks_changes_no_byte(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "GROUP_ROWS", 1000)
    numbers = range(1, 6)
    blocks = [
        simulate_machines(numbers[i : i + size], days=30, seed=3, profile="mixed") for i in range(0, len(numbers), size)
    ]
    written = [tmp_path / "blocks", tmp_path / "whole"]
    whole = [simulate_machines(numbers, days=30, seed=3, profile="mixed")]
    for folder, fleets in zip(written, (blocks, whole), strict=True):
        folder.mkdir()
        write_fleets(fleets, folder)
    assert digests(written[0]) == digests(written[1])


def test_simulate_profile_fleet_can_be_preprocessed(pdm: Pdm, tmp_path: Path) -> None:
    assert pdm(*PROFILE_WORDS, "--out", tmp_path / "raw").code == 0
    outcome = pdm("preprocess", "--data", tmp_path / "raw", "--out", tmp_path / "prepared", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["telemetry"]["sensors"] == ["current", "temperature", "vibration", "pressure", "flow"]


def test_simulate_unknown_profile_is_rejected_with_the_choices(pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("simulate", "--profile", "steps", "--out", tmp_path / "raw")
    assert outcome.code == 2
    assert "error: --profile: " in outcome.stderr
    assert "'step', 'ramp', 'wear', 'spikes', 'mixed', 'silent'" in outcome.stderr
    assert not (tmp_path / "raw").exists()
