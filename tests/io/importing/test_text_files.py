"""Text files: format from the beginning, lines of rows, and copies that DuckDB can read."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from pdm_cli.errors import DataError
from pdm_cli.io.importing import text_files
from pdm_cli.io.importing.text_files import TextFile, TextFormat, iterate_rows, make_readable, open_text

HEAD = "datetime,machineID,note\n"


def look(tmp_path: Path, content: str | bytes, form: TextFormat = TextFormat(), name: str = "errors.csv") -> TextFile:  # noqa: B008
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_text(path, path.name, form, ["datetime", "machineID"])


def read(file: TextFile) -> list[list[str]]:
    return [row for _, row in iterate_rows(file)]


def lines(file: TextFile) -> list[int]:
    return [line for line, _ in iterate_rows(file)]


def refuse(tmp_path: Path, content: str | bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read(look(tmp_path, content))
    assert caught.value.hint
    return caught.value


def test_two_stray_quotes_do_not_swallow_the_lines_between(tmp_path: Path) -> None:
    lines = [f"2015-01-0{day},1,{note}\n" for day, note in enumerate(["e1", '"leak', "e3", "e4", '"seal', "e6"], 1)]
    found = refuse(tmp_path, HEAD + "".join(lines))
    assert found.message == "errors.csv: line 3: unclosed or misplaced quote"


def test_a_line_break_in_quotes_is_part_of_its_value(tmp_path: Path) -> None:
    rows = [[f"2015-01-0{day}", "1", note] for day, note in enumerate(['a\nb "c", d', "e", "f\n\ng", "h"], 1)]
    quoted = [[f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row] for row in rows]
    file = look(tmp_path, HEAD + "".join(",".join(row) + "\n" for row in quoted))
    assert read(file) == rows
    assert lines(file) == [2, 4, 5, 8]


def test_the_line_of_a_stray_quote_counts_lines_within_values(tmp_path: Path) -> None:
    found = refuse(tmp_path, HEAD + '2015-01-01,1,"a\n\nb"\n2015-01-02,1,"c\n2015-01-03,1,d\n')
    assert "errors.csv: line 5: unclosed or misplaced quote" in found.message


def test_a_long_value_does_not_hide_what_is_wrong_behind_it(tmp_path: Path) -> None:
    long = "x" * 200_000
    assert "line 3: 2 values, expected 3" in refuse(tmp_path, f"{HEAD}2015-01-01,1,{long}\n2015-01-02,1\n").message
    assert lines(look(tmp_path, f"{HEAD}2015-01-01,1,{long}\n2015-01-02,1,a\n")) == [2, 3]


def test_one_value_too_many_is_told_of_the_first_line_that_has_it(tmp_path: Path) -> None:
    found = refuse(tmp_path, HEAD + "2015-01-01,1,a\n2015-01-02,1,b,c\n")
    assert found.message == "errors.csv: line 3: 4 values, expected 3: '2015-01-02,1,b,c'"


@pytest.mark.parametrize(("line", "separator"), [("sep=;\n", ""), ("SEP=;\r\n", ""), ("sep=,\n", ";")])
def test_the_line_that_tells_excel_the_separator_is_no_header(line: str, separator: str, tmp_path: Path) -> None:
    content = line + "datetime;machineID;note\n2015-01-01;1;a,b\n2015-01-02;1;c\n"
    file = look(tmp_path, content, TextFormat(separator=separator))
    assert file.separator == ";"
    assert read(file) == [["2015-01-01", "1", "a,b"], ["2015-01-02", "1", "c"]]
    assert lines(file) == [3, 4]


def test_a_file_that_only_tells_the_separator_is_empty(tmp_path: Path) -> None:
    assert "empty file" in refuse(tmp_path, "sep=;\n").message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_two_bytes_a_letter_without_a_mark_name_their_encoding(encoding: str, tmp_path: Path) -> None:
    content = (HEAD + "2015-01-01,1,a\n").encode(encoding)
    found = refuse(tmp_path, content)
    assert found.message == "errors.csv: line 1: NUL bytes, not valid utf-8"
    assert f"--encoding {encoding}" in (found.hint or "")
    assert read(look(tmp_path, content, TextFormat(encoding=encoding))) == [["2015-01-01", "1", "a"]]


def test_separators_after_the_last_value_hold_nothing(tmp_path: Path) -> None:
    assert read(look(tmp_path, HEAD + "2015-01-01,1,a,,\n")) == [["2015-01-01", "1", "a"]]


def test_columns_separated_by_spaces_are_found_where_there_are_names(tmp_path: Path) -> None:
    form = TextFormat(names=("unit", "cycle", "value"))
    file = look(tmp_path, "1 1   0.5  \n1 2  -0.25 \n", form, "train.txt")
    assert (file.separator, read(file)) == (" ", [["1", "1", "0.5"], ["1", "2", "-0.25"]])
    assert make_readable(file, tmp_path).read_text() == "1\t1\t0.5\n1\t2\t-0.25\n"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_make_readable_writes_other_encodings_as_utf8(encoding: str, tmp_path: Path) -> None:
    content = HEAD + "2015-01-01,1,Öl\r\n"
    (tmp_path / "scratch").mkdir()
    file = look(tmp_path, content.encode(encoding), TextFormat(encoding=encoding))
    assert make_readable(file, tmp_path / "scratch").read_bytes().decode() == content


def test_make_readable_keeps_a_readable_file_and_unpacks_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    content = HEAD + "2015-01-01,1,a\n"
    file = look(tmp_path, content)
    assert make_readable(file, tmp_path / "scratch") == file.path
    packed = look(tmp_path, gzip.compress(content.encode()), name="errors.csv.gz")
    assert make_readable(packed, tmp_path / "scratch").read_text() == content
    monkeypatch.setattr(text_files, "_UNPACKED_BYTES", 0)
    assert make_readable(packed, tmp_path / "scratch") == packed.path


def test_a_zip_of_one_file_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    with zipfile.ZipFile(tmp_path / "errors.zip", "w") as packed:
        packed.writestr("export.csv", HEAD + "2015-01-01,1,a\n")
    file = open_text(tmp_path / "errors.zip", "errors.zip", TextFormat(), ["datetime"])
    assert read(file) == [["2015-01-01", "1", "a"]]
    assert make_readable(file, tmp_path / "scratch").read_text() == HEAD + "2015-01-01,1,a\n"
    with zipfile.ZipFile(tmp_path / "errors.zip", "a") as packed:
        packed.writestr("more.csv", "x")
    with pytest.raises(DataError, match="contains 2 files, expected one"):
        open_text(tmp_path / "errors.zip", "errors.zip", TextFormat(), [])
