"""Fetch the outputs and logs of a finished job: resumable, verified against its manifests, all or nothing."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import Any

from pdm_cli.azure import blobs
from pdm_cli.azure.blobs import Blob
from pdm_cli.azure.client import Session, retry
from pdm_cli.azure.job_spec import OUTPUT
from pdm_cli.azure.jobs import COMPLETED, JobState, read_state
from pdm_cli.azure.wait import describe_end
from pdm_cli.errors import DataError, JobNotFinished, PdmError, RemoteError, UsageError
from pdm_cli.io import manifest, output_folder
from pdm_cli.pipeline.execute import local_folder, read_summary
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.progress import Progress
from pdm_cli.text import plain

SCHEMA = "pdm.fetch/1"
# The service adds this output to every job.
_DEFAULT_OUTPUT = "default"
_MEGABYTE = 10**6
_PARALLEL_DOWNLOADS = 4
# The end of a log, which contains the error.
_LOG_END_BYTES = 64 * 2**10
# Device names on Windows, with any extension: a folder fetched on one system may be used on another.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
# On Windows, backslashes and colons change the path, and the others are not allowed in names.
_FORBIDDEN = re.compile(r'[\\:*?"<>|\t]')
_MAX_NAMES = 5
_SHORT_HASH = 12


@dataclass(frozen=True)
class OutputFile:
    """A file of an output as its manifest lists it."""

    # Path in the output folder, with slashes.
    name: str
    blob: Blob
    sha256: str
    # The output, and the names of its files, for messages.
    where: str
    available: str

    @property
    def facts(self) -> dict[str, Any]:
        """Hash and size, as in a manifest."""
        return {"sha256": self.sha256, "bytes": self.blob.bytes}


@dataclass(frozen=True)
class Output:
    """An output of a job, and the local folder for it."""

    name: str
    folder: Path
    container: blobs.ContainerClient
    files: list[OutputFile]
    # The manifest, as bytes and parsed.
    text: bytes
    content: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.blob.bytes for file in self.files)

    def is_fetched(self) -> bool:
        """Return whether the folder contains this result completely."""
        return _read_manifest(self.folder) == self.text and manifest.is_whole(self.folder, self.content)

    def is_started(self) -> bool:
        """Return whether the folder contains this result, or an interrupted fetch of it."""
        return any(_read_manifest(place) == self.text for place in output_folder.list_places(self.folder))


def fetch_job(
    session: Session, name: str, out: str, *, only: Sequence[str] = (), overwrite: bool = False, screen: Progress
) -> dict[str, Any]:
    """Fetch the outputs of a finished job into ``out``, and its logs into ``out/logs``.

    Parameters
    ----------
    session : Session
        The workspace.
    name : str
        The job.
    out : str
        Folder for the output of a single command, or for one folder per output of a pipeline.
    only : sequence of str
        Names of outputs; empty: all.
    overwrite : bool
        Replace earlier outputs of pdm.
    screen : Progress
        Receives progress and warnings.

    Returns
    -------
    dict
        The JSON object of the command.

    Raises
    ------
    JobNotFinished, JobFailed, JobCancelled
        If the job has not completed; the logs of a failed or cancelled job are fetched first.
    RemoteError
        If there is no such job or output, or an output has no files.
    DataError
        If a file is missing or does not match its manifest; no file was replaced then.
    UsageError
        If ``out`` contains files that may not be replaced.
    """
    target = local_folder("out", out)
    output_folder.check_free(target / output_folder.LOGS_FOLDER, overwrite=True)
    with_retries: Callable[[Callable[[], Any]], Any] = partial(retry, warn=screen.warn)
    state: JobState = with_retries(lambda: read_state(session, name))
    if not state.is_finished:
        raise JobNotFinished(f"job {name}: {state.status}, not finished", hint="wait for it with --wait", job=name)
    if state.status != COMPLETED:
        logs = fetch_logs(session, state, target, screen)
        raise describe_end(state, {step: _read_end(path) for step, path in logs.items()})
    outputs: list[Output] = with_retries(lambda: _find_outputs(session, state, target, only))
    fetched = _receive(outputs, overwrite=overwrite, screen=screen)
    logs = fetch_logs(session, state, target, screen)
    return {
        **{"schema": SCHEMA, "job": name, "out": out, **_read_shown(outputs)},
        "outputs": {output.name: _describe(output, fetched[output.name]) for output in outputs},
        "logs": {step: str(path) for step, path in logs.items()},
    }


def _find_outputs(session: Session, state: JobState, target: Path, only: Sequence[str]) -> list[Output]:
    """Return the selected outputs of a job; nothing is written."""
    addresses = {name: address for name, address in state.outputs.items() if name != _DEFAULT_OUTPUT}
    unknown = [name for name in only if name not in addresses]
    if unknown or not addresses:
        problem = f"no output {unknown[0]}" if unknown else "no outputs"
        raise RemoteError(f"job {state.name}: {problem}; it has: {list_names(addresses)}")
    is_single = list(addresses) == [OUTPUT]
    if not is_single and (target / manifest.MANIFEST_FILE).exists():
        # Its manifest would not list the folders.
        raise UsageError(f"{target}: contains the result of a single command", hint="choose another --out")
    open_container = cache(partial(blobs.open_container, session))
    found = []
    for name in dict.fromkeys(only or addresses):
        folder = target if is_single else target / check_file_name(name, name)
        address = blobs.parse_address(addresses[name] or "")
        container = open_container(address.datastore)
        found.append(_read_output(Output(name, folder, container, [], b"", {}), address, state.name))
    return found


def _read_output(output: Output, address: blobs.Address, job: str) -> Output:
    """Return the output with its manifest and the files that it lists."""
    where = f"output {output.name} of {job}"
    files = map_names(blobs.list_blobs(output.container, address.prefix), address.prefix)
    if not files:
        raise RemoteError(f"{where}: no files in {address.path} of datastore {address.datastore}")
    if manifest.MANIFEST_FILE not in files:
        raise DataError(f"{where}: no {manifest.MANIFEST_FILE}, so it is incomplete; available: {list_names(files)}")
    text, content = blobs.read_manifest(output.container, files[manifest.MANIFEST_FILE], where)
    return Output(output.name, output.folder, output.container, list_files(files, content, where), text, content)


def _receive(outputs: Sequence[Output], *, overwrite: bool, screen: Progress) -> dict[str, int]:
    """Download the outputs, and return how many files of each were fetched."""
    incomplete = [output for output in outputs if not output.is_fetched()]
    for output in outputs:
        if output not in incomplete:
            screen.info(f"fetch-results: {output.folder} is complete, nothing to fetch")
    for output in incomplete:
        # Files of the same result may be completed; anything else needs an empty folder or --overwrite.
        may_replace = overwrite or output.is_started()
        output_folder.check_free(output.folder, overwrite=may_replace, by=output.content.get("command"))
        _warn_changed(output, screen)
    start = time.monotonic()
    fetched = dict.fromkeys((output.name for output in outputs), 0)
    with ExitStack() as stack:
        targets = [stack.enter_context(output_folder.swapped_folder(output.folder)) for output in incomplete]
        kept = [_open_kept(stack, folder, output) for folder, output in zip(targets, incomplete, strict=True)]
        missing = [_reuse_local(output, folder) for output, folder in zip(incomplete, kept, strict=True)]
        _download(list(zip(incomplete, kept, missing, strict=True)), screen)
        for output, folder, target, files in zip(incomplete, kept, targets, missing, strict=True):
            for path in folder.iterdir():
                path.replace(target / path.name)
            (target / manifest.MANIFEST_FILE).write_bytes(output.text)
            fetched[output.name] = len(files)
    for output in incomplete:
        files_text = f"fetched {fetched[output.name]:,} of {len(output.files):,} files to {output.folder}"
        screen.info(f"fetch-results: {files_text} in {time.monotonic() - start:.1f} s")
    return fetched


def _warn_changed(output: Output, screen: Progress) -> None:
    """Warn of files of this result that were changed locally, and will be replaced."""
    if _read_manifest(output.folder) != output.text:
        return
    local = [file for file in output.files if (output.folder / file.name).is_file()]
    changed = [file.name for file in local if find_copy(file, [output.folder]) is None]
    if changed:
        more = f" and {len(changed) - 1:,} more" if len(changed) > 1 else ""
        screen.warn(f"{output.folder / changed[0]}{more}: changed since it was fetched; fetching again")


def _open_kept(stack: ExitStack, target: Path, output: Output) -> Path:
    """Return a folder for partial downloads, which survives an error unless it is empty."""
    folder = output_folder.kept_folder(target, hashlib.sha256(output.text).hexdigest())

    def remove_if_empty() -> None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    stack.callback(remove_if_empty)
    return folder


def _reuse_local(output: Output, kept: Path) -> list[OutputFile]:
    """Copy the files that exist locally, and return the others."""
    missing = []
    places = [kept, *output_folder.list_places(output.folder)]
    for file in output.files:
        copy = find_copy(file, places)
        if copy is None:
            missing.append(file)
        elif copy != kept / file.name:
            (kept / file.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copy, kept / file.name)
    return missing


def _download(batches: Sequence[tuple[Output, Path, list[OutputFile]]], screen: Progress) -> None:
    """Download the missing files of all outputs in parallel."""
    total = sum(file.blob.bytes for _, _, missing in batches for file in missing)
    with screen.track("fetch-results: MB", total // _MEGABYTE) as advance:
        meter = MegabyteMeter(advance)

        def fetch(output: Output, file: OutputFile, path: Path, stopped: Event) -> None:
            def attempt() -> None:
                chunks = until(stopped, blobs.read_chunks(output.container, file.blob))
                store(chunks, path, meter.advance, file)

            retry(attempt, warn=screen.warn, sleep=stopped.wait)

        run_all(
            [partial(fetch, output, file, kept / file.name) for output, kept, missing in batches for file in missing]
        )


def _read_shown(outputs: Sequence[Output]) -> dict[str, Any]:
    """Return the last stage that was fetched, and its summary."""
    folders = {str(output.content.get("command")): output.folder for output in outputs}
    for command, stage in reversed(STAGES.items()):
        if command in folders and (folders[command] / stage.summary).is_file():
            return {"command": command, "summary": read_summary(stage, folders[command])}
    return {"command": None, "summary": None}


def _describe(output: Output, fetched: int) -> dict[str, Any]:
    return {"folder": str(output.folder), "files": len(output.files), "bytes": output.bytes, "fetched": fetched}


def _read_manifest(folder: Path) -> bytes | None:
    try:
        return (folder / manifest.MANIFEST_FILE).read_bytes()
    except OSError:
        return None


def fetch_logs(session: Session, state: JobState, target: Path, screen: Progress) -> dict[str, Path]:
    """Fetch the available logs of a job into ``target/logs``, and return step to file; errors are only warnings."""
    try:
        return retry(lambda: _fetch_logs(session, state, target / output_folder.LOGS_FOLDER), warn=screen.warn)
    except PdmError as error:
        screen.warn(f"logs: {error.message}")
        return {}


def _fetch_logs(session: Session, state: JobState, folder: Path) -> dict[str, Path]:
    container = blobs.open_container(session, blobs.ARTIFACT_STORE)
    found: dict[str, Blob] = {}
    # A reused step has no log.
    for name, run in state.runs().items():
        log = blobs.log_name(run)
        found |= {f"{name}.txt": blob for blob in blobs.list_blobs(container, log) if blob.name == log}
    for name in found:
        check_file_name(name, name)
    logs = {name.removesuffix(".txt"): folder / name for name in found}
    parameters = {"logs": {name: blob.etag for name, blob in found.items()}}
    provenance = manifest.Provenance(
        output_folder.LOGS_COMMAND, parameters, {}, manifest.library_versions(), manifest.code_hash()
    )
    if not found or not manifest.reasons_to_redo(folder, provenance):
        return logs
    with output_folder.output_folder(folder, provenance) as partial_folder:
        for name, blob in found.items():
            store(blobs.read_chunks(container, blob), partial_folder / name, lambda _: None)
    return logs


def _read_end(path: Path) -> str:
    """Return the last lines of a log."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _LOG_END_BYTES))
        return stream.read().decode(errors="replace")


def map_names(found: Iterable[Blob], prefix: str) -> dict[str, Blob]:
    """Return file name to blob for the blobs below ``prefix``, sorted, without leftovers of killed runs."""
    names = {check_file_name(blob.name.removeprefix(prefix), blob.name): blob for blob in found}
    return {name: names[name] for name in sorted(names) if not name.startswith(output_folder.PARTIAL_PREFIX)}


def list_files(files: Mapping[str, Blob], content: Mapping[str, Any], where: str) -> list[OutputFile]:
    """Return the files that the manifest of an output lists, with their blobs; all must exist with their sizes."""
    listed, available = [], list_names(files)
    for name, facts in content["outputs"].items():
        sha256, size = _read_facts(name, facts, where)
        blob = files.get(check_file_name(name, f"{where}: {manifest.MANIFEST_FILE}: {name}"))
        if blob is None or name == manifest.MANIFEST_FILE:
            raise DataError(f"{where}: {name} is missing; available: {available}")
        if blob.bytes != size:
            sizes = f"{name} has {blob.bytes:,} bytes, its manifest lists {size:,}"
            raise DataError(f"{where}: {sizes}; available: {available}")
        listed.append(OutputFile(name, blob, sha256, where, available))
    _check_folders([file.name for file in listed], where)
    return listed


def _read_facts(name: str, facts: Any, where: str) -> tuple[str, int]:
    match facts:
        case {"sha256": str(sha256), "bytes": int(size)}:
            return sha256, size
    raise DataError(f"{where}: {manifest.MANIFEST_FILE}: no sha256 and bytes of {name}")


def _check_folders(names: Sequence[str], where: str) -> None:
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    clash = sorted(folders.intersection(names))
    if clash:
        raise DataError(f"{where}: {manifest.MANIFEST_FILE}: {clash[0]} is a file and a folder")


def list_names(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    known = sorted(names)
    more = f" and {len(known) - _MAX_NAMES:,} more" if len(known) > _MAX_NAMES else ""
    return (", ".join(known[:_MAX_NAMES]) or "none") + more


def check_file_name(name: str, shown: str) -> str:
    """Return ``name`` if it is a valid path of a file in a folder, on every system."""
    if any(_is_bad(part) for part in name.split("/")):
        raise DataError(
            f"blob {shown!r}: not a valid file name; nothing was fetched",
            hint="pdm does not write such names: check who wrote to the datastore",
        )
    return name


def _is_bad(part: str) -> bool:
    # Windows drops a final dot or space; '.' and '..' end in one, too.
    if part == "" or part[-1] in ". ":
        return True
    # Invisible characters imitate other names or control the terminal.
    return bool(_FORBIDDEN.search(part) or _DEVICE.fullmatch(part)) or plain(part) != part


def find_copy(file: OutputFile, places: Iterable[Path]) -> Path | None:
    """Return an identical local file in one of ``places``."""
    for place in places:
        path = place / file.name
        # The size first, to avoid hashing most of the other files.
        if path.is_file() and path.stat().st_size == file.blob.bytes and manifest.hash_file(path) == file.facts:
            return path
    return None


def store(
    chunks: Iterator[bytes], path: Path, advance: Callable[[int], None], expected: OutputFile | None = None
) -> None:
    """Write chunks to a file, and check its hash; after an error remove it, and advance back by its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, received = hashlib.sha256(), 0
    try:
        with path.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                advance(len(chunk))
        if expected is not None and digest.hexdigest() != expected.sha256:
            raise DataError(
                f"{expected.where}: {expected.name}: sha256 {digest.hexdigest()[:_SHORT_HASH]}… does not match its "
                f"manifest, {expected.sha256[:_SHORT_HASH]}…; available: {expected.available}",
                hint="it was changed after the job; no local file was replaced",
            )
    except BaseException:
        path.unlink(missing_ok=True)
        advance(-received)
        raise


class MegabyteMeter:
    """Counts bytes from several threads, and reports whole megabytes; fewer than 0 when a download starts over."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._bytes = 0
        self._lock = Lock()

    def advance(self, count: int) -> None:
        """Add bytes."""
        with self._lock:
            before = self._bytes // _MEGABYTE
            self._bytes += count
            self._report(self._bytes // _MEGABYTE - before)


def run_all(transfers: Sequence[Callable[[Event], object]]) -> None:
    """Run transfers in parallel; the first error or an interrupt stops all through their event (:func:`until`)."""
    stopped = Event()
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        futures = [pool.submit(transfer, stopped) for transfer in transfers]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def until(stopped: Event, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks, and raise ``CancelledError`` once ``stopped`` is set, without requesting another one."""
    _check_running(stopped)
    for chunk in chunks:
        _check_running(stopped)
        yield chunk


def _check_running(stopped: Event) -> None:
    if stopped.is_set():
        raise CancelledError
