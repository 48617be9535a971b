from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pdm_cli.errors import DataError
from pdm_cli.io.importing import csv_reader
from pdm_cli.io.importing.csv_reader import CsvFile, iterate, line_of, open_file

HEAD = "datetime,machineID,note\n"


def look(tmp_path: Path, content: str | bytes, *, separator: str = "", encoding: str = "") -> CsvFile:
    path = tmp_path / "errors.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    required = ["datetime", "machineID"]
    return open_file(path, path.name, encoding=encoding, separator=separator, required=required)


def read(file: CsvFile) -> list[list[str]]:
    pieces = list(iterate(file, file.columns, lambda _: None))
    return [list(row.values()) for row in pa.concat_tables(pieces).to_pylist()]


def refuse(tmp_path: Path, content: str | bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read(look(tmp_path, content))
    assert caught.value.hint
    return caught.value


def test_two_stray_quotes_do_not_swallow_the_lines_between(tmp_path: Path) -> None:
    lines = [f"2015-01-0{day},1,{note}\n" for day, note in enumerate(["e1", '"leak', "e3", "e4", '"seal', "e6"], 1)]
    found = refuse(tmp_path, HEAD + "".join(lines))
    assert found.message == "errors.csv: line 3: unclosed or misplaced quote"


@pytest.mark.parametrize("block", [64, 1 << 20])
def test_a_line_break_in_quotes_is_part_of_its_value(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_reader, "BLOCK_BYTES", block)
    rows = [[f"2015-01-0{day}", "1", note] for day, note in enumerate(['a\nb "c", d', "e", "f\n\ng", "h"], 1)]
    quoted = [[f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row] for row in rows]
    file = look(tmp_path, HEAD + "".join(",".join(row) + "\n" for row in quoted))
    assert read(file) == rows
    assert [line_of(file, row) for row in range(4)] == [2, 4, 5, 8]


def test_the_line_of_a_stray_quote_counts_lines_within_values(tmp_path: Path) -> None:
    found = refuse(tmp_path, HEAD + '2015-01-01,1,"a\n\nb"\n2015-01-02,1,"c\n2015-01-03,1,d\n')
    assert "errors.csv: line 5: unclosed or misplaced quote" in found.message


def test_a_long_value_does_not_hide_what_is_wrong_behind_it(tmp_path: Path) -> None:
    long = "x" * 200_000
    assert "line 3: 2 values, expected 3" in refuse(tmp_path, f"{HEAD}2015-01-01,1,{long}\n2015-01-02,1\n").message
    assert line_of(look(tmp_path, f"{HEAD}2015-01-01,1,{long}\n2015-01-02,1,a\n"), 1) == 3


def test_one_value_too_many_is_told_of_the_first_line_that_has_it(tmp_path: Path) -> None:
    found = refuse(tmp_path, HEAD + "2015-01-01,1,a,\n2015-01-02,1,b,\n")
    assert found.message == "errors.csv: line 2: 4 values, expected 3: '2015-01-01,1,a,'"


@pytest.mark.parametrize(("line", "separator"), [("sep=;\n", ""), ("SEP=;\r\n", ""), ("sep=,\n", ";")])
def test_the_line_that_tells_excel_the_separator_is_no_header(line: str, separator: str, tmp_path: Path) -> None:
    content = line + "datetime;machineID;note\n2015-01-01;1;a,b\n2015-01-02;1;c\n"
    file = look(tmp_path, content, separator=separator)
    assert file.separator == ";"
    assert read(file) == [["2015-01-01", "1", "a,b"], ["2015-01-02", "1", "c"]]
    assert line_of(file, 1) == 4


def test_a_file_that_only_tells_the_separator_is_empty(tmp_path: Path) -> None:
    assert "empty file" in refuse(tmp_path, "sep=;\n").message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_two_bytes_a_letter_without_a_mark_name_their_encoding(encoding: str, tmp_path: Path) -> None:
    content = (HEAD + "2015-01-01,1,a\n").encode(encoding)
    found = refuse(tmp_path, content)
    assert found.message == "errors.csv: line 1: NUL bytes, not valid utf-8"
    assert f"--encoding {encoding}" in (found.hint or "")
    assert read(look(tmp_path, content, encoding=encoding)) == [["2015-01-01", "1", "a"]]
