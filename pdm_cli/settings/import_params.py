"""Settings of the section ``[import]``: how files of logs, or a database, are read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from pdm_cli.settings.database_url import HAS_PASSWORD, has_password
from pdm_cli.settings.field import Section, setting
from pdm_cli.settings.per_table import read_columns, read_files, read_formats, read_queries, read_words

# Names and states in logs may be numbers.
Word = str | int | float
_COLUMNS_PANEL, _FAILURES_PANEL, _DATABASE_PANEL = "Columns", "Failures", "Databases"


@dataclass(frozen=True)
class ImportParams(Section):
    """How pdm import reads files or a database."""

    files: dict[str, tuple[str, ...]] = setting(
        {},
        "Files of a table that are not named after it, such as telemetry='export/*.csv'. Repeatable.",
        metavar="TABLE=PATTERN",
        reader=read_files,
        table_key="files",
    )
    separator: str = setting(
        "",
        "Column separator, 'tab' or 'space'; default: detected.",
        metavar="CHARACTER",
        may_be_empty=False,
    )
    decimal: Literal[".", ","] = setting(".", "Decimal separator.")
    encoding: str = setting(
        "",
        "Text encoding, such as cp1252; default: from the BOM, or utf-8.",
        metavar="NAME",
        may_be_empty=False,
    )
    date_format: dict[str, str] = setting(
        {},
        "Format of the dates, such as '%d.%m.%y %H:%M', epoch-s or epoch-ms; TABLE=FORMAT for one table. Repeatable. "
        "Default: detected from all rows.",
        metavar="FORMAT",
        reader=read_formats,
        table_key="date_format",
    )
    day_first: bool = setting(False, "Read an ambiguous 3/1/2015 as 3 January.")
    month_first: bool = setting(False, "Read an ambiguous 3/1/2015 as 1 March.")
    cycles: str = setting(
        "",
        "The times are numbers of cycles; one cycle counts as this long, such as 1h.",
        metavar="DURATION",
        may_be_empty=False,
    )
    na_values: tuple[Word, ...] = setting(
        (),
        "Words and numbers for a missing value, comma-separated, such as Defekt,-999, in addition to the words of "
        "common historians, such as Bad Input.",
        metavar="WORDS",
        may_be_empty=False,
    )
    names: tuple[str, ...] = setting(
        (),
        "Columns of files without a header, comma-separated.",
        panel=_COLUMNS_PANEL,
        may_be_empty=False,
    )
    columns: dict[str, dict[str, str]] = setting(
        {},
        "Column of a table: TABLE.FIELD=COLUMN, such as failures.datetime=Start. Repeatable.",
        panel=_COLUMNS_PANEL,
        metavar="TABLE.FIELD=COLUMN",
        reader=read_columns,
        table_key="columns",
    )
    machine: Word = setting(
        "",
        "The only machine, if no column names it.",
        panel=_COLUMNS_PANEL,
        metavar="NAME",
        may_be_empty=False,
    )
    machine_from_file: str = setting(
        "",
        "Pattern of the telemetry's file names, which name the machine, such as '{machine}.csv'.",
        panel=_COLUMNS_PANEL,
        metavar="PATTERN",
        may_be_empty=False,
    )
    long: tuple[str, str] | None = setting(
        None,
        "The telemetry has a row per reading: its columns of tags and of values.",
        panel=_COLUMNS_PANEL,
        metavar="TAG VALUE",
        may_be_empty=False,
    )
    tags: str = setting(
        "",
        "With --long: how tags name machine and sensor, such as '{machine}.{sensor}', or a CSV file with the columns "
        "tag, machine and sensor.",
        panel=_COLUMNS_PANEL,
        metavar="PATTERN",
        may_be_empty=False,
    )
    failure_flag: tuple[str, ...] = setting(
        (),
        "Column of the telemetry that is 1 when the component of its name fails. Repeatable.",
        panel=_FAILURES_PANEL,
        metavar="COLUMN",
        reader=read_words,
        may_be_empty=False,
    )
    status: str = setting(
        "",
        "Column of the telemetry with the machine's state.",
        panel=_FAILURES_PANEL,
        metavar="COLUMN",
        may_be_empty=False,
    )
    failed: tuple[Word, ...] = setting(
        (),
        "With --status: a state that is a failure. Repeatable.",
        panel=_FAILURES_PANEL,
        metavar="VALUE",
        reader=read_words,
        may_be_empty=False,
    )
    failures_where: str = setting(
        "",
        "Rows of the failures table that are failures, such as 'order_type = M2*'.",
        panel=_FAILURES_PANEL,
        metavar="CONDITION",
        may_be_empty=False,
        table_key="failures.where",
    )
    component_words: str = setting(
        "",
        "CSV file with the columns word and component: the component of a failure whose text has the word; the first "
        "word in the file counts.",
        panel=_FAILURES_PANEL,
        metavar="FILE",
        may_be_empty=False,
        table_key="failures.component_words",
    )
    end_is_failure: str = setting(
        "",
        "Each machine's telemetry ends with a failure of this component.",
        panel=_FAILURES_PANEL,
        metavar="NAME",
        may_be_empty=False,
    )
    except_: tuple[Word, ...] = setting(
        (),
        "With --end-is-failure: machines that still run, comma-separated; * for all.",
        panel=_FAILURES_PANEL,
        metavar="MACHINES",
        may_be_empty=False,
    )
    sql: str = setting(
        "",
        "Instead of FOLDER: a database, such as postgresql://user@host/database; the password is in "
        "PDM_CLI_SQL_PASSWORD.",
        panel=_DATABASE_PANEL,
        metavar="URL",
        may_be_empty=False,
        is_private=True,
    )
    query: dict[str, str] = setting(
        {},
        "With --sql: the rows of a table. Repeatable.",
        panel=_DATABASE_PANEL,
        metavar="TABLE=SQL",
        reader=read_queries,
        table_key="query",
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            # Empty strings are left out, as the options are; in lists they are mistakes.
            if isinstance(value, tuple) and any(not str(part).strip() for part in value):
                raise ValueError(f"{item.name}: has an empty value")
        for name in self.names:
            if self.names.count(name) > 1:
                raise ValueError(f"names: {name!r} is given twice; give each column a name of its own")
        if has_password(self.sql):
            raise ValueError(f"sql: {HAS_PASSWORD}")
