"""Azure sign-in methods. Secrets never pass through options, the config, or pdm itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pdm_cli.errors import AuthError

# Seconds for a program such as the Azure CLI to return a token.
_PROGRAM_SECONDS = 10
# While searching for a signed-in program: pdm must report within 5 s, startup included, if none is found.
_SEARCH_SECONDS = 3.5
_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID")
# Either one authenticates a service principal.
_SECRETS = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")
_WORKLOAD = (*_PRINCIPAL, "AZURE_FEDERATED_TOKEN_FILE")
# Set where a managed identity is available without probing the network: App Service, Azure ML, Arc.
_MANAGED = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")


def make_credential(auth: str, environ: Mapping[str, str]) -> tuple[str, Any]:
    """Return the name and the credential of a sign-in method: default, cli, environment, workload or managed."""
    from azure import identity

    if auth == "environment":
        _require(auth, environ, (*_PRINCIPAL, *(() if _has_any(environ, _SECRETS) else _SECRETS[:1])))
        return "service principal", identity.EnvironmentCredential()
    if auth == "workload":
        _require(auth, environ, _WORKLOAD)
        return "workload identity", identity.WorkloadIdentityCredential()
    if auth == "managed":
        return "managed identity", identity.ManagedIdentityCredential(client_id=environ.get("AZURE_CLIENT_ID") or None)
    if auth == "cli":
        return "Azure CLI", identity.AzureCliCredential(process_timeout=_PROGRAM_SECONDS)
    method = _find_method(environ)
    return make_credential(method, environ) if method else _make_search()


def _find_method(environ: Mapping[str, str]) -> str | None:
    """Return the method that the environment is set up for.

    Azure's own default chain probes the network for a managed identity, and takes half a minute to find none.
    """
    if _has_all(environ, _PRINCIPAL) and _has_any(environ, _SECRETS):
        return "environment"
    if _has_all(environ, _WORKLOAD):
        return "workload"
    return "managed" if _has_any(environ, _MANAGED) else None


def _make_search() -> tuple[str, Any]:
    from azure import identity

    programs = {
        "Azure CLI": identity.AzureCliCredential,
        "PowerShell": identity.AzurePowerShellCredential,
        "Developer CLI": identity.AzureDeveloperCliCredential,
    }
    method = "Azure CLI, PowerShell or Developer CLI (no service principal or workload identity is set)"
    return method, _FirstSignedIn(programs)


class _FirstSignedIn:
    """The first of several programs that returns a token; all are asked in parallel, the one found is kept."""

    def __init__(self, programs: Mapping[str, Any]) -> None:
        self._programs = programs
        self._found: Any = None

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """Return a token, as credentials of azure-identity do."""
        if self._found is not None:
            return self._found.get_token(*scopes, **options)
        pool = ThreadPoolExecutor(len(self._programs))
        tokens = {
            name: pool.submit(credential(process_timeout=_SEARCH_SECONDS).get_token, *scopes, **options)
            for name, credential in self._programs.items()
        }
        # Programs still running end with their timeout.
        pool.shutdown(wait=False)
        return self._take_first(tokens)

    def _take_first(self, tokens: Mapping[str, Future[Any]]) -> Any:
        from azure.core.exceptions import ClientAuthenticationError

        reasons = []
        for name, answer in tokens.items():
            try:
                token = answer.result()
            except ClientAuthenticationError as exc:
                reasons += [f"{name}: {reason}"] if (reason := _find_reason(exc)) else []
            else:
                self._found = self._programs[name](process_timeout=_PROGRAM_SECONDS)
                return token
        raise ClientAuthenticationError("; ".join(reasons) or "none of them is signed in")


def _find_reason(error: Exception) -> str:
    """Return why a program gave no token; empty if it is not installed or not signed in."""
    from azure.identity import CredentialUnavailableError

    if isinstance(error.__cause__, subprocess.TimeoutExpired):
        return f"no answer within {_SEARCH_SECONDS:g} s (--auth cli waits longer for the Azure CLI)"
    return "" if isinstance(error, CredentialUnavailableError) else (str(error).splitlines() or [""])[0]


def _has_all(environ: Mapping[str, str], names: tuple[str, ...]) -> bool:
    return all(environ.get(name) for name in names)


def _has_any(environ: Mapping[str, str], names: tuple[str, ...]) -> bool:
    return any(environ.get(name) for name in names)


def _require(auth: str, environ: Mapping[str, str], names: tuple[str, ...]) -> None:
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise AuthError(f"--auth {auth}: not set: {', '.join(missing)}", hint="set them, or choose another --auth")
