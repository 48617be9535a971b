"""``pdm import``: convert logs to raw tables."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pdm_cli.cli.help import DATA_PANEL, OUTPUT_PANEL, flag
from pdm_cli.cli.options import Overwrite, bind_with_origins, naming_origins, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import UsageError
from pdm_cli.io.folders import list_files
from pdm_cli.schema import FAILURES, TELEMETRY
from pdm_cli.settings.field import default_of, key_of, option_name
from pdm_cli.settings.import_params import ImportParams
from pdm_cli.settings.load import CONFIG_FILE, find_config
from pdm_cli.settings.model import Settings
from pdm_cli.settings.write import append_section, check_new_section, write_section
from pdm_cli.text import join_list

if TYPE_CHECKING:
    from pdm_cli.io.importing.databases import Database
    from pdm_cli.io.importing.options import ImportOptions

Source = Annotated[str, typer.Argument(help="Folder of the logs.", metavar="FOLDER", show_default=False)]
Since = Annotated[
    Literal["last"] | None,
    typer.Option(
        "--since",
        help="With --append: :since in queries is the newest time in the existing table.",
        metavar="last",
        show_default=False,
        rich_help_panel="Databases",
    ),
]
Guide = Annotated[
    bool,
    flag(
        "--guide", text="Print the command that seems to fit the files, and what remains to decide.", panel=DATA_PANEL
    ),
]
WriteConfig = Annotated[
    bool,
    flag(
        "--write-config",
        text="Write the options, or with --guide those that seem to fit, to the section [import] of the config file.",
        panel=DATA_PANEL,
    ),
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


# Settings that a guide starts from.
_GUIDED = ("files", "names", "separator", "encoding", "decimal")


@dataclass(frozen=True)
class _Request:
    """The arguments of the command line, besides the settings."""

    folder: str
    out: str
    since: str | None
    append: bool
    on_overlap: Literal["refuse", "new", "old"]
    overwrite: bool
    # The file to write the options to.
    config: Path | None


@with_settings("import_", "columns", is_bound=False)
def import_logs(
    folder: Source = "",
    *,
    out: OptionalOut = "",
    guide: Guide = False,
    write_config: WriteConfig = False,
    since: Since = None,
    append: Append = False,
    on_overlap: OnOverlap = "refuse",
    overwrite: Overwrite = False,
    **values: Any,
) -> None:
    """Convert logs to the raw tables that the other commands read.

    Example: pdm import logs --out raw
    """
    bound, origins = bind_with_origins(("import_", "columns"), values)
    settings, screen = bound["settings"], bound["screen"]
    file = (find_config(values["config"], os.environ, Path()) or Path(CONFIG_FILE)) if write_config else None
    if file is not None:
        check_new_section(file, "import_")
    if guide:
        given = [option_name(item.name) for item in fields(ImportParams) if origins[item.name] == "option"]
        _check_guide(folder, given)
        known = _list_known(settings.import_, origins)
        _print_guide(["pdm", "import", folder, "--out", out or "raw"], known, screen, file)
        return
    with naming_origins(origins):
        _run(_Request(folder, out, since, append, on_overlap, overwrite, file), settings, origins, screen)


def _run(request: _Request, settings: Settings, origins: Mapping[str, str], screen: Screen) -> None:
    from pdm_cli.io.importing.build_options import build_options, prefer_options

    if origins["sensors"] == "option" and not settings.columns.sensors:
        raise UsageError("--sensors: is empty", hint="unset shell variable?")
    params = prefer_options(settings.import_, origins, has_files=bool(request.folder))
    _check_source(request.folder, params, origins)
    _check_dates(params, origins)
    options = build_options(params)
    if not request.out:
        raise UsageError("missing option '--out'", hint="see pdm import --help")
    _check_choice(request)
    database = None if request.folder else _database(params, request)
    if database is not None:
        _check_query_options(database, origins, options)
    source, target = _check_ports(database or Path(request.folder), options, request)
    if request.append and not target.exists():
        screen.warn(f"--append: {target} does not exist yet; it will contain only this import")
    _report_origins(params, origins, screen)
    summary = _import(source, request, options, settings, screen)
    names = [item.name for item in fields(ImportParams) if origins[item.name] == "option"]
    saved = _save(request.config, {name: getattr(settings.import_, name) for name in names})
    _show_import(request, {**summary, **saved}, screen)
    _report_saved(request.config, saved, [*filter(None, [request.folder]), "--out", request.out], screen)


def _report_origins(params: ImportParams, origins: Mapping[str, str], screen: Screen) -> None:
    """Print which options of the import a file or variable gave: they may be meant for other logs."""
    found: dict[str, list[str]] = {}
    for item in fields(ImportParams):
        origin = origins[item.name]
        if origin not in ("option", "default") and getattr(params, item.name) != default_of(item):
            found.setdefault(origin.removeprefix("environment: "), []).append(key_of(item.name))
    for origin, names in found.items():
        screen.info(f"import: from {origin}: {', '.join(names)}")


def _import(
    source: Path | Database, request: _Request, options: ImportOptions, settings: Settings, screen: Screen
) -> dict[str, Any]:
    """Import, and return the summary."""
    from pdm_cli.pipeline.import_logs import import_logs as run

    target = Path(request.out)
    on_overlap = request.on_overlap if request.append else None
    summary = run(source, target, options, settings=settings, progress=screen, on_overlap=on_overlap)
    _warn_of_gaps(target, settings, screen)
    return summary


def _show_import(request: _Request, summary: dict[str, Any], screen: Screen) -> None:
    from pdm_cli.cli.render.imports import draw_import

    out = request.out
    screen.result({**summary, "out": out}, lambda: [*draw_import(summary), out])
    if list_files(Path(out), TELEMETRY) and list_files(Path(out), FAILURES):
        screen.suggest("pdm", "run", "--data", out, "--out", "work")


def _save(config: Path | None, settings: Mapping[str, object], remarks: Sequence[str] = ()) -> dict[str, str]:
    """Write settings of the import to a config file, if it is to be written; return its name for the JSON output."""
    if config is None or not settings:
        return {}
    append_section(config, write_section("import_", settings, remarks))
    return {"config": str(config)}


def _report_saved(config: Path | None, saved: Mapping[str, str], words: Sequence[str], screen: Screen) -> None:
    """Print whether options were written, and the command that uses them."""
    if config is not None:
        written = f"wrote [import] to {config}; now run" if saved else "no options are needed"
        screen.info(f"import: {written}: {shlex.join(['pdm', 'import', *words])}")


def _check_source(folder: str, params: ImportParams, origins: Mapping[str, str]) -> None:
    """Check that one source of logs is given; a database in a config file is one for other imports."""
    hint = "pdm import FOLDER, or pdm import --sql URL --query TABLE=SQL"
    if folder and origins["sql"] == "option":
        raise UsageError("FOLDER and --sql cannot be combined", hint=hint)
    if not folder and not params.sql:
        raise UsageError("missing argument 'FOLDER', or --sql", hint=hint)
    if folder and origins["query"] == "option":
        raise UsageError("--query: has no effect without --sql", hint="add --sql URL")


def _check_dates(params: ImportParams, origins: Mapping[str, str]) -> None:
    """Reject an order of day and month next to a format of all tables, which has one."""
    for name in ("day_first", "month_first"):
        if origins[name] == origins["date_format"] == "option" and "" in params.date_format:
            option = option_name(name)
            raise UsageError(f"{option}: has no effect with --date-format", hint=f"drop {option}")


def _check_guide(folder: str, given: list[str]) -> None:
    if "--sql" in given:
        raise UsageError("--guide: has no effect with --sql", hint="drop --guide")
    allowed = set(map(option_name, _GUIDED))
    if other := next((option for option in given if option not in allowed), None):
        raise UsageError(f"--guide and {other} cannot be combined", hint=f"drop {other}")
    if not folder:
        raise UsageError("missing argument 'FOLDER'", hint="pdm import --guide FOLDER")


def _list_known(params: ImportParams, origins: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the options that a guide starts from, and their values."""
    given = [(option_name(name), getattr(params, name)) for name in _GUIDED if origins[name] == "option"]
    known: list[tuple[str, str]] = []
    for option, value in given:
        if isinstance(value, dict):
            known += [(option, f"{table}={pattern}") for table, patterns in value.items() for pattern in patterns]
        else:
            known.append((option, value if isinstance(value, str) else join_list(value)))
    return known


def _print_guide(command: list[str], known: list[tuple[str, str]], screen: Screen, config: Path | None) -> None:
    """Print the command that seems to fit, and the open questions; a script gets exit code 2, because it is a guess."""
    from pdm_cli.io.folders import check_folder
    from pdm_cli.io.importing.engine import Engine
    from pdm_cli.io.importing.guide import guess_options, settings_of, words_of

    folder = Path(command[2])
    check_folder("FOLDER", folder, "the logs, such as telemetry.csv")
    with Engine() as engine:
        guess = guess_options(folder, engine, known)
    words = [*command, *words_of(guess)]
    remarks = [f"question: {question}" for question in guess.questions]
    payload: dict[str, Any] = {"schema": "pdm.import-guide/1", "command": words, "questions": guess.questions}
    saved = _save(config, settings_of(guess), remarks)
    screen.result({**payload, **saved}, lambda: [shlex.join(words)])
    for remark in () if screen.as_json else remarks:
        screen.line(remark)
    if config is not None and not saved and guess.questions:
        screen.info("import: nothing written: answer the questions first")
    else:
        _report_saved(config, saved, words[2:5], screen)
    if not sys.stdout.isatty():
        raise typer.Exit(UsageError.exit_code)


def _database(params: ImportParams, request: _Request) -> Database:
    """Return the database of the settings, after checking it."""
    from pdm_cli.io.importing.databases import Database, check_database

    if not params.query:
        raise UsageError("--sql: needs --query", hint="add --query telemetry='select …'")
    if request.since and not request.append:
        raise UsageError("--since: has no effect without --append", hint="add --append")
    database = Database(params.sql, dict(params.query), bool(request.since))
    check_database(database)
    return database


def _check_query_options(database: Database, origins: Mapping[str, str], options: ImportOptions) -> None:
    """Reject options that queries do not have."""
    from pdm_cli.io.importing.build_options import OF_FILES

    for name in OF_FILES:
        if origins[name] == "option":
            option = option_name(name)
            raise UsageError(f"{option}: has no effect with --sql", hint=f"drop {option}")
    if database.is_incremental and options.cycle_seconds:
        raise UsageError("--since and --cycles cannot be combined", hint="drop --since: existing rows are dropped")


def _check_ports(source: Path | Database, options: ImportOptions, request: _Request) -> tuple[Path | Database, Path]:
    """Return the folders to read and to write, after checking them."""
    from pdm_cli.io import output_folder
    from pdm_cli.io.folders import check_folder
    from pdm_cli.pipeline.execute import local_folder

    target = local_folder("out", request.out)
    if isinstance(source, Path):
        check_folder("FOLDER", source, "the logs, such as telemetry.csv")
        if source.resolve() == target.resolve():
            raise UsageError(f"--out {request.out}: is the folder of the logs", hint="choose another folder with --out")
    if request.append:
        output_folder.check_growable(target)
    else:
        _check_free(target, overwrite=request.overwrite)
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


def _check_choice(request: _Request) -> None:
    """Reject options that exclude each other."""
    if request.since and request.folder:
        raise UsageError("--since: has no effect without --sql", hint="add --sql URL")
    if request.append and request.overwrite:
        raise UsageError("--append and --overwrite cannot be combined", hint="--append keeps the existing rows")
    if request.on_overlap != "refuse" and not request.append:
        raise UsageError("--on-overlap: has no effect without --append", hint="add --append")


def _warn_of_gaps(target: Path, settings: Settings, screen: Screen) -> None:
    """Report missing telemetry, and column names that the other commands need."""
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
