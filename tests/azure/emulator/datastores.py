"""The two datastores of every workspace, and their secrets."""

from __future__ import annotations

from typing import Literal

from tests.azure.emulator.azurite import Azurite
from tests.azure.emulator.wire import Json, Reply, Request, Router, not_found
from tests.azure.emulator.workspace import Workspace

Credentials = Literal["AccountKey", "Sas", "None"]


class Datastores:
    """The datastores for folders and logs.

    Attributes
    ----------
    credentials : {"AccountKey", "Sas", "None"}
        How a client authenticates to the blobs; with ``None`` by its own token.
    """

    def __init__(self, workspace: Workspace, azurite: Azurite) -> None:
        self.credentials: Credentials = "AccountKey"
        self._workspace = workspace
        self._azurite = azurite
        for container in workspace.containers.values():
            azurite.blobs.create_container(container)

    def add_routes(self, arm: Router) -> None:
        arm.add("GET", "/datastores", self._list)
        arm.add("GET", "/datastores/{name}", self._get)
        arm.add("POST", "/datastores/{name}/listSecrets", self._list_secrets)

    def _list(self, request: Request) -> Reply:
        stores = [self._resource(name) for name in self._workspace.containers]
        if request.query.get("isDefault") == "true":
            stores = [store for store in stores if store["properties"]["isDefault"]]
        return Reply({"value": stores})

    def _get(self, _: Request, name: str) -> Reply:
        return Reply(self._resource(name))

    def _list_secrets(self, _: Request, name: str) -> Reply:
        container = self._container(name)
        if self.credentials == "AccountKey":
            return Reply({"secretsType": "AccountKey", "key": self._azurite.key})
        if self.credentials == "Sas":
            return Reply({"secretsType": "Sas", "sasToken": self._azurite.container_sas(container)})
        return Reply({"secretsType": "None"})

    def _container(self, name: str) -> str:
        if name not in self._workspace.containers:
            raise not_found(f"Datastore {name}")
        return self._workspace.containers[name]

    def _resource(self, name: str) -> Json:
        properties = {
            "datastoreType": "AzureBlob",
            "accountName": self._workspace.account,
            "containerName": self._container(name),
            "endpoint": "core.windows.net",
            "protocol": "https",
            "isDefault": name == "workspaceblobstore",
            "credentials": {"credentialsType": self.credentials},
            "serviceDataAccessAuthIdentity": "None",
            "description": None,
            "tags": {},
            "properties": {},
            "subscriptionId": self._workspace.subscription_id,
            "resourceGroup": self._workspace.resource_group,
        }
        return self._workspace.resource("datastores", name, properties)
