"""``pdm import``: CSV logs to raw tables."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pdm_cli.cli.options import Out, Overwrite, with_settings
from pdm_cli.cli.panels import DATA_PANEL, OUTPUT_PANEL
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import DataError, NotEnoughData, SchemaError
from pdm_cli.io.folders import list_files
from pdm_cli.schema import FAILURES, MACHINES, RAW_TABLES, TELEMETRY
from pdm_cli.settings.model import Settings
from pdm_cli.text import show_count

if TYPE_CHECKING:
    import pyarrow as pa

    from pdm_cli.io.importing.csv_convert import Reading
    from pdm_cli.io.importing.csv_inspect import CsvOptions, TableSurvey
    from pdm_cli.io.parquet import TableFiles

SUMMARY = "import.json"
# The bar of progress counts in these.
_MEGABYTE = 1_000_000


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=DATA_PANEL, **more)


Source = Annotated[str, typer.Argument(help="Folder of CSV files.", metavar="FOLDER", show_default=False)]
Separator = Annotated[
    str, _option("--separator", "Sign between values, or 'tab'.", metavar="SIGN", show_default="found")
]
Decimal = Annotated[Literal[".", ","], _option("--decimal", "Sign before the decimals of a number.")]
Encoding = Annotated[
    str, _option("--encoding", "Encoding, such as cp1252.", metavar="NAME", show_default="by the mark, or utf-8")
]
DateFormat = Annotated[
    list[str] | None,
    _option(
        "--date-format",
        "Format of the dates, such as '%d.%m.%y %H:%M', epoch-s or epoch-ms; of one table with TABLE= before it. "
        "May be given again.",
        metavar="FORMAT",
        show_default="found by all rows",
    ),
]
DayFirst = Annotated[bool, _option("--day-first", "Where both fit: 3/1/2015 is the third of January.")]
MonthFirst = Annotated[bool, _option("--month-first", "Where both fit: 3/1/2015 is the first of March.")]
Append = Annotated[
    bool, typer.Option("--append", help="Add to the tables that are there.", rich_help_panel=OUTPUT_PANEL)
]
OnOverlap = Annotated[
    Literal["refuse", "new", "old"],
    typer.Option(
        "--on-overlap",
        help="With --append, a row that is there with other values: refuse, or keep the new or the old one.",
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
    """Turn CSV logs into the raw tables that the other commands read.

    Example: pdm import logs --out raw
    """
    from pdm_cli.cli.import_facts import warn_of_lacks
    from pdm_cli.cli.import_options import check_choice, check_ports, read_options
    from pdm_cli.cli.render.imports import draw_import
    from pdm_cli.io import output_folder

    check_choice(append, on_overlap, overwrite)
    options = read_options(separator, decimal, encoding, date_format or [], day_first, month_first)
    source, target = check_ports(folder, out, append=append, overwrite=overwrite)
    if append and not target.exists():
        screen.warn(f"--append: {target} is not there yet: it will hold only what is imported now")
    start = time.monotonic()
    surveys = _read_surveys(source, settings, options, screen)
    recipe = _make_recipe(source, target if append else None, surveys, settings, options, on_overlap)
    with output_folder.output_folder(target, recipe) as partial:
        work = _Import(surveys, options, screen, target if append else None, on_overlap)
        summary = work.run(partial)
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (partial / SUMMARY).write_text(text + "\n", encoding="utf-8")
    screen.info(f"import: wrote {target} in {time.monotonic() - start:.1f} s")
    warn_of_lacks(target, settings, screen)
    screen.result({**summary, "out": out}, lambda: [*draw_import(summary), out])
    if list_files(target, TELEMETRY) and list_files(target, FAILURES):
        screen.suggest("pdm", "run", "--data", out, "--out", "work")


class _Import:
    """One import: the tables one after the other.

    Parameters
    ----------
    surveys : sequence of TableSurvey
        The tables, read once.
    options : CsvOptions
        How they are written.
    screen : Screen
        For progress, notes and warnings.
    old : Path, optional
        Folder with the tables to add to.
    on_overlap : str
        What to do with rows that are there with other values.
    """

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
        from pdm_cli.cli.import_facts import describe_table
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
                summary["tables"][table.name] = describe_table(survey, reading, facts, appended)
        return summary

    def _readings(self) -> list[Reading]:
        """Decide how each table is read; all errors of the first pass come from here."""
        from pdm_cli.io.importing.csv_convert import Reading
        from pdm_cli.io.importing.csv_inspect import find_order, find_zone
        from pdm_cli.io.importing.dates import Order

        is_text = self._are_machines_texts()
        readings = []
        for survey in self._surveys:
            if survey.table is TELEMETRY and not survey.rows:
                raise NotEnoughData(f"{survey.name}: no rows", hint="is it the whole log?")
            order: Order | None = None
            if survey.time and not self._options.format_of(survey.table):
                order = find_order(survey, self._surveys)
            has_zone = bool(survey.time) and find_zone(survey)
            if has_zone:
                self._screen.info(f"import: {survey.name}: stamps carry a time zone and are converted to UTC")
            numbers = set(survey.numbers())
            self._warn_of_mixed(survey)
            if (old := self._old.get(survey.table.name)) is not None:
                types = self._types[survey.table.name]
                # A log without a row has no zone of its own.
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
            raise texts[0].refuse(
                seen.row,
                texts[0].machine,
                f"{seen.text!r} is no whole number, as the machines of {whole} in {self._folder} are",
                "name the machines as they are named there",
            )
        return bool(texts) or any(olds.values())

    def _warn_of_zones(self, readings: list[Reading]) -> None:
        """Tell of stamps with a time zone in some tables and without one in others, old or new."""
        # Machines have no stamps.
        time = next((survey.time for survey in self._surveys if survey.time), "")
        found = {self._old[name].name: _zone_of(types.get(time)) for name, types in self._types.items()}
        for survey, reading in zip(self._surveys, readings, strict=True):
            if survey.time and survey.rows:
                found[survey.table.file] = reading.has_zone
        carrying, without = ([name for name, has_zone in found.items() if has_zone is kind] for kind in (True, False))
        if carrying and without:
            self._screen.warn(
                f"stamps of {', '.join(carrying)} carry a time zone, those of {', '.join(without)} do not: "
                "pdm preprocess takes these as its --timezone says"
            )

    def _warn_of_mixed(self, survey: TableSurvey) -> None:
        from pdm_cli.io.importing.csv_reader import quote

        if survey.table not in (TELEMETRY, MACHINES):
            return
        no_sensor = "text and is no sensor; leave missing readings empty, --decimal names the decimal sign"
        taken = no_sensor if survey.table is TELEMETRY else "text"
        for name, count in survey.mixed().items():
            if (first := count.first_other) is not None:
                self._screen.warn(
                    f"{survey.name}: column {name}: {count.others:,} of {count.others + count.numbers:,} values are no "
                    f"numbers, first {quote(first.text)} ({survey.place(first.row)}): it is taken as {taken}"
                )

    def _append(self, survey: TableSurvey, old: TableFiles, new: Path, path: Path) -> dict[str, Any]:
        from pdm_cli.io.append import find_overlap, write_appended
        from pdm_cli.io.parquet import count_rows

        # Events have no readings that could differ: the whole row is the key.
        is_event = survey.table not in (TELEMETRY, MACHINES)
        key = list(survey.columns) if is_event else list(survey.keys.values())
        overlap = find_overlap(old, new, key=key, time=survey.time)
        if overlap.first is not None and overlap.is_other.any() and self._on_overlap == "refuse":
            first = overlap.first
            named = ", ".join(f"{name} {value}" for name, value in first.key.items())
            count = show_count(int(overlap.is_other.sum()), "such row")
            raise survey.refuse(
                first.row,
                first.column,
                f"{first.new} for {named}, which {old.name} has with {first.old}; {count}",
                "--on-overlap new or old says which to keep",
            )
        before = sum(count_rows(part) for part in old.parts)
        write_appended(old, new, path, overlap, is_new_kept=self._on_overlap == "new")
        new.unlink()
        same, other = int(overlap.is_same.sum()), int(overlap.is_other.sum())
        added = len(overlap.is_same) - same - other
        return {"before": before, "added": added, "same": same, "differing": other, "kept": self._on_overlap}


def _read_surveys(folder: Path, settings: Settings, options: CsvOptions, screen: Screen) -> list[TableSurvey]:
    """Read all CSV files once, to see what their columns hold."""
    from pdm_cli.io.importing.csv_folder import find_files
    from pdm_cli.io.importing.csv_inspect import TableSurvey
    from pdm_cli.text import name_some

    found, others = find_files(folder)
    if others:
        screen.warn(f"left out, as they are no CSV files of a table: {name_some(others)}")
    surveys = [TableSurvey(table, folder, paths, settings.columns, options) for table, paths in found.items()]
    with _progress(screen, "import: looking, MB", surveys) as advance:
        for survey in surveys:
            survey.read(advance)
    return surveys


class _Meter:
    """Counts bytes and tells whole megabytes."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance, self._bytes, self._told = advance, 0, 0

    def __call__(self, count: int) -> None:
        self._bytes += count
        whole = self._bytes // _MEGABYTE
        if whole > self._told:
            self._advance(whole - self._told)
            self._told = whole


@contextmanager
def _progress(screen: Screen, what: str, surveys: Sequence[TableSurvey]) -> Iterator[Callable[[int], None]]:
    total = sum(file.path.stat().st_size for survey in surveys for file in survey.files)
    with screen.track(what, total // _MEGABYTE) as advance:
        yield _Meter(advance)


def _make_recipe(
    folder: Path,
    old: Path | None,
    surveys: Sequence[TableSurvey],
    settings: Settings,
    options: CsvOptions,
    on_overlap: str,
) -> Any:
    from dataclasses import asdict

    from pdm_cli.io import manifest
    from pdm_cli.pipeline.runner import kept_settings

    inputs = {"folder": manifest.hash_files(folder, [file.path for survey in surveys for file in survey.files])}
    if old is not None:
        tables = [path for table in RAW_TABLES for path in list_files(old, table)]
        inputs["out"] = manifest.hash_files(old, tables)
    parameters = {
        "columns": kept_settings(settings, "columns"),
        "import": {**asdict(options), "append": old is not None, "on_overlap": on_overlap},
    }
    return manifest.Recipe("import", parameters, inputs, manifest.library_versions(), manifest.code_hash())


def _zone_of(kind: pa.DataType | None) -> bool | None:
    """Return whether a type is of stamps with a time zone; None if it is not of stamps."""
    import pyarrow as pa

    return kind.tz is not None if kind is not None and pa.types.is_timestamp(kind) else None


def _fit_to_old(
    survey: TableSurvey, old: str, types: dict[str, pa.DataType], numbers: set[str], has_zone: bool
) -> set[str]:
    """Return the columns of numbers, as the table of the name ``old`` that is added to has them.

    Raises
    ------
    DataError
        If the columns of the two differ.
    """
    import pyarrow as pa

    for name in sorted(set(types) ^ set(survey.columns)):
        here, there = (survey.name, old) if name in types else (old, survey.name)
        raise SchemaError(f"{here}: no column {name!r}, which {there} has", hint="--append needs the same columns")
    wanted = pa.timestamp("us", tz="UTC" if has_zone else None)
    if survey.time and types[survey.time] not in (wanted, pa.null()):
        told = ("carry a time zone", "carry none") if has_zone else ("carry no time zone", "carry one")
        raise DataError(
            f"{survey.name}: column {survey.time}: stamps {told[0]}, while those of {old} {told[1]}",
            hint="import all of them again, without --append",
        )
    for name, count in survey.counts.items():
        if types[name] == pa.float64() and count.first_other is not None:
            other = count.first_other
            raise survey.refuse(
                other.row,
                name,
                f"{other.text!r} is no number, as those of {old} are",
                "mend it, or leave it empty",
            )
        if types[name] not in (pa.float64(), pa.string(), pa.null()):
            raise SchemaError(f"{old}: column {name} is {types[name]}", hint="--append adds numbers and texts")
    return {name for name in numbers if types[name] != pa.string()}
