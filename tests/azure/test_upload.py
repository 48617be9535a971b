from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pdm_cli
from pdm_cli.azure.upload import Upload, find_code, stage_code, staged


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_find_code_is_only_the_package() -> None:
    names = find_code().names()
    assert {"pdm_cli/__main__.py", "pdm_cli/report/templates/page.html.j2"} <= set(names)
    assert all(name.startswith("pdm_cli/") and name.endswith((".py", ".j2")) for name in names)


@pytest.mark.slow
def test_stage_code_result_is_runnable(tmp_path: Path) -> None:
    folder = stage_code(tmp_path)
    assert files_below(folder) == set(find_code().names())
    words = [sys.executable, "-P", "-m", "pdm_cli", "--version"]
    found = subprocess.run(words, cwd=folder, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=True)
    assert found.stdout == f"pdm-cli {pdm_cli.__version__}\n"


@pytest.mark.slow
def test_stage_code_changed_copy_is_restored(tmp_path: Path) -> None:
    folder = stage_code(tmp_path)
    before = (folder / "pdm_cli/cli/app.py").stat().st_mtime_ns
    assert stage_code(tmp_path) == folder
    assert (folder / "pdm_cli/cli/app.py").stat().st_mtime_ns == before
    (folder / "pdm_cli/cli/app.py").write_text("raise SystemExit")
    (folder / "pdm_cli/more.py").write_text("")
    assert stage_code(tmp_path) == folder
    assert (folder / "pdm_cli/cli/app.py").read_bytes() == (Path(pdm_cli.__file__).parent / "cli/app.py").read_bytes()
    assert files_below(folder) == set(find_code().names())
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_staged_contains_only_the_selected_files(tmp_path: Path) -> None:
    (tmp_path / "telemetry").mkdir()
    for name in ("telemetry/a.parquet", "secret.env", "errors.parquet"):
        (tmp_path / name).write_text(name)
    upload = Upload(tmp_path, (tmp_path / "errors.parquet", tmp_path / "telemetry/a.parquet"))
    assert upload.size == len("errors.parquet") + len("telemetry/a.parquet")
    with staged({"data": upload}) as folders:
        place = Path(folders["data"])
        assert files_below(place) == {"errors.parquet", "telemetry/a.parquet"}
        assert (place / "telemetry/a.parquet").read_text() == "telemetry/a.parquet"
    assert not place.exists()
    assert (tmp_path / "errors.parquet").exists()
