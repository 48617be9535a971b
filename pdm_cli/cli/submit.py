"""``pdm submit``: any stage, or all of them, as a job on Azure Machine Learning."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdm_cli.cli.options import bind, with_settings
from pdm_cli.cli.panels import AZURE_PANEL, OUTPUT_PANEL
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import EXIT_INTERRUPTED, DataError, JobCancelled, JobFailed, PdmError, RemoteError, UsageError

if TYPE_CHECKING:
    from pdm_cli.azure.client import Session
    from pdm_cli.azure.job_spec import Job
    from pdm_cli.cli.job_command import Call, Order


def _option(name: str, text: str, *, panel: str = AZURE_PANEL, **extra: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, **extra)


@with_settings("azure", is_bound=False)
def submit(
    *,
    words: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND [OPTIONS]", help="preprocess, detect-anomalies, train, predict or run."),
    ],
    dry_run: Annotated[bool, _option("--dry-run", "Show what would be sent; needs no network.")] = False,
    wait: Annotated[bool, _option("--wait", "Wait for the end of the job; the exit code tells how it went.")] = False,
    timeout: Annotated[
        float | None,
        _option("--timeout", "Seconds to wait; then exit code 9, and the job goes on.", min=0, metavar="SECONDS"),
    ] = None,
    name: Annotated[
        str, _option("--name", "Name of the job. The same command under the same name is sent only once.")
    ] = "",
    display_name: Annotated[str, _option("--display-name", "Name that the studio shows.")] = "",
    tag: Annotated[list[str] | None, _option("--tag", "Tag of the job; may be repeated.", metavar="KEY=VALUE")] = None,
    force_rerun: Annotated[bool, _option("--force-rerun", "With run: run unchanged steps, too.")] = False,
    no_create_compute: Annotated[
        bool, _option("--no-create-compute", "Refuse to make the cluster where it is missing.")
    ] = False,
    register: Annotated[
        str, _option("--register", "With train or run: wait, then register the model under this name.")
    ] = "",
    if_better: Annotated[
        str, _option("--if-better", "Register only if better than the newest version by ap, auc, f1 or brier.")
    ] = "",
    job_file: Annotated[
        str, _option("--job-file", "Write the job's name and address to this file, as JSON.", panel=OUTPUT_PANEL)
    ] = "",
    **values: Any,
) -> None:
    """Run a command on Azure Machine Learning: the same options, the same files.

    Options of the job stand before the command, the command's own after it. Input folders are uploaded, once for the
    same content; an input may also be an address (azureml://…) or a data asset (azureml:NAME:VERSION, NAME@latest).
    With --wait, the command's --out gets the results.

    Example: pdm submit --wait run --data raw --out work
    """
    from pdm_cli.azure.environment import describe_environment
    from pdm_cli.cli.job_command import Order, check_out, find_inputs, read_tags

    after = _After(wait or bool(register), timeout, register, if_better)
    after.check(words[0])
    call = _parse(words, values)
    bound = bind(("azure",), {**values, "config": values["config"] or call.config})
    azure, screen = bound["settings"].azure, bound["screen"].merge(call.screen)
    if azure.min_nodes > 0:
        screen.warn(f"--min-nodes {azure.min_nodes}: a cluster made with it costs money while it does nothing")
    order = Order(
        call,
        find_inputs(call),
        azure,
        describe_environment(azure.image),
        name=name,
        display_name=display_name,
        tags=read_tags(tag or []),
        force_rerun=force_rerun,
    )
    if dry_run:
        _show_plan(order, screen)
        return
    from pdm_cli.azure.client import connect

    if after.is_waiting and not name:
        # With a name, the job may have been submitted before, and its results be here already.
        check_out(call)
    if job_file and not Path(job_file).absolute().parent.is_dir():
        raise UsageError(f"--job-file {job_file}: no such folder", hint="make the folder, or name another")
    session = connect(azure, show_uploads=screen.is_live)
    job, facts = _submit(session, order, screen, may_create=not no_create_compute, fetches=after.is_waiting)
    if job_file:
        Path(job_file).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    with _naming(job.name, screen) if after.is_waiting else nullcontext():
        after.follow(session, job, facts, call, screen)


@contextmanager
def _naming(name: str, screen: Screen) -> Iterator[None]:
    """Let whatever ends the waiting tell the job's name: with ``--json`` nothing was printed before."""
    try:
        yield
    except PdmError as error:
        error.details.setdefault("job", name)
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        code = end.code if isinstance(end, SystemExit) else EXIT_INTERRUPTED
        screen.stop(code if isinstance(code, int) else 1, f"interrupted; job {name} is left as it is", job=name)
        raise


def _parse(words: list[str], values: dict[str, Any]) -> Call:
    """Read the command; an option of the job that stands behind it is told by name."""
    from pdm_cli.cli.job_command import parse_call

    try:
        return parse_call(words, config=values["config"])
    except typer.TyperException as exc:
        option = str(getattr(exc, "option_name", ""))
        if option.removeprefix("--").replace("-", "_") not in inspect.signature(submit).parameters:
            raise
        right = f"pdm submit {option} … {words[0]} …"
        raise UsageError(f"{option}: options of the job stand before the command", hint=right) from exc


@dataclass(frozen=True)
class _After:
    """What is to happen once the job is submitted."""

    is_waiting: bool
    timeout: float | None
    register: str
    if_better: str

    def check(self, command: str) -> None:
        """Refuse options that would do nothing, or could not be followed once the job is finished."""
        from pdm_cli.azure.model_tags import check_name, find_metric

        if self.timeout is not None and not self.is_waiting:
            raise UsageError("--timeout: has no effect without --wait", hint="add --wait")
        if self.if_better and not self.register:
            raise UsageError("--if-better: has no effect without --register", hint="--register NAME")
        if self.register and command not in ("train", "run"):
            raise UsageError(f"--register: {command} makes no model", hint="with train or run")
        if self.register:
            check_name(self.register)
        if self.if_better:
            find_metric(self.if_better)

    def follow(self, session: Session, job: Job, facts: dict[str, Any], call: Call, screen: Screen) -> None:
        """Tell the job's name, and do what is wanted once it is finished."""
        if not (self.is_waiting and screen.as_json):
            # At once: a script that is ended while it waits still knows the name.
            screen.result(facts, lambda: [job.name])
        if not self.is_waiting:
            screen.info(f"submitted; pdm fetch-results {job.name} --out {call.out or 'FOLDER'} --wait gets the results")
            return
        from pdm_cli.azure.fetch import fetch_job
        from pdm_cli.azure.register import register_job
        from pdm_cli.azure.wait import wait_for

        # With a folder for the results the logs of a job that failed are fetched first, and how it ended told then.
        with suppress(JobFailed, JobCancelled) if call.out else nullcontext():
            wait_for(session, job.name, timeout=self.timeout, screen=screen, out=call.out)
        if not call.out:
            screen.info(f"completed; pdm fetch-results {job.name} --out FOLDER gets the results")
        if call.out:
            fetch_job(session, job.name, call.out, overwrite=call.overwrite, screen=screen)
        if self.register:
            facts |= register_job(session, job.name, self.register, if_better=self.if_better or None, screen=screen)
        if screen.as_json:
            screen.result({**facts, "schema": "pdm.submit/1", "status": "Completed", "out": call.out}, list)


def _submit(
    session: Session, order: Order, screen: Screen, *, may_create: bool, fetches: bool
) -> tuple[Job, dict[str, Any]]:
    """Submit the job, unless it is there already, and return it with what a script wants to know of it."""
    from pdm_cli.azure.submit import find_job, require_workspace, resolve_asset
    from pdm_cli.cli.job_command import check_out

    require_workspace(session)
    order = replace(order, sources={port: resolve_asset(session, source) for port, source in order.sources.items()})
    order = replace(order, contents=_find_contents(session, order, screen))
    job = order.make_job()
    found = find_job(session, order.name) if order.name else None
    if found is None:
        if fetches:
            check_out(order.call)
        url, outputs = _send(session, order, job, screen, may_create=may_create)
    elif found.content == job.content():
        if not fetches:
            _refuse_ended(job.name, found.status)
        screen.info(f"submit: {job.name} was submitted before with the same content: nothing is sent")
        url, outputs = found.url, {name: found.outputs.get(name, "") for name in job.outputs()}
    else:
        raise UsageError(
            f"--name {job.name}: there is such a job, made of other data, settings or code", hint="give another --name"
        )
    azure = order.azure
    place = {name: getattr(azure, name) for name in ("subscription_id", "resource_group", "workspace")}
    return job, {
        "schema": "pdm.submit/1",
        "name": job.name,
        "command": job.command,
        **place,
        "studio_url": url,
        "outputs": outputs,
    }


def _find_contents(session: Session, order: Order, screen: Screen) -> dict[str, str]:
    """Return for each input on Azure a fingerprint of what is there now."""
    from secrets import token_hex

    from pdm_cli.azure.blobs import fingerprint_address

    contents = {}
    for port, source in order.sources.items():
        if isinstance(source, str):
            try:
                contents[port] = fingerprint_address(session, source)
            except (DataError, RemoteError) as error:
                # Like no other: every step that reads it runs, and writes to a place where nothing else is.
                contents[port] = f"unknown {token_hex(16)}"
                screen.warn(f"--{port} {source}: taken for changed, for what is there cannot be told: {error.message}")
    return contents


def _refuse_ended(name: str, status: str) -> None:
    """Say of a job that was submitted before, and that nobody waits for, that it will come to nothing."""
    from pdm_cli.azure.job_status import CANCELLED, COMPLETED, FINISHED

    if status in FINISHED - {COMPLETED}:
        kind = JobCancelled if status == CANCELLED else JobFailed
        hint = f"pdm jobs logs {name} tells why; another --name runs it again"
        raise kind(f"job {name} was submitted before, and ended as {status}", hint=hint, job=name)


def _send(session: Session, order: Order, job: Job, screen: Screen, *, may_create: bool) -> tuple[str, dict[str, str]]:
    """Look up or make what the job needs, upload, submit, and return the addresses of its page and its outputs."""
    from pdm_cli.azure.job_spec import make_document
    from pdm_cli.azure.submit import require_compute, require_datastore, require_environment, send
    from pdm_cli.azure.upload import staged

    require_datastore(session)
    require_compute(session, screen, may_create=may_create)
    environment = require_environment(session, order.environment, screen)
    job = _claim_places(session, job, screen)
    uploads = order.uploads()
    for port, upload in uploads.items():
        screen.info(
            f"submit: --{port}: {len(upload.files)} files, {upload.size / 1e6:.1f} MB, uploaded unless they are there"
        )
    with staged(uploads) as folders:
        code = _stage_code()
        document = make_document(job, paths=order.paths(folders), code=code, environment=environment)
        url = send(session, document)
    screen.info(f"submit: {job.name}: {url}")
    return url, job.outputs()


def _claim_places(session: Session, job: Job, screen: Screen) -> Job:
    """Return the job with places to write to that no other job writes to meanwhile."""
    from pdm_cli.azure.output_claims import claim

    if not job.shares_places:
        return job
    try:
        holder = claim(session, job.datastore, job.keys().values(), job.name)
        reason = f"{holder}, made from the same, is under way"
    except RemoteError as error:
        holder, reason = "", error.message
    if holder is None:
        return job
    screen.info(f"submit: no step is reused, and the results get a place of their own: {reason}")
    return replace(job, has_own_place=True)


def _stage_code() -> str:
    """Return a folder with the code to send: kept in the user's cache, or else made anew."""
    import tempfile

    from platformdirs import user_cache_path

    from pdm_cli.azure.upload import stage_code

    try:
        return str(stage_code(user_cache_path("pdm-cli")))
    except OSError:
        return str(stage_code(Path(tempfile.mkdtemp(prefix="pdm-code-"))))


def _show_plan(order: Order, screen: Screen) -> None:
    """Print the job as a document, and what it comes to."""
    from pdm_cli.azure.job_spec import make_document
    from pdm_cli.azure.upload import find_code
    from pdm_cli.cli.render.job_plan import draw_document, tell_plan

    job, uploads = order.make_job(), order.uploads()
    paths = order.paths({port: str(upload.folder) for port, upload in uploads.items()})
    code = _stage_code()
    document = make_document(job, paths=paths, code=code, environment=order.environment.definition())
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
            screen.warn(f"--{port}: az ml job create -f sends all of {upload.folder}; pdm submit only what is listed")
    for line in tell_plan(plan):
        screen.info(line)
    screen.result({"schema": "pdm.submit-plan/1", "job": document, **plan}, lambda: [draw_document(document)])
