"""Jobs: their requests, their progress, and their resources in ARM."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.azure.emulator.assets import Assets
from tests.azure.emulator.computes import Computes
from tests.azure.emulator.tokens import ML_AUDIENCE, Tokens
from tests.azure.emulator.wire import Json, Reply, Request, Router, ServiceError, not_found
from tests.azure.emulator.workspace import Workspace, arm_url, system_data, utc

FINAL = ("Completed", "Failed", "Canceled")
# It needs no cluster; the client sends this name, or nothing at all.
SERVERLESS = "serverless"
MUTABLE = {"tags", "description", "displayName", "properties", "isArchived"}


@dataclass
class Job:
    """A job, or one step of a pipeline.

    Attributes
    ----------
    submitted : dict
        The properties as the client sent them; of a step, its node in the pipeline.
    runs : int
        Number of processes started for it: 0 for a pipeline and for a reused step.
    command : str
        The command as it ran, with all bindings replaced.
    outputs : dict of str
        Address of each output.
    log : str
        The output of the process so far.
    reused_from : str
        Name of the earlier step whose outputs it reuses.
    """

    name: str
    submitted: Json
    parent: Job | None = None
    status: str = "NotStarted"
    runs: int = 0
    command: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    exit_code: int | None = None
    error: Json | None = None
    reused_from: str = ""
    children: list[Job] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    cancel_asked: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def display_name(self) -> str:
        return self.submitted.get("displayName") or self.submitted.get("name") or self.name

    @property
    def experiment(self) -> str:
        return self.parent.experiment if self.parent else self.submitted.get("experimentName", "Default")

    @property
    def is_cancelled(self) -> bool:
        """Whether it, or its pipeline, was asked to stop."""
        return self.cancel_asked.is_set() or bool(self.parent and self.parent.is_cancelled)

    @property
    def is_pipeline(self) -> bool:
        return self.submitted.get("jobType") == "Pipeline"

    def start(self) -> None:
        self.started = time.time()
        self.status = "Running"

    def end(self, status: str, error: Json | None = None) -> None:
        self.error = error
        self.ended = time.time()
        self.status = status
        self.finished.set()

    def cancel(self) -> None:
        """Ask the job and its steps to stop."""
        if self.status not in FINAL:
            self.status = "CancelRequested"
            self.cancel_asked.set()
        for child in self.children:
            child.cancel()


class Jobs(dict[str, Job]):
    """All jobs and steps by name."""

    def __init__(
        self,
        workspace: Workspace,
        tokens: Tokens,
        assets: Assets,
        computes: Computes,
        launch: Callable[[Job], None],
    ) -> None:
        super().__init__()
        self._tokens = tokens
        self._workspace = workspace
        self._assets = assets
        self._computes = computes
        self._launch = launch
        self._lock = threading.Lock()

    def add_routes(self, arm: Router) -> None:
        arm.add("GET", "/jobs", self._list)
        arm.add("GET", "/jobs/{name}", self._get)
        arm.add("PUT", "/jobs/{name}", self._put)
        arm.add("POST", "/jobs/{name}/cancel", self._cancel)
        arm.add("GET", "/cancelOperations/{name}", self._poll_cancel)

    def find(self, name: str) -> Job:
        if name not in self:
            raise not_found(f"Job {name}")
        return self[name]

    def _list(self, _: Request) -> Reply:
        tops = [job for job in self.values() if not job.parent]
        return Reply({"value": [self._resource(job) for job in reversed(tops)]})

    def _get(self, _: Request, name: str) -> Reply:
        return Reply(self._resource(self.find(name)))

    def _put(self, request: Request, name: str) -> Reply:
        asked = request.json["properties"]
        if token := request.headers.get("x-azureml-token"):
            self._tokens.check(f"Bearer {token}", ML_AUDIENCE)
        with self._lock:
            known = self.get(name)
            if known:
                self._update(known, asked)
                return Reply(self._resource(known))
            self._check(asked)
            job = self[name] = Job(name, asked, tags=dict(asked.get("tags") or {}))
        self._launch(job)
        return Reply(self._resource(job), 201)

    def _update(self, job: Job, asked: Json) -> None:
        changed = [key for key in asked if key not in MUTABLE and asked[key] != job.submitted.get(key)]
        if changed:
            message = (
                "A job with this name already exists. If you are trying to create a new job, use a different name. "
                f"If you are trying to update an existing job, the existing job's {', '.join(changed)} "
                "cannot be changed. Only description, tags, displayName, properties, and isArchived can be updated."
            )
            raise ServiceError(400, "UserError", message)
        job.submitted |= {key: asked[key] for key in asked if key in MUTABLE}
        job.tags |= asked.get("tags") or {}

    def _check(self, asked: Json) -> None:
        """Reject a job with missing references."""
        nodes = [asked, *asked.get("jobs", {}).values()]
        for node in nodes:
            compute = (node.get("computeId") or SERVERLESS).rpartition("/")[2]
            if compute != SERVERLESS:
                self._computes.find(compute)
            for key in ("codeId", "environmentId", "componentId"):
                if node.get(key):
                    self._assets.find(node[key])

    def _cancel(self, _: Request, name: str) -> Reply:
        self.find(name).cancel()
        return self._still_cancelling(name)

    def _poll_cancel(self, _: Request, name: str) -> Reply:
        return Reply({}) if self.find(name).status in FINAL else self._still_cancelling(name)

    def _still_cancelling(self, name: str) -> Reply:
        poll = arm_url(f"{self._workspace.path}/cancelOperations/{name}")
        return Reply(None, 202, {"Location": poll, "Retry-After": "1"})

    def _resource(self, job: Job) -> Json:
        if job.parent:
            # The service omits steps here; the client then reads the run history.
            return self._workspace.resource("jobs", job.name, None)
        outputs = {
            name: declared | ({"uri": job.outputs[name]} if name in job.outputs else {})
            for name, declared in (job.submitted.get("outputs") or {}).items()
        }
        place = f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{job.name}"
        default = {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": place}
        properties = job.submitted | {
            "status": job.status,
            "tags": job.tags,
            "outputs": outputs | {"default": default},
            "services": {
                "Studio": _service("Studio", self._workspace.studio(job.name)),
                "Tracking": _service("Tracking", f"azureml://{self._workspace.data_host}/mlflow"),
            },
        }
        return self._workspace.resource("jobs", job.name, properties) | {"systemData": system_data(job.created)}


def run_record(job: Job) -> Json:
    """Return the record of a job or a step in the run history."""
    top = job.parent or job
    reuse = {"azureml.isreused": "true", "azureml.reusedrunid": job.reused_from} if job.reused_from else {}
    kind = "azureml.PipelineRun" if job.is_pipeline else "azureml.StepRun" if job.parent else "azureml.scriptrun"
    return {
        "runId": job.name,
        "runUuid": str(uuid.uuid5(uuid.NAMESPACE_URL, job.name)),
        "parentRunId": job.parent.name if job.parent else None,
        "rootRunId": top.name,
        "status": job.status,
        "displayName": job.display_name,
        "description": job.submitted.get("description"),
        "experimentId": str(uuid.uuid5(uuid.NAMESPACE_URL, job.experiment)),
        "createdUtc": utc(job.created),
        "startTimeUtc": utc(job.started) if job.started else None,
        "endTimeUtc": utc(job.ended) if job.ended else None,
        "lastModifiedUtc": utc(job.ended or job.started or job.created),
        "runType": kind,
        "tags": job.tags,
        "properties": reuse,
        "error": {"error": job.error} if job.error else None,
    }


def _service(kind: str, endpoint: str) -> Json:
    return {"jobServiceType": kind, "endpoint": endpoint, "port": None, "properties": None}
