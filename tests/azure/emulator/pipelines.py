"""Runs pipelines: steps in order of their bindings, each once, unless an earlier run of the same step is reused."""

from __future__ import annotations

import json
import re
import threading
import uuid

from tests.azure.emulator.assets import Assets
from tests.azure.emulator.blob_folders import BlobFolders
from tests.azure.emulator.jobs import Job, Jobs
from tests.azure.emulator.runner import Runner, Work, default_place
from tests.azure.emulator.wire import Json, ServiceError

PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.(\w+)\s*\}\}")
PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.(\w+)\s*\}\}")
STEP_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.(\w+)\.outputs\.(\w+)\s*\}\}")


class Pipelines:
    """Runs pipelines, and remembers completed steps by their inputs."""

    def __init__(self, assets: Assets, folders: BlobFolders, runner: Runner) -> None:
        self._assets = assets
        self._folders = folders
        self._runner = runner
        self._completed: dict[str, Job] = {}
        self._lock = threading.Lock()

    def run(self, job: Job, jobs: Jobs) -> None:
        """Run all steps of ``job`` and leave it in its final status."""
        job.start()
        nodes = job.submitted["jobs"]
        steps: dict[str, Job] = {}
        for name in order_of(nodes):
            if job.is_cancelled:
                break
            step = Job(str(uuid.uuid4()), dict(nodes[name]), parent=job)
            jobs[step.name] = steps[name] = step
            job.children.append(step)
            self._run_step(step, steps)
            if step.status != "Completed":
                break
        if job.is_cancelled:
            job.end("Canceled")
        elif failed := [name for name, step in steps.items() if step.status != "Completed"]:
            message = f"Pipeline has failed child jobs. Failed nodes: /{', /'.join(failed)}. See the child jobs' logs."
            job.end("Failed", {"code": "UserError", "message": message, "details": []})
        else:
            job.end("Completed")

    def _run_step(self, step: Job, steps: dict[str, Job]) -> None:
        assert step.parent
        try:
            work, declared = self._work_of(step, steps)
            # The pipeline's outputs are those of the steps that they are bound to.
            for name, pipeline_output in self._bound_outputs(step).items():
                step.parent.outputs[pipeline_output] = work.outputs[name]
            key = self._key(step, work, declared)
            with self._lock:
                earlier = self._completed.get(key)
            if earlier and self._may_reuse(step):
                self._reuse(step, earlier)
                return
            self._runner.run(step, work)
        except ServiceError as error:
            step.end("Failed", {"code": error.code, "message": error.message, "details": []})
        if step.status == "Completed":
            with self._lock:
                self._completed[key] = step

    def _reuse(self, step: Job, earlier: Job) -> None:
        assert step.parent
        step.start()
        step.reused_from = earlier.reused_from or earlier.name
        step.outputs = dict(earlier.outputs)
        for name, pipeline_output in self._bound_outputs(step).items():
            step.parent.outputs[pipeline_output] = step.outputs[name]
        step.end("Completed")

    def _may_reuse(self, step: Job) -> bool:
        assert step.parent
        settings = step.parent.submitted.get("settings") or {}
        return not settings.get("force_rerun") and self._spec(step).get("is_deterministic", True)

    def _key(self, step: Job, work: Work, declared: dict[str, str]) -> str:
        """Return the key that must be equal for an earlier run of a step to be reused."""
        spec = self._spec(step)
        code = self._assets.find(spec["code"])["properties"]["properties"]["hash_sha256"] if spec.get("code") else ""
        folders = {name: self._folders.locate(uri) for name, uri in work.folders.items()}
        what = [spec["command"], code, spec["environment"], folders, dict(work.literals), declared]
        return json.dumps([*what, dict(work.variables)], sort_keys=True)

    def _work_of(self, step: Job, steps: dict[str, Job]) -> tuple[Work, dict[str, str]]:
        """Read a node: its work, and the requested addresses of its outputs."""
        spec = self._spec(step)
        folders, literals = self._inputs_of(step, steps)
        declared = self._declared_outputs(step)
        work = Work(
            command=spec["command"],
            code=self._runner.code_address(spec.get("code")),
            folders=folders,
            literals=literals,
            outputs={name: declared.get(name) or default_place(step, name) for name in spec.get("outputs") or {}},
            variables=step.submitted.get("environment_variables") or {},
        )
        return work, declared

    def _inputs_of(self, step: Job, steps: dict[str, Job]) -> tuple[dict[str, str], dict[str, str]]:
        assert step.parent
        folders: dict[str, str] = {}
        literals: dict[str, str] = {}
        given = step.parent.submitted.get("inputs") or {}
        for name, spec in (self._spec(step).get("inputs") or {}).items():
            bound = (step.submitted.get("inputs") or {}).get(name) or {"value": spec.get("default")}
            text = str(bound.get("uri") or bound.get("value") or "")
            if match := PARENT_INPUT.fullmatch(text):
                bound = given.get(match[1], {})
            elif match := STEP_OUTPUT.fullmatch(text):
                bound = {"uri": steps[match[1]].outputs[match[2]]}
            if bound.get("uri"):
                folders[name] = self._folders.resolve(bound["uri"])
            elif bound.get("value") is not None:
                literals[name] = str(bound["value"])
        return folders, literals

    def _declared_outputs(self, step: Job) -> dict[str, str]:
        assert step.parent
        own = {name: each["uri"] for name, each in (step.submitted.get("outputs") or {}).items() if each.get("uri")}
        outer = step.parent.submitted.get("outputs") or {}
        bound = self._bound_outputs(step).items()
        return own | {name: outer[other]["uri"] for name, other in bound if outer.get(other, {}).get("uri")}

    def _bound_outputs(self, step: Job) -> dict[str, str]:
        """Return output of the step to the output of the pipeline that it is bound to."""
        outputs = (step.submitted.get("outputs") or {}).items()
        found = {name: PARENT_OUTPUT.fullmatch(str(each.get("value", ""))) for name, each in outputs}
        return {name: match[1] for name, match in found.items() if match}

    def _spec(self, step: Job) -> Json:
        return self._assets.find(step.submitted["componentId"])["properties"]["componentSpec"]


def order_of(nodes: dict[str, Json]) -> list[str]:
    """Return the names of the steps, each after those whose outputs it reads."""
    needs = {name: {match[1] for match in STEP_OUTPUT.finditer(json.dumps(node))} for name, node in nodes.items()}
    order: list[str] = []
    while len(order) < len(nodes):
        ready = [name for name in nodes if name not in order and needs[name] <= set(order)]
        if not ready:
            raise ServiceError(400, "UserError", "The steps of the pipeline wait for one another.")
        order += ready
    return order
