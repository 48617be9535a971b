"""Submit a job: check or create what it needs, upload its inputs and code, and send it."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from pdm_cli import __version__
from pdm_cli.azure import environment
from pdm_cli.azure.blobs import fingerprint_address, open_container
from pdm_cli.azure.client import Session, azure_errors
from pdm_cli.azure.environment import Environment
from pdm_cli.azure.job_spec import CONTENT_TAG, SERVERLESS, Job, Step, make_document
from pdm_cli.azure.jobs import FINISHED, status_text
from pdm_cli.azure.upload import Upload, find_staged_code, staged
from pdm_cli.errors import DataError, RemoteError, UsageError
from pdm_cli.io import manifest
from pdm_cli.progress import Progress
from pdm_cli.settings.model import AzureParams
from pdm_cli.text import plain, show_count

if TYPE_CHECKING:
    from azure.ai.ml.entities import AmlCompute
    from azure.storage.blob import BlobClient

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_LATEST = "@latest"
# Not in the folders of shared outputs, so that claims are not fetched with them.
_CLAIMS = "pdm/claims"
# A job exists once all its inputs are uploaded. A claim without a job this old was abandoned.
_LONGEST_UPLOAD = timedelta(days=1)


@dataclass(frozen=True)
class Order:
    """A command to submit, with its inputs as the user gave them."""

    command: str
    steps: tuple[Step, ...]
    # Input port to local files, or to an address or data asset of Azure ML.
    sources: dict[str, Upload | str]
    azure: AzureParams
    environment: Environment
    # Empty: a new name.
    name: str = ""
    # Empty: the command.
    display_name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    force_rerun: bool = False
    # Input port to a fingerprint of the files at its address.
    contents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name and not _JOB_NAME.fullmatch(self.name):
            raise UsageError(
                f"--name {self.name}: not a valid job name", hint="use letters, digits, - and _, at most 255 characters"
            )

    def make_job(self) -> Job:
        """Return the job."""
        azure = self.azure
        return Job(
            name=self.name or f"pdm-{self.command}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(3)}",
            command=self.command,
            steps=self.steps,
            inputs=self._fingerprints(),
            code=manifest.code_hash(),
            environment=f"{environment.NAME}:{self.environment.version}",
            compute=azure.compute,
            vm_size=azure.vm_size,
            datastore=azure.datastore,
            experiment=azure.experiment,
            display_name=self.display_name or f"pdm {self.command}",
            tags=self.tags,
            force_rerun=self.force_rerun,
            version=__version__,
        )

    def _fingerprints(self) -> dict[str, str]:
        prints = {port: fingerprint(source) for port, source in self.sources.items()}
        return {**prints, **{port: f"{prints[port]} {content}" for port, content in self.contents.items()}}

    def uploads(self) -> dict[str, Upload]:
        """Return the ports whose files are uploaded."""
        return {port: source for port, source in self.sources.items() if not isinstance(source, str)}

    def paths(self, folders: Mapping[str, str]) -> dict[str, str]:
        """Return for each port its address, or its folder in ``folders``."""
        return {port: source if isinstance(source, str) else folders[port] for port, source in self.sources.items()}


def fingerprint(source: Upload | str) -> str:
    """Return the SHA-256 of the names and bytes of local files; an address unchanged."""
    if isinstance(source, str):
        return source
    # The manifest is uploaded, too, but it records when and where the files were written, which has no effect.
    files = [path for path in source.files if path.name != manifest.MANIFEST_FILE]
    return hashlib.sha256(json.dumps(manifest.hash_files(source.folder, files)).encode()).hexdigest()


@dataclass(frozen=True)
class Submitted:
    """A submitted job, the addresses of its page and outputs, and its status if it had been submitted before."""

    job: Job
    url: str
    outputs: dict[str, str]
    earlier_status: str = ""


def submit_order(
    session: Session,
    order: Order,
    progress: Progress,
    *,
    create_compute: bool,
    before_sending: Callable[[], object] = lambda: None,
) -> Submitted:
    """Submit a job, unless one with its name and content exists.

    Parameters
    ----------
    session : Session
        The workspace.
    order : Order
        The job.
    progress : Progress
        Receives progress and warnings.
    create_compute : bool
        Create the cluster if it is missing.
    before_sending : callable
        Last check before anything is created, uploaded or sent.

    Raises
    ------
    UsageError
        If a job with that name and other content exists.
    RemoteError
        If anything that the job needs does not exist or cannot be created.
    """
    require_workspace(session)
    order = replace(order, sources={port: resolve_asset(session, source) for port, source in order.sources.items()})
    order = replace(order, contents=_fingerprint_addresses(session, order, progress))
    job = order.make_job()
    found = find_job(session, order.name) if order.name else None
    if found is None:
        before_sending()
        return _send(session, order, job, progress, create_compute=create_compute)
    if found.content != job.content():
        raise UsageError(
            f"--name {job.name}: this job exists with other data, settings or code", hint="choose another --name"
        )
    return Submitted(job, found.url, {name: found.outputs.get(name, "") for name in job.outputs()}, found.status)


def _fingerprint_addresses(session: Session, order: Order, progress: Progress) -> dict[str, str]:
    """Return for each input on Azure a fingerprint of its current files."""
    contents = {}
    for port, source in order.sources.items():
        if isinstance(source, str):
            try:
                contents[port] = fingerprint_address(session, source)
            except (DataError, RemoteError) as error:
                # Unique: every step that reads it runs, and writes to a path of its own.
                contents[port] = f"unknown {token_hex(16)}"
                progress.warn(f"--{port} {source}: cannot list its files, so it counts as changed: {error.message}")
    return contents


def _send(session: Session, order: Order, job: Job, progress: Progress, *, create_compute: bool) -> Submitted:
    """Check or create what the job needs, upload, and submit."""
    require_datastore(session)
    require_compute(session, progress, may_create=create_compute)
    address = require_environment(session, order.environment, progress)
    job = _claim_outputs(session, job, progress)
    uploads = order.uploads()
    for port, upload in uploads.items():
        files = show_count(len(upload.files), "file")
        progress.info(f"submit: --{port}: uploading {files}, {upload.size / 1e6:.1f} MB, unless already uploaded")
    with staged(uploads) as folders:
        document = make_document(job, paths=order.paths(folders), code=find_staged_code(), environment=address)
        url = send(session, document)
    progress.info(f"submit: {job.name}: {url}")
    return Submitted(job, url, job.outputs())


def require_workspace(session: Session) -> None:
    """Check that the workspace exists: without it, every other request fails with a misleading error."""
    from azure.core.exceptions import ResourceNotFoundError

    azure = session.azure
    with azure_errors(f"workspace {azure.workspace}"):
        try:
            session.client.workspaces.get(azure.workspace)
        except ResourceNotFoundError as exc:
            raise RemoteError(
                f"workspace {azure.workspace}: not found in resource group {azure.resource_group}",
                hint="check --workspace, --resource-group and --subscription-id; pdm doctor shows what is configured",
            ) from exc


def require_datastore(session: Session) -> None:
    """Check that the datastore for the outputs exists, rather than find out after the work is done."""
    name = session.azure.datastore
    with azure_errors(f"datastore {name}"):
        session.client.datastores.get(name)


def require_compute(session: Session, progress: Progress, *, may_create: bool) -> None:
    """Check that the cluster exists, or create it."""
    name = session.azure.compute
    if name == SERVERLESS or find_cluster(session) is not None:
        return
    if not may_create:
        hint = "drop --no-create-compute to create it, or use --compute serverless"
        raise RemoteError(f"compute {name}: not found", hint=hint)
    _create_cluster(session, progress)


def find_cluster(session: Session) -> AmlCompute | None:
    """Return the cluster of the settings, if it exists; other compute with its name is an error."""
    from azure.ai.ml.entities import AmlCompute
    from azure.core.exceptions import ResourceNotFoundError

    name = session.azure.compute
    with azure_errors(f"compute {name}"):
        try:
            found = session.client.compute.get(name)
        except ResourceNotFoundError:
            return None
    if not isinstance(found, AmlCompute):
        raise RemoteError(f"compute {name}: is {found.type}, expected AmlCompute", hint="--compute takes a cluster")
    return found


def _create_cluster(session: Session, progress: Progress) -> None:
    from azure.ai.ml.entities import AmlCompute

    azure = session.azure
    progress.info(
        f"submit: compute {azure.compute}: creating {azure.vm_size}, {azure.min_nodes} to {azure.max_nodes} nodes, "
        f"scaled down after {azure.idle_seconds} s idle"
    )
    cluster = AmlCompute(
        name=azure.compute,
        size=azure.vm_size,
        min_instances=azure.min_nodes,
        max_instances=azure.max_nodes,
        idle_time_before_scale_down=azure.idle_seconds,
    )
    with azure_errors(f"creating compute {azure.compute}"):
        session.client.compute.begin_create_or_update(cluster).result()


def require_environment(session: Session, expected: Environment, progress: Progress) -> str:
    """Create the environment if it does not exist, and return its address."""
    from azure.ai.ml import load_environment
    from azure.core.exceptions import ResourceNotFoundError

    name, version = environment.NAME, expected.version
    with azure_errors(f"environment {name}"):
        try:
            session.client.environments.get(name, version=version)
        except ResourceNotFoundError:
            progress.info(f"submit: environment {name}:{version}: creating")
            definition = {"name": name, "version": version, **expected.definition()}
            session.client.environments.create_or_update(load_environment(_as_file(definition)))
    return f"azureml:{name}:{version}"


def resolve_asset(session: Session, source: Upload | str) -> Upload | str:
    """Return a data asset with its version, since the latest may change; any other source unchanged."""
    if not isinstance(source, str) or source.startswith("azureml://"):
        return source
    asset = source.removeprefix("azureml:")
    name, _, version = asset.removesuffix(_LATEST).partition(":")
    selector = {"version": version} if version else {"label": "latest"}
    with azure_errors(f"data asset {asset}"):
        return f"azureml:{name}:{session.client.data.get(name, **selector).version}"


@dataclass(frozen=True)
class FoundJob:
    """An existing job; its content is empty if pdm did not submit it."""

    content: str
    url: str
    outputs: dict[str, str]
    status: str


def find_job(session: Session, name: str) -> FoundJob | None:
    """Return the job with a name, if it exists."""
    from azure.core.exceptions import ResourceNotFoundError

    with azure_errors(f"job {name}"):
        try:
            job = session.client.jobs.get(name)
        except ResourceNotFoundError:
            return None
    outputs = {key: str(value.path) for key, value in (job.outputs or {}).items() if getattr(value, "path", None)}
    return FoundJob(str((job.tags or {}).get(CONTENT_TAG, "")), str(job.studio_url or ""), outputs, status_text(job))


def send(session: Session, document: Mapping[str, Any]) -> str:
    """Upload the inputs and code of a job and submit it; return the address of its page in the studio."""
    from azure.ai.ml import load_job
    from azure.core.exceptions import ResourceExistsError

    # Hide the client's progress bars.
    quiet = nullcontext() if session.shows_uploads else redirect_stderr(io.StringIO())
    with azure_errors(f"job {document['name']}"), quiet:
        try:
            job = session.client.jobs.create_or_update(load_job(_as_file(document)))
        except ResourceExistsError:
            # Another submission was uploading the same files.
            job = session.client.jobs.create_or_update(load_job(_as_file(document)))
    return str(job.studio_url or "")


def _as_file(document: Mapping[str, Any]) -> io.StringIO:
    import yaml

    return io.StringIO(yaml.safe_dump(dict(document), sort_keys=False))


def _claim_outputs(session: Session, job: Job, progress: Progress) -> Job:
    """Return the job with output paths that no other job writes to meanwhile."""
    if not job.shares_outputs:
        return job
    try:
        holder = claim(session, job.datastore, job.keys().values(), job.name)
        reason = f"{holder} with the same content is running"
    except RemoteError as error:
        holder, reason = "", error.message
    if holder is None:
        return job
    progress.info(f"submit: reusing no steps, with separate output paths: {reason}")
    return replace(job, has_own_outputs=True)


def claim(session: Session, datastore: str, keys: Iterable[str], job: str) -> str | None:
    """Claim shared output paths for a job that is about to be sent: only one job at a time writes there.

    A claim is a small blob with the name of the job. Azure lets only one of several concurrent callers create a blob
    that must not exist, so two submissions cannot both get the claim. Returns the other job that has one of the paths,
    or ``None``: all are claimed until the job ends.
    """
    container = open_container(session, datastore)
    for key in keys:
        holder = _claim(session, container.get_blob_client(f"{_CLAIMS}/{key}"), job)
        if holder != job:
            return holder
    return None


def is_lapsed(holder: FoundJob | None, claimed: datetime, now: datetime) -> bool:
    """Return whether a claim has lapsed: its job has ended, or was never sent. Both times have a time zone."""
    if holder is not None:
        return holder.status in FINISHED
    return now - claimed > _LONGEST_UPLOAD


def _claim(session: Session, blob: BlobClient, job: str) -> str:
    """Return the job that has a claim: the given one, unless another had it before and is not finished."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

    with azure_errors(f"claim {blob.blob_name}"):
        try:
            blob.upload_blob(job.encode(), overwrite=False)
            return job
        except ResourceExistsError:
            found = blob.download_blob()
            holder = plain(found.readall().decode(errors="replace"))
    # A request repeated after a lost response finds its own claim.
    if holder == job or not is_lapsed(find_job(session, holder), found.properties.last_modified, datetime.now(UTC)):
        return holder
    with azure_errors(f"claim {blob.blob_name}"):
        try:
            etag, unchanged = found.properties.etag, MatchConditions.IfNotModified
            blob.upload_blob(job.encode(), overwrite=True, etag=etag, match_condition=unchanged)
        except ResourceModifiedError:
            # Another submission was faster.
            return holder
    return job
