from __future__ import annotations

from typing import Any

from rich.console import Console

from pdm_cli.report.results import draw_anomalies


def sensor(series: int, judged: int, unjudged: int, anomalies: int, *, skipped: int) -> dict[str, Any]:
    share = anomalies / judged if judged else None
    counts = {"series": series, "judged": judged, "unjudged": unjudged, "anomalies": anomalies, "skipped": skipped}
    return {**counts, "share": share}


def not_judged(machine: Any, name: str, readings: int, reason: str) -> dict[str, Any]:
    return {"machineID": machine, "sensor": name, "readings": readings, "reason": reason}


def lines_of(summary: dict[str, Any]) -> list[str]:
    """The drawing as read, one string a line, with single spaces and without rules."""
    console = Console(width=200)
    with console.capture() as capture:
        for part in draw_anomalies(summary):
            console.print(part)
    return [" ".join(line.split()) for line in capture.get().splitlines() if line.strip(" ─")]


def test_anomalies_are_told_by_sensor_by_machine_and_with_what_was_not_judged() -> None:
    summary = {
        "sensors": {
            "volt": sensor(2, 17_000, 9_283, 170, skipped=1),
            "rotate": sensor(0, 0, 26_283, 0, skipped=3),
        },
        "machines": [{"machineID": 7, "anomalies": 1_200}, {"machineID": 2, "anomalies": 50}],
        "skipped": [
            not_judged(3, "volt", 8_761, "a gap of 73 h splits the series"),
            not_judged(1, "rotate", 8_761, "the series is constant"),
            not_judged(2, "rotate", 8_761, "the series is constant"),
            not_judged(3, "rotate", 8_761, "the series holds no reading"),
        ],
    }
    assert lines_of(summary) == [
        "sensor series judged not judged anomalies share series skipped",
        "volt 2 17,000 9,283 170 1.00% 1",
        "rotate 0 0 26,283 0 - 3",
        "most anomalies: machines 7 (1,200), 2 (50)",
        "not judged: volt of machine 3 (8,761 readings): a gap of 73 h splits the series",
        "not judged: rotate of machine 1 and 1 more (17,522 readings): the series is constant",
        "not judged: rotate of machine 3 (8,761 readings): the series holds no reading",
    ]


def test_nothing_found_and_everything_judged_is_the_table_alone() -> None:
    summary = {"sensors": {"volt": sensor(1, 100, 0, 0, skipped=0)}, "machines": [], "skipped": []}
    assert lines_of(summary)[1:] == ["volt 1 100 0 0 0.00% 0"]
