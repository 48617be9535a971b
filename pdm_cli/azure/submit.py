"""Sending a job: the cluster and the environment are looked up first, and made when missing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdm_cli.azure import environment
from pdm_cli.azure.client import Session, translated
from pdm_cli.azure.environment import Environment
from pdm_cli.azure.job_spec import CONTENT_TAG, SERVERLESS
from pdm_cli.azure.jobs import tell_status
from pdm_cli.azure.upload import Upload
from pdm_cli.errors import RemoteError
from pdm_cli.progress import Progress

if TYPE_CHECKING:
    from azure.ai.ml.entities import AmlCompute

_LATEST = "@latest"


def require_workspace(session: Session) -> None:
    """Look the workspace up: all that is asked for in one that is not there is not there either.

    Raises
    ------
    RemoteError
        If there is no such workspace.
    """
    from azure.core.exceptions import ResourceNotFoundError

    azure = session.azure
    with translated(f"workspace {azure.workspace}"):
        try:
            session.client.workspaces.get(azure.workspace)
        except ResourceNotFoundError as exc:
            raise RemoteError(
                f"workspace {azure.workspace}: not found in resource group {azure.resource_group}",
                hint="check --workspace, --resource-group and --subscription-id; pdm doctor tells where they come from",
            ) from exc


def require_datastore(session: Session) -> None:
    """Look the datastore of the outputs up, rather than find out when the work is done.

    Raises
    ------
    RemoteError
        If there is no such datastore.
    """
    name = session.azure.datastore
    with translated(f"datastore {name}"):
        session.client.datastores.get(name)


def require_compute(session: Session, progress: Progress, *, may_create: bool) -> None:
    """Look the cluster up, and make it when missing, if that is allowed.

    Raises
    ------
    RemoteError
        If what has that name is no cluster, or none can be made.
    """
    name = session.azure.compute
    if name == SERVERLESS or find_cluster(session) is not None:
        return
    if not may_create:
        raise RemoteError(f"compute {name}: not found", hint="without --no-create-compute it is made; or serverless")
    _make_cluster(session, progress)


def find_cluster(session: Session) -> AmlCompute | None:
    """Look the cluster of the settings up; ``None`` if it is missing.

    Raises
    ------
    RemoteError
        If what has that name is no cluster.
    """
    from azure.ai.ml.entities import AmlCompute
    from azure.core.exceptions import ResourceNotFoundError

    name = session.azure.compute
    with translated(f"compute {name}"):
        try:
            found = session.client.compute.get(name)
        except ResourceNotFoundError:
            return None
    if not isinstance(found, AmlCompute):
        raise RemoteError(f"compute {name}: is {found.type}, wanted AmlCompute", hint="--compute names a cluster")
    return found


def _make_cluster(session: Session, progress: Progress) -> None:
    from azure.ai.ml.entities import AmlCompute

    azure = session.azure
    progress.info(
        f"submit: compute {azure.compute}: missing, making it: {azure.vm_size}, {azure.min_nodes} to "
        f"{azure.max_nodes} nodes, idle {azure.idle_seconds} s"
    )
    cluster = AmlCompute(
        name=azure.compute,
        size=azure.vm_size,
        min_instances=azure.min_nodes,
        max_instances=azure.max_nodes,
        idle_time_before_scale_down=azure.idle_seconds,
    )
    with translated(f"making compute {azure.compute}"):
        session.client.compute.begin_create_or_update(cluster).result()


def require_environment(session: Session, wanted: Environment, progress: Progress) -> str:
    """Look the environment up, make it when missing, and return its address."""
    from azure.ai.ml import load_environment
    from azure.core.exceptions import ResourceNotFoundError

    address = f"azureml:{environment.NAME}:{wanted.version}"
    with translated(f"environment {environment.NAME}"):
        try:
            session.client.environments.get(environment.NAME, version=wanted.version)
        except ResourceNotFoundError:
            progress.info(f"submit: environment {environment.NAME}:{wanted.version}: missing, making it")
            definition = {"name": environment.NAME, "version": wanted.version, **wanted.definition()}
            session.client.environments.create_or_update(load_environment(_as_file(definition)))
    return address


def resolve_asset(session: Session, source: Upload | str) -> Upload | str:
    """Look a data asset up, and return it with its version: what is latest now is not what is latest later.

    Parameters
    ----------
    session : Session
        The workspace.
    source : Upload or str
        ``azureml:NAME@latest`` or ``azureml:NAME:VERSION``; anything else is returned as it is.

    Raises
    ------
    RemoteError
        If there is no such asset.
    """
    if not isinstance(source, str) or source.startswith("azureml://"):
        return source
    asset = source.removeprefix("azureml:")
    name, _, version = asset.removesuffix(_LATEST).partition(":")
    wanted = {"version": version} if version else {"label": "latest"}
    with translated(f"data asset {asset}"):
        return f"azureml:{name}:{session.client.data.get(name, **wanted).version}"


@dataclass(frozen=True)
class Found:
    """A job that is there already.

    Attributes
    ----------
    content : str
        Fingerprint of what it was made of; empty if pdm did not make it.
    url : str
        Its page in the studio.
    outputs : dict of str to str
        Their addresses.
    status : str
        How it stands.
    """

    content: str
    url: str
    outputs: dict[str, str]
    status: str


def find_job(session: Session, name: str) -> Found | None:
    """Look a job up by its name."""
    from azure.core.exceptions import ResourceNotFoundError

    with translated(f"job {name}"):
        try:
            job = session.client.jobs.get(name)
        except ResourceNotFoundError:
            return None
    outputs = {key: str(value.path) for key, value in (job.outputs or {}).items() if getattr(value, "path", None)}
    return Found(str((job.tags or {}).get(CONTENT_TAG, "")), str(job.studio_url or ""), outputs, tell_status(job))


def send(session: Session, document: Mapping[str, Any]) -> str:
    """Upload what the job needs and submit it; return the address of its page in the studio."""
    from azure.ai.ml import load_job
    from azure.core.exceptions import ResourceExistsError

    # The bars of the client.
    quiet = nullcontext() if session.shows_uploads else redirect_stderr(io.StringIO())
    with translated(f"job {document['name']}"), quiet:
        try:
            job = session.client.jobs.create_or_update(load_job(_as_file(document)))
        except ResourceExistsError:
            # Another submission was uploading the same files at the same time.
            job = session.client.jobs.create_or_update(load_job(_as_file(document)))
    return str(job.studio_url or "")


def _as_file(document: Mapping[str, Any]) -> io.StringIO:
    import yaml

    return io.StringIO(yaml.safe_dump(dict(document), sort_keys=False))
