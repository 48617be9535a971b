"""Claims on the places where pipelines leave what may be reused: only one job at a time writes there.

A claim is a small blob that names the job. Azure makes a blob "only if there is none" for one of any number of callers,
so two submissions at the same moment cannot both have it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pdm_cli.azure.blobs import open_container
from pdm_cli.azure.client import Session, translated
from pdm_cli.azure.job_status import FINISHED
from pdm_cli.azure.submit import Found, find_job
from pdm_cli.text import plain

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

# Beside the places, not inside: what is in them is fetched.
_FOLDER = "pdm/claims"
# A job is there only when all its data is uploaded. After this, whoever claimed has given up.
_LONGEST_UPLOAD = timedelta(days=1)


def claim(session: Session, datastore: str, keys: Iterable[str], job: str) -> str | None:
    """Claim places for a job that is about to be sent.

    Parameters
    ----------
    session : Session
        The workspace.
    datastore : str
        Where the places are.
    keys : iterable of str
        What the places are named after.
    job : str
        Name of the job.

    Returns
    -------
    str or None
        ``None`` if the places are the job's until it ends; or else the other job that has one of them.

    Raises
    ------
    RemoteError
        If nothing can be written there.
    """
    container = open_container(session, datastore)
    for key in keys:
        holder = _claim(session, container.get_blob_client(f"{_FOLDER}/{key}"), job)
        if holder != job:
            return holder
    return None


def is_lapsed(holder: Found | None, claimed: datetime, now: datetime) -> bool:
    """Return whether a claim counts no more: its job has ended, or has never come.

    Parameters
    ----------
    holder : Found or None
        The job that has it, if it is there.
    claimed, now : datetime
        When it was made, and what the time is (both with a time zone).
    """
    if holder is not None:
        return holder.status in FINISHED
    return now - claimed > _LONGEST_UPLOAD


def _claim(session: Session, blob: BlobClient, job: str) -> str:
    """Return the job that has a claim: the given one, unless another had it before and is not finished."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

    with translated(f"claim {blob.blob_name}"):
        try:
            blob.upload_blob(job.encode(), overwrite=False)
            return job
        except ResourceExistsError:
            found = blob.download_blob()
            holder = plain(found.readall().decode(errors="replace"))
    # Asked again after a lost answer, it finds itself.
    if holder == job or not is_lapsed(find_job(session, holder), found.properties.last_modified, datetime.now(UTC)):
        return holder
    with translated(f"claim {blob.blob_name}"):
        try:
            etag, unchanged = found.properties.etag, MatchConditions.IfNotModified
            blob.upload_blob(job.encode(), overwrite=True, etag=etag, match_condition=unchanged)
        except ResourceModifiedError:
            # Another submission was faster.
            return holder
    return job
