from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdm_cli.pipeline.model_test import read_test

EVENTS = {"failures": 4, "caught": 3, "caught_by_chance": 2.5, "chance_p_value": 0.4}


def write(folder: Path, content: Any) -> Path:
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_read_test_of_a_model_has_the_components_that_can_alert(tmp_path: Path) -> None:
    row = {"prior_only": False, "no_signs": False, "events": {**EVENTS, "false_alarms": 7}}
    components = {"belt": row, "rare": {**row, "prior_only": True}, "random": {**row, "no_signs": True}}
    assert read_test(write(tmp_path, {"components": components})) == {"belt": EVENTS}


@pytest.mark.parametrize(
    "content", [None, [], {"components": {"belt": {"prior_only": False, "no_signs": False, "events": {"failures": 4}}}}]
)
def test_read_test_of_other_metrics_is_empty(content: Any, tmp_path: Path) -> None:
    assert read_test(tmp_path) == {}
    assert read_test(write(tmp_path, content)) == {}
