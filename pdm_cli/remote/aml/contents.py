"""What is behind the addresses of inputs, so that a job made of other data is not taken for the same."""

from __future__ import annotations

import hashlib
import json

from pdm_cli.errors import DataError
from pdm_cli.remote.aml.session import Session, translated
from pdm_cli.remote.aml.storage import Address, list_blobs, locate, open_container


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
