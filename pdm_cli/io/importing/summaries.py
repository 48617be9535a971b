"""The summary of each table of an import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.schema import FAILURES

if TYPE_CHECKING:
    from pdm_cli.io.importing.convert import Facts, Reading
    from pdm_cli.io.importing.engine import Engine
    from pdm_cli.io.importing.failures import Telemetry
    from pdm_cli.io.importing.survey import TableSurvey


def describe_derived(telemetry: Telemetry, facts: Facts, kind: str) -> dict[str, Any]:
    """Return the summary of a table that comes from the telemetry."""
    survey = telemetry.survey
    machine = "text" if telemetry.reading.is_machine_text else "integer"
    return {
        "files": [],
        **_describe_span(facts),
        "separators": [],
        "encodings": [],
        "formats": [],
        "dates": None,
        "zone": "to UTC" if telemetry.reading.has_zone else "none",
        "columns": {survey.time: "time", survey.machine: machine, kind: "text"},
        "ongoing": facts.ongoing,
    }


def describe_table(
    survey: TableSurvey, reading: Reading, facts: Facts, appended: dict[str, Any] | None, engine: Engine
) -> dict[str, Any]:
    """Return the summary of a table; the engine counts its rows in the files."""
    columns = [name for name in survey.columns if name not in survey.left_out()]
    types = dict.fromkeys(columns, "text") | {name: "number" for name in columns if name in reading.numbers}
    types |= {survey.machine: "text" if reading.is_machine_text else "integer"}
    types |= {survey.time: "time"} if survey.time else {}
    files = [file.text for file in survey.files if file.text is not None and not file.format]
    return {
        "files": [file.name for file in survey.files],
        **_describe_span(facts),
        "separators": list(dict.fromkeys(text.separator for text in files)),
        "encodings": list(dict.fromkeys(text.encoding for text in files)),
        "formats": list(dict.fromkeys(file.format for file in survey.files if file.format)),
        "dates": survey.date_format or reading.order if survey.time else None,
        "zone": ("to UTC" if reading.has_zone else "none") if survey.time else None,
        "columns": types,
        "appended": appended,
        **_count_left_out(survey, engine),
    }


def _count_left_out(survey: TableSurvey, engine: Engine) -> dict[str, int]:
    """Return the number of rows that ``--failures-where`` leaves out, if it is given."""
    if survey.table is not FAILURES or survey.options.failures.where is None:
        return {}
    ((rows,),) = engine.fetch(f"SELECT count(*) FROM {survey.unread}")
    return {"left_out": int(rows) - survey.rows}


def _describe_span(facts: Facts) -> dict[str, Any]:
    return {
        "rows": facts.rows,
        "machines": len(facts.machines),
        "start": None if facts.start is None else str(facts.start.replace(tzinfo=None)),
        "end": None if facts.end is None else str(facts.end.replace(tzinfo=None)),
    }
