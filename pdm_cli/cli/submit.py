"""``pdm submit``: run a stage, or all of them, as a job on Azure Machine Learning."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdm_cli.cli.help import AZURE_PANEL, OUTPUT_PANEL, flag
from pdm_cli.cli.options import bind, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import EXIT_INTERRUPTED, JobCancelled, JobFailed, PdmError, UsageError

if TYPE_CHECKING:
    from pdm_cli.azure.client import Session
    from pdm_cli.azure.submit import Order, Submitted
    from pdm_cli.cli.job_command import Call
    from pdm_cli.settings.model import AzureParams


def _option(name: str, text: str, *, panel: str = AZURE_PANEL, metavar: str = "NAME", **extra: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, metavar=metavar, **extra)


@with_settings("azure", is_bound=False)
def submit(
    *,
    words: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND [OPTIONS]", help="preprocess, detect-anomalies, train, predict or run."),
    ],
    dry_run: Annotated[
        bool, flag("--dry-run", text="Print the job without submitting it; works offline.", panel=AZURE_PANEL)
    ] = False,
    wait: Annotated[
        bool, flag("--wait", text="Wait for the job; the exit code reports its result.", panel=AZURE_PANEL)
    ] = False,
    timeout: Annotated[
        float | None,
        _option(
            "--timeout", "Seconds to wait before exiting with code 9; the job continues.", min=0, metavar="SECONDS"
        ),
    ] = None,
    name: Annotated[
        str,
        _option("--name", "Name of the job. Submitting the same command again under this name starts no second job."),
    ] = "",
    display_name: Annotated[str, _option("--display-name", "Name to show in the studio.")] = "",
    tag: Annotated[list[str] | None, _option("--tag", "Tag of the job; repeatable.", metavar="KEY=VALUE")] = None,
    force_rerun: Annotated[
        bool, flag("--force-rerun", text="With run: run unchanged steps again.", panel=AZURE_PANEL)
    ] = False,
    no_create_compute: Annotated[
        bool, flag("--no-create-compute", text="Fail if the cluster does not exist.", panel=AZURE_PANEL)
    ] = False,
    register: Annotated[
        str, _option("--register", "With train or run: wait, then register the model under this name.")
    ] = "",
    if_better: Annotated[
        str,
        _option(
            "--if-better", "Register only if better than the newest version by ap, auc, f1 or brier.", metavar="METRIC"
        ),
    ] = "",
    job_file: Annotated[
        str,
        _option(
            "--job-file", "Write the job's name and addresses to this JSON file.", panel=OUTPUT_PANEL, metavar="FILE"
        ),
    ] = "",
    **values: Any,
) -> None:
    """Run a command on Azure Machine Learning with the same options and output files.

    Put the job's options before the command and the command's own options after it. Unchanged input folders are not
    uploaded again; an input can also be an address (azureml://…) or a data asset (azureml:NAME:VERSION, NAME@latest).
    With --wait, the results are fetched into the command's --out.

    Example: pdm submit --wait run --data raw --out work
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.submit import submit_order
    from pdm_cli.cli.job_command import check_out, make_order, read_tags

    follow_up = _FollowUp(wait or bool(register), timeout, register, if_better)
    follow_up.check(words[0])
    call = _parse(words, values)
    bound = bind(("azure",), {**values, "config": values["config"] or call.config})
    azure, screen = bound["settings"].azure, bound["screen"].merge(call.screen)
    if azure.min_nodes > 0:
        screen.warn(f"--min-nodes {azure.min_nodes}: a new cluster keeps these nodes, which are billed even when idle")
    order = make_order(call, azure, name=name, display_name=display_name, tags=read_tags(tag or []))
    order = replace(order, force_rerun=force_rerun or call.is_forced)
    if dry_run:
        _print_plan(order, screen)
        return
    if follow_up.is_waiting and not name:
        # A named job may have been submitted before, and its results may be in the folder.
        check_out(call)
    if job_file and not Path(job_file).absolute().parent.is_dir():
        raise UsageError(
            f"--job-file {job_file}: no such folder", hint="create the folder, or choose another --job-file"
        )
    session = connect(azure, show_uploads=screen.is_live)
    check = (lambda: check_out(call)) if follow_up.is_waiting else (lambda: None)
    submitted = submit_order(session, order, screen, create_compute=not no_create_compute, before_sending=check)
    facts = _describe(submitted, azure)
    if not follow_up.is_waiting:
        _check_earlier(submitted)
    if submitted.earlier_status:
        screen.info(f"submit: {submitted.job.name} exists with the same content; not submitted again")
    if job_file:
        Path(job_file).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    with _naming(submitted.job.name, screen) if follow_up.is_waiting else nullcontext():
        follow_up.run(session, facts, call, screen)


def _parse(words: list[str], values: dict[str, Any]) -> Call:
    """Parse the command, and report options of the job that come after it."""
    from pdm_cli.cli.job_command import parse_call

    try:
        return parse_call(words, config=values["config"])
    except typer.TyperException as exc:
        option = str(getattr(exc, "option_name", ""))
        if option.removeprefix("--").replace("-", "_") not in inspect.signature(submit).parameters:
            raise
        correct = f"pdm submit {option} … {words[0]} …"
        raise UsageError(f"{option}: put options of the job before the command", hint=correct) from exc


def _describe(submitted: Submitted, azure: AzureParams) -> dict[str, Any]:
    """Return the JSON object of a submitted job."""
    return {
        "schema": "pdm.submit/1",
        "name": submitted.job.name,
        "command": submitted.job.command,
        "subscription_id": azure.subscription_id,
        "resource_group": azure.resource_group,
        "workspace": azure.workspace,
        "studio_url": submitted.url,
        "outputs": submitted.outputs,
    }


def _check_earlier(submitted: Submitted) -> None:
    """Fail if the job was submitted before and did not complete, since nothing else would report it."""
    from pdm_cli.azure.jobs import CANCELLED, COMPLETED, FINISHED

    job, status = submitted.job.name, submitted.earlier_status
    if status in FINISHED - {COMPLETED}:
        error = JobCancelled if status == CANCELLED else JobFailed
        hint = f"pdm jobs logs {job} shows why; choose another --name to run it again"
        raise error(f"job {job} was submitted before, and ended as {status}", hint=hint, job=job)


@contextmanager
def _naming(job: str, screen: Screen) -> Iterator[None]:
    """Put the job's name into the JSON object of an error or interrupt: nothing else has printed it."""
    try:
        yield
    except PdmError as error:
        error.details.setdefault("job", job)
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        code = end.code if isinstance(end, SystemExit) else EXIT_INTERRUPTED
        screen.stop(code if isinstance(code, int) else 1, f"interrupted; job {job} was not changed", job=job)
        raise


@dataclass(frozen=True)
class _FollowUp:
    """The steps after submitting the job: wait, fetch its results, register its model."""

    is_waiting: bool
    timeout: float | None
    register: str
    if_better: str

    def check(self, command: str) -> None:
        """Reject options that have no effect, or would fail after the job."""
        from pdm_cli.azure.models import check_model_name, find_metric

        if self.timeout is not None and not self.is_waiting:
            raise UsageError("--timeout: has no effect without --wait", hint="add --wait")
        if self.if_better and not self.register:
            raise UsageError("--if-better: has no effect without --register", hint="add --register NAME")
        if self.register and command not in ("train", "run"):
            raise UsageError(f"--register: {command} does not train a model", hint="use it with train or run")
        if self.register:
            check_model_name(self.register)
        if self.if_better:
            find_metric(self.if_better)

    def run(self, session: Session, facts: dict[str, Any], call: Call, screen: Screen) -> None:
        """Print the job's name, and carry out the follow-up."""
        job = facts["name"]
        if not (self.is_waiting and screen.as_json):
            # At once, so that a script that is killed while waiting knows the name.
            screen.result(facts, lambda: [job])
        if not self.is_waiting:
            screen.info(
                f"submitted; fetch the results with pdm fetch-results {job} --out {call.out or 'FOLDER'} --wait"
            )
            return
        from pdm_cli.azure.fetch import fetch_job
        from pdm_cli.azure.models import register_job
        from pdm_cli.azure.wait import WaitOptions, wait_for

        # With an output folder, fetch_job raises these again after fetching the logs.
        with suppress(JobFailed, JobCancelled) if call.out else nullcontext():
            wait_for(session, job, screen, WaitOptions(self.timeout, out=call.out))
        if call.out:
            fetch_job(session, job, call.out, overwrite=call.overwrite, screen=screen)
        else:
            screen.info(f"completed; fetch the results with pdm fetch-results {job} --out FOLDER")
        if self.register:
            facts |= register_job(session, job, self.register, if_better=self.if_better or None, screen=screen)
        if screen.as_json:
            screen.result({**facts, "schema": "pdm.submit/1", "status": "Completed", "out": call.out}, list)


def _print_plan(order: Order, screen: Screen) -> None:
    """Print the job as a document, and a summary of its inputs, compute and outputs."""
    from pdm_cli.azure.job_spec import make_document
    from pdm_cli.azure.upload import find_code, find_staged_code
    from pdm_cli.cli.render.job_plan import describe_plan, draw_document

    job, uploads = order.make_job(), order.uploads()
    paths = order.paths({port: str(upload.folder) for port, upload in uploads.items()})
    definition = order.environment.definition()
    document = make_document(job, paths=paths, code=find_staged_code(), environment=definition)
    plan = {
        "inputs": {
            port: {"files": upload.names(), "bytes": upload.size}
            if (upload := uploads.get(port))
            else {"address": paths[port]}
            for port in order.sources
        },
        "code": {"sha256": job.code, "files": find_code().names(), "bytes": find_code().size},
        "environment": job.environment,
        "compute": {"name": job.compute, "size": order.azure.vm_size, "max_nodes": order.azure.max_nodes},
        "outputs": job.outputs(),
    }
    for port, upload in uploads.items():
        if upload.has_others():
            screen.warn(
                f"--{port}: az ml job create -f would upload all of {upload.folder}; pdm submit only the files below"
            )
    for line in describe_plan(plan):
        screen.info(line)
    screen.result({"schema": "pdm.submit-plan/1", "job": document, **plan}, lambda: [draw_document(document)])
