"""What a job and its steps printed, as files in a folder of their own beside its results."""

from __future__ import annotations

from pathlib import Path

from pdm_cli.azure import blobs as storage
from pdm_cli.azure import download
from pdm_cli.azure.client import Session
from pdm_cli.azure.job_status import JobState
from pdm_cli.azure.retry import insist
from pdm_cli.errors import PdmError
from pdm_cli.io import manifest, output_folder
from pdm_cli.progress import Progress

# The end of a log, where its error is.
_END_BYTES = 64 * 2**10


def fetch_logs(session: Session, state: JobState, target: Path, screen: Progress) -> dict[str, Path]:
    """Fetch the logs of a job into ``target/logs``, as far as there are any.

    A step that was reused has printed nothing. Logs are not the result: what is wrong with them is only warned of.

    Returns
    -------
    dict
        Job or step to file.
    """
    try:
        return insist(lambda: _fetch(session, state, target / output_folder.LOGS_FOLDER), warn=screen.warn)
    except PdmError as error:
        screen.warn(f"logs: {error.message}")
        return {}


def read_end(path: Path) -> str:
    """Return the last lines of a log."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _END_BYTES))
        return stream.read().decode(errors="replace")


def _fetch(session: Session, state: JobState, folder: Path) -> dict[str, Path]:
    container = storage.open_container(session, storage.ARTIFACT_STORE)
    blobs: dict[str, download.Blob] = {}
    for name, run in state.runs().items():
        address = storage.log_address(run)
        blobs |= {f"{name}.txt": blob for blob in storage.list_blobs(container, address) if blob.name == address}
    for name in blobs:
        download.check_name(name, name)
    logs = {name.removesuffix(".txt"): folder / name for name in blobs}
    parameters = {"logs": {name: blob.etag for name, blob in blobs.items()}}
    recipe = manifest.Recipe(
        output_folder.LOGS_COMMAND, parameters, {}, manifest.library_versions(), manifest.code_hash()
    )
    if not blobs or not manifest.reasons_to_redo(folder, recipe):
        return logs
    with output_folder.output_folder(folder, recipe) as partial:
        for name, blob in blobs.items():
            download.store(storage.read_pieces(container, blob), partial / name, lambda _: None)
    return logs
