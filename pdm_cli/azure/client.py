"""A workspace of Azure ML that one is signed in to, and Azure's errors in our words."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pdm_cli.azure.credentials import make_credential
from pdm_cli.azure.retry import RETRY_AFTER
from pdm_cli.azure.timeouts import Haste
from pdm_cli.errors import AuthError, ConfigError, RemoteError, TryAgain
from pdm_cli.settings.model import AzureParams
from pdm_cli.text import hide_signatures, plain

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.exceptions import HttpResponseError

# What a token is asked for that ARM and the workspace's own services take.
MANAGEMENT = "https://management.azure.com/.default"
# What a moment later may work: too many requests, and servers in trouble.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_SIGN_IN = (
    "az login; in CI set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or sign in with OIDC; on a machine "
    "in Azure --auth managed"
)
_REQUEST = re.compile(r" with url: \S+")
# What is left of an answer of the sign-in service where an error has taken over nothing but its text.
_TROUBLE = re.compile(r"\bHTTP (?:error|status): (?:408|429|5\d\d)\b", re.IGNORECASE)
_NO_SERVICE = "no connection to the sign-in service, or it is in trouble"
_NO_NETWORK = "is there a network? behind a proxy set HTTPS_PROXY"
_REFUSED = {
    401: "check who is signed in: pdm doctor",
    403: "the role AzureML Data Scientist on the workspace allows all that pdm does; to make a cluster, "
    "AzureML Compute Operator too",
}


@dataclass(frozen=True)
class Session:
    """A workspace that one is signed in to.

    Attributes
    ----------
    azure : AzureParams
        Where it is, and how jobs are run there.
    way : str
        How one signed in.
    credential : object
        An Azure credential; renews its tokens by itself.
    client : MLClient
        The client of the workspace.
    shows_uploads : bool
        Whether it draws bars on stderr while it uploads.
    haste : Haste
        How long requests may take.
    """

    azure: AzureParams
    way: str
    credential: Any
    client: MLClient
    shows_uploads: bool = False
    haste: Haste = field(default_factory=Haste)


def connect(azure: AzureParams, *, show_uploads: bool = False) -> Session:
    """Sign in.

    Parameters
    ----------
    azure : AzureParams
        Where the workspace is, and how to sign in.
    show_uploads : bool
        Let the client draw bars on stderr while it uploads.

    Raises
    ------
    ConfigError
        If the workspace is not named.
    AuthError
        If there is no credential, or it is refused.
    RemoteError
        If the packages of Azure are not installed.
    """
    require_names(azure)
    _silence()
    try:
        way, credential = _sign_in(azure)
        from azure.ai.ml import MLClient
    except ImportError as exc:
        raise RemoteError(f"{exc.name}: not installed", hint="pip install azure-ai-ml azure-identity") from exc
    place = (azure.subscription_id, azure.resource_group, azure.workspace)
    haste = Haste()
    client = MLClient(
        credential,
        *place,
        enable_telemetry=False,
        # Without its bars the client never learns that an upload has failed, and waits for the rest for ever: where
        # they are not wanted they are drawn to nowhere.
        show_progress=True,
        per_call_policies=haste.as_policy(),
    )
    # Again: loading the client has set up loggers of its own.
    _silence()
    return Session(azure, way, credential, client, show_uploads, haste)


def _sign_in(azure: AzureParams) -> tuple[str, Any]:
    """Get a first token: what is wrong with signing in shows at once, before the client takes its time to load."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    way, credential = make_credential(azure.auth, os.environ)
    try:
        credential.get_token(MANAGEMENT)
    except ClientAuthenticationError as exc:
        if _may_pass(exc):
            raise TryAgain(f"signing in to Azure by {way}: {_NO_SERVICE}", hint=_NO_NETWORK) from exc
        raise AuthError(f"not signed in to Azure by {way}: {first_line(exc)}", hint=_SIGN_IN) from exc
    except AzureError as exc:
        raise TryAgain(f"signing in to Azure by {way}: {first_line(exc)}", hint=_NO_NETWORK) from exc
    return way, credential


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the errors of Azure's packages into ours.

    Parameters
    ----------
    what : str
        What is being done, such as ``compute pdm-cluster``; the message begins with it.

    Raises
    ------
    AuthError
        If signing in failed.
    RemoteError
        If Azure refuses or does not know what was asked for.
    TryAgain
        If Azure cannot be reached or is in trouble.
    """
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, IncompleteReadError

    try:
        yield
    except ClientAuthenticationError as exc:
        if _may_pass(exc):
            raise TryAgain(f"{what}: signing in: {_NO_SERVICE}", hint=_NO_NETWORK) from exc
        raise AuthError(f"{what}: {first_line(exc)}", hint=_SIGN_IN) from exc
    except MlException as exc:
        # What the client itself finds wrong, or an upload that it could not finish.
        if _may_pass(exc):
            raise TryAgain(f"{what}: {first_line(exc)}", hint=_NO_NETWORK) from exc
        raise RemoteError(f"{what}: {first_line(exc)}") from exc
    except HttpResponseError as exc:
        # A connection that breaks within an answer counts for an answer in Azure's packages.
        if exc.status_code in _PASSING or isinstance(exc, IncompleteReadError):
            told = f"{what}: {first_line(exc)}"
            raise TryAgain(told, hint="Azure is in trouble: try again", **_read_pause(exc)) from exc
        raise RemoteError(f"{what}: {first_line(exc)}", hint=_REFUSED.get(exc.status_code or 0)) from exc
    except AzureError as exc:
        raise TryAgain(f"{what}: {first_line(exc)}", hint=_NO_NETWORK) from exc


def _read_pause(error: HttpResponseError) -> dict[str, float]:
    """Return the seconds after which Azure wants to be asked again, where it says so."""
    # An error that a client found by itself has no response.
    text: str = getattr(error.response, "headers", {}).get("Retry-After", "")
    return {RETRY_AFTER: float(text)} if text.isascii() and text.isdecimal() else {}


def _may_pass(error: BaseException) -> bool:
    """Return whether a connection or a server in trouble is behind an error, however often it was wrapped."""
    from azure.core.exceptions import ServiceRequestError, ServiceResponseError

    connection = (ServiceRequestError, ServiceResponseError, ConnectionError, TimeoutError)
    status = getattr(error, "status_code", None)
    if isinstance(error, connection) or status in _PASSING or _TROUBLE.search(str(error)):
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and _may_pass(cause)


def status_of(error: RemoteError) -> int | None:
    """Return the HTTP status of the refusal behind an error; ``None`` if there is none."""
    status: int | None = getattr(error.__cause__, "status_code", None)
    return status


def first_line(error: BaseException) -> str:
    """Return what Azure says in one line: the message proper, without codes, addresses of requests and advice.

    Of an error without words those of its cause are told, or its type.
    """
    # The address of a request to a store may carry its shared access signature.
    text = hide_signatures(_REQUEST.sub("", str(getattr(error, "message", None) or error)))
    lines = [line for line in (plain(line).strip() for line in text.splitlines()) if line]
    told = lines[0].removeprefix("(UserError) ") if lines else ""
    if told:
        return told
    cause = error.__cause__ or error.__context__
    return first_line(cause) if cause else type(error).__name__


def require_names(azure: AzureParams) -> None:
    """Refuse settings that do not say which workspace.

    Raises
    ------
    ConfigError
        If its subscription, resource group or name is missing.
    """
    missing = [name for name in ("subscription_id", "resource_group", "workspace") if not getattr(azure, name)]
    if missing:
        options = ", ".join("--" + name.replace("_", "-") for name in missing)
        raise ConfigError(
            f"no {' and no '.join(missing)} of Azure ML given",
            hint=f"section [azure] of pdm-cli.toml, the environment, or {options}",
        )


def _silence() -> None:
    """Keep Azure's packages from writing to the screen: what matters comes as an exception."""
    warnings.filterwarnings("ignore", module=r"azure\.")
    for name in ("azure", "azure.ai.ml", "azure.identity", "azure.core", "msrest", "opentelemetry"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
