"""Addresses of folders, and their blobs."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from azure.storage.blob import BlobServiceClient

from tests.azure.emulator.assets import Assets
from tests.azure.emulator.wire import ServiceError, not_found
from tests.azure.emulator.workspace import Workspace

DATASTORE = re.compile(r"azureml:/+(?:subscriptions/.+/)?datastores/(?P<store>[^/]+)/paths/(?P<path>.*)")
SHORT_ASSET = re.compile(r"azureml:(?P<name>[^/:@]+)(?::(?P<version>[^/:@]+)|@(?P<label>latest))")


class BlobFolders:
    """Copies between addresses of the workspace and local folders."""

    def __init__(self, workspace: Workspace, assets: Assets, blobs: BlobServiceClient) -> None:
        self._workspace = workspace
        self._assets = assets
        self._blobs = blobs

    def resolve(self, uri: str) -> str:
        """Return the address of a data asset; any other address unchanged."""
        if match := SHORT_ASSET.fullmatch(uri):
            versions = self._assets.versions["data"].get(match["name"], {})
            version = list(versions)[-1] if match["label"] and versions else match["version"]
            uri = f"/data/{match['name']}/versions/{version}"
        if re.search(r"/data/[^/]+/versions/[^/]+$", uri):
            return self.resolve(self._assets.find(uri)["properties"]["dataUri"])
        return uri

    def locate(self, uri: str) -> tuple[str, str]:
        """Return the container and the name, without a final slash, of an address."""
        uri = self.resolve(uri)
        if match := DATASTORE.fullmatch(uri):
            if match["store"] not in self._workspace.containers:
                raise not_found(f"Datastore {match['store']}")
            return self._workspace.containers[match["store"]], match["path"].strip("/")
        parts = urlsplit(uri)
        if parts.hostname == f"{self._workspace.account}.blob.core.windows.net":
            container, _, name = unquote(parts.path).strip("/").partition("/")
            return container, name.strip("/")
        raise ServiceError(400, "UserError", f"The emulator cannot read from '{uri}'.")

    def download(self, uri: str, target: Path) -> Path:
        """Copy a folder into ``target``, or a single blob next to it; return the local path."""
        container, name = self.locate(uri)
        client = self._blobs.get_container_client(container)
        found = list(client.list_blob_names(name_starts_with=name))
        inside = [each for each in found if each.startswith(f"{name}/" if name else "")]
        if not inside and name not in found:
            raise ServiceError(404, "ScriptExecution.StreamAccess.NotFound", f"Nothing was found at {uri}.")
        target.mkdir(parents=True, exist_ok=True)
        for each in inside or [name]:
            path = target / (each[len(name) :].strip("/") if inside else each.rpartition("/")[2])
            if path.resolve().is_relative_to(target.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    client.download_blob(each).readinto(file)
        return target if inside else path

    def upload(self, folder: Path, uri: str) -> None:
        """Copy all files of ``folder`` to an address."""
        container, name = self.locate(uri)
        client = self._blobs.get_container_client(container)
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            blob = f"{name}/{path.relative_to(folder).as_posix()}".lstrip("/")
            with path.open("rb") as file:
                client.upload_blob(blob, file, overwrite=True)
