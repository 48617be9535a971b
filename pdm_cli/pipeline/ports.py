"""Ports: the folders that a command reads, each made by the command that makes such folders."""

from __future__ import annotations

from pathlib import Path

from pdm_cli.errors import UsageError
from pdm_cli.io import manifest
from pdm_cli.io.folders import check_folder
from pdm_cli.pipeline.stages import STAGES, Port


def check_port(port: Port, folder: Path) -> None:
    """Refuse a folder that is not there, or that holds what another stage wrote.

    Parameters
    ----------
    port : Port
        The option.
    folder : Path
        Its value.

    Raises
    ------
    UsageError
        If it is so.
    """
    check_folder(f"--{port.name}", folder, port.holds)
    made = manifest.read(folder)
    maker = str(made.get("command")) if made else ""
    # Prepared tables are no raw ones: they are in UTC already, their gaps are rows, and what was found in them is gone.
    if maker in STAGES and maker != port.made_by:
        raise UsageError(
            f"--{port.name} {folder}: holds what pdm {maker} wrote",
            hint=f"--{port.name} names the folder with {port.holds}",
        )
