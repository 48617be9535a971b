"""The emulator: all parts of the service behind one proxy."""

from __future__ import annotations

import http.client
import os
import tempfile
import threading
import time
import traceback
from pathlib import Path
from urllib.parse import quote

from azure.storage.blob import BlobServiceClient

from tests.azure.emulator.assets import Assets
from tests.azure.emulator.azurite import Azurite
from tests.azure.emulator.blob_folders import BlobFolders
from tests.azure.emulator.blob_gate import BlobGate
from tests.azure.emulator.certificates import Authority
from tests.azure.emulator.computes import Computes
from tests.azure.emulator.control_plane import ControlPlane
from tests.azure.emulator.datastores import Datastores
from tests.azure.emulator.faults import Faults
from tests.azure.emulator.jobs import FINAL, Job, Jobs
from tests.azure.emulator.pipelines import Pipelines
from tests.azure.emulator.proxy import Proxy
from tests.azure.emulator.run_history import RunHistory
from tests.azure.emulator.runner import Runner
from tests.azure.emulator.tokens import Principal, Tokens
from tests.azure.emulator.wire import ARM, LOGIN, Exchange
from tests.azure.emulator.workspace import Workspace

CLUSTER = "cpu-cluster"
ROOT = Path(__file__).parents[3]


class Emulator:
    """Azure Machine Learning on the loopback address.

    Attributes
    ----------
    secrets : set of str
        Every key, signature, client secret and token so far; pdm must not write any of them.
    faults : Faults
        Pending faults.
    jobs : Jobs
        Jobs and steps by name.
    """

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="pdm-azureml-")
        self._azurite = Azurite(self.secrets)
        self.workspace = Workspace(self._azurite.account)
        self.tokens = Tokens(self.workspace.tenant, self.secrets)
        self.faults = Faults()
        self.computes = Computes(self.workspace)
        self.computes.add_cluster(CLUSTER)
        self.datastores = Datastores(self.workspace, self._azurite)
        self.assets = Assets(self.workspace, self._azurite)
        folders = BlobFolders(self.workspace, self.assets, self.blobs)
        self._runner = Runner(self.workspace, self.assets, folders, self.blobs)
        self._pipelines = Pipelines(self.assets, folders, self._runner)
        self.jobs = Jobs(self.workspace, self.tokens, self.assets, self.computes, self._launch)
        self._threads: list[threading.Thread] = []
        self._proxy = self._start_proxy()

    @property
    def blobs(self) -> BlobServiceClient:
        """A client connected directly to Azurite, without proxy and faults."""
        return self._azurite.blobs

    @property
    def requests(self) -> list[Exchange]:
        return self._proxy.requests

    @property
    def refused_hosts(self) -> list[str]:
        return self._proxy.refused_hosts

    @property
    def bugs(self) -> list[str]:
        """Tracebacks of the emulator itself."""
        return self._proxy.bugs

    @property
    def hold_jobs(self) -> bool:
        """Whether jobs stay queued."""
        return not self._runner.gate.is_set()

    @hold_jobs.setter
    def hold_jobs(self, hold: bool) -> None:
        if hold:
            self._runner.gate.clear()
        else:
            self._runner.gate.set()

    def environment(self, home: Path, role: str = "contributor") -> dict[str, str]:
        """Return the complete environment of a process that uses this as Azure, signed in as ``role``."""
        principal: Principal = self.tokens.principals[role]
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "HTTPS_PROXY": self._proxy.url,
            # The proxy rejects unencrypted requests.
            "HTTP_PROXY": self._proxy.url,
            "REQUESTS_CA_BUNDLE": str(self._proxy.authority.ca_file),
            "AZURE_TENANT_ID": self.workspace.tenant,
            "AZURE_CLIENT_ID": principal.client_id,
            "AZURE_CLIENT_SECRET": principal.client_secret,
            "PDM_CLI_SUBSCRIPTION_ID": self.workspace.subscription_id,
            "PDM_CLI_RESOURCE_GROUP": self.workspace.resource_group,
            "PDM_CLI_WORKSPACE": self.workspace.name,
            "PDM_CLI_COMPUTE": CLUSTER,
        }

    def wait(self, name: str, timeout: float = 60.0) -> Job:
        """Return the job when it has ended."""
        job = self.jobs.find(name)
        assert job.finished.wait(timeout), f"job {name} is still {job.status}"
        return job

    def wait_for_status(self, name: str, status: str, timeout: float = 30.0) -> Job:
        """Return the job when it has reached ``status``."""
        job = self.jobs.find(name)
        end = time.monotonic() + timeout
        while job.status != status:
            assert time.monotonic() < end, f"job {name} is {job.status}, not {status}"
            assert job.status not in FINAL, f"job {name} ended {job.status}: {job.log}"
            time.sleep(0.02)
        return job

    def put_blob(self, name: str, content: bytes) -> None:
        """Write a blob of the default datastore under its exact name; the client would normalize dots."""
        connection = http.client.HTTPConnection("127.0.0.1", self._azurite.port, timeout=30)
        path = f"/{self._azurite.account}/{self.workspace.blob_container}/{quote(name, safe='')}"
        headers = {"x-ms-blob-type": "BlockBlob"}
        connection.request("PUT", f"{path}?{self._azurite.account_sas()}", content, headers)
        status = connection.getresponse().status
        connection.close()
        assert status == 201, f"Azurite rejected blob {name!r}: {status}"

    def reset(self) -> None:
        """Remove all faults and settings; keep jobs, assets and blobs."""
        self.faults.clear()
        self.hold_jobs = False
        self.tokens.lifetime_seconds = Tokens.LIFETIME_SECONDS
        self.datastores.credentials = "AccountKey"
        self.requests.clear()

    def close(self) -> None:
        for job in list(self.jobs.values()):
            job.cancel()
        for thread in self._threads:
            thread.join(timeout=20)
        self._proxy.close()
        self._azurite.close()
        self._folder.cleanup()

    def _launch(self, job: Job) -> None:
        def run() -> None:
            try:
                if job.is_pipeline:
                    self._pipelines.run(job, self.jobs)
                else:
                    self._runner.run(job, self._runner.work_of(job))
            except Exception:  # noqa: BLE001 - a bug of the emulator is kept and shown by the tests
                self.bugs.append(traceback.format_exc())
                job.end("Failed", {"code": "SystemError", "message": "The emulator has a bug.", "details": []})

        self._threads.append(threading.Thread(target=run, name=job.name, daemon=True))
        self._threads[-1].start()

    def _start_proxy(self) -> Proxy:
        plane = ControlPlane(self.workspace, self.tokens)
        self.workspace.add_routes(plane.arm, plane.data)
        for part in (self.computes, self.datastores, self.assets, self.jobs):
            part.add_routes(plane.arm)
        RunHistory(self.workspace, self.jobs).add_routes(plane.data)
        sites = {ARM: plane.answer_arm, LOGIN: self.tokens.answer, self.workspace.data_host: plane.answer_data}
        gate = BlobGate(self._azurite, self.tokens)
        return Proxy(Authority(Path(self._folder.name)), sites, gate, self.faults)
