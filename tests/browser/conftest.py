from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.cli.conftest import Pdm, fleet, pdm, work

__all__ = ["fleet", "pdm", "work"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def find_chromium() -> str:
    found = os.environ.get("PDM_CLI_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("no Chromium: apt-get install chromium, or name one in PDM_CLI_CHROMIUM", pytrace=False)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def reports(work: Path, fleet: Path, pdm: Pdm) -> dict[str, Path]:
    """The reports of a model and of its predictions."""
    out = work / "predictions"
    assert pdm("predict", "--data", fleet, "--model", work / "model", "--out", out).code == 0
    return {"model": work / "model/report.html", "predictions": out / "report.html"}
