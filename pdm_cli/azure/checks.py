"""What jobs need of Azure ML, looked at piece by piece."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from importlib import metadata
from secrets import token_hex
from typing import TYPE_CHECKING

from pdm_cli.azure.blobs import open_container
from pdm_cli.azure.checklist import Check, Finding
from pdm_cli.azure.client import Session, connect, require_names, status_of, translated
from pdm_cli.azure.job_spec import SERVERLESS
from pdm_cli.azure.submit import find_cluster
from pdm_cli.errors import RemoteError
from pdm_cli.settings.model import AzureParams

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

_PACKAGES = ("azure-ai-ml", "azure-identity", "azure-storage-blob")


def list_checks(read_settings: Callable[[], AzureParams], *, needs: tuple[str, ...] = ()) -> list[Check]:
    """Return the checks of a workspace, from the settings to the datastore.

    Parameters
    ----------
    read_settings : callable
        Returns the settings of section azure; called once ``needs`` are fulfilled.
    needs : tuple of str
        Names of the checks that the settings rest on.
    """

    @functools.cache
    def session() -> Session:
        return connect(read_settings())

    return [
        Check("azure", lambda: check_names(read_settings()), needs),
        Check("azure packages", check_packages, ("azure",)),
        Check("sign-in", lambda: Finding(f"signed in by {session().way}"), ("azure packages",)),
        Check("workspace", lambda: check_workspace(session()), ("sign-in",)),
        Check("compute", lambda: check_compute(session()), ("workspace",)),
        Check("datastore", lambda: check_datastore(session()), ("workspace",)),
    ]


def check_names(azure: AzureParams) -> Finding:
    """See whether there is a workspace to look at."""
    if not azure.workspace:
        return Finding(
            "not set up",
            "skipped",
            "to submit jobs, set subscription_id, resource_group and workspace in section [azure] of pdm-cli.toml",
        )
    require_names(azure)
    return Finding(f"workspace {azure.workspace} of resource group {azure.resource_group}")


def check_packages() -> Finding:
    """See whether Azure's packages are installed."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError as exc:
            raise RemoteError(f"{name}: not installed", hint=f"pip install {' '.join(_PACKAGES)}") from exc
    return Finding(", ".join(found))


def check_workspace(session: Session) -> Finding:
    """See whether the workspace is there and may be read."""
    name = session.azure.workspace
    try:
        with translated(f"workspace {name}"):
            found = session.client.workspaces.get(name)
    except RemoteError as error:
        if status_of(error) == HTTPStatus.NOT_FOUND:
            error.hint = "check --workspace, --resource-group and --subscription-id"
        raise
    return Finding(f"{name} in {found.location}")


def check_compute(session: Session) -> Finding:
    """See what the jobs would run on."""
    azure = session.azure
    if azure.compute == SERVERLESS:
        return Finding(f"serverless: {azure.vm_size}, no cluster needed")
    found = find_cluster(session)
    if found is None:
        scale = f"{azure.vm_size}, {azure.min_nodes} to {azure.max_nodes} nodes"
        return _mind_cost(f"{azure.compute}: missing: made on submit: {scale}", azure.min_nodes)
    state = getattr(found.provisioning_state, "value", found.provisioning_state)
    if state == "Failed":
        raise RemoteError(
            f"compute {azure.compute}: could not be made", hint="its page in the studio says why; or another --compute"
        )
    least = int(found.min_instances or 0)
    return _mind_cost(f"{azure.compute}: {state}, {found.size}, {least} to {found.max_instances} nodes", least)


def _mind_cost(text: str, least: int) -> Finding:
    if not least:
        return Finding(text)
    return Finding(text, "warning", f"{least} of its nodes cost money while they do nothing: set its minimum to 0")


def check_datastore(session: Session) -> Finding:
    """See whether outputs can be written; what is written to find out is deleted at once."""
    from azure.core.exceptions import AzureError

    name = session.azure.datastore
    container = open_container(session, name)
    probe = container.get_blob_client(f"pdm/.doctor-{token_hex(8)}")
    try:
        with translated(f"datastore {name}: writing a blob"):
            try:
                # Sent again after a lost answer, it finds itself.
                probe.upload_blob(b"", overwrite=True)
            except BaseException:
                # It may be there all the same, if only the answer was lost.
                with suppress(AzureError):
                    probe.delete_blob()
                raise
        _delete(probe, name)
    except RemoteError as error:
        if status_of(error) == HTTPStatus.FORBIDDEN:
            error.hint = "the role Storage Blob Data Contributor on the storage account allows it"
        raise
    return Finding(f"{name}: container {container.container_name} can be written")


def _delete(probe: BlobClient, datastore: str) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    # Asked again after a lost answer, it is gone already.
    with translated(f"datastore {datastore}: deleting {probe.blob_name}"), suppress(ResourceNotFoundError):
        probe.delete_blob()
