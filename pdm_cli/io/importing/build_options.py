"""Options of an import from its settings: checks across settings, and the files that they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from pdm_cli.errors import UsageError
from pdm_cli.io.importing.date_shapes import EPOCHS, sql_format
from pdm_cli.io.importing.long_form import read_mapping
from pdm_cli.io.importing.options import (
    MISSING,
    FailureSource,
    ImportOptions,
    LongForm,
    compile_pattern,
    parse_condition,
    read_words,
)
from pdm_cli.io.importing.text_files import TextFormat
from pdm_cli.settings.duration import parse_duration
from pdm_cli.settings.field import default_of, option_name
from pdm_cli.settings.import_params import ImportParams

_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}
_HINT_FORMAT = "for example '%m/%d/%Y %H:%M', epoch-s or epoch-ms"
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
# Settings of files, which queries do not have.
OF_FILES = ("files", "separator", "encoding", "names", "machine_from_file")
# Settings that exclude each other, each with those that only it uses.
_CHOICES: tuple[dict[str, tuple[str, ...]], ...] = (
    {"machine": (), "machine_from_file": ()},
    {"day_first": (), "month_first": ()},
    {"failure_flag": (), "status": ("failed",), "end_is_failure": ("except_",)},
)


def prefer_options(params: ImportParams, origins: Mapping[str, str], *, has_files: bool) -> ImportParams:
    """Return the settings without those that an option on the command line, or the source, excludes.

    Parameters
    ----------
    params : ImportParams
        The settings.
    origins : mapping of str to str
        Setting to its origin: ``option``, or a file or variable that may hold settings for several cases.
    has_files : bool
        Whether the source is a folder; a database has no use for some settings.
    """
    defaults: dict[str, Any] = {item.name: default_of(item) for item in fields(params)}
    dropped = set() if has_files else {name for name in OF_FILES if origins[name] != "option"}
    for choice in _CHOICES:
        if any(origins[name] == "option" for name in choice):
            others = {name: own for name, own in choice.items() if origins[name] != "option"}
            # Settings that only an excluded one uses go with it, but an option stays, to be reported.
            dropped |= others.keys() | {name for own in others.values() for name in own if origins[name] != "option"}
    return replace(params, **{name: defaults[name] for name in dropped})


def build_options(params: ImportParams) -> ImportOptions:
    """Return the options of an import.

    Raises
    ------
    UsageError
        If two settings contradict each other, or a file that one names cannot be read; the message begins with the
        option.
    """
    if params.machine and params.machine_from_file:
        raise UsageError("--machine and --machine-from-file cannot be combined", hint="drop --machine")
    if params.machine_from_file:
        compile_pattern("--machine-from-file", params.machine_from_file, ["machine"])
    missing, sentinels = _parse_missing(tuple(map(str, params.na_values)))
    _check_formats(params.date_format)
    return ImportOptions(
        text=_text_format(params),
        decimal=params.decimal,
        formats=dict(params.date_format),
        order=_order(params),
        missing=missing,
        sentinels=sentinels,
        files=dict(params.files),
        columns=params.columns,
        machine=str(params.machine),
        machine_pattern=params.machine_from_file,
        long=_long_form(params),
        failures=_failure_source(params),
        cycle_seconds=_parse_cycle(params.cycles) if params.cycles else 0.0,
        option_files=tuple(filter(None, (params.component_words, params.tags if "{" not in params.tags else ""))),
    )


def _parse_missing(values: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the words, in lower case, and the numbers for a missing value, the words of historians among them."""
    words = tuple(word.lower() for word in values if not _NUMBER.fullmatch(word))
    return tuple(dict.fromkeys((*MISSING, *words))), tuple(float(word) for word in values if _NUMBER.fullmatch(word))


def _check_formats(formats: Mapping[str, str]) -> None:
    """Reject date formats that the engine does not know, or that have no year."""
    import duckdb

    for form in formats.values():
        if form in EPOCHS:
            continue
        try:
            duckdb.execute("SELECT " + sql_format(form, "'-'"))
        except duckdb.InvalidInputException as exc:
            raise UsageError(f"--date-format {form}: not a date format", hint=_HINT_FORMAT) from exc
        if not any(part in form for part in ("%Y", "%y", "%c", "%x", "%s", "%G")):
            raise UsageError(f"--date-format {form}: has no year", hint=_HINT_FORMAT)


def _text_format(params: ImportParams) -> TextFormat:
    separator = _SEPARATORS.get(params.separator.lower(), params.separator)
    if len(separator) > 1 or (separator and (separator in '"\r\n' or ord(separator) > 127)):
        raise UsageError(f"--separator {separator!r}: not a single character", hint="for example ';' or tab")
    if separator == params.decimal:
        raise UsageError(
            f"--separator {separator}: is also the decimal separator",
            hint="choose another with --separator or --decimal",
        )
    try:
        "datetime".encode(params.encoding or "utf-8")
    except (LookupError, UnicodeError) as exc:
        hint = "for example utf-8, utf-16, cp1252 or latin-1"
        raise UsageError(f"--encoding {params.encoding}: unknown encoding", hint=hint) from exc
    return TextFormat(params.encoding, separator, params.names)


def _order(params: ImportParams) -> Literal["day-first", "month-first"] | None:
    if params.day_first and params.month_first:
        hint = "specify the format per table with --date-format TABLE=…"
        raise UsageError("--day-first and --month-first cannot be combined", hint=hint)
    return "day-first" if params.day_first else "month-first" if params.month_first else None


def _long_form(params: ImportParams) -> LongForm | None:
    """Return how the telemetry has a row per reading; None if it has a column per sensor."""
    columns, tags = params.long, params.tags
    if columns is None:
        if tags:
            raise UsageError("--tags: has no effect without --long", hint="add --long TAG VALUE")
        return None
    if columns[0] == columns[1]:
        raise UsageError(f"--long {' '.join(columns)}: tags and values are in one column", hint="--long TAG VALUE")
    if tags and "{" not in tags:
        return LongForm(*columns, mapping=read_mapping(Path(tags)))
    if tags:
        compile_pattern("--tags", tags, ["sensor"])
    return LongForm(*columns, pattern=tags)


def _failure_source(params: ImportParams) -> FailureSource:
    """Return where the failures are."""
    if bool(params.status) != bool(params.failed):
        missing = "--failed VALUE" if params.status else "--status COLUMN"
        raise UsageError(f"{'--status' if params.status else '--failed'}: has no effect alone", hint=f"add {missing}")
    given = [option_name(name) for name in _CHOICES[2] if getattr(params, name)]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} cannot be combined", hint=f"drop {given[1]}")
    if params.except_ and not params.end_is_failure:
        raise UsageError("--except: has no effect without --end-is-failure", hint="add --end-is-failure NAME")
    return FailureSource(
        flags=params.failure_flag,
        status=params.status,
        failed=tuple(map(str, params.failed)),
        where=parse_condition(params.failures_where) if params.failures_where else None,
        words=read_words(Path(params.component_words)) if params.component_words else (),
        end=params.end_is_failure,
        running=tuple(map(str, params.except_)),
    )


def _parse_cycle(text: str) -> float:
    """Return the length of a cycle in seconds."""
    try:
        seconds = parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"--cycles: {exc}", hint="such as --cycles 1h if a cycle counts as an hour") from exc
    if not seconds:
        raise UsageError(f"--cycles: must be above 0, got {text}", hint="such as --cycles 1h")
    return seconds
