"""Ways to sign in to Azure; no secret ever passes through an option, the config, or our own hands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdm_cli.errors import AuthError

# Seconds that a program such as the Azure CLI may take to give a token.
_PROGRAM_SECONDS = 10
_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID")
# What a service principal proves with that it is itself.
_PROOFS = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")
_WORKLOAD = (*_PRINCIPAL, "AZURE_FEDERATED_TOKEN_FILE")
# Set where a managed identity can be had without asking the network: App Service, Azure ML, Arc.
_MANAGED = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")


def make_credential(auth: str, environ: Mapping[str, str]) -> tuple[str, Any]:
    """Return how one signs in, in words, and the Azure credential that does.

    Parameters
    ----------
    auth : str
        ``default``, ``cli``, ``environment``, ``workload`` or ``managed``.
    environ : mapping
        The process's environment.

    Raises
    ------
    AuthError
        If the environment lacks what that way needs.
    """
    from azure import identity

    if auth == "environment":
        _require(auth, environ, (*_PRINCIPAL, *(() if _has_any(environ, _PROOFS) else _PROOFS[:1])))
        return "service principal", identity.EnvironmentCredential()
    if auth == "workload":
        _require(auth, environ, _WORKLOAD)
        return "workload identity", identity.WorkloadIdentityCredential()
    if auth == "managed":
        return "managed identity", identity.ManagedIdentityCredential(client_id=environ.get("AZURE_CLIENT_ID") or None)
    if auth == "cli":
        return "Azure CLI", identity.AzureCliCredential(process_timeout=_PROGRAM_SECONDS)
    way = _find_way(environ)
    return make_credential(way, environ) if way else _make_chain()


def _find_way(environ: Mapping[str, str]) -> str | None:
    """Return the way that the environment is set up for.

    Azure's own default chain asks the network for a managed identity, and takes half a minute to find none.
    """
    if _has_all(environ, _PRINCIPAL) and _has_any(environ, _PROOFS):
        return "environment"
    if _has_all(environ, _WORKLOAD):
        return "workload"
    return "managed" if _has_any(environ, _MANAGED) else None


def _make_chain() -> tuple[str, Any]:
    """Return the programs that one may be signed in to, in turn."""
    from azure import identity

    programs = (identity.AzureCliCredential, identity.AzurePowerShellCredential, identity.AzureDeveloperCliCredential)
    chain = identity.ChainedTokenCredential(*(program(process_timeout=_PROGRAM_SECONDS) for program in programs))
    return "Azure CLI, PowerShell or Developer CLI (no service principal or workload identity is set)", chain


def _has_all(environ: Mapping[str, str], names: tuple[str, ...]) -> bool:
    return all(environ.get(name) for name in names)


def _has_any(environ: Mapping[str, str], names: tuple[str, ...]) -> bool:
    return any(environ.get(name) for name in names)


def _require(auth: str, environ: Mapping[str, str], names: tuple[str, ...]) -> None:
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise AuthError(f"--auth {auth}: not set: {', '.join(missing)}", hint="set them, or choose another --auth")
