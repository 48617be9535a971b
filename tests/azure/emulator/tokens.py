"""Entra ID: principals sign in and get bearer tokens, which all other requests need."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs

from tests.azure.emulator.wire import LOGIN, Json, Reply, Request, ServiceError

ML_AUDIENCE = "https://ml.azure.com"

Role = Literal["contributor", "reader", "none"]


@dataclass(frozen=True)
class Principal:
    """A service principal, which signs in with its secret, or with its assertion as a federated workload."""

    role: Role
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    assertion: str = field(default_factory=lambda: _jwt({"sub": "repo:plant/pumps", "jti": uuid.uuid4().hex}))


@dataclass(frozen=True)
class Grant:
    """The scope of an issued token."""

    principal: Principal
    audience: str
    expires: float


class Tokens:
    """The token endpoint, and the check of each bearer token.

    Attributes
    ----------
    lifetime_seconds : float
        Lifetime of newly issued tokens.
    principals : dict
        By role: ``contributor`` may do anything, ``reader`` may read, ``none`` may only sign in.
    """

    LIFETIME_SECONDS = 3600.0

    def __init__(self, tenant: str, hidden: set[str]) -> None:
        self.tenant = tenant
        self.lifetime_seconds = self.LIFETIME_SECONDS
        roles: tuple[Role, ...] = ("contributor", "reader", "none")
        self.principals: dict[str, Principal] = {role: Principal(role) for role in roles}
        self._hidden = hidden
        self._grants: dict[str, Grant] = {}
        self._lock = threading.Lock()
        for principal in self.principals.values():
            hidden |= {principal.client_secret, principal.assertion}

    @property
    def issued(self) -> int:
        """Number of issued tokens."""
        return len(self._grants)

    def revoke(self) -> None:
        """Reject every token issued so far from now on, although it has not expired."""
        with self._lock:
            self._grants = {token: Grant(grant.principal, grant.audience, 0.0) for token, grant in self._grants.items()}

    def answer(self, request: Request) -> Reply:
        """Answer a request for the sign-in host."""
        tenant, _, rest = request.path.strip("/").partition("/")
        if rest.endswith(".well-known/openid-configuration"):
            return Reply(self._configuration(tenant))
        if rest == "oauth2/v2.0/token" and request.method == "POST":
            return self._sign_in(tenant, {key: values[0] for key, values in parse_qs(request.body.decode()).items()})
        if tenant == "common" and rest == "discovery/instance":
            return Reply({"tenant_discovery_endpoint": self._configuration(self.tenant)["issuer"], "metadata": []})
        return _refusal(404, "invalid_request", f"AADSTS900144: nothing is known at {request.path}.", 900144)

    def check(self, header: str | None, *audiences: str) -> Principal:
        """Return the principal of an ``Authorization`` header; 401 unless its token is valid for the audience."""
        scheme, _, token = (header or "").partition(" ")
        if scheme != "Bearer" or not token:
            raise ServiceError(
                401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        with self._lock:
            grant = self._grants.get(token)
        if grant is None:
            raise ServiceError(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if grant.expires <= time.time():
            raise ServiceError(401, "ExpiredAuthenticationToken", "The access token expiry is in the past.")
        if grant.audience not in audiences:
            message = f"The access token has been obtained for the wrong audience '{grant.audience}'."
            raise ServiceError(401, "InvalidAuthenticationTokenAudience", message)
        return grant.principal

    def _configuration(self, tenant: str) -> Json:
        base = f"https://{LOGIN}/{tenant}"
        return {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "issuer": f"{base}/v2.0",
        }

    def _sign_in(self, tenant: str, form: dict[str, str]) -> Reply:
        client = form.get("client_id", "")
        known = {principal.client_id: principal for principal in self.principals.values()}
        if tenant != self.tenant:
            return _refusal(400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found.", 90002)
        if client not in known:
            text = f"AADSTS700016: Application with identifier '{client}' was not found in the directory."
            return _refusal(400, "unauthorized_client", text, 700016)
        principal = known[client]
        if "client_assertion" in form and form["client_assertion"] != principal.assertion:
            text = "AADSTS700213: No matching federated identity record found for presented assertion."
            return _refusal(401, "invalid_client", text, 700213)
        if "client_assertion" not in form and form.get("client_secret") != principal.client_secret:
            text = f"AADSTS7000215: Invalid client secret provided for app '{client}'."
            return _refusal(401, "invalid_client", text, 7000215)
        return self._issue(principal, form["scope"].split(" ")[0].removesuffix("/.default").rstrip("/"))

    def _issue(self, principal: Principal, audience: str) -> Reply:
        expires = time.time() + self.lifetime_seconds
        claims = {"aud": audience, "tid": self.tenant, "appid": principal.client_id, "exp": int(expires)}
        token = _jwt(claims | {"iat": int(time.time()), "oid": str(uuid.uuid4()), "jti": uuid.uuid4().hex})
        with self._lock:
            self._grants[token] = Grant(principal, audience, expires)
            self._hidden.add(token)
        seconds = int(self.lifetime_seconds)
        return Reply(
            {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token},
        )


def _jwt(claims: Json) -> str:
    """Return a token with these claims; the client does not verify signatures, so the last part is random."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, secrets.token_urlsafe(32)])


def _refusal(status: int, error: str, description: str, number: int) -> Reply:
    trace = str(uuid.uuid4())
    text = f"{description} Trace ID: {trace} Correlation ID: {trace} Timestamp: {time.strftime('%Y-%m-%d %H:%M:%SZ')}"
    return Reply({"error": error, "error_description": text, "error_codes": [number], "trace_id": trace}, status)
