from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pdm_cli.cli.doctor import check_command, check_libraries, check_machine
from pdm_cli.cli.render.checks import CheckLines
from pdm_cli.errors import ConfigError
from tests.cli.conftest import Outcome, Pdm

REMOTE = ["azure", "azure packages", "sign-in", "workspace", "compute", "datastore"]


@pytest.fixture(autouse=True)
def _no_azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No workspace, no credential, and no config file here."""
    for name in list(os.environ):
        if name.startswith(("AZURE", "PDM_CLI_", "IDENTITY_", "MSI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def checks_of(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in outcome.json["checks"]}


def test_without_a_workspace_all_is_well(pdm: Pdm) -> None:
    outcome = pdm("doctor", "--json")
    assert outcome.code == 0
    assert outcome.json["schema"] == "pdm.doctor/1"
    checks = checks_of(outcome)
    assert list(checks) == ["python", "libraries", "command", "machine", "config", *REMOTE]
    assert {name: checks[name]["text"] for name in REMOTE} == dict.fromkeys(REMOTE, "not set up")
    assert {checks[name]["state"] for name in REMOTE} == {"skipped"}
    assert "set subscription_id, resource_group and workspace" in checks["azure"]["hint"]
    assert checks["config"]["text"].startswith("no pdm-cli.toml here")
    assert sys.executable in checks["python"]["text"]


def test_words_instead_of_ticks_without_a_terminal(pdm: Pdm) -> None:
    outcome = pdm("doctor", "--workspace", "w")
    assert outcome.code == 3
    lines = outcome.stdout.splitlines()
    assert lines[0].startswith("ok       python          Python 3.")
    assert "FAILED   azure           Azure ML: subscription_id, resource_group not set" in lines
    assert "-        datastore       skipped: azure failed" in lines
    assert any("hint: set them in section [azure] of pdm-cli.toml" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("[azur]\n", 3, "unknown section [azur]"),
        ('[azure]\nworkspace = "w"\nmin_nodes = 9\n', 3, "min_nodes"),
        ("[azure\n", 3, "not valid TOML"),
    ],
)
def test_wrong_config_is_a_finding(text: str, code: int, problem: str, pdm: Pdm) -> None:
    Path("pdm-cli.toml").write_text(text)
    outcome = pdm("doctor", "--json")
    assert (outcome.code, outcome.json["exit"]) == (code, code)
    checks = checks_of(outcome)
    assert checks["config"]["state"] == "failed"
    assert problem in checks["config"]["text"]
    assert checks["datastore"]["text"] == "skipped: config failed"


def test_config_file_is_named(pdm: Pdm, tmp_path: Path) -> None:
    Path("pdm-cli.toml").write_text("[azure]\nmax_nodes = 2\n")
    config = checks_of(pdm("doctor", "--json"))["config"]
    assert (config["state"], config["text"]) == ("ok", str(tmp_path / "pdm-cli.toml"))


def test_no_credential_ends_with_the_code_of_signing_in(pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    where = ("--workspace", "w", "--resource-group", "g", "--subscription-id", "s")
    outcome = pdm("doctor", "--auth", "environment", "--json", *where)
    assert outcome.code == 6
    checks = checks_of(outcome)
    assert checks["sign-in"]["text"].startswith("--auth environment: not set: AZURE_TENANT_ID")
    assert checks["workspace"]["text"] == "skipped: sign-in failed"


def put_script(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "pdm"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


OURS = "#!/usr/bin/python\nimport sys\nfrom pdm_cli.__main__ import main\nsys.exit(main())\n"
# The PDM package manager's; it would leave a trace if it were started.
OTHER = "#!/bin/sh\ntouch started\n"


@pytest.mark.skipif(os.name == "nt", reason="starters are programs there")
class TestCommandOnPath:
    @pytest.fixture
    def scripts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path / "scripts"))
        return tmp_path / "scripts"

    def test_ours(self, scripts: Path) -> None:
        path = put_script(scripts, OURS)
        assert check_command(str(scripts)).state == "ok"
        assert check_command(str(scripts)).text == f"pdm is {path}"

    def test_link_to_ours(self, scripts: Path, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "pdm").symlink_to(put_script(scripts, OURS))
        assert check_command(str(tmp_path / "bin")).state == "ok"

    def test_another_program_first_on_path(self, scripts: Path, tmp_path: Path) -> None:
        put_script(scripts, OURS)
        path = put_script(tmp_path / "bin", OTHER)
        found = check_command(os.pathsep.join([str(tmp_path / "bin"), str(scripts)]))
        assert found.state == "warning"
        assert found.text.startswith(f"pdm is {path}: another program")
        assert found.hint == "use python -m pdm_cli or pdm-cli for this program"
        assert not Path("started").exists()

    def test_another_program_in_the_same_folder(self, scripts: Path) -> None:
        put_script(scripts, OTHER)
        assert check_command(str(scripts)).state == "warning"

    def test_none_on_path(self, scripts: Path) -> None:
        found = check_command(str(scripts))
        assert (found.state, found.text) == ("warning", "pdm is not on PATH")


def test_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pdm_cli.io.manifest.library_versions", lambda: {"python": "3.11", "numpy": "2", "xgboost": "3"}
    )
    with pytest.raises(ConfigError, match="not installed: scipy, pandas"):
        check_libraries()


def test_little_free_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=5 * 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    found = check_machine()
    assert found.state == "warning"
    assert "0.5 GB free" in found.text


def test_ticks_and_crosses_on_a_terminal() -> None:
    checks = [
        {"name": "python", "state": "ok", "text": "Python 3.11", "hint": None},
        {"name": "config", "state": "failed", "text": "no such key", "hint": "did you mean 'azure'?"},
    ]
    for encoding, marks in (("utf-8", "✓✗"), ("ascii", ["ok     ", "FAILED "])):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        Console(file=stream, force_terminal=True, color_system=None, width=80).print(CheckLines(checks))
        stream.seek(0)
        assert [line.rstrip() for line in stream.read().splitlines()] == [
            f"{marks[0]}  python  Python 3.11",
            f"{marks[1]}  config  no such key",
            f"{'':<{len(marks[0])}}          hint: did you mean 'azure'?",
        ]
