"""The workspace's run history and data service: details, children, outputs, tags."""

from __future__ import annotations

from tests.azure.emulator.jobs import Job, Jobs, run_record
from tests.azure.emulator.wire import Json, Reply, Request, Router, not_found
from tests.azure.emulator.workspace import Workspace, utc

# The service's spelling; the newest versions of the client look for ``uri_folder`` and find nothing.
FOLDER = "UriFolder"


class RunHistory:
    """Answers from the job table."""

    def __init__(self, workspace: Workspace, jobs: Jobs) -> None:
        self._workspace = workspace
        self._jobs = jobs

    def add_routes(self, data: Router) -> None:
        runs = "/history/v1.0/runs/{name}"
        data.add("GET", runs, self._get)
        data.add("GET", f"{runs}/details", self._details)
        data.add("GET", f"{runs}/children", self._children)
        data.add("PATCH", "/history/v1.0/experiments/{experiment}/runs/{name}", self._patch)
        data.add("POST", "/history/v1.0/rundata", self._rundata)
        data.add("POST", "/data/v1.0/dataversion/batchGetResolvedUris", self._resolve)

    def _get(self, _: Request, name: str) -> Reply:
        return Reply(run_record(self._jobs.find(name)))

    def _details(self, _: Request, name: str) -> Reply:
        job = self._jobs.find(name)
        keys = ("runId", "runUuid", "parentRunId", "rootRunId", "status", "startTimeUtc", "endTimeUtc", "tags")
        record = run_record(job)
        more: Json = {
            "target": (job.submitted.get("computeId") or "serverless").rpartition("/")[2],
            "properties": record["properties"],
            "error": record["error"] and record["error"] | {"time": utc(job.ended)},
            "warnings": [],
            "services": {},
            "outputs": {},
        }
        return Reply({key: record[key] for key in keys} | more)

    def _children(self, _: Request, name: str) -> Reply:
        return Reply({"value": [run_record(child) for child in self._jobs.find(name).children]})

    def _patch(self, request: Request, experiment: str, name: str) -> Reply:
        job = self._jobs.find(name)
        if job.experiment != experiment:
            raise not_found(f"Run {name} of experiment {experiment}")
        asked = request.json
        job.tags |= asked.get("tags") or {}
        job.submitted |= {key: asked[key] for key in ("displayName", "description") if asked.get(key)}
        return Reply(run_record(job))

    def _rundata(self, request: Request) -> Reply:
        job = self._jobs.find(request.json["runId"])
        outputs = {name: {"assetId": self._asset_id(job, name), "type": FOLDER} for name in job.outputs}
        metadata = run_record(job) | {"outputs": outputs}
        return Reply({"runMetadata": metadata, "runDefinition": None, "jobSpecification": None})

    def _resolve(self, request: Request) -> Reply:
        known = {self._asset_id(job, name): uri for job in self._jobs.values() for name, uri in job.outputs.items()}
        wanted = request.json["values"]
        return Reply({"values": {each: {"uri": known[each], "type": FOLDER} for each in wanted if each in known}})

    def _asset_id(self, job: Job, output: str) -> str:
        place = f"azureml://locations/{self._workspace.location}/workspaces/{self._workspace.workspace_id}"
        return f"{place}/data/azureml_{job.name}_output_data_{output}/versions/1"
