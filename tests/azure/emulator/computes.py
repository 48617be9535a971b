"""Compute clusters."""

from __future__ import annotations

import uuid

from tests.azure.emulator.wire import Json, Reply, Request, Router, ServiceError
from tests.azure.emulator.workspace import Workspace, arm_url, utc


class Computes(dict[str, Json]):
    """Resources by name."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace

    def add_cluster(self, name: str, *, min_nodes: int = 0, max_nodes: int = 4) -> None:
        """Add an existing cluster."""
        scale = {"minNodeCount": min_nodes, "maxNodeCount": max_nodes, "nodeIdleTimeBeforeScaleDown": "PT1800S"}
        self._keep(
            name, {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_DS3_V2", "scaleSettings": scale}}
        )

    def add_routes(self, arm: Router) -> None:
        arm.add("GET", "/computes", self._list)
        arm.add("GET", "/computes/{name}", self._get)
        arm.add("PUT", "/computes/{name}", self._put)

    def find(self, name: str) -> Json:
        if name not in self:
            message = f"Compute with name '{name}' was not found in workspace '{self._workspace.name}'."
            raise ServiceError(404, "ComputeNotFound", message)
        return self[name]

    def _list(self, _: Request) -> Reply:
        return Reply({"value": list(self.values())})

    def _get(self, _: Request, name: str) -> Reply:
        return Reply(self.find(name))

    def _put(self, request: Request, name: str) -> Reply:
        resource = self._keep(name, request.json["properties"])
        operation = arm_url(f"{self._workspace.path}/operationStatuses/{uuid.uuid4()}")
        return Reply(resource, 201, {"Azure-AsyncOperation": operation, "Retry-After": "1"})

    def _keep(self, name: str, asked: Json) -> Json:
        nodes = asked["properties"].get("scaleSettings", {}).get("minNodeCount", 0)
        state = {"allocationState": "Steady", "currentNodeCount": nodes, "targetNodeCount": nodes, "errors": []}
        properties = asked | {
            "properties": asked["properties"] | state,
            "provisioningState": "Succeeded",
            "createdOn": utc(),
            "modifiedOn": utc(),
        }
        resource = self._workspace.resource("computes", name, properties)
        self[name] = resource | {"location": self._workspace.location, "tags": {}}
        return self[name]
