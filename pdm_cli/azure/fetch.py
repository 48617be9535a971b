"""The results and logs of a finished job, in a folder of this machine; resumable, verified, whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.azure import blobs, download
from pdm_cli.azure.client import Session
from pdm_cli.azure.job_status import COMPLETED, JobState
from pdm_cli.azure.jobs import read_state
from pdm_cli.azure.log_copies import fetch_logs, read_end
from pdm_cli.azure.retry import insist
from pdm_cli.azure.wait import describe_end
from pdm_cli.errors import DataError, JobNotFinished, RemoteError, UsageError
from pdm_cli.io import manifest, output_folder
from pdm_cli.pipeline.runner import local_folder, read_summary
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.progress import Progress

if TYPE_CHECKING:
    from threading import Event


SCHEMA = "pdm.fetch/1"
# The only output of a single command, which lands in the folder itself.
_PLAIN_OUTPUT = "out"
# The service's own place for what a job writes without being asked.
_DEFAULT_OUTPUT = "default"


@dataclass(frozen=True)
class Output:
    """An output of a job, and where it lands.

    Attributes
    ----------
    name : str
        Its name in the job.
    folder : Path
        What its files are fetched into.
    container : ContainerClient
        Where they are.
    wanted : list of Wanted
        The files that its manifest lists.
    text : bytes
        The manifest as it is, byte for byte.
    content : dict
        The same, parsed.
    """

    name: str
    folder: Path
    container: blobs.ContainerClient
    wanted: list[download.Wanted]
    text: bytes
    content: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(one.blob.bytes for one in self.wanted)

    def is_here(self) -> bool:
        """Return whether the folder holds this very result, whole."""
        return _read_manifest(self.folder) == self.text and manifest.is_whole(self.folder, self.content)

    def is_begun(self) -> bool:
        """Return whether the folder holds this very result, or an earlier call had begun to move it in."""
        return any(_read_manifest(place) == self.text for place in output_folder.list_places(self.folder))


def fetch_job(
    session: Session, name: str, out: str, *, only: Sequence[str] = (), overwrite: bool = False, screen: Progress
) -> dict[str, Any]:
    """Fetch what a finished job made into ``out``, and what it printed into ``out/logs``.

    Parameters
    ----------
    session : Session
        The workspace.
    name : str
        The job.
    out : str
        Folder that gets the files: those of a single command itself, one folder each of a pipeline's.
    only : sequence of str
        Names of outputs; all if empty.
    overwrite : bool
        Replace what pdm wrote there before.
    screen : Progress
        For progress and warnings.

    Returns
    -------
    dict
        For ``--json``, and for the screen.

    Raises
    ------
    JobNotFinished, JobFailed, JobCancelled
        As the job stands; the logs are fetched also of one that failed or was cancelled.
    RemoteError
        If there is no such job or output, or an output has no files.
    DataError
        If a file is missing or is not the one that the job made; nothing was replaced then.
    UsageError
        If ``out`` holds what may not be replaced.
    """
    target = local_folder("out", out)
    output_folder.check_free(target / output_folder.LOGS_FOLDER, overwrite=True)
    steady: Callable[[Callable[[], Any]], Any] = partial(insist, warn=screen.warn)
    state: JobState = steady(lambda: read_state(session, name))
    if not state.is_finished:
        raise JobNotFinished(f"job {name}: {state.status}, not finished", hint="--wait waits for it", job=name)
    if state.status != COMPLETED:
        logs = fetch_logs(session, state, target, screen)
        raise describe_end(state, {step: read_end(path) for step, path in logs.items()})
    found: list[Output] = steady(lambda: _find_outputs(session, state, target, only))
    fetched = _receive(found, overwrite=overwrite, screen=screen)
    logs = fetch_logs(session, state, target, screen)
    return {
        **{"schema": SCHEMA, "job": name, "out": out, **_read_shown(found)},
        "outputs": {one.name: _describe(one, fetched[one.name]) for one in found},
        "logs": {step: str(path) for step, path in logs.items()},
    }


def _find_outputs(session: Session, state: JobState, target: Path, only: Sequence[str]) -> list[Output]:
    """Look at the chosen outputs of a job; nothing is written."""
    addresses = {name: address for name, address in state.outputs.items() if name != _DEFAULT_OUTPUT}
    unknown = [name for name in only if name not in addresses]
    if unknown or not addresses:
        what = f"no output {unknown[0]}" if unknown else "no outputs"
        raise RemoteError(f"job {state.name}: {what}; it has: {download.tell_names(addresses)}")
    is_plain = list(addresses) == [_PLAIN_OUTPUT]
    if not is_plain and (target / manifest.MANIFEST_FILE).exists():
        # Folders beside its files would make it nobody's.
        raise UsageError(f"{target}: holds the result of a single command", hint="--out names another folder")
    open_container = cache(partial(blobs.open_container, session))
    found = []
    for name in dict.fromkeys(only or addresses):
        folder = target if is_plain else target / download.check_name(name, name)
        address = blobs.parse_address(addresses[name] or "")
        container = open_container(address.datastore)
        found.append(_look_at(f"output {name} of {state.name}", name, folder, container, address))
    return found


def _look_at(where: str, name: str, folder: Path, container: blobs.ContainerClient, address: blobs.Address) -> Output:
    files = download.name_files(blobs.list_blobs(container, address.prefix), address.prefix)
    if not files:
        raise RemoteError(f"{where}: no files in {address.path} of datastore {address.datastore}")
    if manifest.MANIFEST_FILE not in files:
        raise DataError(
            f"{where}: no {manifest.MANIFEST_FILE}, so no whole result of pdm; there are: {download.tell_names(files)}"
        )
    text, content = blobs.read_manifest(container, files[manifest.MANIFEST_FILE], where)
    return Output(name, folder, container, download.list_wanted(files, content, where), text, content)


def _receive(found: Sequence[Output], *, overwrite: bool, screen: Progress) -> dict[str, int]:
    """Bring the outputs here, and return how many files of each had to be fetched."""
    lacking = [one for one in found if not one.is_here()]
    for one in found:
        if one not in lacking:
            screen.info(f"fetch-results: {one.folder} is complete, nothing to fetch")
    for one in lacking:
        # What is there of the same result may be completed; anything else has to be free or given up.
        output_folder.check_free(one.folder, overwrite=overwrite or one.is_begun(), by=one.content.get("command"))
        _warn_of_changed(one, screen)
    start = time.monotonic()
    fetched = dict.fromkeys((one.name for one in found), 0)
    with ExitStack() as stack:
        partials = [stack.enter_context(output_folder.swapped_folder(one.folder)) for one in lacking]
        kept = [_open_kept(stack, folder, one) for folder, one in zip(partials, lacking, strict=True)]
        missing = [_take_what_is_here(one, folder) for one, folder in zip(lacking, kept, strict=True)]
        _download(list(zip(lacking, kept, missing, strict=True)), screen)
        for one, folder, target, files in zip(lacking, kept, partials, missing, strict=True):
            for path in folder.iterdir():
                path.replace(target / path.name)
            (target / manifest.MANIFEST_FILE).write_bytes(one.text)
            fetched[one.name] = len(files)
    for one in lacking:
        told = f"fetched {fetched[one.name]:,} of {len(one.wanted):,} files to {one.folder}"
        screen.info(f"fetch-results: {told} in {time.monotonic() - start:.1f} s")
    return fetched


def _warn_of_changed(one: Output, screen: Progress) -> None:
    """Name files of this very result that were changed here, and will be as the job made them again."""
    if _read_manifest(one.folder) != one.text:
        return
    here = [file for file in one.wanted if (one.folder / file.name).is_file()]
    changed = [file.name for file in here if download.find_copy(file, [one.folder]) is None]
    if changed:
        more = f" and {len(changed) - 1:,} more" if len(changed) > 1 else ""
        screen.warn(f"{one.folder / changed[0]}{more}: not as the job made it, so fetched again")


def _open_kept(stack: ExitStack, target: Path, one: Output) -> Path:
    """Return a folder for files under way, which outlives an error unless it is empty."""
    folder = output_folder.kept_folder(target, sha256(one.text).hexdigest())

    def forget() -> None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    stack.callback(forget)
    return folder


def _take_what_is_here(one: Output, kept: Path) -> list[download.Wanted]:
    """Copy the files that this machine has already, and return the others."""
    missing = []
    places = [kept, *output_folder.list_places(one.folder)]
    for file in one.wanted:
        copy = download.find_copy(file, places)
        if copy is None:
            missing.append(file)
        elif copy != kept / file.name:
            (kept / file.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copy, kept / file.name)
    return missing


def _download(batches: Sequence[tuple[Output, Path, list[download.Wanted]]], screen: Progress) -> None:
    """Fetch the missing files of all outputs, several at once."""
    total = sum(file.blob.bytes for _, _, missing in batches for file in missing)
    with screen.track("fetch-results: MB", total // download.MEGABYTE) as advance:
        meter = download.Meter(advance)
        download.run_all(
            [
                partial(_fetch_file, one.container, file, kept / file.name, meter.advance, screen.warn)
                for one, kept, missing in batches
                for file in missing
            ]
        )


def _fetch_file(
    container: blobs.ContainerClient,
    file: download.Wanted,
    path: Path,
    advance: Callable[[int], None],
    warn: Callable[[str], None],
    stopped: Event,
) -> None:
    def fetch() -> None:
        pieces = download.until(stopped, blobs.read_pieces(container, file.blob))
        download.store(pieces, path, advance, file)

    insist(fetch, warn=warn, sleep=stopped.wait)


def _read_shown(found: Sequence[Output]) -> dict[str, Any]:
    """Return the summary of the last of the stages that were fetched, and its command."""
    folders = {str(one.content.get("command")): one.folder for one in found}
    for command, stage in reversed(STAGES.items()):
        if command in folders and (folders[command] / stage.summary).is_file():
            return {"command": command, "summary": read_summary(stage, folders[command])}
    return {"command": None, "summary": None}


def _describe(one: Output, fetched: int) -> dict[str, Any]:
    return {"folder": str(one.folder), "files": len(one.wanted), "bytes": one.bytes, "fetched": fetched}


def _read_manifest(folder: Path) -> bytes | None:
    try:
        return (folder / manifest.MANIFEST_FILE).read_bytes()
    except OSError:
        return None
