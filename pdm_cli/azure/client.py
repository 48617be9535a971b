"""The connection to an Azure ML workspace: sign-in, timeouts, retries, and Azure's errors as pdm's own."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pdm_cli.azure.credentials import make_credential
from pdm_cli.errors import AuthError, ConfigError, PdmError, RemoteError, TryAgain
from pdm_cli.settings.model import AzureParams
from pdm_cli.text import hide_signatures, plain

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.exceptions import HttpResponseError
    from tenacity import RetryCallState

# Token scope that ARM and the workspace's own services accept.
MANAGEMENT = "https://management.azure.com/.default"
# Seconds of uninterrupted errors after which pdm gives up.
PATIENCE_SECONDS = 15 * 60.0
# Key in the details of a temporary error: the seconds that Azure asked to wait.
_RETRY_AFTER = "retry_after_seconds"
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# Under a deadline every request still gets a few seconds; above the other limit the client's own timeouts do.
_MIN_REQUEST_SECONDS = 5.0
_MAX_REQUEST_SECONDS = 30.0
# HTTP statuses of temporary errors: too many requests, and server errors.
_TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
# The same in the message of a sign-in error, where nothing but the text of the response is left.
_TEMPORARY_TEXT = re.compile(r"\bHTTP (?:error|status): (?:408|429|5\d\d)\b", re.IGNORECASE)
_REQUEST = re.compile(r" with url: \S+")
_SIGN_IN = (
    "run az login; in CI, set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or sign in with OIDC; "
    "on an Azure VM, use --auth managed"
)
_SIGN_IN_UNAVAILABLE = "the sign-in service is unreachable or unavailable"
_CHECK_NETWORK = "check the network connection; behind a proxy, set HTTPS_PROXY"
_HINTS = {
    401: "run pdm doctor to see how you are signed in",
    403: "the AzureML Data Scientist role on the workspace covers everything pdm does; creating a cluster also needs "
    "AzureML Compute Operator",
}

_Result = TypeVar("_Result")


class RequestLimits:
    """Per-request timeouts of a session's Azure clients."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Send each request once with this timeout; ``inf`` keeps the clients' own timeouts."""
        self._seconds = max(seconds, _MIN_REQUEST_SECONDS)
        try:
            yield
        finally:
            self._seconds = None

    def options(self) -> dict[str, Any]:
        """Return the current azure-core options of a request: its timeouts, and no retries by ``RetryPolicy``."""
        if self._seconds is None:
            return {}
        timeouts = {"connection_timeout": self._seconds, "read_timeout": self._seconds}
        return {"retry_total": 0, **(timeouts if self._seconds < _MAX_REQUEST_SECONDS else {})}

    def as_policy(self) -> Any:
        """Return an azure-core policy that sets these options on every request."""
        from azure.core.pipeline.policies import SansIOHTTPPolicy

        options = self.options

        class _Policy(SansIOHTTPPolicy[Any, Any]):
            def on_request(self, request: Any) -> None:
                request.context.options.update(options())

        return _Policy()


@dataclass(frozen=True)
class Session:
    """A signed-in connection to a workspace; the credential renews its tokens by itself."""

    azure: AzureParams
    auth_method: str
    credential: Any
    client: MLClient
    # Whether the client draws progress bars on stderr while it uploads.
    shows_uploads: bool = False
    limits: RequestLimits = field(default_factory=RequestLimits)


def connect(azure: AzureParams, *, show_uploads: bool = False) -> Session:
    """Sign in to a workspace.

    Parameters
    ----------
    azure : AzureParams
        Names of the workspace, and the sign-in method.
    show_uploads : bool
        Draw progress bars on stderr while uploading.

    Raises
    ------
    ConfigError
        If the names of the workspace are missing.
    AuthError
        If there is no credential, or Azure rejects it.
    RemoteError
        If the Azure packages are not installed.
    """
    require_names(azure)
    _silence()
    try:
        method, credential = _sign_in(azure)
        from azure.ai.ml import MLClient
    except ImportError as exc:
        raise RemoteError(f"{exc.name}: not installed", hint="pip install azure-ai-ml azure-identity") from exc
    limits = RequestLimits()
    client = MLClient(
        credential,
        azure.subscription_id,
        azure.resource_group,
        azure.workspace,
        enable_telemetry=False,
        # Without progress bars the client does not notice a failed upload and hangs. Unwanted bars go to a null stream.
        show_progress=True,
        per_call_policies=limits.as_policy(),
    )
    # Again: importing the client configures its own loggers.
    _silence()
    return Session(azure, method, credential, client, show_uploads, limits)


def _sign_in(azure: AzureParams) -> tuple[str, Any]:
    """Get a first token, so that sign-in errors show before the slow import of the client."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    method, credential = make_credential(azure.auth, os.environ)
    try:
        credential.get_token(MANAGEMENT)
    except ClientAuthenticationError as exc:
        if _is_temporary(exc):
            raise TryAgain(f"sign-in to Azure by {method}: {_SIGN_IN_UNAVAILABLE}", hint=_CHECK_NETWORK) from exc
        raise AuthError(f"not signed in to Azure by {method}: {first_line(exc)}", hint=_SIGN_IN) from exc
    except AzureError as exc:
        raise TryAgain(f"sign-in to Azure by {method}: {first_line(exc)}", hint=_CHECK_NETWORK) from exc
    return method, credential


def require_names(azure: AzureParams) -> None:
    """Check that the settings name a subscription, resource group and workspace."""
    missing = [name for name in ("subscription_id", "resource_group", "workspace") if not getattr(azure, name)]
    if missing:
        options = ", ".join("--" + name.replace("_", "-") for name in missing)
        raise ConfigError(
            f"Azure ML: {', '.join(missing)} not set",
            hint=f"set them in section [azure] of pdm-cli.toml, in the environment, or with {options}",
        )


def _silence() -> None:
    """Keep the Azure packages from writing to the terminal; errors arrive as exceptions."""
    warnings.filterwarnings("ignore", module=r"azure\.")
    for name in ("azure", "azure.ai.ml", "azure.identity", "azure.core", "msrest", "opentelemetry"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def azure_errors(what: str) -> Iterator[None]:
    """Translate exceptions of the Azure packages into ``AuthError``, ``RemoteError`` or ``TryAgain``.

    The message starts with ``what``, such as ``compute pdm-cluster``.
    """
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, IncompleteReadError

    try:
        yield
    except ClientAuthenticationError as exc:
        if _is_temporary(exc):
            raise TryAgain(f"{what}: {_SIGN_IN_UNAVAILABLE}", hint=_CHECK_NETWORK) from exc
        raise AuthError(f"{what}: {first_line(exc)}", hint=_SIGN_IN) from exc
    except MlException as exc:
        # The client's own validation, or an upload that it could not finish.
        if _is_temporary(exc):
            raise TryAgain(f"{what}: {first_line(exc)}", hint=_CHECK_NETWORK) from exc
        raise RemoteError(f"{what}: {first_line(exc)}") from exc
    except HttpResponseError as exc:
        # azure-core reports a connection that breaks within a response as a response.
        if exc.status_code in _TEMPORARY or isinstance(exc, IncompleteReadError):
            hint = "Azure is busy or temporarily unavailable; try again"
            raise TryAgain(f"{what}: {first_line(exc)}", hint=hint, **_read_retry_after(exc)) from exc
        raise RemoteError(f"{what}: {first_line(exc)}", hint=_HINTS.get(exc.status_code or 0)) from exc
    except AzureError as exc:
        raise TryAgain(f"{what}: {first_line(exc)}", hint=_CHECK_NETWORK) from exc


def _read_retry_after(error: HttpResponseError) -> dict[str, float]:
    """Return the seconds of the Retry-After header as details of an error."""
    # Errors that a client raises by itself have no response.
    text: str = getattr(error.response, "headers", {}).get("Retry-After", "")
    return {_RETRY_AFTER: float(text)} if text.isascii() and text.isdecimal() else {}


def _is_temporary(error: BaseException) -> bool:
    """Return whether a connection or server error is the cause, however deeply it is wrapped."""
    from azure.core.exceptions import ServiceRequestError, ServiceResponseError

    connection = (ServiceRequestError, ServiceResponseError, ConnectionError, TimeoutError)
    status = getattr(error, "status_code", None)
    if isinstance(error, connection) or status in _TEMPORARY or _TEMPORARY_TEXT.search(str(error)):
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and _is_temporary(cause)


def status_of(error: RemoteError) -> int | None:
    """Return the HTTP status that caused an error, if there is one."""
    status: int | None = getattr(error.__cause__, "status_code", None)
    return status


def first_line(error: BaseException) -> str:
    """Return the message of an Azure exception in one line, without codes and addresses of requests.

    An exception without a message gives that of its cause, or its type.
    """
    # The address of a storage request may contain its shared access signature.
    text = hide_signatures(_REQUEST.sub("", str(getattr(error, "message", None) or error)))
    lines = [line for line in (plain(line).strip() for line in text.splitlines()) if line]
    message = lines[0].removeprefix("(UserError) ") if lines else ""
    if message:
        return message
    cause = error.__cause__ or error.__context__
    return first_line(cause) if cause else type(error).__name__


def retry(
    call: Callable[[], _Result],
    *,
    warn: Callable[[str], None],
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _Result:
    """Call a function, and retry temporary errors with exponential backoff for up to 15 minutes.

    Parameters
    ----------
    call : callable
        Without arguments; safe to repeat.
    warn : callable
        Takes a message at the first error.
    sleep, clock : callable
        In seconds.

    Raises
    ------
    TryAgain
        The last error, after 15 minutes of nothing but errors.
    """
    from tenacity import Retrying, retry_if_exception_type, wait_exponential

    start = clock()
    backoff = wait_exponential(_FIRST_PAUSE, max=_LONGEST_PAUSE)

    def pause(seconds: float) -> None:
        sleep(seconds)

    def report(state: RetryCallState) -> None:
        if state.attempt_number == 1:
            warn(f"{_error_of(state)}; retrying")

    retrying = Retrying(
        retry=retry_if_exception_type(TryAgain),
        wait=lambda state: max(backoff(state), requested_pause(_error_of(state))),
        stop=lambda state: clock() - start + state.upcoming_sleep >= PATIENCE_SECONDS,
        before_sleep=report,
        sleep=pause,
        reraise=True,
    )
    return retrying(call)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def requested_pause(error: BaseException | None) -> float:
    """Return the seconds that Azure asked to wait before the next request, at most 15 minutes."""
    seconds = error.details.get(_RETRY_AFTER) if isinstance(error, PdmError) else None
    return min(seconds, PATIENCE_SECONDS) if isinstance(seconds, float) else 0.0
