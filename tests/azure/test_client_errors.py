from __future__ import annotations

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

from pdm_cli.azure import client as session
from pdm_cli.azure import jobs
from pdm_cli.azure import jobs as status
from pdm_cli.azure.client import first_line, status_of, translated
from pdm_cli.azure.job_status import JobState
from pdm_cli.errors import AuthError, PdmError, RemoteError, TryAgain
from pdm_cli.settings.model import AzureParams


def fail(error: Exception, cause: Exception | None = None) -> PdmError:
    """Return what an error of Azure's packages becomes."""
    with pytest.raises(PdmError) as caught, translated("job x"):
        raise error from cause
    return caught.value


def with_status(error: HttpResponseError, status: int) -> HttpResponseError:
    error.status_code = status
    return error


def ml(text: str, kind: type[MlException] = MlException) -> MlException:
    return kind(text, "")


@pytest.mark.parametrize("kind", [MlException, UserErrorException])
def test_what_the_client_itself_finds_wrong_is_no_matter_of_time(kind: type[MlException]) -> None:
    error = fail(ml("Asset nope does not exist.", kind), ResourceNotFoundError("gone"))
    assert (type(error), error.message, error.hint) == (RemoteError, "job x: Asset nope does not exist.", None)


def test_an_error_without_words_has_those_of_its_cause_or_its_name() -> None:
    assert fail(ml(""), ResourceNotFoundError("no container")).message == "job x: no container"
    assert fail(ml(" \n")).message == "job x: MlException"


@pytest.mark.parametrize(
    "cause",
    [
        ServiceRequestError("refused"),
        ServiceResponseError("reset"),
        ConnectionResetError(),
        with_status(HttpResponseError("busy"), 503),
    ],
)
def test_an_upload_that_breaks_off_may_be_done_again(cause: Exception) -> None:
    wrapped = MlException("upload failed", "")
    wrapped.__cause__ = cause
    assert type(fail(wrapped, cause)) is TryAgain
    assert type(fail(ml("job not made"), wrapped)) is TryAgain


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
def test_a_sign_in_service_in_trouble_may_be_asked_again(
    error: Exception, cause: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(fail(error, cause)) is TryAgain

    def refuse(_: str) -> None:
        raise error from cause

    monkeypatch.setattr(session, "make_credential", lambda *_: ("test", SimpleNamespace(get_token=refuse)))
    with pytest.raises(TryAgain, match="signing in to Azure by test"):
        session.connect(AzureParams("s", "g", "w"))


def test_an_answer_that_breaks_off_may_be_asked_for_again() -> None:
    assert type(fail(IncompleteReadError("Connection broken: 1476 more expected"))) is TryAgain


@pytest.mark.parametrize(("given", "details"), [("40", {"retry_after_seconds": 40.0}), ("soon", {}), (None, {})])
def test_the_pause_that_azure_asks_for_is_told(given: str | None, details: dict[str, float]) -> None:
    error = with_status(HttpResponseError("Too many requests."), 429)
    error.response = SimpleNamespace(headers={"Retry-After": given} if given else {})  # type: ignore[assignment]
    assert fail(error).details == details


def test_a_sign_in_that_is_refused_stays_refused() -> None:
    error = fail(with_status(ClientAuthenticationError("AADSTS7000222: expired."), 401))
    assert (type(error), error.message) == (AuthError, "job x: AADSTS7000222: expired.")


def test_no_signature_and_no_order_to_the_terminal_is_told() -> None:
    error = with_status(HttpResponseError("No \x1b[2Jaccess: https://s/c?sv=1&sig=SECRET&se=2\nmore"), 403)
    assert first_line(error) == "No access: https://s/c?sv=1&sig=…&se=2"
    assert status_of(fail(error)) == 403  # type: ignore[arg-type]


HOSTILE = "\x1b]0;x\x07\u202epump\x9b2J"


def test_states_are_plain_text() -> None:
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
    client = SimpleNamespace(jobs=SimpleNamespace(get=lambda _: job, list=lambda **_: [step]))
    state = status.read_state(SimpleNamespace(client=client), "job-1")  # type: ignore[arg-type]
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
    client = SimpleNamespace(workspaces=SimpleNamespace(get=lambda _: place))
    credential = SimpleNamespace(get_token=lambda *_: None)
    here: Any = SimpleNamespace(client=client, azure=AzureParams("s", "g", "w"), credential=credential)
    return jobs.add_history(here, [JobState("job-1", "Failed")])[0]


def test_the_services_own_words_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_history_of_another_form_is_a_refusal_and_no_bug(
    answers: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RemoteError, match="run history: an answer that is none of its own"):
        read_history(monkeypatch, *answers)
