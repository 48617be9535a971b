"""``pdm import``: convert CSV logs to raw tables."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pdm_cli.cli.help import DATA_PANEL, OUTPUT_PANEL, flag
from pdm_cli.cli.options import Out, Overwrite, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import DataError, NotEnoughData, SchemaError, UsageError
from pdm_cli.io.folders import list_files
from pdm_cli.schema import FAILURES, MACHINES, RAW_TABLES, TELEMETRY
from pdm_cli.settings.model import Settings
from pdm_cli.text import show_count

if TYPE_CHECKING:
    import pyarrow as pa

    from pdm_cli.io.importing.csv_convert import Facts, Reading
    from pdm_cli.io.importing.csv_inspect import CsvOptions, TableSurvey
    from pdm_cli.io.parquet import TableFiles

SUMMARY = "import.json"
_MEGABYTE = 1_000_000
_TABS = ("tab", "\\t")
_HINT_FORMAT = "for example '%m/%d/%Y %H:%M', epoch-s or epoch-ms"


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=DATA_PANEL, **more)


Source = Annotated[str, typer.Argument(help="Folder of CSV files.", metavar="FOLDER", show_default=False)]
Separator = Annotated[
    str, _option("--separator", "Column separator, or 'tab'.", metavar="CHARACTER", show_default="detected")
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
def import_csv(
    folder: Source,
    *,
    out: Out,
    separator: Separator = "",
    decimal: Decimal = ".",
    encoding: Encoding = "",
    date_format: DateFormat = None,
    day_first: DayFirst = False,
    month_first: MonthFirst = False,
    append: Append = False,
    on_overlap: OnOverlap = "refuse",
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Convert CSV logs to the raw tables that the other commands read.

    Example: pdm import logs --out raw
    """
    from pdm_cli.cli.render.imports import draw_import
    from pdm_cli.io import output_folder

    _check_choice(append, on_overlap, overwrite)
    options = _read_options(separator, decimal, encoding, date_format or [], day_first, month_first)
    source, target = _check_ports(folder, out, append=append, overwrite=overwrite)
    if append and not target.exists():
        screen.warn(f"--append: {target} does not exist yet; it will contain only this import")
    start = time.monotonic()
    surveys = _read_surveys(source, settings, options, screen)
    provenance = _trace_provenance(source, target if append else None, surveys, settings, options, on_overlap)
    with output_folder.output_folder(target, provenance) as partial:
        work = _Import(surveys, options, screen, target if append else None, on_overlap)
        summary = work.run(partial)
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (partial / SUMMARY).write_text(text + "\n", encoding="utf-8")
    screen.info(f"import: wrote {target} in {time.monotonic() - start:.1f} s")
    _warn_of_gaps(target, settings, screen)
    screen.result({**summary, "out": out}, lambda: [*draw_import(summary), out])
    if list_files(target, TELEMETRY) and list_files(target, FAILURES):
        screen.suggest("pdm", "run", "--data", out, "--out", "work")


def _read_options(
    separator: str, decimal: str, encoding: str, formats: Sequence[str], day_first: bool, month_first: bool
) -> CsvOptions:
    """Return the format of the files given by the options, after checking it."""
    from pdm_cli.io.importing.csv_inspect import CsvOptions

    if day_first and month_first:
        hint = "specify the format per table with --date-format TABLE=…"
        raise UsageError("--day-first and --month-first cannot be combined", hint=hint)
    character = "\t" if separator.lower() in _TABS else separator
    _check_characters(character, decimal, encoding)
    order: Literal["day-first", "month-first"] | None = "month-first" if month_first else None
    return CsvOptions(character, encoding, decimal, _formats(formats), "day-first" if day_first else order)


def _check_ports(folder: str, out: str, *, append: bool, overwrite: bool) -> tuple[Path, Path]:
    """Return the folders to read and to write, after checking them."""
    from pdm_cli.io import output_folder
    from pdm_cli.io.folders import check_folder
    from pdm_cli.pipeline.execute import local_folder

    source, target = Path(folder), local_folder("out", out)
    check_folder("FOLDER", source, "the CSV files, such as telemetry.csv")
    if source.resolve() == target.resolve():
        raise UsageError(f"--out {out}: is the folder of the CSV files", hint="choose another folder with --out")
    if append:
        output_folder.check_growable(target)
    else:
        _check_free(target, overwrite=overwrite)
        _check_replaced(source, target)
    return source, target


def _check_replaced(source: Path, target: Path) -> None:
    """Check that --overwrite loses no table that is not imported again."""
    from pdm_cli.io.importing.csv_inspect import find_files

    found, _ = find_files(source)
    lost = [table.name for table in RAW_TABLES if table not in found and list_files(target, table)]
    if lost:
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


def _check_choice(append: bool, on_overlap: str, overwrite: bool) -> None:
    """Reject options that exclude each other."""
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


def _formats(given: Sequence[str]) -> dict[str, str]:
    """Return the formats given with ``--date-format`` by table."""
    import numpy as np

    from pdm_cli.io.importing.dates import EPOCHS, parse_format

    names = [table.name for table in RAW_TABLES]
    formats = {}
    for word in given:
        table, _, form = word.partition("=") if re.match(r"\w+=", word) else ("", "", word)
        if table and table not in names:
            raise UsageError(f"--date-format {word}: no table {table!r}", hint=f"choose one of {', '.join(names)}")
        if table in formats:
            raise UsageError(f"--date-format {word}: given twice", hint="give it once, or once per TABLE=")
        try:
            parse_format(np.array(["-"], dtype=object), form)
        except ValueError as exc:
            raise UsageError(f"--date-format {word}: {exc}", hint=_HINT_FORMAT) from exc
        if form not in EPOCHS and not any(part in form for part in ("%Y", "%y", "%c", "%x", "%s", "%G")):
            raise UsageError(f"--date-format {word}: has no year", hint=_HINT_FORMAT)
        formats[table] = form
    return formats


class _Import:
    """Writes the inspected tables, appended to those in the folder ``old`` if there is one."""

    def __init__(
        self, surveys: Sequence[TableSurvey], options: CsvOptions, screen: Screen, old: Path | None, on_overlap: str
    ) -> None:
        from pdm_cli.io.append import old_types
        from pdm_cli.io.parquet import find_table

        self._surveys, self._options, self._screen, self._on_overlap = surveys, options, screen, on_overlap
        self._folder = old
        found = {table.name: find_table(old, table) for table in RAW_TABLES} if old is not None else {}
        self._old: dict[str, TableFiles] = {name: files for name, files in found.items() if files is not None}
        self._types = {name: old_types(files) for name, files in self._old.items()}

    def run(self, partial: Path) -> dict[str, Any]:
        """Write all tables and return the summary."""
        from pdm_cli.io.importing.csv_convert import convert
        from pdm_cli.io.output_folder import link_files

        readings = self._readings()
        if self._folder is not None:
            replaced = [name for survey in self._surveys for name in (survey.table.file, survey.table.name)]
            link_files(self._folder, partial, [*replaced, SUMMARY])
        summary: dict[str, Any] = {"schema": "pdm.import/1", "tables": {}}
        with _progress(self._screen, "import: writing, MB", self._surveys) as advance:
            for survey, reading in zip(self._surveys, readings, strict=True):
                table, old = survey.table, self._old.get(survey.table.name)
                path = partial / (table.file if old is None else f"new-{table.file}")
                facts = convert(survey, reading, path, advance)
                appended = None if old is None else self._append(survey, old, path, partial / table.file)
                summary["tables"][table.name] = _describe_table(survey, reading, facts, appended)
        return summary

    def _readings(self) -> list[Reading]:
        """Determine the types of each table; errors of the inspection are raised here."""
        from pdm_cli.io.importing.csv_convert import Reading
        from pdm_cli.io.importing.csv_inspect import find_order, find_zone
        from pdm_cli.io.importing.dates import Order

        is_text = self._are_machines_texts()
        readings = []
        for survey in self._surveys:
            if survey.table is TELEMETRY and not survey.rows:
                raise NotEnoughData(f"{survey.name}: no rows", hint="export the log again")
            order: Order | None = None
            if survey.time and not self._options.format_of(survey.table):
                order = find_order(survey, self._surveys)
            has_zone = bool(survey.time) and find_zone(survey)
            if has_zone:
                self._screen.info(f"import: {survey.name}: timestamps have a time zone and are converted to UTC")
            numbers = set(survey.numbers())
            self._warn_of_mixed(survey)
            if (old := self._old.get(survey.table.name)) is not None:
                types = self._types[survey.table.name]
                # An empty log has no zone of its own.
                has_zone = has_zone if survey.rows else bool(_zone_of(types.get(survey.time)))
                numbers = _fit_to_old(survey, old.name, types, numbers, has_zone)
            readings.append(Reading(order, has_zone, frozenset(numbers), is_text))
        self._warn_of_zones(readings)
        return readings

    def _are_machines_texts(self) -> bool:
        import pyarrow as pa

        texts = [survey for survey in self._surveys if survey.machine_text is not None]
        found = {name: types.get(self._surveys[0].machine, pa.null()) for name, types in self._types.items()}
        olds = {self._old[name].name: kind == pa.string() for name, kind in found.items() if kind != pa.null()}
        whole = next((name for name, is_text in olds.items() if not is_text), None)
        if texts and whole is not None and (seen := texts[0].machine_text) is not None:
            raise texts[0].error(
                seen.row,
                texts[0].machine,
                f"{seen.text!r} is not an integer, unlike the machines of {whole} in {self._folder}",
                "use the machine IDs of the existing tables",
            )
        return bool(texts) or any(olds.values())

    def _warn_of_zones(self, readings: list[Reading]) -> None:
        """Warn if some tables, old or new, have a time zone and others do not."""
        # The machines table has no time column.
        time = next((survey.time for survey in self._surveys if survey.time), "")
        found = {self._old[name].name: _zone_of(types.get(time)) for name, types in self._types.items()}
        for survey, reading in zip(self._surveys, readings, strict=True):
            if survey.time and survey.rows:
                found[survey.table.file] = reading.has_zone
        zoned, naive = ([name for name, has_zone in found.items() if has_zone is kind] for kind in (True, False))
        if zoned and naive:
            self._screen.warn(
                f"timestamps of {', '.join(zoned)} have a time zone, those of {', '.join(naive)} have none: "
                "pdm preprocess interprets the latter in its --timezone"
            )

    def _warn_of_mixed(self, survey: TableSurvey) -> None:
        from pdm_cli.io.importing.csv_reader import quote

        if survey.table not in (TELEMETRY, MACHINES):
            return
        hint = ", not as a sensor; leave missing readings empty, or set --decimal" if survey.table is TELEMETRY else ""
        for name, count in survey.mixed().items():
            if (first := count.first_other) is not None:
                self._screen.warn(
                    f"{survey.name}: column {name}: {count.others:,} of {count.others + count.numbers:,} values are "
                    f"not numbers, first {quote(first.text)} ({survey.place(first.row)}): imported as text{hint}"
                )

    def _append(self, survey: TableSurvey, old: TableFiles, new: Path, path: Path) -> dict[str, Any]:
        from pdm_cli.io.append import find_overlap, write_appended
        from pdm_cli.io.parquet import count_rows

        # Events have no values besides the key.
        is_event = survey.table not in (TELEMETRY, MACHINES)
        key = list(survey.columns) if is_event else list(survey.keys.values())
        overlap = find_overlap(old, new, key=key, time=survey.time)
        if overlap.first is not None and overlap.is_other.any() and self._on_overlap == "refuse":
            first = overlap.first
            named = ", ".join(f"{name} {value}" for name, value in first.key.items())
            count = show_count(int(overlap.is_other.sum()), "such row")
            raise survey.error(
                first.row,
                first.column,
                f"{first.new} for {named}, but {first.old} in {old.name}; {count}",
                "keep the new or the old rows with --on-overlap new or old",
            )
        before = sum(count_rows(part) for part in old.parts)
        write_appended(old, new, path, overlap, is_new_kept=self._on_overlap == "new")
        new.unlink()
        same, other = int(overlap.is_same.sum()), int(overlap.is_other.sum())
        added = len(overlap.is_same) - same - other
        return {"before": before, "added": added, "same": same, "differing": other, "kept": self._on_overlap}


def _read_surveys(folder: Path, settings: Settings, options: CsvOptions, screen: Screen) -> list[TableSurvey]:
    """Find and inspect all CSV files."""
    from pdm_cli.io.importing.csv_inspect import TableSurvey, find_files
    from pdm_cli.text import name_some

    found, others = find_files(folder)
    if others:
        screen.warn(f"skipped, not CSV files of a table: {name_some(others)}")
    surveys = [TableSurvey(table, folder, paths, settings.columns, options) for table, paths in found.items()]
    with _progress(screen, "import: inspecting, MB", surveys) as advance:
        for survey in surveys:
            survey.read(advance)
    return surveys


class _Meter:
    """Counts bytes and reports whole megabytes."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance, self._bytes, self._reported = advance, 0, 0

    def __call__(self, count: int) -> None:
        self._bytes += count
        whole = self._bytes // _MEGABYTE
        if whole > self._reported:
            self._advance(whole - self._reported)
            self._reported = whole


@contextmanager
def _progress(screen: Screen, what: str, surveys: Sequence[TableSurvey]) -> Iterator[Callable[[int], None]]:
    total = sum(file.path.stat().st_size for survey in surveys for file in survey.files)
    with screen.track(what, total // _MEGABYTE) as advance:
        yield _Meter(advance)


def _trace_provenance(
    folder: Path,
    old: Path | None,
    surveys: Sequence[TableSurvey],
    settings: Settings,
    options: CsvOptions,
    on_overlap: str,
) -> Any:
    from pdm_cli.io import manifest
    from pdm_cli.pipeline.execute import kept_settings

    inputs = {"folder": manifest.hash_files(folder, [file.path for survey in surveys for file in survey.files])}
    if old is not None:
        tables = [path for table in RAW_TABLES for path in list_files(old, table)]
        inputs["out"] = manifest.hash_files(old, tables)
    parameters = {
        "columns": kept_settings(settings, "columns"),
        "import": {**asdict(options), "append": old is not None, "on_overlap": on_overlap},
    }
    return manifest.Provenance("import", parameters, inputs, manifest.library_versions(), manifest.code_hash())


def _zone_of(kind: pa.DataType | None) -> bool | None:
    """Return whether a timestamp type has a time zone; ``None`` for other types."""
    import pyarrow as pa

    return kind.tz is not None if kind is not None and pa.types.is_timestamp(kind) else None


def _fit_to_old(
    survey: TableSurvey, old: str, types: dict[str, pa.DataType], numbers: set[str], has_zone: bool
) -> set[str]:
    """Return the numeric columns, adapted to those of the existing table ``old``.

    Raises
    ------
    DataError
        If the columns of the two do not match.
    """
    import pyarrow as pa

    for name in sorted(set(types) ^ set(survey.columns)):
        here, there = (survey.name, old) if name in types else (old, survey.name)
        raise SchemaError(f"{here}: no column {name!r}, unlike {there}", hint="--append needs the same columns")
    expected = pa.timestamp("us", tz="UTC" if has_zone else None)
    if survey.time and types[survey.time] not in (expected, pa.null()):
        zone = "a" if has_zone else "no"
        raise DataError(
            f"{survey.name}: column {survey.time}: timestamps have {zone} time zone, unlike those of {old}",
            hint="import all logs again, without --append",
        )
    for name, count in survey.counts.items():
        if types[name] == pa.float64() and count.first_other is not None:
            other = count.first_other
            raise survey.error(
                other.row, name, f"{other.text!r} is not a number, unlike those of {old}", "fix it or leave it empty"
            )
        if types[name] not in (pa.float64(), pa.string(), pa.null()):
            raise SchemaError(f"{old}: column {name} is {types[name]}", hint="--append needs numbers or strings")
    return {name for name in numbers if types[name] != pa.string()}


def _warn_of_gaps(target: Path, settings: Settings, screen: Screen) -> None:
    """Report missing telemetry, and column names that the other commands need."""
    from pdm_cli.settings.load import find_config
    from pdm_cli.settings.model import ColumnsParams

    if not list_files(target, TELEMETRY):
        screen.warn(f"{target}: no telemetry yet, which all other commands need")
    plain = asdict(ColumnsParams())
    named = [
        f'{name} = "{value}"' for name, value in asdict(settings.columns).items() if value not in (plain[name], ())
    ]
    if named and find_config(None, os.environ, Path()) is None:
        screen.info("import: the other commands need the same column names; set them in pdm-cli.toml:")
        screen.info("\n".join(["[columns]", *named]))


def _describe_table(
    survey: TableSurvey, reading: Reading, facts: Facts, appended: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the summary of a table."""
    kinds = dict.fromkeys(survey.columns, "text") | dict.fromkeys(reading.numbers, "number")
    kinds |= {survey.machine: "text" if reading.is_machine_text else "integer"}
    kinds |= {survey.time: "time"} if survey.time else {}
    return {
        "files": [file.name for file in survey.files],
        "rows": facts.rows,
        "machines": len(facts.machines),
        "start": None if facts.start is None else str(facts.start.tz_localize(None)),
        "end": None if facts.end is None else str(facts.end.tz_localize(None)),
        "separators": list(dict.fromkeys(file.separator for file in survey.files)),
        "encodings": list(dict.fromkeys(file.encoding for file in survey.files)),
        "dates": survey.options.format_of(survey.table) or reading.order if survey.time else None,
        "zone": ("to UTC" if reading.has_zone else "none") if survey.time else None,
        "columns": kinds,
        "appended": appended,
    }
