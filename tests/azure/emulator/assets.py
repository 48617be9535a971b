"""Versioned assets: environments, data, models, components and code."""

from __future__ import annotations

import threading
import time
import uuid

from tests.azure.emulator.azurite import Azurite
from tests.azure.emulator.wire import Json, Reply, Request, Router, ServiceError, not_found
from tests.azure.emulator.workspace import Workspace, system_data

# Fields of a response, by asset type, that were not in the request.
EXTRAS: dict[str, Json] = {
    "environments": {"osType": "Linux", "environmentType": "UserCreated"},
    "data": {},
    "models": {"flavors": {}, "stage": "Development"},
    "components": {},
    "codes": {},
}
# All other fields of a version are immutable.
MUTABLE = {"tags", "description", "properties", "isArchived", "stage", "isAnonymous"}


class Assets:
    """All versions of all assets, in order of creation.

    Attributes
    ----------
    versions : dict
        Type to name to version to resource.
    """

    def __init__(self, workspace: Workspace, azurite: Azurite) -> None:
        self.versions: dict[str, dict[str, dict[str, Json]]] = {kind: {} for kind in EXTRAS}
        self._workspace = workspace
        self._azurite = azurite
        self._lock = threading.Lock()

    def add_routes(self, arm: Router) -> None:
        for kind in EXTRAS:
            for method, path, act in (
                ("GET", "", self._list_names),
                ("GET", "/{name}", self._get_container),
                ("GET", "/{name}/versions", self._list_versions),
                ("GET", "/{name}/versions/{version}", self._get),
                ("PUT", "/{name}/versions/{version}", self._put),
            ):
                arm.add(method, f"/{kind}{path}", act)
        arm.add("POST", "/codes/{name}/versions/{version}/startPendingUpload", self._start_upload)

    def find(self, identifier: str) -> Json:
        """Return the version with this ARM id, with or without the prefix ``azureml:``."""
        kind, name, version = _split(identifier)
        try:
            return self.versions[kind][name][version]
        except KeyError:
            raise not_found(f"{kind} {name}:{version}") from None

    def _get(self, request: Request, name: str, version: str) -> Reply:
        return Reply(self.find(f"/{_kind(request)}/{name}/versions/{version}"))

    def _list_names(self, request: Request) -> Reply:
        kind = _kind(request)
        return Reply({"value": [self._container(kind, name) for name in self.versions[kind]]})

    def _get_container(self, request: Request, name: str) -> Reply:
        return Reply(self._container(_kind(request), name))

    def _list_versions(self, request: Request, name: str) -> Reply:
        kind = _kind(request)
        if wanted := request.query.get("hash"):
            return Reply({"value": self._codes_with_hash(wanted)})
        found = list(self.versions[kind].get(name, {}).values())
        if "desc" in request.query.get("$orderBy", ""):
            found.reverse()
        top = int(request.query.get("$top", len(found) or 1))
        return Reply({"value": found[:top]})

    def _put(self, request: Request, name: str, version: str) -> Reply:
        kind = _kind(request)
        asked = {key: value for key, value in request.json["properties"].items() if value is not None}
        with self._lock:
            versions = self.versions[kind].setdefault(name, {})
            known = versions.get(version)
            if known and _fixed(asked, asked) != _fixed(known["properties"], asked):
                message = f"{kind} {name}:{version} exists with other content and cannot be changed."
                raise ServiceError(409, "Conflict", message)
            defaults = {"tags": {}, "properties": {}, "isArchived": False} | EXTRAS[kind]
            properties = defaults | (known["properties"] if known else {}) | asked | {"provisioningState": "Succeeded"}
            resource = self._workspace.resource(kind, f"{name}/versions/{version}", properties)
            versions[version] = resource | {"systemData": known["systemData"] if known else system_data(time.time())}
        return Reply(versions[version], 200 if known else 201)

    def _container(self, kind: str, name: str) -> Json:
        versions = self.versions[kind].get(name)
        if not versions:
            raise not_found(f"{kind} container {name}")
        numbers = [int(version) for version in versions if version.isdecimal()]
        properties = {
            "latestVersion": list(versions)[-1],
            "nextVersion": str(max(numbers, default=0) + 1),
            "isArchived": False,
            "properties": {},
            "tags": {},
        }
        first = next(iter(versions.values()))
        return self._workspace.resource(kind, name, properties) | {"systemData": first["systemData"]}

    def _codes_with_hash(self, wanted: str) -> list[Json]:
        """Search all code, since each upload has its own name."""
        every = [version for versions in self.versions["codes"].values() for version in versions.values()]
        return [code for code in every if code["properties"]["properties"].get("hash_sha256") == wanted]

    def _start_upload(self, request: Request, name: str, version: str) -> Reply:
        container = str(uuid.uuid4())
        self._azurite.blobs.create_container(container)
        uri = f"https://{self._workspace.account}.blob.core.windows.net/{container}"
        storage = f"{self._workspace.group_path}/providers/Microsoft.Storage/storageAccounts/{self._workspace.account}"
        signed = {"credentialType": "SAS", "sasUri": f"{uri}?{self._azurite.container_sas(container)}"}
        return Reply(
            {
                "pendingUploadId": f"{name}-{version}",
                "pendingUploadType": request.json.get("pendingUploadType", "TemporaryBlobReference"),
                "blobReferenceForConsumption": {"blobUri": uri, "storageAccountArmId": storage, "credential": signed},
            }
        )


def _kind(request: Request) -> str:
    return request.path.strip("/").partition("/")[0]


def _split(identifier: str) -> tuple[str, str, str]:
    parts = identifier.rstrip("/").split("/")
    if len(parts) < 4 or parts[-2] != "versions":
        raise ServiceError(400, "UserError", f"'{identifier}' names no version of an asset.")
    return parts[-4], parts[-3], parts[-1]


def _fixed(properties: Json, asked: Json) -> Json:
    return {key: properties.get(key) for key in asked if key not in MUTABLE}
