"""Import logs: files of many formats become the raw tables that the other stages read."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pdm_cli.errors import DataError, NotEnoughData, UsageError
from pdm_cli.io.folders import list_files
from pdm_cli.io.importing.existing_tables import check_same_columns, find_types, fit_to_old, zone_of
from pdm_cli.io.importing.summaries import describe_derived, describe_table
from pdm_cli.pipeline.stages import IMPORT_FILE, SHORTAGE
from pdm_cli.progress import Progress, Recorder
from pdm_cli.report.page import REPORT_FILE
from pdm_cli.schema import ERRORS, FAILURES, MACHINES, RAW_TABLES, TELEMETRY
from pdm_cli.settings.model import Settings
from pdm_cli.text import name_some, show_count
from pdm_cli.units import DATES, Units, current, show_time, using

if TYPE_CHECKING:
    from pdm_cli.io.importing.continued import Earlier
    from pdm_cli.io.importing.convert import Facts, Reading
    from pdm_cli.io.importing.databases import Database
    from pdm_cli.io.importing.engine import Engine
    from pdm_cli.io.importing.failures import Telemetry
    from pdm_cli.io.importing.options import ImportOptions
    from pdm_cli.io.importing.sources import Found
    from pdm_cli.io.importing.survey import TableSurvey
    from pdm_cli.io.parquet import TableFiles
    from pdm_cli.preparation.problems import Problem

Overlap = Literal["refuse", "new", "old"]


def import_logs(
    source: Path | Database,
    target: Path,
    options: ImportOptions,
    *,
    settings: Settings,
    progress: Progress,
    on_overlap: Overlap | None = None,
) -> dict[str, Any]:
    """Convert the files in a folder, or the rows of queries, to raw tables, and return the summary.

    Parameters
    ----------
    source : Path or Database
        Folder of the files, or the queries.
    target : Path
        Output folder; what it contains is replaced, or kept and added to.
    options : ImportOptions
        The files as the user describes them.
    settings : Settings
        Names of the columns.
    progress : Progress
        Receives progress lines and warnings.
    on_overlap : str, optional
        Append to the tables in ``target``; for rows that exist with other values, refuse, or keep the new or old row.

    Raises
    ------
    DataError, SchemaError
        Naming file, line, column and value.
    """
    from pdm_cli.io import output_folder
    from pdm_cli.io.importing.engine import Engine
    from pdm_cli.io.importing.sources import find_files
    from pdm_cli.pipeline.execute import write_report
    from pdm_cli.pipeline.query_logs import query_logs

    start, progress = time.monotonic(), Recorder(progress)
    with Engine() as engine, _Background() as background:
        old = target if on_overlap is not None else None
        if isinstance(source, Path):
            folder, found = source, find_files(source, options.files, options.option_files)
        else:
            folder = engine.scratch / "queries"
            found = query_logs(source, folder, old, settings.columns.datetime_column, progress)
        # It loads pandas, and the report jinja2.
        quality = background.submit(import_module, "pdm_cli.pipeline.quality")
        background.submit(import_module, "jinja2")
        inputs = background.submit(_hash_inputs, source, found, old, background.stop)
        surveys = _survey(folder, found, options, settings, engine, progress)
        provenance = _trace_provenance(inputs.result(), settings, options, on_overlap, is_appended=old is not None)
        units = Units(options.cycle_seconds / 3600)
        with output_folder.output_folder(target, provenance) as partial, using(units):
            work = _Import(surveys, options, settings, engine, progress, old, on_overlap or "refuse")
            summary = work.run(partial)
            known = () if work.facts is None else (work.facts.scanner, work.facts.sentinels)
            summary["quality"] = quality.result().inspect_raw(partial, settings, *known)
            summary["warnings"] = progress.warnings
            if summary["quality"] is not None:
                summary["quality"]["problems"][:0] = [problem.as_dict() for problem in work.lost]
            text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
            (partial / IMPORT_FILE).write_text(text + "\n", encoding="utf-8")
            if summary["quality"] is not None:
                write_report(partial, provenance)
    report = f"; report: {target / REPORT_FILE}" if summary["quality"] is not None else ""
    progress.info(f"import: wrote {target} in {time.monotonic() - start:.1f} s{report}")
    return summary


def list_lost(source: Path | Database, target: Path, options: ImportOptions) -> list[str]:
    """Return the tables in ``target`` that an import of ``source`` would not write again."""
    from pdm_cli.io.importing.sources import find_files

    if isinstance(source, Path):
        found = set(find_files(source, options.files, options.option_files).files)
    else:
        found = set(source.tables)
    derived = {FAILURES} if options.failures.is_derived else set()
    derived |= {ERRORS} if options.failures.status else set()
    return [table.name for table in RAW_TABLES if table not in {*found, *derived} and list_files(target, table)]


def _survey(
    folder: Path, found: Found, options: ImportOptions, settings: Settings, engine: Engine, progress: Progress
) -> list[TableSurvey]:
    """Read the files of all tables once."""
    from pdm_cli.io.importing.draft import write_draft
    from pdm_cli.io.importing.failures import check_columns
    from pdm_cli.io.importing.survey import TableSurvey

    if found.others:
        progress.warn(f"skipped, not files of a table: {name_some(found.others)}")
    if found.assumed:
        progress.info(f"import: read as telemetry: {name_some(found.assumed)}")
    if options.failures.is_derived and FAILURES in found.files:
        raise UsageError(
            f"{found.files[FAILURES][0].name}: a table of failures cannot be combined with failures in the telemetry",
            hint="drop --failure-flag, --status or --end-is-failure, or move the file out of the folder",
        )
    if FAILURES not in found.files and (option := options.failures.filter_option):
        raise UsageError(f"{option}: has no effect without a table of failures", hint="add --files failures=FILE")
    surveys = []
    for table, paths in found.files.items():
        if (empty := [path for path in paths if not path.stat().st_size]) and len(empty) < len(paths):
            names = name_some([path.name for path in empty])
            progress.warn(f"{table.name}: {show_count(len(empty), 'empty file')} skipped: {names}")
            paths = [path for path in paths if path not in empty]
        survey = TableSurvey(table, folder, paths, settings.columns, options, engine)
        if table is TELEMETRY and not options.long:
            check_columns(survey, options.failures)
        if table is not TELEMETRY:
            survey.prepare()
            survey.read()
        elif (draft := write_draft(survey, engine)) is None:
            survey.read()
        else:
            survey.accept(draft)
        if table is FAILURES and options.failures.where and not survey.rows:
            condition = " = ".join(options.failures.where)
            raise DataError(
                f"{survey.name}: no row matches --failures-where '{condition}'", hint="check the value and its case"
            )
        _warn_of_words(survey, progress)
        surveys.append(survey)
    return surveys


def _warn_of_words(survey: TableSurvey, progress: Progress) -> None:
    """Warn of failures that the words of components do not name, or not clearly."""
    failures = show_count(survey.rows, "failure")
    if unnamed := survey.count_without_words():
        verb = "has" if unnamed == 1 else "have"
        progress.warn(
            f"{survey.name}: {unnamed:,} of {failures} {verb} none of the words in --component-words: component other"
        )
    if ambiguous := survey.count_ambiguous():
        verb = "has" if ambiguous == 1 else "have"
        progress.warn(
            f"{survey.name}: {ambiguous:,} of {failures} {verb} words of several components: the word that comes first "
            "in --component-words counts"
        )


class _Import:
    """Writes the inspected tables, appended to those in the folder ``old`` if there is one."""

    def __init__(
        self,
        surveys: Sequence[TableSurvey],
        options: ImportOptions,
        settings: Settings,
        engine: Engine,
        progress: Progress,
        old: Path | None,
        on_overlap: str,
    ) -> None:
        from pdm_cli.io.parquet import find_table

        self._surveys, self._options, self._settings, self._engine = surveys, options, settings, engine
        self._progress, self._on_overlap = progress, on_overlap
        self._folder = old
        found = {table.name: find_table(old, table) for table in RAW_TABLES} if old is not None else {}
        self._old: dict[str, TableFiles] = {name: files for name, files in found.items() if files is not None}
        self._types = find_types(self._old)
        # Columns of the telemetry that have digits but are text.
        self.lost: list[Problem] = []
        # Totals of the telemetry, unless it is appended to rows that are not among them.
        self.facts: Facts | None = None

    def run(self, partial: Path) -> dict[str, Any]:
        """Write all tables and return the summary."""
        from pdm_cli.io.importing.convert import convert
        from pdm_cli.io.importing.failures import Telemetry
        from pdm_cli.io.output_folder import link_files

        readings = self._readings()
        if self._folder is not None:
            written = [survey.table for survey in self._surveys]
            written += [FAILURES] if self._options.failures.is_derived else []
            written += [ERRORS] if self._options.failures.status else []
            replaced = [name for table in written for name in (table.file, table.name)]
            link_files(self._folder, partial, [*replaced, IMPORT_FILE, REPORT_FILE])
        summary: dict[str, Any] = {"schema": "pdm.import/1", "tables": {}, **self._units().summary()}
        for survey, reading in zip(self._surveys, readings, strict=True):
            table, old = survey.table, self._old.get(survey.table.name)
            path = partial / (table.file if old is None else f"new-{table.file}")
            facts = convert(survey, reading, path, self._engine)
            appended = None if old is None else self._append(survey, reading, old, path, partial / table.file)
            summary["tables"][table.name] = describe_table(survey, reading, facts, appended, self._engine)
            if table is TELEMETRY:
                self.facts = facts if appended is None else None
                self._report_telemetry(survey, reading, facts)
                if self._options.failures.is_derived:
                    telemetry = Telemetry(survey, reading, self._engine, self._read_earlier(survey))
                    self._derive(telemetry, partial, summary["tables"])
                summary |= self._report_shortage(survey, reading, facts)
        self._warn_of_times(partial)
        return summary

    def _report_shortage(self, survey: TableSurvey, reading: Reading, facts: Facts) -> dict[str, str]:
        """Warn if almost no readings are imported, and return the entry of the summary; raise an error if none is."""
        from pdm_cli.io.importing.checks import find_shortage

        shortage = find_shortage(survey, reading, facts)
        if shortage is None:
            return {}
        if shortage.is_total:
            raise NotEnoughData(f"{survey.name}: {shortage.message}", hint=shortage.hint)
        self._progress.warn(f"{survey.name}: {shortage.warning()}")
        return {SHORTAGE: f"{survey.name}: {shortage.warning()}"}

    def _warn_of_times(self, partial: Path) -> None:
        """Warn of times that cannot be right next to those of the telemetry."""
        from pdm_cli.io.importing.checks import TimeCheck

        check = TimeCheck(self._engine)
        scanner = self.facts.scanner if self.facts is not None else None
        scanned = scanner.days if scanner is not None else None
        for survey in sorted(self._surveys, key=lambda survey: survey.table is not TELEMETRY):
            if warning := check.describe(survey, partial / survey.table.file, scanned):
                self._progress.warn(warning)

    def _units(self) -> Units:
        """Return the units of the telemetry: imported, or already there.

        Raises
        ------
        DataError
            If the new times or readings are in other units than the old ones.
        """
        from pdm_cli.io.parquet import find_units

        imported = next((survey.units for survey in self._surveys if survey.table is TELEMETRY), None)
        if self._folder is None or TELEMETRY.name not in self._old:
            return imported or DATES
        old, cycle_hours = find_units(self._folder), self._options.cycle_seconds / 3600
        if cycle_hours != old.cycle_hours and any(survey.time for survey in self._surveys):
            here, there = (f"cycles of {hours:g} h" if hours else "dates" for hours in (cycle_hours, old.cycle_hours))
            hint = f"import with --cycles {old.cycle_hours:g}h" if old.counts_cycles else "import without --cycles"
            raise DataError(f"times are {here}, unlike the {there} in {self._folder}", hint=hint)
        if imported is None:
            return old
        for sensor in sorted(imported.sensors.keys() & old.sensors.keys()):
            here, there = imported.sensors[sensor], old.sensors[sensor]
            if here != there:
                message = f"{sensor} is in {here}, but in {there} in {self._folder}"
                raise DataError(f"telemetry: {message}", hint="convert the new readings")
        return replace(imported, sensors={**old.sensors, **imported.sensors})

    def _report_telemetry(self, survey: TableSurvey, reading: Reading, facts: Facts) -> None:
        from pdm_cli.io.importing.convert import count_shared_times
        from pdm_cli.io.sensor_names import find_mixed_units
        from pdm_cli.preparation.sentinels import describe_sentinels, list_values

        if sentinels := facts.sentinels.found():
            found, numbers = describe_sentinels(sentinels), list_values(sentinels)
            self._progress.warn(f"{survey.name}: {found} remove with --na-values={numbers}")
        if survey.long is None and (shared := count_shared_times(survey, reading, self._engine)) > facts.rows / 2:
            self._progress.warn(
                f"{survey.name}: {shared:,} of {facts.rows:,} rows have the machine and time of another row: a row per "
                "reading? name the columns of tags and of values with --long"
            )
        for sensor, units in find_mixed_units(survey.columns).items():
            self._progress.warn(
                f"{survey.name}: {sensor} is in {' and '.join(units)}: imported as separate sensors; "
                "if it is one sensor, convert its readings to one unit"
            )
        if survey.other_tags:
            others = name_some([tag or "(empty)" for tag in survey.other_tags])
            self._progress.warn(f"{survey.name}: tags left out, as they do not match --tags: {others}")
        if facts.repeated:
            self._progress.warn(
                f"{survey.name}: {show_count(facts.repeated, 'reading')} with the same tag and time as another; the "
                "largest is kept"
            )

    def _read_earlier(self, survey: TableSurvey) -> Earlier | None:
        """Return what is known of failures and states in the existing tables, if there are any."""
        from pdm_cli.io.importing.continued import Earlier

        if self._folder is None or not self._old:
            return None
        return Earlier.read(self._old.get(TELEMETRY.name), self._folder / IMPORT_FILE, survey.machine, survey.time)

    def _derive(self, telemetry: Telemetry, partial: Path, tables: dict[str, Any]) -> None:
        """Write the failures, and the states of machines, that are in the telemetry."""
        from pdm_cli.io.importing.failures import (
            check_ends,
            find_normal,
            find_similar_states,
            write_failures,
            write_states,
        )

        source, columns = self._options.failures, self._settings.columns
        events = {FAILURES: columns.failure_column} | ({ERRORS: columns.error_column} if source.status else {})
        if source.end and (old := self._old.get(FAILURES.name)) is not None:
            check_ends(telemetry, old, source.end, columns.failure_column)
        for table, kind in events.items():
            write, old = write_failures if table is FAILURES else write_states, self._old.get(table.name)
            path = partial / (table.file if old is None else f"new-{table.file}")
            facts = write(telemetry, source, path, kind)
            appended = None if old is None else self._append_events(telemetry, old, path, partial / table.file)
            tables[table.name] = {**describe_derived(telemetry, facts, kind), "appended": appended}
        if source.status:
            tables[ERRORS.name]["normal"] = find_normal(telemetry, source)
            for state, failed in find_similar_states(telemetry, source):
                self._progress.warn(
                    f"{telemetry.survey.name}: state {state!r} is not a failure, though it resembles {failed!r}; "
                    f"add --failed {shlex.quote(state)}"
                )

    def _append_events(self, telemetry: Telemetry, old: TableFiles, new: Path, path: Path) -> dict[str, Any]:
        """Append events that are in the telemetry to an existing table."""
        from pdm_cli.io.append import find_overlap, old_types, write_appended
        from pdm_cli.io.parquet import count_rows, open_file

        survey, columns = telemetry.survey, open_file(new).schema_arrow.names
        check_same_columns(f"events of {survey.name}", set(columns), old.name, set(old_types(old)))
        overlap = find_overlap(old, new, key=columns, time=survey.time)
        before = sum(count_rows(part) for part in old.parts)
        write_appended(old, new, path, overlap, is_new_kept=False)
        new.unlink()
        same = int(overlap.is_same.sum())
        return {"before": before, "added": len(overlap.is_same) - same, "same": same, "differing": 0, "kept": "old"}

    def _readings(self) -> list[Reading]:
        """Determine the types of each table; errors of the inspection are raised here."""
        from pdm_cli.io.importing.convert import Reading
        from pdm_cli.io.importing.date_order import find_order, find_zone
        from pdm_cli.io.importing.date_shapes import Order

        is_text = self._are_machines_text()
        readings = []
        for survey in self._surveys:
            if survey.table is TELEMETRY and not survey.rows:
                raise NotEnoughData(f"{survey.name}: no rows", hint="export the log again")
            order: Order | None = None
            if survey.has_dates:
                order = find_order(survey, self._surveys)
            has_zone = bool(survey.time) and find_zone(survey)
            if has_zone:
                self._progress.info(f"import: {survey.name}: timestamps have a time zone and are converted to UTC")
            numbers = set(survey.numbers())
            self._warn_of_mixed(survey)
            if (old := self._old.get(survey.table.name)) is not None:
                types = self._types[survey.table.name]
                # An empty log has no zone of its own.
                has_zone = has_zone if survey.rows else bool(zone_of(types.get(survey.time)))
                numbers = fit_to_old(survey, old.name, types, numbers, has_zone)
            if survey.table is TELEMETRY:
                survey.check_sensors(numbers)
            readings.append(Reading(order, has_zone, frozenset(numbers), is_text))
        self._warn_of_zones(readings)
        return readings

    def _are_machines_text(self) -> bool:
        import pyarrow as pa

        named = [survey for survey in self._surveys if survey.has_text_machines]
        found = {
            name: types.get(self._settings.columns.machine_column, pa.null()) for name, types in self._types.items()
        }
        olds = {self._old[name].name: kind == pa.string() for name, kind in found.items() if kind != pa.null()}
        whole = next((name for name, is_text in olds.items() if not is_text), None)
        if named and whole is not None and (seen := named[0].text_machine) is not None:
            raise named[0].error(
                seen,
                named[0].machine,
                f"{seen.text!r} is not an integer, unlike the machines of {whole} in {self._folder}",
                "use the machine IDs of the existing tables",
            )
        return bool(named) or any(olds.values())

    def _warn_of_zones(self, readings: list[Reading]) -> None:
        """Warn if some tables, old or new, have a time zone and others do not."""
        # The machines table has no time column.
        time = next((survey.time for survey in self._surveys if survey.time), "")
        found = {self._old[name].name: zone_of(types.get(time)) for name, types in self._types.items()}
        for survey, reading in zip(self._surveys, readings, strict=True):
            if survey.time and survey.rows:
                found[survey.table.file] = reading.has_zone
        zoned, naive = ([name for name, has_zone in found.items() if has_zone is kind] for kind in (True, False))
        if zoned and naive:
            self._progress.warn(
                f"timestamps of {', '.join(zoned)} have a time zone, those of {', '.join(naive)} have none: "
                "pdm preprocess interprets the latter in its --timezone"
            )

    def _warn_of_mixed(self, survey: TableSurvey) -> None:
        from pdm_cli.io.importing.text_files import quote
        from pdm_cli.io.importing.values import THOUSANDS
        from pdm_cli.preparation.problems import Problem

        if survey.table not in (TELEMETRY, MACHINES):
            return
        hint = ", not as a sensor; leave missing readings empty" if survey.table is TELEMETRY else ""
        hint += ", or set --decimal" if hint and self._options.decimal == "." else ""
        for name, count in survey.mixed().items():
            first = survey.first_other(name)
            if survey.table is TELEMETRY:
                has_thousands = THOUSANDS.fullmatch(first.text) is not None
                text = f"{name} is text, not a sensor: {quote(first.text)} ({first}) "
                text += "has thousands separators" if has_thousands else "is not a number"
                solution = "export numbers without thousands separators" if has_thousands else "correct its values"
                hint_of_problem = f"{solution}, or leave it out with --sensors"
                self.lost.append(Problem("text_column", text, hint_of_problem, facts={"sensor": name}))
                if has_thousands:
                    self._progress.warn(f"{survey.name}: {text}; {solution}")
                    continue
            values = "values is not a number" if count.others == 1 else "values are not numbers"
            self._progress.warn(
                f"{survey.name}: column {name}: {count.others:,} of {count.others + count.numbers:,} {values}, first "
                f"{quote(first.text)} ({first}): imported as text{hint}"
            )

    def _append(self, survey: TableSurvey, reading: Reading, old: TableFiles, new: Path, path: Path) -> dict[str, Any]:
        from pdm_cli.io.append import find_overlap, write_appended
        from pdm_cli.io.importing.convert import find_row
        from pdm_cli.io.parquet import count_rows

        # Events have no values besides the key.
        is_event = survey.table not in (TELEMETRY, MACHINES)
        key = list(survey.columns) if is_event else list(survey.keys.values())
        overlap = find_overlap(old, new, key=key, time=survey.time)
        if overlap.first is not None and overlap.is_other.any() and self._on_overlap == "refuse":
            first = overlap.first
            named = ", ".join(f"{name} {_show_key(value)}" for name, value in first.key.items())
            count = show_count(int(overlap.is_other.sum()), "such row")
            raise survey.error(
                find_row(survey, reading, first, self._engine),
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


def _show_key(value: object) -> str:
    if isinstance(value, datetime) and current().counts_cycles:
        return show_time(value.isoformat())
    return str(value)


class _Background:
    """One thread for work that can be done while the files are read; an error or interrupt elsewhere ends it early."""

    def __init__(self) -> None:
        self.stop = Event()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop.set()
        self._thread.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function in the thread."""
        return self._thread.submit(function, *arguments)


def _hash_inputs(source: Path | Database, found: Found, old: Path | None, stop: Event) -> dict[str, Any]:
    """Return the hashes of files, queries and existing tables."""
    from pdm_cli.io import manifest

    files = [path for paths in found.files.values() for path in paths]
    if isinstance(source, Path):
        inputs = {"folder": manifest.hash_files(source, files, stop)}
    else:
        queries = {f"--query {name}": manifest.hash_bytes(text.encode()) for name, text in source.queries.items()}
        inputs = {"sql": {**queries, **{path.name: manifest.hash_file(path, stop) for path in files}}}
    if old is not None:
        tables = [path for table in RAW_TABLES for path in list_files(old, table)]
        inputs["out"] = manifest.hash_files(old, tables, stop)
    return inputs


def _trace_provenance(
    inputs: dict[str, Any], settings: Settings, options: ImportOptions, on_overlap: str | None, *, is_appended: bool
) -> Any:
    from pdm_cli.io import manifest
    from pdm_cli.pipeline.execute import kept_settings

    parameters = {
        "columns": kept_settings(settings, "columns"),
        "import": {**asdict(options), "append": is_appended, "on_overlap": on_overlap or "refuse"},
    }
    return manifest.Provenance("import", parameters, inputs, manifest.library_versions(), manifest.code_hash())
