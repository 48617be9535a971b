"""Telemetry in one pass: the same tables, warnings and errors as after a survey of all rows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pdm_cli.errors import PdmError
from pdm_cli.io.importing import draft as drafts
from pdm_cli.io.importing import survey as surveys
from pdm_cli.io.importing import text_files
from pdm_cli.io.importing.engine import Engine
from pdm_cli.io.importing.long_form import sample_tags
from pdm_cli.io.importing.options import ImportOptions, LongForm
from pdm_cli.io.importing.sources import open_source
from pdm_cli.io.importing.text_files import TextFormat
from pdm_cli.pipeline.import_logs import import_logs
from pdm_cli.progress import Silent
from pdm_cli.settings.model import ColumnsParams, Settings

HEAD = "datetime,machineID,volt,mode\n"


class Notes(Silent):
    """Keeps the warnings of an import."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def convert(logs: Path, out: Path, options: ImportOptions, chosen: Settings) -> tuple[Any, ...]:
    """Return the bytes of all files and the warnings, or the error."""
    notes = Notes()
    try:
        import_logs(logs, out, options, settings=chosen, progress=notes)
    except PdmError as error:
        return (str(error), error.hint)
    return ({path.name: path.read_bytes() for path in out.iterdir() if path.name != "manifest.json"}, notes.warnings)


def has_draft(
    text: str, options: ImportOptions | None = None, errors: str = "", settings: Settings | None = None
) -> bool:
    """Return whether there is a draft, after comparing the import with the one without."""
    options, chosen, write_draft = options or ImportOptions(), settings or Settings(), drafts.write_draft
    found: list[Any] = []

    def note_draft(survey: Any, engine: Any) -> Any:
        found.append(write_draft(survey, engine))
        return found[-1]

    with TemporaryDirectory() as name, patch.object(surveys, "_SAMPLE_ROWS", 2):
        folder = Path(name)
        (folder / "logs").mkdir()
        (folder / "logs/telemetry.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
        if errors:
            (folder / "logs/errors.csv").write_text(errors, encoding="utf-8")
        with patch.object(drafts, "write_draft", lambda survey, _: survey.prepare()):
            expected = convert(folder / "logs", folder / "full", options, chosen)
        with patch.object(drafts, "write_draft", note_draft):
            assert convert(folder / "logs", folder / "quick", options, chosen) == expected
    return any(draft is not None for draft in found)


def mostly(usual: str, *others: str) -> st.SearchStrategy[str]:
    return st.one_of(*[st.just(usual)] * 6, st.sampled_from(others))


TIMES = (
    *("2015-01-13 8:00:00", "2015-01-13", " 2015-01-13 08:00:00", "2015-01-13\t08:00:00", "2015-01-13 08:00:0 ", ""),
    *(
        "2015-02-29 08:00:00",
        "0000-01-13 08:00:00",
        "0000-12-31 23:30:00-02:00",
        "2106-01-13 08:00:00",
        "1/13/2015",
        "2015-01-13T08:00:00Z",
        '"2015-01-13 08:00:00\n"',
    ),
)
MACHINES = ("2", "", " 2 ", "02", "M-7", "\u00a02", '"1\n2"', "1.5")
NUMBERS = ("", " 3 ", "1_000", "nan", "NaN", "inf", "I/O Timeout", "\u22125", "1e3", "-999", "oops", "4 x", '"1"')
MODES = ("", "manual", "n/a", "7", "inf", "2nd", " auto\u00a0")
TIME = mostly("2015-01-13 07:00:00", *TIMES)
WIDE = st.builds("{},{},{},{}\n".format, TIME, mostly("1", *MACHINES), mostly("1.5", *NUMBERS), mostly("auto", *MODES))
TAGS = ("1.temp", "2.volt", "", " 1.volt", "other", "1.mode", "2.mode", "x.volt")
READINGS = st.builds("{},{},{}\n".format, TIME, mostly("1.volt", *TAGS), mostly("1.5", *NUMBERS, "auto"))


@pytest.mark.ci
@hypothesis_settings(max_examples=50, deadline=None)
@given(st.lists(WIDE, min_size=1, max_size=5))
def test_draft_of_wide_rows_equals_the_survey(rows: list[str]) -> None:
    has_draft(HEAD + "".join(rows), ImportOptions(sentinels=(-999.0,)))


@pytest.mark.ci
@hypothesis_settings(max_examples=50, deadline=None)
@given(st.lists(READINGS, min_size=1, max_size=5))
def test_draft_of_long_rows_equals_the_survey(rows: list[str]) -> None:
    long = LongForm("tag", "value", pattern="{machine}.{sensor}")
    has_draft("datetime,tag,value\n" + "".join(rows), ImportOptions(long=long))


def numbered(*tags: str) -> str:
    """Return long rows, 500 of each tag, one tag after the other."""
    times = [f"2015-01-{1 + row // 24:02} {row % 24:02}:00:00" for row in range(500)]
    return "datetime,tag,value\n" + "".join(f"{time},{tag},{row}\n" for tag in tags for row, time in enumerate(times))


@pytest.mark.parametrize(
    ("text", "is_drafted"),
    [
        (numbered("1.volt", "1.temp", "2.volt", "2.temp"), True),
        (numbered("1.volt", "other", " 2.volt"), True),
        (numbered("1.volt", "2.volt") + "2015-02-01 00:00:00,3.volt,1\n" + numbered("1.temp")[19:], True),
        (numbered("1.volt", "2.volt") + "2015-02-01 00:00:00,other,1\n" + numbered("1.temp")[19:], True),
        (numbered("1.volt", "2.volt") + "2015-02-01 00:00:00,2.volt,oops\n" + numbered("1.temp")[19:], False),
        (numbered("1.volt", "2.volt") + "2015-02-01 00:00:00,2.volt\n" + numbered("1.temp")[19:], False),
        (numbered("1.volt", "2.volt") + "2015-02-01 00:00:00,,1\n" + numbered("1.temp")[19:], False),
        (numbered("1.volt", '"2.volt"'), True),
        (numbered("1.volt").replace("\n", "\r\n"), True),
    ],
)
def test_draft_with_sampled_tags_equals_the_survey(text: str, is_drafted: bool) -> None:
    options = ImportOptions(long=LongForm("tag", "value", pattern="{machine}.{sensor}"))
    with patch.multiple(text_files, _PLACES=10, _PLACE_BYTES=200, _LEAST_SAMPLED_BYTES=0):
        assert has_draft(text, options) == is_drafted
    with patch.object(text_files, "_LEAST_SAMPLED_BYTES", len(text) + 1):
        assert has_draft(text, options) == is_drafted


@pytest.mark.parametrize("rare", ["3.volt", "3.volt [mV]"])
def test_draft_with_sampled_tags_and_chosen_sensors_equals_the_survey(rare: str) -> None:
    text = numbered("1.volt [V]", "1.temp") + f"2015-02-01 00:00:00,{rare},777\n" + numbered("2.volt [V]")[19:]
    options = ImportOptions(long=LongForm("tag", "value", pattern="{machine}.{sensor}"))
    chosen = Settings(columns=ColumnsParams(sensors=("volt [V]", "temp")))
    with patch.multiple(text_files, _PLACES=10, _PLACE_BYTES=200, _LEAST_SAMPLED_BYTES=0):
        assert not has_draft(text, options, settings=chosen)


def test_sample_tags_of_a_column_in_the_name_of_a_folder_returns_none(tmp_path: Path) -> None:
    (tmp_path / "tag=1.volt").mkdir()
    path = tmp_path / "tag=1.volt/telemetry.csv"
    path.write_text("datetime,value\n" + "2015-01-01,1\n" * 500)
    with Engine() as engine, patch.multiple(text_files, _PLACES=10, _PLACE_BYTES=200, _LEAST_SAMPLED_BYTES=0):
        file = open_source(path, tmp_path, TextFormat(), engine, ())
        assert {"tag", "value"} <= file.columns.keys()
        assert sample_tags([file], LongForm("tag", "value")) == []


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("text", ["1_000", "1.5", "1,5", "1.", ",5", "+1", "1e-3", "1,000.5"])
def test_draft_of_numbers_equals_the_survey(decimal: str, text: str) -> None:
    rows = f"2015-01-13;1;1\n2015-01-14;1;1\n2015-01-15;1;{text}\n"
    form = TextFormat(separator=";")
    assert has_draft("datetime;machineID;volt\n" + rows, ImportOptions(text=form, decimal=decimal)) in (True, False)


@pytest.mark.parametrize(
    ("rows", "is_drafted"),
    [
        (["13/1/2015 9:00 AM", "14/1/2015 9:00 AM", "14/10/2015 10:00 PM"], True),
        (["1/1/2015 9:00", "1/2/2015 9:00", "1/13/2015 10:00"], True),
        (["1/1/2015 9:00", "1/2/2015 9:00", "13/1/2015 10:00", "1/14/2015 10:00"], False),
        (["1/1/2015 9:00", "1/2/2015 9:00"], False),
        (["13.01.2015", "13.01.2015", "14.01.2015 00:00"], False),
        (["13.01.2015", "13.01.2015", "31.02.2015"], False),
        (["13.01.2015", "13.01.2015", "yesterday"], False),
        (["2015-01-13", "2015/01/13"], True),
        (["2015-01-13", "13.01.2015"], False),
        (["1420070400", "1420070401", "1420070402"], True),
        (["1420070400", "1420070401", "5"], False),
        (["2015-01-13T07:00:00.123456789+02:00", "2015-01-13T07:00:00.000000001-01:30"], True),
    ],
)
def test_draft_needs_times_of_one_format(rows: list[str], is_drafted: bool) -> None:
    text = "datetime,machineID,volt\n" + "".join(f"{time},1,5\n" for time in rows)
    assert has_draft(text) == is_drafted


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%d.%m.%y"])
def test_draft_with_a_given_format_equals_the_survey(form: str) -> None:
    text = "datetime,machineID,volt\n" + "13.01.2015,1,5\n" * 3
    assert has_draft(text, ImportOptions(formats={"": form})) == (form == "%d.%m.%Y")
    assert not has_draft(text + '"13.01.2015\n",1,5\n', ImportOptions(formats={"": form}))


def test_draft_of_cycles_equals_the_survey() -> None:
    rows = "".join(f"{cycle},{unit},{cycle / 2}\n" for unit in (1, 2) for cycle in range(1, 5))
    assert has_draft("datetime,machineID,volt\n" + rows, ImportOptions(cycle_seconds=3600.0))
    assert not has_draft("datetime,machineID,volt\n" + rows + "x,1,2\n", ImportOptions(cycle_seconds=3600.0))


@pytest.mark.parametrize(
    ("row", "is_drafted"),
    [
        ("2015-01-13 08:00:00,2,1,manual", True),
        ("2015-01-13 08:00:00,2,oops,auto", False),
        ("2015-01-13 08:00:00,2,1,7", False),
        ("2015-01-13 08:00:00,M-2,1,auto", False),
        ("2015-01-13 08:00:00,,1,auto", False),
        ("2015-01-13 08:00:00,2,1", False),
        ('2015-01-13 08:00:00,2,"1,auto', False),
    ],
)
def test_draft_is_dropped_if_a_later_row_does_not_fit(row: str, is_drafted: bool) -> None:
    usual = "2015-01-13 07:00:00,1,5,auto\n"
    assert has_draft(f"{HEAD}{usual}{usual}{row}\n{usual}") == is_drafted


def test_draft_of_a_file_with_a_wrong_byte_equals_the_survey() -> None:
    rows = "1/1/2015,1,5\n" * 3 + "1/2/2015,\udce9,5\n"
    assert not has_draft("datetime,machineID,volt\n" + rows)


def test_draft_is_dropped_if_another_table_has_machines_of_another_type() -> None:
    rows = "2015-01-13,1,5\n"
    assert has_draft("datetime,machineID,volt\n" + rows, errors="datetime,machineID,errorID\n2015-01-13,M-1,e\n")
