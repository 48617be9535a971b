"""Checks of ``pdm doctor``: a list of checks that depend on one another, and those of an Azure ML workspace."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from importlib import metadata
from secrets import token_hex
from typing import TYPE_CHECKING, Literal

from pdm_cli.azure.blobs import open_container
from pdm_cli.azure.client import Session, azure_errors, connect, require_names, status_of
from pdm_cli.azure.job_spec import SERVERLESS
from pdm_cli.azure.submit import find_cluster
from pdm_cli.errors import PdmError, RemoteError
from pdm_cli.settings.model import AzureParams

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

_PACKAGES = ("azure-ai-ml", "azure-identity", "azure-storage-blob")


@dataclass(frozen=True)
class Outcome:
    """The result of a check that did not fail; ``skipped`` if nothing is set up."""

    text: str
    state: Literal["ok", "warning", "skipped"] = "ok"
    hint: str | None = None


@dataclass(frozen=True)
class Check:
    """A named check, which returns a finding or raises a ``PdmError``, and the earlier checks that it needs."""

    name: str
    find: Callable[[], Outcome]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """The outcome of a check, and the exit code of its error (0 if there is none)."""

    name: str
    state: Literal["ok", "warning", "failed", "skipped"]
    text: str
    hint: str | None = None
    exit_code: int = 0


def run_checks(checks: Iterable[Check]) -> list[Result]:
    """Run checks in order; those that need a failed or skipped one are skipped."""
    # Failed or skipped check to the text for the checks that need it.
    blocked: dict[str, str] = {}
    results = []
    for check in checks:
        reason = next((blocked[name] for name in check.needs if name in blocked), None)
        result = _run(check) if reason is None else Result(check.name, "skipped", reason)
        if result.state == "failed":
            blocked[check.name] = f"skipped: {check.name} failed"
        elif result.state == "skipped":
            blocked[check.name] = result.text
        results.append(result)
    return results


def _run(check: Check) -> Result:
    try:
        found = check.find()
    except PdmError as error:
        return Result(check.name, "failed", error.message, error.hint, error.exit_code)
    return Result(check.name, found.state, found.text, found.hint)


def list_checks(read_settings: Callable[[], AzureParams], *, needs: tuple[str, ...] = ()) -> list[Check]:
    """Return the checks of a workspace.

    Parameters
    ----------
    read_settings : callable
        Returns the settings of section azure; called after the checks in ``needs``.
    needs : tuple of str
        Checks that the settings need.
    """

    @functools.cache
    def session() -> Session:
        return connect(read_settings())

    return [
        Check("azure", lambda: check_names(read_settings()), needs),
        Check("azure packages", check_packages, ("azure",)),
        Check("sign-in", lambda: Outcome(f"signed in by {session().auth_method}"), ("azure packages",)),
        Check("workspace", lambda: check_workspace(session()), ("sign-in",)),
        Check("compute", lambda: check_compute(session()), ("workspace",)),
        Check("datastore", lambda: check_datastore(session()), ("workspace",)),
    ]


def check_names(azure: AzureParams) -> Outcome:
    """Check that the settings name a workspace, if Azure is set up at all."""
    if not azure.workspace:
        return Outcome(
            "not set up",
            "skipped",
            "to submit jobs, set subscription_id, resource_group and workspace in section [azure] of pdm-cli.toml",
        )
    require_names(azure)
    return Outcome(f"workspace {azure.workspace} in resource group {azure.resource_group}")


def check_packages() -> Outcome:
    """Check that the Azure packages are installed."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError as exc:
            raise RemoteError(f"{name}: not installed", hint=f"pip install {' '.join(_PACKAGES)}") from exc
    return Outcome(", ".join(found))


def check_workspace(session: Session) -> Outcome:
    """Check that the workspace exists and may be read."""
    name = session.azure.workspace
    try:
        with azure_errors(f"workspace {name}"):
            found = session.client.workspaces.get(name)
    except RemoteError as error:
        if status_of(error) == HTTPStatus.NOT_FOUND:
            error.hint = "check --workspace, --resource-group and --subscription-id"
        raise
    return Outcome(f"{name} in {found.location}")


def check_compute(session: Session) -> Outcome:
    """Check the compute that jobs would run on."""
    azure = session.azure
    if azure.compute == SERVERLESS:
        return Outcome(f"serverless: {azure.vm_size}, no cluster needed")
    found = find_cluster(session)
    if found is None:
        scale = f"{azure.vm_size}, {azure.min_nodes} to {azure.max_nodes} nodes"
        return _warn_cost(f"{azure.compute}: not found; pdm submit creates it: {scale}", azure.min_nodes)
    state = getattr(found.provisioning_state, "value", found.provisioning_state)
    if state == "Failed":
        raise RemoteError(
            f"compute {azure.compute}: creation failed",
            hint="see the reason on its page in the studio, or choose another --compute",
        )
    minimum = int(found.min_instances or 0)
    return _warn_cost(f"{azure.compute}: {state}, {found.size}, {minimum} to {found.max_instances} nodes", minimum)


def _warn_cost(text: str, minimum: int) -> Outcome:
    if not minimum:
        return Outcome(text)
    return Outcome(text, "warning", f"{minimum} nodes are billed even when idle: set the minimum to 0")


def check_datastore(session: Session) -> Outcome:
    """Check that outputs can be written, by writing and deleting a blob."""
    from azure.core.exceptions import AzureError

    name = session.azure.datastore
    container = open_container(session, name)
    probe = container.get_blob_client(f"pdm/.doctor-{token_hex(8)}")
    try:
        with azure_errors(f"datastore {name}: writing a blob"):
            try:
                # A request repeated after a lost response finds its own blob.
                probe.upload_blob(b"", overwrite=True)
            except BaseException:
                # If only the response was lost, the blob exists.
                with suppress(AzureError):
                    probe.delete_blob()
                raise
        _delete(probe, name)
    except RemoteError as error:
        if status_of(error) == HTTPStatus.FORBIDDEN:
            error.hint = "writing needs the Storage Blob Data Contributor role on the storage account"
        raise
    return Outcome(f"{name}: container {container.container_name} is writable")


def _delete(probe: BlobClient, datastore: str) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    # A request repeated after a lost response finds the blob deleted.
    with azure_errors(f"datastore {datastore}: deleting {probe.blob_name}"), suppress(ResourceNotFoundError):
        probe.delete_blob()
