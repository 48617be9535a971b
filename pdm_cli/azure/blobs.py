"""Blobs of a workspace's datastores: addresses, listing, reading, copying."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pdm_cli.azure.client import Session, azure_errors, status_of
from pdm_cli.errors import DataError, RemoteError
from pdm_cli.io import manifest

if TYPE_CHECKING:
    from azure.ai.ml.entities import AzureBlobDatastore
    from azure.storage.blob import ContainerClient as ContainerClient

# The datastore where the service keeps the logs of all jobs.
ARTIFACT_STORE = "workspaceartifactstore"

_ADDRESS = re.compile(
    r"azureml://(subscriptions/(?P<subscription_id>[^/]+)/resourcegroups/(?P<resource_group>[^/]+)/(providers/[^/]+/)?"
    r"workspaces/(?P<workspace>[^/]+)/)?datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)",
    re.IGNORECASE,
)
# Every running download holds a few chunks of this size in memory.
_CHUNK_BYTES = 2 * 2**20
# Seconds without a byte after which a connection counts as dropped.
_READ_SECONDS = 30
# Why a blob can no longer be read as it was listed.
_LOST: dict[int | None, str] = {HTTPStatus.PRECONDITION_FAILED: "changed", HTTPStatus.NOT_FOUND: "deleted"}
# Larger than any manifest or summary.
_MAX_SMALL_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Blob:
    """A listed blob; its etag changes whenever it is written."""

    name: str
    bytes: int
    etag: str


@dataclass(frozen=True)
class Address:
    """A folder in a datastore; its path has no slash at either end."""

    datastore: str
    path: str

    @property
    def prefix(self) -> str:
        """Common start of the names of all blobs in the folder."""
        return f"{self.path}/" if self.path else ""

    def __str__(self) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{self.prefix}"


def parse_address(text: str) -> Address:
    """Parse an ``azureml://`` address, short or with the subscription, resource group and workspace.

    Examples
    --------
    >>> parse_address("azureml://datastores/store/paths/pdm/job/out/")
    Address(datastore='store', path='pdm/job/out')
    """
    return _read_address(_match(text))


def _match(text: str) -> re.Match[str]:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise DataError(f"{text}: not the address of a path in a datastore")
    return match


def _read_address(match: re.Match[str]) -> Address:
    return Address(match["datastore"], match["path"].strip("/"))


def locate(session: Session, text: str) -> Address:
    """Parse an address, and check that it is in the workspace of the session."""
    match = _match(text)
    for name in ("subscription_id", "resource_group", "workspace"):
        if match[name] and match[name].lower() != getattr(session.azure, name).lower():
            raise DataError(f"{name} {match[name]}: belongs to a different workspace")
    return _read_address(match)


def log_name(run: str) -> str:
    """Return the name of the blob in the artifact store with the log of a command job or a step."""
    return f"ExperimentRun/dcid.{run}/user_logs/std_log.txt"


def open_container(session: Session, datastore: str) -> ContainerClient:
    """Return a client of the blob container of a datastore.

    It uses the key or shared access signature of the datastore, or else the session's credential. Secrets never leave
    the client.
    """
    from azure.ai.ml.entities import AzureBlobDatastore
    from azure.storage.blob import ContainerClient, ExponentialRetry

    with azure_errors(f"datastore {datastore}"):
        store = session.client.datastores.get(datastore, include_secrets=True)
    if not isinstance(store, AzureBlobDatastore):
        raise RemoteError(f"datastore {datastore}: not a blob container", hint="choose another with --datastore")
    return ContainerClient(
        f"{store.protocol or 'https'}://{store.account_name}.blob.{store.endpoint or 'core.windows.net'}",
        store.container_name,
        credential=_find_credential(store, session),
        max_single_get_size=_CHUNK_BYTES,
        max_chunk_get_size=_CHUNK_BYTES,
        read_timeout=_READ_SECONDS,
        # The default policy waits 15 s before the first retry.
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, random_jitter_range=1),
    )


def _find_credential(store: AzureBlobDatastore, session: Session) -> Any:
    from azure.ai.ml.entities import AccountKeyConfiguration, SasTokenConfiguration
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    secret = store.credentials
    if isinstance(secret, AccountKeyConfiguration) and secret.account_key:
        return AzureNamedKeyCredential(store.account_name, secret.account_key)
    if isinstance(secret, SasTokenConfiguration) and secret.sas_token:
        return AzureSasCredential(secret.sas_token)
    return session.credential


def list_blobs(container: ContainerClient, prefix: str) -> list[Blob]:
    """Return the blobs whose names start with ``prefix``, sorted by name."""
    with azure_errors(f"container {container.container_name}"):
        found = [Blob(blob.name, blob.size, blob.etag) for blob in container.list_blobs(name_starts_with=prefix)]
    # Stores with a hierarchical namespace list folders as empty blobs.
    folders = {blob.name.rpartition("/")[0] for blob in found}
    return sorted((blob for blob in found if blob.bytes or blob.name not in folders), key=lambda blob: blob.name)


def read_blob(container: ContainerClient, blob: Blob) -> bytes:
    """Return the content of a small blob."""
    if blob.bytes > _MAX_SMALL_BYTES:
        raise DataError(f"blob {blob.name}: {blob.bytes:,} bytes, expected at most {_MAX_SMALL_BYTES:,}")
    return b"".join(read_chunks(container, blob))


def read_manifest(container: ContainerClient, blob: Blob, where: str) -> tuple[bytes, dict[str, Any]]:
    """Return the manifest of an output, as bytes and parsed; ``where`` names the output in messages."""
    text = read_blob(container, blob)
    content = manifest.parse(text)
    if content is None:
        raise DataError(f"{where}: {manifest.MANIFEST_FILE}: corrupt, or not written by pdm")
    return text, content


def read_chunks(container: ContainerClient, blob: Blob) -> Iterator[bytes]:
    """Yield the bytes of a blob in chunks; one that was changed since it was listed is an error."""
    from azure.core import MatchConditions

    with _checked(blob), azure_errors(f"blob {blob.name}"):
        # The client repeats the condition for every chunk.
        stream = container.download_blob(blob.name, etag=blob.etag, match_condition=MatchConditions.IfNotModified)
        yield from stream.chunks()


@contextmanager
def _checked(blob: Blob) -> Iterator[None]:
    """Report that a blob was changed, where Azure only says that a condition is not met."""
    try:
        yield
    except RemoteError as exc:
        change = _LOST.get(status_of(exc))
        if change is None:
            raise
        raise DataError(
            f"blob {blob.name}: was {change} while it was fetched", hint="fetch again when nothing writes to it"
        ) from exc


def copy_blob(container: ContainerClient, blob: Blob, name: str, *, sha256: str | None) -> None:
    """Copy a blob within its container, and check its hash."""
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        for chunk in read_chunks(container, blob):
            digest.update(chunk)
            yield chunk
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DataError(
                f"blob {blob.name}: does not match the hash in its manifest",
                hint="it was changed after the job; submit the job again",
            )

    with azure_errors(f"blob {name}"):
        container.upload_blob(name, chunks(), length=blob.bytes, overwrite=True)


def fingerprint_address(session: Session, source: str) -> str:
    """Return the SHA-256 of the names, sizes and etags of the files at an address or data asset.

    A rewritten file has a new etag, so changed data is never mistaken for the old; identical bytes written again count
    as changed, too.
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
    # The version of an asset is fixed, the files behind it are not.
    name, _, version = source.removeprefix("azureml:").partition(":")
    with azure_errors(f"data asset {name}:{version}"):
        path = session.client.data.get(name, version=version).path
    return locate(session, str(path))
