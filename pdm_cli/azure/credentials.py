"""Ways to sign in to Azure; no secret ever passes through an option, the config, or our own hands."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pdm_cli.errors import AuthError

# Seconds that a program such as the Azure CLI may take to give a token, where it is the one to ask.
_PROGRAM_SECONDS = 10
# And where it has to be found out which of them to ask: that there is none is told within 5 s, start of pdm included.
_SEARCH_SECONDS = 3.5
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
    return make_credential(way, environ) if way else _make_search()


def _find_way(environ: Mapping[str, str]) -> str | None:
    """Return the way that the environment is set up for.

    Azure's own default chain asks the network for a managed identity, and takes half a minute to find none.
    """
    if _has_all(environ, _PRINCIPAL) and _has_any(environ, _PROOFS):
        return "environment"
    if _has_all(environ, _WORKLOAD):
        return "workload"
    return "managed" if _has_any(environ, _MANAGED) else None


def _make_search() -> tuple[str, Any]:
    """Return the programs that one may be signed in to."""
    from azure import identity

    programs = {
        "Azure CLI": identity.AzureCliCredential,
        "PowerShell": identity.AzurePowerShellCredential,
        "Developer CLI": identity.AzureDeveloperCliCredential,
    }
    way = "Azure CLI, PowerShell or Developer CLI (no service principal or workload identity is set)"
    return way, _FirstOf(programs)


class _FirstOf:
    """The first of several programs that gives a token.

    All are asked at once, since one after the other each would take its time to say no; the one found is kept to.

    Parameters
    ----------
    programs : mapping
        Name to kind of credential; earlier ones are preferred.
    """

    def __init__(self, programs: Mapping[str, Any]) -> None:
        self._programs = programs
        self._found: Any = None

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """Return a token.

        Raises
        ------
        azure.core.exceptions.ClientAuthenticationError
            If no program gives one.
        """
        if self._found is not None:
            return self._found.get_token(*scopes, **options)
        pool = ThreadPoolExecutor(len(self._programs))
        asked = {
            name: pool.submit(kind(process_timeout=_SEARCH_SECONDS).get_token, *scopes, **options)
            for name, kind in self._programs.items()
        }
        # Those that nobody waits for any more end with their time.
        pool.shutdown(wait=False)
        return self._take_first(asked)

    def _take_first(self, asked: Mapping[str, Future[Any]]) -> Any:
        from azure.core.exceptions import ClientAuthenticationError

        told = []
        for name, answer in asked.items():
            try:
                token = answer.result()
            except ClientAuthenticationError as exc:
                told += [f"{name}: {why}"] if (why := _tell_failure(exc)) else []
            else:
                self._found = self._programs[name](process_timeout=_PROGRAM_SECONDS)
                return token
        raise ClientAuthenticationError("; ".join(told) or "none of them gives a token")


def _tell_failure(error: Exception) -> str:
    """Return why a program gives no token; nothing if it is not there, or nobody is signed in to it."""
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
