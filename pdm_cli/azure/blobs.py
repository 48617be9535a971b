"""Blobs of a workspace's datastores: addresses, listing, reading."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pdm_cli.azure.client import Session, status_of, translated
from pdm_cli.azure.download import Blob
from pdm_cli.errors import DataError, RemoteError
from pdm_cli.io import manifest

if TYPE_CHECKING:
    from azure.ai.ml.entities import AzureBlobDatastore
    from azure.storage.blob import ContainerClient as ContainerClient

# Where the service keeps the logs of all jobs.
ARTIFACT_STORE = "workspaceartifactstore"

_ADDRESS = re.compile(
    r"azureml://(subscriptions/(?P<subscription_id>[^/]+)/resourcegroups/(?P<resource_group>[^/]+)/(providers/[^/]+/)?"
    r"workspaces/(?P<workspace>[^/]+)/)?datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)",
    re.IGNORECASE,
)
# Every file under way holds a few pieces of this size in memory.
_PIECE_BYTES = 2 * 2**20
# Seconds without a byte after which a connection is taken for dropped.
_READ_SECONDS = 30
# What has become of a blob that is asked for as it was listed.
_LOST: dict[int | None, str] = {HTTPStatus.PRECONDITION_FAILED: "changed", HTTPStatus.NOT_FOUND: "deleted"}
# More than any manifest or summary has.
_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Address:
    """A folder in a datastore.

    Attributes
    ----------
    datastore : str
        Name of the datastore.
    path : str
        Path in its container; without slash at either end.
    """

    datastore: str
    path: str

    @property
    def prefix(self) -> str:
        """What the names of all blobs in the folder begin with."""
        return f"{self.path}/" if self.path else ""

    def __str__(self) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{self.prefix}"


def parse_address(text: str) -> Address:
    """Read an ``azureml://`` address, short or with the subscription, resource group and workspace.

    Raises
    ------
    DataError
        If it is not the address of a path in a datastore.

    Examples
    --------
    >>> parse_address("azureml://datastores/store/paths/pdm/job/out/")
    Address(datastore='store', path='pdm/job/out')
    """
    return _read_address(_match(text))


def locate(session: Session, text: str) -> Address:
    """Read an ``azureml://`` address of the workspace that one is signed in to.

    Raises
    ------
    DataError
        If it is not the address of a path in a datastore, or one of another workspace.
    """
    match = _match(text)
    for name in ("subscription_id", "resource_group", "workspace"):
        if match[name] and match[name].lower() != getattr(session.azure, name).lower():
            raise DataError(f"{name} {match[name]}: not the one that one is signed in to")
    return _read_address(match)


def log_address(run: str) -> str:
    """Return the name of the blob in the artifact store that holds what a command job or a step printed."""
    return f"ExperimentRun/dcid.{run}/user_logs/std_log.txt"


def open_container(session: Session, datastore: str) -> ContainerClient:
    """Return a client of the container behind a datastore.

    The secrets of the datastore, a key or a shared access signature, never leave the client; where the datastore has
    none, one reads as who is signed in.

    Raises
    ------
    RemoteError
        If the workspace has no such datastore, or it is no blob container.
    """
    from azure.ai.ml.entities import AzureBlobDatastore
    from azure.storage.blob import ContainerClient, ExponentialRetry

    with translated(f"datastore {datastore}"):
        store = session.client.datastores.get(datastore, include_secrets=True)
    if not isinstance(store, AzureBlobDatastore):
        raise RemoteError(f"datastore {datastore}: not a container of blobs", hint="--datastore names another one")
    return ContainerClient(
        f"{store.protocol or 'https'}://{store.account_name}.blob.{store.endpoint or 'core.windows.net'}",
        store.container_name,
        credential=_find_credential(store, session),
        max_single_get_size=_PIECE_BYTES,
        max_chunk_get_size=_PIECE_BYTES,
        read_timeout=_READ_SECONDS,
        # The client's own waits 15 s before it asks again.
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, random_jitter_range=1),
    )


def list_blobs(container: ContainerClient, prefix: str) -> list[Blob]:
    """Return the blobs whose names begin with ``prefix``, sorted by name."""
    with translated(f"container {container.container_name}"):
        found = [Blob(blob.name, blob.size, blob.etag) for blob in container.list_blobs(name_starts_with=prefix)]
    # Where a store has real folders, it lists them as blobs of no bytes.
    folders = {blob.name.rpartition("/")[0] for blob in found}
    return sorted((blob for blob in found if blob.bytes or blob.name not in folders), key=lambda blob: blob.name)


def read_blob(container: ContainerClient, blob: Blob) -> bytes:
    """Return a small blob whole.

    Raises
    ------
    DataError
        If it has more than 16 MiB, or was changed since it was listed.
    """
    if blob.bytes > _MOST_BYTES:
        raise DataError(f"blob {blob.name}: {blob.bytes:,} bytes, wanted at most {_MOST_BYTES:,}")
    return b"".join(read_pieces(container, blob))


def read_manifest(container: ContainerClient, blob: Blob, where: str) -> tuple[bytes, dict[str, Any]]:
    """Return the manifest of an output, byte for byte and parsed.

    Parameters
    ----------
    container : ContainerClient
        Where it is.
    blob : Blob
        The manifest.
    where : str
        The output, for messages.

    Raises
    ------
    DataError
        If it is no manifest, or as for :func:`read_blob`.
    """
    text = read_blob(container, blob)
    content = manifest.parse(text)
    if content is None:
        raise DataError(f"{where}: {manifest.MANIFEST_FILE}: damaged, or not written by pdm")
    return text, content


def read_pieces(container: ContainerClient, blob: Blob) -> Iterator[bytes]:
    """Give the bytes of a blob piece by piece.

    Raises
    ------
    DataError
        If it was changed or deleted since it was listed.
    """
    from azure.core import MatchConditions

    with _named(blob), translated(f"blob {blob.name}"):
        # Every later piece is asked for with the same condition by the client itself.
        stream = container.download_blob(blob.name, etag=blob.etag, match_condition=MatchConditions.IfNotModified)
        yield from stream.chunks()


def copy_blob(container: ContainerClient, blob: Blob, name: str, *, sha256: str | None) -> None:
    """Copy a blob within its container.

    Raises
    ------
    DataError
        If it was changed since it was listed, or has not the hash that is wanted.
    """
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for piece in read_pieces(container, blob):
            digest.update(piece)
            yield piece
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DataError(f"blob {blob.name}: not the file that its manifest lists", hint="it was changed afterwards")

    with translated(f"blob {name}"):
        container.upload_blob(name, pieces(), length=blob.bytes, overwrite=True)


def _match(text: str) -> re.Match[str]:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise DataError(f"{text}: not the address of a path in a datastore")
    return match


def _read_address(match: re.Match[str]) -> Address:
    return Address(match["datastore"], match["path"].strip("/"))


@contextmanager
def _named(blob: Blob) -> Iterator[None]:
    """Say that a blob was changed, where Azure says only that a condition is not met."""
    try:
        yield
    except RemoteError as exc:
        what = _LOST.get(status_of(exc))
        if what is None:
            raise
        raise DataError(
            f"blob {blob.name}: was {what} while it was fetched", hint="fetch again when nobody writes to it"
        ) from exc


def _find_credential(store: AzureBlobDatastore, session: Session) -> Any:
    from azure.ai.ml.entities import AccountKeyConfiguration, SasTokenConfiguration
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    secret = store.credentials
    if isinstance(secret, AccountKeyConfiguration) and secret.account_key:
        return AzureNamedKeyCredential(store.account_name, secret.account_key)
    if isinstance(secret, SasTokenConfiguration) and secret.sas_token:
        return AzureSasCredential(secret.sas_token)
    return session.credential


def fingerprint_address(session: Session, source: str) -> str:
    """Return one SHA-256 over the names, sizes and etags of the files behind an address.

    A file that is written again has another etag than ever before. So data that was changed is never taken for what
    it was; the same bytes written anew count as changed, too.

    Parameters
    ----------
    session : Session
        The workspace.
    source : str
        ``azureml://…``, or a data asset ``azureml:NAME:VERSION``: its version is fixed, the files behind it are not.

    Raises
    ------
    DataError
        If it is no address of a path in a datastore of this workspace, or there are no files.
    RemoteError
        If there is no such asset or datastore, or it cannot be listed.
    """
    address = _find_address(session, source)
    blobs = list_blobs(open_container(session, address.datastore), address.prefix)
    if not blobs:
        raise DataError(f"no files in {address.path} of datastore {address.datastore}")
    listing = [(blob.name, blob.bytes, blob.etag) for blob in blobs]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _find_address(session: Session, source: str) -> Address:
    if source.startswith("azureml://"):
        return locate(session, source)
    name, _, version = source.removeprefix("azureml:").partition(":")
    with translated(f"data asset {name}:{version}"):
        path = session.client.data.get(name, version=version).path
    return locate(session, str(path))
