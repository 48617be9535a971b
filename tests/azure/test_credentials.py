"""Sign-in with programs such as the Azure CLI; fake ones are on the path."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError

from pdm_cli.azure.credentials import make_credential

SCOPE = "https://management.azure.com/.default"
GIVES = f"echo '{json.dumps({'accessToken': 'token-of-az', 'expires_on': 4102444800})}'"
REFUSES = "echo 'Please run az login' >&2; exit 1"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path with a shell, ``sleep``, and the fake programs that a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sleep"):
        (folder / name).symlink_to(Path("/bin") / name)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, **programs: str) -> None:
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


@pytest.mark.ci
def test_credential_slow_programs_are_given_up_in_parallel(path: Path) -> None:
    put(path, az=f"sleep 2; {REFUSES}", pwsh="sleep 20", azd="sleep 20")
    method, credential = make_credential("default", {})
    start = time.monotonic()
    with pytest.raises(ClientAuthenticationError) as caught:
        credential.get_token(SCOPE)
    assert time.monotonic() - start < 4
    assert method.startswith("Azure CLI, PowerShell or Developer CLI")
    assert "PowerShell: no answer within 3.5 s" in str(caught.value)
    assert "Azure CLI: " not in str(caught.value), "not signed in"


@pytest.mark.ci
def test_credential_first_program_with_token_is_kept(path: Path) -> None:
    put(path, az=GIVES, pwsh="sleep 20", azd="sleep 20")
    _, credential = make_credential("default", {})
    start = time.monotonic()
    for _ in range(2):
        assert credential.get_token(SCOPE).token == "token-of-az"
    assert time.monotonic() - start < 3
    put(path, az="sleep 5; " + GIVES)
    assert credential.get_token(SCOPE).token == "token-of-az", "renewal has a longer timeout"


def test_credential_program_error_is_reported(path: Path) -> None:
    put(path, az="echo 'AADSTS700082: The refresh token has expired. az login' >&2; exit 1")
    _, credential = make_credential("default", {})
    with pytest.raises(ClientAuthenticationError, match=r"Azure CLI: .*AADSTS700082"):
        credential.get_token(SCOPE)


def test_credential_no_program_fails(path: Path) -> None:
    assert not list(path.glob("a*"))
    with pytest.raises(ClientAuthenticationError, match="none of them is signed in"):
        make_credential("default", {})[1].get_token(SCOPE)
