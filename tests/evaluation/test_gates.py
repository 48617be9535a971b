from __future__ import annotations

from typing import Any

import pytest

from pdm_cli.evaluation.gates import GATE_METRICS, Gate, parse_gate

METRICS: dict[str, Any] = {
    "macro": {"average_precision": 0.9, "roc_auc": 0.99, "f1": None, "brier": 0.01},
    "calibration_error": 0.002,
    "events": {"caught_share": 1.0, "warning_hours": {"median": 45.0}, "false_alarms_per_machine_month": 0.2},
}


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("ap<0.9", Gate("ap", "<", 0.9)),
        (" auc <= .5 ", Gate("auc", "<=", 0.5)),
        ("brier>1e-3", Gate("brier", ">", 0.001)),
        ("false_alarms>=-1", Gate("false_alarms", ">=", -1.0)),
        ("warning_hours < +24", Gate("warning_hours", "<", 24.0)),
    ],
)
def test_a_condition_is_a_metric_a_comparison_and_a_number(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate
    assert parse_gate(str(gate)) == gate


BAD = [
    "",
    "ap",
    "<0.9",
    "ap<",
    "ap 0.9",
    "0.9>ap",
    "ap=0.9",
    "ap==0.9",
    "ap<>0.9",
    "ap<0.9,f1<0.5",
    "ap<0.9 now",
    "a-p<1",
]


@pytest.mark.parametrize("text", BAD)
def test_parse_gate_invalid_form_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a condition such as ap<0\.9|is not a finite number"):
        parse_gate(text)


@pytest.mark.parametrize("number", ["x", "nan", "inf", "-inf", "1e999", "0,9", "0x1", "<1", "=="])
def test_parse_gate_invalid_limit_is_rejected(number: str) -> None:
    with pytest.raises(ValueError, match="is not a finite number"):
        parse_gate(f"ap<{number}")


def test_parse_gate_unknown_metric_lists_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown metric 'AP', known: ap, auc, f1, brier, .*false_alarms"):
        parse_gate("AP<0.9")


@pytest.mark.parametrize(
    ("comparison", "fails"), [("<", [False, False, True]), ("<=", [False, True, True]), (">", [True, False, False])]
)
def test_a_model_fails_where_the_condition_holds(comparison: str, fails: list[bool]) -> None:
    assert [Gate("ap", comparison, limit).fails(METRICS) for limit in (0.89, 0.9, 0.91)] == fails


def test_a_limit_that_is_reached_fails_with_at_least() -> None:
    assert Gate("caught", ">=", 1.0).fails(METRICS)
    assert not Gate("caught", ">", 1.0).fails(METRICS)


@pytest.mark.parametrize("comparison", ["<", "<=", ">", ">="])
def test_gate_undefined_metric_fails(comparison: str) -> None:
    gate = Gate("f1", comparison, 0.5)
    assert gate.read(METRICS) is None
    assert gate.fails(METRICS)


def test_every_metric_is_read_from_its_place() -> None:
    found = {name: Gate(name, "<", 0.0).read(METRICS) for name in GATE_METRICS}
    assert found == {
        "ap": 0.9,
        "auc": 0.99,
        "f1": None,
        "brier": 0.01,
        "calibration_error": 0.002,
        "caught": 1.0,
        "warning_hours": 45.0,
        "false_alarms": 0.2,
    }
