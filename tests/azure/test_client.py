from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from azure.ai.ml.exceptions import MlException, UserErrorException
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

from pdm_cli.azure import client, jobs
from pdm_cli.azure.client import PATIENCE_SECONDS, azure_errors, first_line, retry, status_of
from pdm_cli.azure.jobs import JobState
from pdm_cli.errors import AuthError, PdmError, RemoteError, TryAgain
from pdm_cli.settings.model import AzureParams


def translate(error: Exception, cause: Exception | None = None) -> PdmError:
    """Return the translation of an Azure exception."""
    with pytest.raises(PdmError) as caught, azure_errors("job x"):
        raise error from cause
    return caught.value


def with_status(error: HttpResponseError, status: int) -> HttpResponseError:
    error.status_code = status
    return error


def ml(text: str, kind: type[MlException] = MlException) -> MlException:
    return kind(text, "")


@pytest.mark.parametrize("kind", [MlException, UserErrorException])
def test_translated_client_validation_is_permanent(kind: type[MlException]) -> None:
    error = translate(ml("Asset nope does not exist.", kind), ResourceNotFoundError("gone"))
    assert (type(error), error.message, error.hint) == (RemoteError, "job x: Asset nope does not exist.", None)


def test_translated_without_message_uses_the_cause() -> None:
    assert translate(ml(""), ResourceNotFoundError("no container")).message == "job x: no container"
    assert translate(ml(" \n")).message == "job x: MlException"


@pytest.mark.parametrize(
    "cause",
    [
        ServiceRequestError("refused"),
        ServiceResponseError("reset"),
        ConnectionResetError(),
        with_status(HttpResponseError("busy"), 503),
    ],
)
def test_translated_interrupted_upload_is_temporary(cause: Exception) -> None:
    wrapped = MlException("upload failed", "")
    wrapped.__cause__ = cause
    assert type(translate(wrapped, cause)) is TryAgain
    assert type(translate(ml("job not made"), wrapped)) is TryAgain


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ClientAuthenticationError("Authentication failed: …"), ServiceRequestError("refused")),
        (ClientAuthenticationError("Authentication failed: …"), ServiceResponseError("reset")),
        (with_status(ClientAuthenticationError("Unexpected response"), 503), None),
        (with_status(ClientAuthenticationError("Unexpected response"), 429), None),
        (ClientAuthenticationError("Authentication failed: HTTP Error: 502"), None),
        (ClientAuthenticationError("OIDC Discovery failed on login. HTTP status: 503, Error: x"), None),
    ],
)
def test_connect_sign_in_unavailable_is_temporary(
    error: Exception, cause: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(translate(error, cause)) is TryAgain

    def reject(_: str) -> None:
        raise error from cause

    monkeypatch.setattr(client, "make_credential", lambda *_: ("test", SimpleNamespace(get_token=reject)))
    with pytest.raises(TryAgain, match="sign-in to Azure by test"):
        client.connect(AzureParams("s", "g", "w"))


def test_translated_incomplete_response_is_temporary() -> None:
    assert type(translate(IncompleteReadError("Connection broken: 1476 more expected"))) is TryAgain


@pytest.mark.parametrize(("given", "details"), [("40", {"retry_after_seconds": 40.0}), ("soon", {}), (None, {})])
def test_translated_retry_after_is_kept(given: str | None, details: dict[str, float]) -> None:
    error = with_status(HttpResponseError("Too many requests."), 429)
    error.response = SimpleNamespace(headers={"Retry-After": given} if given else {})  # type: ignore[assignment]
    assert translate(error).details == details


def test_translated_rejected_sign_in_is_permanent() -> None:
    error = translate(with_status(ClientAuthenticationError("AADSTS7000222: expired."), 401))
    assert (type(error), error.message) == (AuthError, "job x: AADSTS7000222: expired.")


def test_first_line_hostile_text_is_cleaned() -> None:
    error = with_status(HttpResponseError("No \x1b[2Jaccess: https://s/c?sv=1&sig=SECRET&se=2\nmore"), 403)
    assert first_line(error) == "No access: https://s/c?sv=1&sig=…&se=2"
    assert status_of(translate(error)) == 403  # type: ignore[arg-type]


HOSTILE = "\x1b]0;x\x07\u202epump\x9b2J"


def test_read_state_hostile_text_is_cleaned() -> None:
    step = SimpleNamespace(name="run-1", display_name=HOSTILE, status="Failed", properties={})
    job: Any = SimpleNamespace(
        name="job-1",
        type="pipeline",
        status=HOSTILE,
        tags={HOSTILE: HOSTILE},
        outputs={HOSTILE: SimpleNamespace(path=HOSTILE), "none": SimpleNamespace(path=None)},
        experiment_name=HOSTILE,
        display_name=HOSTILE,
        studio_url=HOSTILE,
    )
    fake = SimpleNamespace(jobs=SimpleNamespace(get=lambda _: job, list=lambda **_: [step]))
    state = jobs.read_state(SimpleNamespace(client=fake), "job-1")  # type: ignore[arg-type]
    assert (state.status, state.experiment, state.display_name, state.studio_url) == ("pump",) * 4
    assert (state.tags, state.outputs) == ({"pump": "pump"}, {"pump": "pump", "none": None})
    assert state.steps[0].name == "pump"


def read_history(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> JobState:
    rest = iter(answers)

    def send(_: object) -> Any:
        answer = next(rest)
        if isinstance(answer, Exception):
            return SimpleNamespace(raise_for_status=lambda: None, json=lambda: (_ for _ in ()).throw(answer))
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: answer)

    class Client:
        send_request = staticmethod(send)

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(jobs, "_open", lambda *_: Client())
    place = SimpleNamespace(discovery_url="https://d", id="/w")
    fake = SimpleNamespace(workspaces=SimpleNamespace(get=lambda _: place))
    credential = SimpleNamespace(get_token=lambda *_: None)
    here: Any = SimpleNamespace(client=fake, azure=AzureParams("s", "g", "w"), credential=credential)
    return jobs.add_history(here, [JobState("job-1", "Failed")])[0]


def test_add_history_hostile_text_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"error": {"error": {"message": f"{HOSTILE}: https://s/c?sig=SECRET\nmore"}}}
    assert read_history(monkeypatch, {"api": "https://a"}, told).error == "pump: https://s/c?sig=…"


@pytest.mark.parametrize(
    "answers",
    [
        (ValueError("<html>"),),
        ({"other": 1},),
        (["api"],),
        ({"api": "https://a"}, ValueError("<html>")),
        ({"api": "https://a"}, {"startTimeUtc": "soon"}),
        ({"api": "https://a"}, {"startTimeUtc": 5}),
        ({"api": "https://a"}, {"error": "text"}),
    ],
)
def test_add_history_unexpected_response_fails(answers: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteError, match="unexpected response from the run history service"):
        read_history(monkeypatch, *answers)


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def read(self) -> float:
        return self.now


def fail_first(times: int) -> Callable[[], str]:
    left = iter(range(times))

    def call() -> str:
        if next(left, None) is not None:
            raise TryAgain("busy")
        return "done"

    return call


def test_retry_temporary_errors_back_off_and_warn_once() -> None:
    clock, warnings = FakeClock(), list[str]()
    assert retry(fail_first(7), warn=warnings.append, sleep=clock.sleep, clock=clock.read) == "done"
    assert clock.pauses == [1, 2, 4, 8, 16, 30, 30]
    assert warnings == ["busy; retrying"]


def test_retry_fifteen_minutes_of_errors_raise() -> None:
    clock = FakeClock()
    with pytest.raises(TryAgain, match="busy"):
        retry(fail_first(1000), warn=lambda _: None, sleep=clock.sleep, clock=clock.read)
    assert PATIENCE_SECONDS - 31 < clock.now <= PATIENCE_SECONDS


def test_retry_permanent_error_is_not_retried() -> None:
    def reject() -> None:
        raise RemoteError("not found")

    clock = FakeClock()
    with pytest.raises(RemoteError):
        retry(reject, warn=lambda _: None, sleep=clock.sleep, clock=clock.read)
    assert clock.pauses == []


def test_retry_with_retry_after_waits_for_it() -> None:
    left = iter([TryAgain("busy", retry_after_seconds=40.0), TryAgain("busy")])

    def call() -> str:
        for error in left:
            raise error
        return "done"

    clock = FakeClock()
    assert retry(call, warn=lambda _: None, sleep=clock.sleep, clock=clock.read) == "done"
    assert clock.pauses == [40, 2]


def test_retry_with_excessive_retry_after_fails_at_once() -> None:
    def call() -> None:
        raise TryAgain("busy", retry_after_seconds=7200.0)

    clock = FakeClock()
    with pytest.raises(TryAgain):
        retry(call, warn=lambda _: None, sleep=clock.sleep, clock=clock.read)
    assert clock.pauses == []
