"""The control plane: authorizes requests to ARM and to the workspace's own host, and routes them."""

from __future__ import annotations

import dataclasses
import re

from tests.azure.emulator.tokens import ML_AUDIENCE, Principal, Tokens
from tests.azure.emulator.wire import ARM, Reply, Request, Router, ServiceError
from tests.azure.emulator.workspace import PROVIDER, Workspace

ARM_AUDIENCES = (f"https://{ARM}", "https://management.core.windows.net")
SCOPE = re.compile(
    rf"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/{PROVIDER}"
    r"/workspaces/(?P<name>[^/]+)(?P<rest>.*)",
    re.IGNORECASE,
)


class ControlPlane:
    """Checks the token, scope and role of each request, then routes it.

    Attributes
    ----------
    arm, data : Router
        Paths below the workspace's own, for the two hosts.
    """

    def __init__(self, workspace: Workspace, tokens: Tokens) -> None:
        self.arm = Router()
        self.data = Router()
        self._workspace = workspace
        self._tokens = tokens

    def answer_arm(self, request: Request) -> Reply:
        principal = self._tokens.check(request.headers.get("Authorization"), *ARM_AUDIENCES)
        match = SCOPE.fullmatch(request.path)
        if not match:
            raise ServiceError(404, "InvalidResourceType", f"The emulator knows nothing at {request.path}.")
        self._check_scope(match)
        self._check_role(principal, request)
        return self.arm.answer(dataclasses.replace(request, path=match["rest"]))

    def answer_data(self, request: Request) -> Reply:
        if request.path == "/discovery":
            return self.data.answer(request)
        principal = self._tokens.check(request.headers.get("Authorization"), *ARM_AUDIENCES, ML_AUDIENCE)
        match = re.fullmatch(rf"(?P<service>/\w+/v1\.0){SCOPE.pattern}", request.path, re.IGNORECASE)
        if not match:
            raise ServiceError(404, "NotFound", f"The emulator knows nothing at {request.path}.")
        self._check_scope(match)
        self._check_role(principal, request)
        return self.data.answer(dataclasses.replace(request, path=match["service"] + match["rest"]))

    def _check_scope(self, match: re.Match[str]) -> None:
        if match["subscription"] != self._workspace.subscription_id:
            message = f"The subscription '{match['subscription']}' could not be found."
            raise ServiceError(404, "SubscriptionNotFound", message)
        if match["group"].lower() != self._workspace.resource_group.lower():
            raise ServiceError(404, "ResourceGroupNotFound", f"Resource group '{match['group']}' could not be found.")
        if match["name"].lower() != self._workspace.name.lower():
            message = (
                f"The Resource '{PROVIDER}/workspaces/{match['name']}' under resource group '{match['group']}' "
                "was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            )
            raise ServiceError(404, "ResourceNotFound", message)

    def _check_role(self, principal: Principal, request: Request) -> None:
        reads = request.method in ("GET", "HEAD") or request.path.endswith(("/rundata", "/batchGetResolvedUris"))
        if principal.role == "contributor" or (principal.role == "reader" and reads):
            return
        action = "read" if reads else "write"
        message = (
            f"The client '{principal.client_id}' with object id '{principal.client_id}' does not have authorization to "
            f"perform action '{PROVIDER}/workspaces/{action}' over scope '{request.path}' or the scope is invalid. "
            "If access was recently granted, please refresh your credentials."
        )
        raise ServiceError(403, "AuthorizationFailed", message)
