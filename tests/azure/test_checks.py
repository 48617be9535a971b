from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceRequestError

from pdm_cli.azure import checks
from pdm_cli.azure.checks import Check, Outcome, Result, run_checks
from pdm_cli.errors import ConfigError, PdmError, RemoteError, TryAgain
from pdm_cli.settings.model import AzureParams


class FakeBlob:
    """A blob whose writing or deleting may fail, before or after it took effect."""

    blob_name = "pdm/.doctor-x"

    def __init__(self, on_upload: BaseException | None, on_delete: BaseException | None, *, is_lost: bool) -> None:
        self.on_upload, self.on_delete, self.is_lost = on_upload, on_delete, is_lost
        self.is_there = False

    def upload_blob(self, _: bytes, *, overwrite: bool) -> None:
        assert overwrite
        self.is_there = self.on_upload is None or self.is_lost
        if self.on_upload is not None:
            raise self.on_upload

    def delete_blob(self) -> None:
        if not self.is_there:
            raise ResourceNotFoundError("The specified blob does not exist.")
        if self.on_delete is not None:
            raise self.on_delete
        self.is_there = False


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(
        on_upload: BaseException | None = None, on_delete: BaseException | None = None, *, is_lost: bool = False
    ) -> FakeBlob:
        blob = FakeBlob(on_upload, on_delete, is_lost=is_lost)
        container = SimpleNamespace(get_blob_client=lambda _: blob, container_name="c")
        monkeypatch.setattr(checks, "open_container", lambda *_: container)
        return blob

    return make


SESSION: Any = SimpleNamespace(azure=AzureParams())


def rejection(status: int) -> HttpResponseError:
    error = HttpResponseError("This request is not authorized.")
    error.status_code = status
    return error


def test_check_datastore_writable_deletes_its_blob(probe: Any) -> None:
    blob = probe()
    assert checks.check_datastore(SESSION).text == "workspaceblobstore: container c is writable"
    assert not blob.is_there


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(128 + signal.SIGTERM)])
def test_check_datastore_interrupted_deletes_its_blob(error: BaseException, probe: Any) -> None:
    blob = probe(error, is_lost=True)
    with pytest.raises(type(error)):
        checks.check_datastore(SESSION)
    assert not blob.is_there


def test_check_datastore_lost_response_deletes_its_blob(probe: Any) -> None:
    blob = probe(ServiceRequestError("Connection aborted."), is_lost=True)
    with pytest.raises(TryAgain, match="writing a blob: Connection aborted"):
        checks.check_datastore(SESSION)
    assert not blob.is_there


def test_check_datastore_forbidden_names_the_role(probe: Any) -> None:
    probe(rejection(403))
    with pytest.raises(RemoteError, match="writing a blob: This request is not authorized") as caught:
        checks.check_datastore(SESSION)
    assert caught.value.hint == "writing needs the Storage Blob Data Contributor role on the storage account"


def test_check_datastore_undeletable_names_the_blob(probe: Any) -> None:
    probe(on_delete=rejection(409))
    with pytest.raises(RemoteError, match=r"deleting pdm/\.doctor-x"):
        checks.check_datastore(SESSION)


def test_check_names_incomplete_fails() -> None:
    assert checks.check_names(AzureParams()).state == "skipped"
    # Other tools set it, too; by itself it does not name a workspace.
    assert checks.check_names(AzureParams(subscription_id="s")).state == "skipped"
    with pytest.raises(ConfigError, match="subscription_id, resource_group not set"):
        checks.check_names(AzureParams(workspace="w"))
    assert checks.check_names(AzureParams("s", "g", "w")).text == "workspace w in resource group g"


def test_check_packages_missing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_PACKAGES", ("azure-ai-ml", "azure-nowhere"))
    with pytest.raises(PdmError, match="azure-nowhere: not installed") as caught:
        checks.check_packages()
    assert caught.value.exit_code == 6


def cluster(**facts: Any) -> Any:
    return SimpleNamespace(
        **{"provisioning_state": "Succeeded", "size": "D2", "min_instances": 0, "max_instances": 4, **facts}
    )


@pytest.mark.parametrize(
    ("found", "state", "text"),
    [
        (cluster(), "ok", "pdm-cluster: Succeeded, D2, 0 to 4 nodes"),
        (cluster(min_instances=2), "warning", "pdm-cluster: Succeeded, D2, 2 to 4 nodes"),
        (None, "ok", "pdm-cluster: not found; pdm submit creates it: STANDARD_D2_V2, 0 to 4 nodes"),
    ],
)
def test_check_compute_reports_size_and_cost(
    found: Any, state: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "find_cluster", lambda _: found)
    finding = checks.check_compute(SESSION)
    assert (finding.state, finding.text) == (state, text)


def test_check_compute_failed_cluster_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_cluster", lambda _: cluster(provisioning_state="Failed"))
    with pytest.raises(RemoteError, match="compute pdm-cluster: creation failed"):
        checks.check_compute(SESSION)


def succeed() -> Outcome:
    return Outcome("fine")


def fail() -> NoReturn:
    raise RemoteError("workspace w: not found", hint="check --workspace")


def fail_config() -> NoReturn:
    raise ConfigError("no such key")


def never() -> NoReturn:
    raise AssertionError("needs a failed check")


def test_run_checks_keeps_order() -> None:
    results = run_checks([Check("a", succeed), Check("b", lambda: Outcome("almost", "warning", "fix it"), ("a",))])
    assert results == [Result("a", "ok", "fine"), Result("b", "warning", "almost", "fix it")]


def test_run_checks_needing_a_failed_one_are_skipped() -> None:
    checks = [
        Check("a", fail),
        Check("b", never, ("a",)),
        Check("c", never, ("b",)),
        Check("d", fail_config),
        Check("e", succeed),
    ]
    assert run_checks(checks) == [
        Result("a", "failed", "workspace w: not found", "check --workspace", 6),
        Result("b", "skipped", "skipped: a failed"),
        Result("c", "skipped", "skipped: a failed"),
        Result("d", "failed", "no such key", None, 3),
        Result("e", "ok", "fine"),
    ]


def test_run_checks_needing_a_warning_are_run() -> None:
    results = run_checks([Check("a", lambda: Outcome("almost", "warning")), Check("b", succeed, ("a",))])
    assert [result.state for result in results] == ["warning", "ok"]


def test_run_checks_needing_a_skipped_one_repeat_its_reason() -> None:
    results = run_checks([Check("a", lambda: Outcome("not set up", "skipped", "set it")), Check("b", never, ("a",))])
    assert results[1] == Result("b", "skipped", "not set up")
    assert not any(result.exit_code for result in results)
