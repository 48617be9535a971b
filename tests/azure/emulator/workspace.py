"""The only workspace: its names, addresses and resource."""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass, field

from tests.azure.emulator.wire import ARM, Json, Reply, Request, Router

PROVIDER = "Microsoft.MachineLearningServices"


@dataclass(frozen=True)
class Workspace:
    """Names that are new for every session, so that no test can rely on them."""

    account: str
    tenant: str = field(default_factory=lambda: str(uuid.uuid4()))
    subscription_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    resource_group: str = field(default_factory=lambda: f"plant-{secrets.token_hex(3)}")
    name: str = field(default_factory=lambda: f"pumps-{secrets.token_hex(3)}")
    location: str = "westeurope"
    workspace_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def group_path(self) -> str:
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"

    @property
    def path(self) -> str:
        return f"{self.group_path}/providers/{PROVIDER}/workspaces/{self.name}"

    @property
    def data_host(self) -> str:
        return f"{self.location}.api.azureml.ms"

    @property
    def blob_container(self) -> str:
        return f"azureml-blobstore-{self.workspace_id}"

    @property
    def containers(self) -> dict[str, str]:
        """The container of each datastore."""
        return {"workspaceblobstore": self.blob_container, "workspaceartifactstore": "azureml"}

    def studio(self, job: str) -> str:
        return f"https://ml.azure.com/runs/{job}?wsid={self.path}"

    def resource(self, kind: str, name: str, properties: Json | None) -> Json:
        """Return a resource of the workspace in ARM's form; ``name`` may contain several parts of the path."""
        return {
            "id": f"{self.path}/{kind}/{name}",
            "name": name.rpartition("/")[2],
            "type": f"{PROVIDER}/workspaces/{kind}",
            "properties": properties,
        }

    def add_routes(self, arm: Router, data: Router) -> None:
        arm.add("GET", "", self._show)
        arm.add("GET", "/operationStatuses/{name}", self._operation)
        data.add("GET", "/discovery", self._discovery)

    def _show(self, _: Request) -> Reply:
        storage = f"{self.group_path}/providers/Microsoft.Storage/storageAccounts/{self.account}"
        properties = {
            "friendlyName": self.name,
            "workspaceId": self.workspace_id,
            "provisioningState": "Succeeded",
            "discoveryUrl": f"https://{self.data_host}/discovery",
            "storageAccount": storage,
            "mlFlowTrackingUri": f"azureml://{self.data_host}/mlflow/v1.0{self.path}",
            "publicNetworkAccess": "Enabled",
            "hbiWorkspace": False,
        }
        about = {
            "id": self.path,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces",
            "location": self.location,
            "kind": "Default",
            "tags": {},
            "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {"type": "SystemAssigned", "tenantId": self.tenant, "principalId": str(uuid.uuid4())},
        }
        return Reply(about | {"properties": properties})

    def _operation(self, _: Request, name: str) -> Reply:
        return Reply({"name": name, "status": "Succeeded"})

    def _discovery(self, _: Request) -> Reply:
        services = ("api", "history", "pipelines", "experimentation", "hyperdrive", "metrics", "catalog", "notebooks")
        addresses = dict.fromkeys((*services, "modelmanagement", "inference"), f"https://{self.data_host}")
        return Reply(addresses | {"studio": "https://ml.azure.com"})


def arm_url(path: str) -> str:
    """Return the address of a long operation."""
    return f"https://{ARM}{path}?api-version=2024-04-01"


def utc(stamp: float | None = None) -> str:
    """Return a time (s since 1970; now by default) in the service's format."""
    seconds = time.time() if stamp is None else stamp
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


def system_data(created: float) -> Json:
    who = {"createdBy": "pdm tests", "createdByType": "User", "lastModifiedBy": "pdm tests"}
    return who | {"lastModifiedByType": "User", "createdAt": utc(created), "lastModifiedAt": utc(created)}
