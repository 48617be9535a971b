"""Registered models of a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdm_cli.azure.client import Session, translated
from pdm_cli.text import plain

if TYPE_CHECKING:
    from azure.ai.ml.entities import Model


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes
    ----------
    model : str
        Name of the model.
    version : str
        Mostly a number.
    tags : dict of str to str
        What it tells of itself.
    """

    model: str
    version: str
    tags: dict[str, str]

    def __str__(self) -> str:
        return f"{self.model}:{self.version}"


def list_versions(session: Session, model: str) -> list[Version]:
    """Return the versions of a model, the newest first; none if it was never registered. Archived ones are left out."""
    from azure.core.exceptions import ResourceNotFoundError

    with translated(f"model {model}"):
        try:
            found = list(session.client.models.list(name=model))
        except ResourceNotFoundError:
            found = []
    found.sort(key=_age, reverse=True)
    return [Version(model, plain(str(one.version)), _read_tags(one)) for one in found]


def register_folder(session: Session, model: str, *, address: str, tags: dict[str, str]) -> Version:
    """Register a folder of a datastore as the next version of a model.

    Parameters
    ----------
    session : Session
        The workspace.
    model : str
        Name of the model.
    address : str
        ``azureml://datastores/…/paths/…``; the files stay where they are.
    tags : dict of str to str
        What it tells of itself.
    """
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Model

    with translated(f"model {model}"):
        made = session.client.models.create_or_update(
            Model(name=model, path=address, type=AssetTypes.CUSTOM_MODEL, tags=tags)
        )
    return Version(model, str(made.version), tags)


def _read_tags(model: Model) -> dict[str, str]:
    return {plain(key): plain(str(value)) for key, value in (model.tags or {}).items()}


def _age(model: Model) -> tuple[float, int]:
    """Return what sorts versions by when they were made; two of the same moment by their numbers."""
    made = model.creation_context.created_at if model.creation_context else None
    version = str(model.version)
    return made.timestamp() if made else 0.0, int(version) if version.isdecimal() else 0
