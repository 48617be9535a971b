"""``pdm import``: convert logs to raw tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pdm_cli.cli.help import DATA_PANEL, OUTPUT_PANEL, flag
from pdm_cli.cli.options import Overwrite, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import UsageError
from pdm_cli.io.folders import list_files
from pdm_cli.schema import FAILURES, TELEMETRY
from pdm_cli.settings.model import Settings
from pdm_cli.text import split_list

if TYPE_CHECKING:
    from pdm_cli.io.importing.databases import Database
    from pdm_cli.io.importing.options import FailureSource, ImportOptions, LongForm

_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}
_COLUMNS_PANEL, _FAILURES_PANEL, _DATABASE_PANEL = "Columns", "Failures", "Databases"


def _option(name: str, text: str, panel: str = DATA_PANEL, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, **more)


Source = Annotated[str, typer.Argument(help="Folder of the logs.", metavar="FOLDER", show_default=False)]
Sql = Annotated[
    str,
    _option(
        "--sql",
        "Instead of FOLDER: a database, such as postgresql://user@host/database; the password is in "
        "PDM_CLI_SQL_PASSWORD.",
        _DATABASE_PANEL,
        metavar="URL",
    ),
]
Query = Annotated[
    list[str] | None,
    _option("--query", "With --sql: the rows of a table. Repeatable.", _DATABASE_PANEL, metavar="TABLE=SQL"),
]
Since = Annotated[
    Literal["last"] | None,
    _option(
        "--since",
        "With --append: :since in queries is the newest time in the existing table.",
        _DATABASE_PANEL,
        metavar="last",
        show_default=False,
    ),
]
Files = Annotated[
    list[str] | None,
    _option(
        "--files",
        "Files of a table that are not named after it, such as telemetry='export/*.csv'. Repeatable.",
        metavar="TABLE=PATTERN",
    ),
]
Separator = Annotated[
    str, _option("--separator", "Column separator, 'tab' or 'space'.", metavar="CHARACTER", show_default="detected")
]
Decimal = Annotated[Literal[".", ","], _option("--decimal", "Decimal separator.")]
Encoding = Annotated[
    str, _option("--encoding", "Text encoding, such as cp1252.", metavar="NAME", show_default="from the BOM, or utf-8")
]
DateFormat = Annotated[
    list[str] | None,
    _option(
        "--date-format",
        "Format of the dates, such as '%d.%m.%y %H:%M', epoch-s or epoch-ms; TABLE=FORMAT for one table. Repeatable.",
        metavar="FORMAT",
        show_default="detected from all rows",
    ),
]
DayFirst = Annotated[bool, flag("--day-first", text="Read an ambiguous 3/1/2015 as 3 January.", panel=DATA_PANEL)]
MonthFirst = Annotated[bool, flag("--month-first", text="Read an ambiguous 3/1/2015 as 1 March.", panel=DATA_PANEL)]
Cycles = Annotated[
    str,
    _option(
        "--cycles", "The times are numbers of cycles; one cycle counts as this long, such as 1h.", metavar="DURATION"
    ),
]
MissingWords = Annotated[
    list[str] | None,
    _option(
        "--na-values",
        "Words and numbers for a missing value, comma-separated, such as Bad,-999; default: the words of common "
        "historians, such as Bad Input.",
        metavar="WORDS",
    ),
]
Names = Annotated[
    str,
    _option("--names", "Columns of files without a header, comma-separated.", _COLUMNS_PANEL, metavar="NAMES"),
]
Columns = Annotated[
    list[str] | None,
    _option(
        "--columns",
        "Column of a table: TABLE.FIELD=COLUMN, such as failures.datetime=Start. Repeatable.",
        _COLUMNS_PANEL,
        metavar="TABLE.FIELD=COLUMN",
    ),
]
Machine = Annotated[
    str, _option("--machine", "The only machine, if no column names it.", _COLUMNS_PANEL, metavar="NAME")
]
MachineFromFile = Annotated[
    str,
    _option(
        "--machine-from-file",
        "Pattern of the telemetry's file names, which name the machine, such as '{machine}.csv'.",
        _COLUMNS_PANEL,
        metavar="PATTERN",
    ),
]
Long = Annotated[
    tuple[str, str] | None,
    _option(
        "--long",
        "The telemetry has a row per reading: its columns of tags and of values.",
        _COLUMNS_PANEL,
        metavar="TAG VALUE",
    ),
]
Tags = Annotated[
    str,
    _option(
        "--tags",
        "With --long: how tags name machine and sensor, such as '{machine}.{sensor}', or a CSV file with the columns "
        "tag, machine and sensor.",
        _COLUMNS_PANEL,
        metavar="PATTERN",
    ),
]
FailureFlag = Annotated[
    list[str] | None,
    _option(
        "--failure-flag",
        "Column of the telemetry that is 1 when the component of its name fails. Repeatable.",
        _FAILURES_PANEL,
        metavar="COLUMN",
    ),
]
Status = Annotated[
    str,
    _option("--status", "Column of the telemetry with the machine's state.", _FAILURES_PANEL, metavar="COLUMN"),
]
Failed = Annotated[
    list[str] | None,
    _option("--failed", "With --status: a state that is a failure. Repeatable.", _FAILURES_PANEL, metavar="VALUE"),
]
FailuresWhere = Annotated[
    str,
    _option(
        "--failures-where",
        "Rows of the failures table that are failures, such as 'order_type = M2*'.",
        _FAILURES_PANEL,
        metavar="CONDITION",
    ),
]
ComponentWords = Annotated[
    str,
    _option(
        "--component-words",
        "CSV file with the columns word and component: the component of a failure whose text has the word.",
        _FAILURES_PANEL,
        metavar="FILE",
    ),
]
EndIsFailure = Annotated[
    str,
    _option(
        "--end-is-failure",
        "Each machine's telemetry ends with a failure of this component.",
        _FAILURES_PANEL,
        metavar="NAME",
    ),
]
Except = Annotated[
    list[str] | None,
    _option(
        "--except",
        "With --end-is-failure: machines that still run, comma-separated.",
        _FAILURES_PANEL,
        metavar="MACHINES",
    ),
]
Guide = Annotated[
    bool, flag("--guide", text="Print the command that seems to fit the files, and what remains to decide.")
]
# Not needed with --guide.
OptionalOut = Annotated[
    str,
    typer.Option("--out", help="Output folder.", metavar="FOLDER", rich_help_panel=OUTPUT_PANEL, show_default=False),
]
Append = Annotated[bool, flag("--append", text="Append to the existing tables.")]
OnOverlap = Annotated[
    Literal["refuse", "new", "old"],
    typer.Option(
        "--on-overlap",
        help="With --append, for existing rows with other values: refuse, or keep the new or the old row.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


@with_settings("columns")
def import_logs(
    folder: Source = "",
    *,
    out: OptionalOut = "",
    files: Files = None,
    separator: Separator = "",
    decimal: Decimal = ".",
    encoding: Encoding = "",
    date_format: DateFormat = None,
    day_first: DayFirst = False,
    month_first: MonthFirst = False,
    cycles: Cycles = "",
    na_values: MissingWords = None,
    names: Names = "",
    columns: Columns = None,
    machine: Machine = "",
    machine_from_file: MachineFromFile = "",
    long: Long = None,
    tags: Tags = "",
    failure_flag: FailureFlag = None,
    status: Status = "",
    failed: Failed = None,
    failures_where: FailuresWhere = "",
    component_words: ComponentWords = "",
    end_is_failure: EndIsFailure = "",
    except_: Except = None,
    guide: Guide = False,
    sql: Sql = "",
    query: Query = None,
    since: Since = None,
    append: Append = False,
    on_overlap: OnOverlap = "refuse",
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Convert logs to the raw tables that the other commands read.

    Example: pdm import logs --out raw
    """
    from pdm_cli.io.importing import options as parse

    _check_source(folder, sql, guide=guide)
    _check_machine(machine, machine_from_file)
    missing, sentinels = parse.parse_missing(None if na_values is None else _split(na_values))
    options = parse.ImportOptions(
        text=_text_format(separator, decimal, encoding, names),
        decimal=decimal,
        formats=parse.parse_formats(date_format or []),
        order=_order(day_first, month_first),
        missing=missing,
        sentinels=sentinels,
        files=parse.parse_files(files or []),
        columns=parse.parse_columns(columns or []),
        machine=machine,
        machine_pattern=machine_from_file,
        long=_long_form(long, tags),
        failures=_failure_source(
            failure_flag or [], (status, failed or []), failures_where, component_words, (end_is_failure, except_ or [])
        ),
        cycle_seconds=parse.parse_cycle(cycles) if cycles else 0.0,
    )
    if guide:
        _print_guide(folder, out or "raw", options, screen)
        return
    if not out:
        raise UsageError("missing option '--out'", hint="see pdm import --help")
    _check_choice(options, append, on_overlap, overwrite)
    database = _database(sql, query or [], since, append=append)
    if database is not None:
        _check_query_options(database, options)
    source, target = _check_ports(database or Path(folder), out, options, append=append, overwrite=overwrite)
    if append and not target.exists():
        screen.warn(f"--append: {target} does not exist yet; it will contain only this import")
    _import(source, out, options, settings, screen, on_overlap if append else None)


def _import(
    source: Path | Database,
    out: str,
    options: ImportOptions,
    settings: Settings,
    screen: Screen,
    on_overlap: Literal["refuse", "new", "old"] | None,
) -> None:
    """Import, and show the result."""
    from pdm_cli.cli.render.imports import draw_import
    from pdm_cli.pipeline.import_logs import import_logs as run

    target = Path(out)
    summary = run(source, target, options, settings=settings, progress=screen, on_overlap=on_overlap)
    _warn_of_gaps(target, settings, screen)
    screen.result({**summary, "out": out}, lambda: [*draw_import(summary), out])
    if list_files(target, TELEMETRY) and list_files(target, FAILURES):
        screen.suggest("pdm", "run", "--data", out, "--out", "work")


def _check_source(folder: str, sql: str, *, guide: bool) -> None:
    """Check that one source of logs is given."""
    if bool(folder) == bool(sql):
        problem = "FOLDER and --sql cannot be combined" if sql else "missing argument 'FOLDER', or --sql"
        raise UsageError(problem, hint="pdm import FOLDER, or pdm import --sql URL --query TABLE=SQL")
    if guide and sql:
        raise UsageError("--guide: has no effect with --sql", hint="drop --guide")


def _check_machine(name: str, pattern: str) -> None:
    """Check the options that give the machine."""
    from pdm_cli.io.importing.options import compile_pattern

    if name and pattern:
        raise UsageError("--machine and --machine-from-file cannot be combined", hint="drop --machine")
    if pattern:
        compile_pattern("--machine-from-file", pattern, ["machine"])


def _print_guide(folder: str, out: str, options: ImportOptions, screen: Screen) -> None:
    """Print the command that seems to fit, and the open questions; a script gets exit code 2, because it is a guess."""
    import shlex

    from pdm_cli.io.folders import check_folder
    from pdm_cli.io.importing.engine import Engine
    from pdm_cli.io.importing.guide import guess_options, words_of
    from pdm_cli.io.importing.options import ImportOptions

    if options != ImportOptions():
        raise UsageError("--guide: cannot be combined with options of the import", hint="drop all others except --out")
    check_folder("FOLDER", Path(folder), "the logs, such as telemetry.csv")
    with Engine() as engine:
        guess = guess_options(Path(folder), engine)
    words = ["pdm", "import", folder, "--out", out, *words_of(guess)]
    payload = {"schema": "pdm.import-guide/1", "command": words, "questions": guess.questions}
    screen.result(payload, lambda: [shlex.join(words)])
    for question in () if screen.as_json else guess.questions:
        screen.line(f"question: {question}")
    if not sys.stdout.isatty():
        raise typer.Exit(UsageError.exit_code)


def _database(sql: str, queries: Sequence[str], since: str | None, *, append: bool) -> Database | None:
    """Return the database given by the options, after checking it; None for a folder."""
    from pdm_cli.io.importing.databases import Database, check_database, parse_queries

    if not sql:
        if queries or since:
            name = "--query" if queries else "--since"
            raise UsageError(f"{name}: has no effect without --sql", hint="add --sql URL")
        return None
    if not queries:
        raise UsageError("--sql: no --query", hint="add --query telemetry='select …'")
    if since and not append:
        raise UsageError("--since: has no effect without --append", hint="add --append")
    database = Database(sql, parse_queries(queries), bool(since))
    check_database(database)
    return database


def _check_query_options(database: Database, options: ImportOptions) -> None:
    """Reject options that queries do not have."""
    given = {
        "--files": options.files,
        "--separator": options.text.separator,
        "--encoding": options.text.encoding,
        "--names": options.text.names,
        "--machine-from-file": options.machine_pattern,
    }
    for name, value in given.items():
        if value:
            raise UsageError(f"{name}: has no effect with --sql", hint=f"drop {name}")
    if database.is_incremental and options.cycle_seconds:
        raise UsageError("--since and --cycles cannot be combined", hint="drop --since: existing rows are dropped")


def _text_format(separator: str, decimal: str, encoding: str, names: str) -> Any:
    """Return the format of text files given by the options, after checking it."""
    from pdm_cli.io.importing.options import split_names
    from pdm_cli.io.importing.text_files import TextFormat

    character = _SEPARATORS.get(separator.lower(), separator)
    _check_characters(character, decimal, encoding)
    return TextFormat(encoding, character, split_names("--names", names))


def _order(day_first: bool, month_first: bool) -> Literal["day-first", "month-first"] | None:
    if day_first and month_first:
        hint = "specify the format per table with --date-format TABLE=…"
        raise UsageError("--day-first and --month-first cannot be combined", hint=hint)
    return "day-first" if day_first else "month-first" if month_first else None


def _long_form(columns: tuple[str, str] | None, tags: str) -> LongForm | None:
    """Return how the telemetry has a row per reading; None if it has a column per sensor."""
    from pdm_cli.io.importing.long_form import read_mapping
    from pdm_cli.io.importing.options import LongForm, compile_pattern

    if columns is not None and columns[0] == columns[1]:
        raise UsageError(f"--long {' '.join(columns)}: tags and values are in one column", hint="--long TAG VALUE")
    if columns is None:
        if tags:
            raise UsageError("--tags: has no effect without --long", hint="add --long TAG VALUE")
        return None
    if tags and "{" not in tags:
        return LongForm(*columns, mapping=read_mapping(Path(tags)))
    if tags:
        compile_pattern("--tags", tags, ["sensor"])
    return LongForm(*columns, pattern=tags)


def _failure_source(
    flags: Sequence[str], status: tuple[str, Sequence[str]], where: str, words: str, end: tuple[str, Sequence[str]]
) -> FailureSource:
    """Return where the failures are, after checking it."""
    from pdm_cli.io.importing.options import FailureSource, parse_condition, read_words

    (column, failed), (component, running) = status, end
    if bool(column) != bool(failed):
        missing = "--failed VALUE" if column else "--status COLUMN"
        raise UsageError(f"{'--status' if column else '--failed'}: has no effect alone", hint=f"add {missing}")
    options = {"--failure-flag": flags, "--status": column, "--end-is-failure": component}
    given = [option for option, value in options.items() if value]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} cannot be combined", hint=f"drop {given[1]}")
    if running and not component:
        raise UsageError("--except: has no effect without --end-is-failure", hint="add --end-is-failure NAME")
    return FailureSource(
        flags=tuple(flags),
        status=column,
        failed=tuple(failed),
        where=parse_condition(where) if where else None,
        words=read_words(Path(words)) if words else (),
        end=component,
        running=frozenset(_split(running)),
    )


def _split(values: Sequence[str]) -> list[str]:
    return [part for value in values for part in split_list(value)]


def _check_ports(
    source: Path | Database, out: str, options: ImportOptions, *, append: bool, overwrite: bool
) -> tuple[Path | Database, Path]:
    """Return the folders to read and to write, after checking them."""
    from pdm_cli.io import output_folder
    from pdm_cli.io.folders import check_folder
    from pdm_cli.pipeline.execute import local_folder

    target = local_folder("out", out)
    if isinstance(source, Path):
        check_folder("FOLDER", source, "the logs, such as telemetry.csv")
        if source.resolve() == target.resolve():
            raise UsageError(f"--out {out}: is the folder of the logs", hint="choose another folder with --out")
    if append:
        output_folder.check_growable(target)
    else:
        _check_free(target, overwrite=overwrite)
        _check_replaced(source, target, options)
    return source, target


def _check_replaced(source: Path | Database, target: Path, options: ImportOptions) -> None:
    """Check that --overwrite loses no table that is not imported again."""
    from pdm_cli.pipeline.import_logs import list_lost

    if lost := list_lost(source, target, options):
        raise UsageError(
            f"{target}: contains {', '.join(lost)}, not found in {source}: --overwrite would delete them",
            hint="append with --append, or choose a new folder with --out",
        )


def _check_free(target: Path, *, overwrite: bool) -> None:
    from pdm_cli.io import manifest, output_folder

    try:
        output_folder.check_free(target, overwrite=overwrite, by="import")
    except UsageError as exc:
        made = manifest.read(target)
        if made and made["command"] == "import" and not overwrite:
            exc.hint = "append to the tables with --append, or replace them with --overwrite"
        raise


def _check_choice(options: ImportOptions, append: bool, on_overlap: str, overwrite: bool) -> None:
    """Reject options that exclude each other."""
    if append and options.failures.is_derived:
        hint = "import all logs again with --overwrite, or give failures in a table of their own"
        raise UsageError("--append: failures in the telemetry cannot be added to existing ones", hint=hint)
    if append and overwrite:
        raise UsageError("--append and --overwrite cannot be combined", hint="--append keeps the existing rows")
    if on_overlap != "refuse" and not append:
        raise UsageError("--on-overlap: has no effect without --append", hint="add --append")


def _check_characters(separator: str, decimal: str, encoding: str) -> None:
    if len(separator) > 1 or (separator and (separator in '"\r\n' or ord(separator) > 127)):
        raise UsageError(f"--separator {separator!r}: not a single character", hint="for example ';' or tab")
    if separator == decimal:
        raise UsageError(
            f"--separator {separator}: is also the decimal separator",
            hint="choose another with --separator or --decimal",
        )
    try:
        "datetime".encode(encoding or "utf-8")
    except (LookupError, UnicodeError) as exc:
        hint = "for example utf-8, utf-16, cp1252 or latin-1"
        raise UsageError(f"--encoding {encoding}: unknown encoding", hint=hint) from exc


def _warn_of_gaps(target: Path, settings: Settings, screen: Screen) -> None:
    """Report missing telemetry, and column names that the other commands need."""
    from pdm_cli.settings.load import find_config
    from pdm_cli.settings.model import ColumnsParams

    if not list_files(target, TELEMETRY):
        screen.warn(f"{target}: no telemetry yet, which all other commands need")
    plain = asdict(ColumnsParams())
    # Strings and lists in JSON are the same in TOML.
    named = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in asdict(settings.columns).items()
        if value not in (plain[name], ())
    ]
    if named and find_config(None, os.environ, Path()) is None:
        screen.info("import: the other commands need the same column names; set them in pdm-cli.toml:")
        screen.info("\n".join(["[columns]", *named]))
