"""``pdm import`` reports times that cannot be right, and logs of which almost nothing is left."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Outcome, Pdm, assert_clear
from tests.cli.csv_logs import write

HEAD = "datetime,machineID,volt,rpm\n"


def rows_of(values: list[str], *, day: int = 1) -> str:
    return "".join(f"2020-01-{day:02d} {hour:02d}:00,1,{value}\n" for hour, value in enumerate(values))


def run_import(pdm: Pdm, logs: Path, *words: object) -> Outcome:
    return pdm("import", logs, "--out", logs.parent / "raw", *words)


def test_times_before_1990_and_long_after_the_log_are_reported(logs: Path, pdm: Pdm) -> None:
    days = "".join(rows_of(["5,5"] * 24, day=day) for day in range(1, 6))
    content = "1970-01-01 00:10,1,5,5\n" + days + "2106-02-07 06:28,1,1,1\n"
    errors = "datetime,machineID,errorID\n2020-01-02,1,e1\n2106-02-08,1,e2\n"
    outcome = run_import(pdm, write(logs, telemetry=HEAD + content, errors=errors))
    assert outcome.code == 0, outcome.stderr
    assert (
        "warning: telemetry.csv: 2 of 122 rows: time outside 1990-01-01 00:00 to 2020-01-06 23:00, first "
        "1970-01-01 00:10 (machine 1); pdm preprocess sets them aside, unless its --time-range includes them\n"
    ) in outcome.stderr
    assert "warning: errors.csv: 1 of 2 rows: time outside" in outcome.stderr


def test_times_that_can_be_right_are_not_reported(logs: Path, pdm: Pdm) -> None:
    outcome = run_import(pdm, write(logs, telemetry=HEAD + rows_of(["5,5"] * 24)))
    assert outcome.code == 0
    assert "warning" not in outcome.stderr
    outcome = run_import(
        pdm, write(logs, telemetry="datetime,machineID,volt\n1,1,5\n2,1,6\n"), "--cycles", "1h", "--overwrite"
    )
    assert outcome.code == 0, outcome.stderr
    assert "warning" not in outcome.stderr


def test_log_without_a_number_fails_and_names_the_words_for_missing_values(logs: Path, pdm: Pdm) -> None:
    outcome = run_import(pdm, write(logs, telemetry=HEAD + rows_of(["Bad,Bad Input"] * 24)))
    assert_clear(
        outcome, 4, "telemetry.csv: none of 48 values of 2 sensors is a number; the others are missing", "--na-values"
    )
    assert not (logs.parent / "raw").exists()


def test_log_with_almost_no_numbers_says_so_first(logs: Path, pdm: Pdm) -> None:
    outcome = run_import(pdm, write(logs, telemetry=HEAD + rows_of(["5,Bad", *["Bad,Bad"] * 20])))
    assert outcome.code == 0, outcome.stderr
    message = "telemetry.csv: only 1 of 42 values of 2 sensors is a number; the others are missing; check the columns"
    assert outcome.stdout.startswith(f"almost no data: {message}")
    assert f"warning: {message}" in outcome.stderr


def test_pattern_that_fits_almost_no_tag_is_named_first(logs: Path, pdm: Pdm) -> None:
    rows = [f"P{number}-volt;2020-01-01 00:00;{number}" for number in range(20)]
    content = "\n".join(["tag;datetime;value", *rows, "P1.volt;2020-01-02 00:00;3", ""])
    outcome = run_import(pdm, write(logs, telemetry=content), "--long", "tag", "value", "--tags", "{machine}.{sensor}")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.startswith("almost no data: telemetry.csv: 20 of 21 tags are left out, first P0-volt, ")


def test_repeated_rows_are_kept_by_the_import_and_left_to_preprocess(logs: Path, pdm: Pdm) -> None:
    rows = "".join(row * 2 for row in rows_of([f"5,{hour}" for hour in range(24)]).splitlines(keepends=True))
    outcome = run_import(pdm, write(logs, telemetry=HEAD + rows))
    assert outcome.code == 0, outcome.stderr
    assert "24 rows (50%) repeat another row" in outcome.stdout
    assert "pdm preprocess keeps one of each; check how the data are exported" in outcome.stdout
