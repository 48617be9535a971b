"""``pdm report``: rebuild the report of an output folder from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdm_cli.cli.help import OUTPUT_PANEL
from pdm_cli.cli.options import with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import UsageError
from pdm_cli.settings.model import Settings

SCHEMA = "pdm.report-file/1"
Model = Annotated[
    str,
    typer.Argument(
        help="Output folder of pdm import, preprocess, detect-anomalies, health, train or predict.",
        metavar="FOLDER",
        rich_help_panel=None,
    ),
]
File = Annotated[
    str | None,
    typer.Option(
        "--out", help="File to write; default: report.html in the folder.", metavar="FILE", rich_help_panel=OUTPUT_PANEL
    ),
]


@with_settings()
def report(*, model: Model, out: File = None, settings: Settings, screen: Screen) -> None:  # noqa: ARG001 - has none
    """Rebuild report.html of data, anomalies, health, a model or predictions (self-contained HTML).

    Example: pdm report model --out failures.html
    """
    from pdm_cli.io import manifest
    from pdm_cli.io.folders import check_folder
    from pdm_cli.pipeline.execute import local_folder
    from pdm_cli.pipeline.report import make_report
    from pdm_cli.report.page import REPORT_FILE

    folder = local_folder("model", model)
    check_folder("FOLDER", folder, "data, anomalies, health, a model or predictions")
    target = folder / REPORT_FILE if out is None else Path(out)
    if out is not None:
        _check_replaceable(target)
    text = make_report(folder, manifest.read(folder))
    _write(target, text)
    if out is None:
        manifest.note_output(folder, REPORT_FILE)
    payload = {"schema": SCHEMA, "out": str(target), "bytes": len(text.encode())}
    screen.result(payload, lambda: [str(target)])


def _check_replaceable(target: Path) -> None:
    """Reject a file in a missing folder, and one that is not a report: it would be lost."""
    from pdm_cli.report.page import is_report

    if not target.parent.exists():
        raise UsageError(f"{target.parent}: no such folder", hint="create the folder, or choose another --out")
    if target.is_file() and not is_report(target):
        raise UsageError(
            f"{target}: exists, but is not a pdm report", hint="choose a new file or a pdm report with --out"
        )


def _write(target: Path, text: str) -> None:
    from pdm_cli.io import manifest

    try:
        manifest.write_whole(target, text)
    except OSError as exc:
        hint = "choose a file in a writable folder with --out"
        raise UsageError(f"{target}: cannot write: {exc.strerror}", hint=hint) from exc
