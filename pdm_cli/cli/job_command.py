"""From the words after ``pdm submit`` to a job: read by the command's own parser, and written out in full."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from secrets import token_hex
from typing import Any

from pdm_cli import __version__
from pdm_cli.azure.environment import NAME, Environment
from pdm_cli.azure.job_spec import Job, Step
from pdm_cli.azure.upload import Upload
from pdm_cli.cli.help import make_command
from pdm_cli.cli.options import bind_with_origins, blaming, pick_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import DataError, UsageError
from pdm_cli.io import manifest, output_folder
from pdm_cli.io.folders import find_below
from pdm_cli.pipeline.ports import check_port
from pdm_cli.pipeline.runner import list_input_files, local_folder
from pdm_cli.pipeline.stages import SUBMITTED, Port, Stage, list_sections
from pdm_cli.settings.load import option_words, resolve
from pdm_cli.settings.model import AzureParams, Settings
from pdm_cli.training.validate_settings import check_choices, check_gap, check_wanted

_DATASTORE = "azureml://"
_ADDRESS = re.compile(r"azureml://(subscriptions/.+/)?(datastores/[^/]+/paths/.+|jobs/[^/]+/outputs/.+)")
_ASSET = re.compile(r"(azureml:)?(?!azureml:)[A-Za-z0-9][\w.-]*(@latest|:[\w.-]+)")
_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
# What Azure ML replaces in a command before the shell sees it.
_REPLACED = ("${{", "$[[")


@dataclass(frozen=True)
class Call:
    """A command as it was typed after ``pdm submit``.

    Attributes
    ----------
    command : str
        Its name.
    ports : dict of str to str
        Input port to what was given.
    out : str or None
        Local folder for the outputs.
    overwrite : bool
        Whether they may replace what pdm wrote there before.
    settings : Settings
        All settings.
    is_forced : bool
        Whether every step is to run again.
    config : str or None
        Config file that was named.
    screen : Screen
        How it was asked to speak.
    """

    command: str
    ports: dict[str, str]
    out: str | None
    overwrite: bool
    settings: Settings
    is_forced: bool
    config: str | None
    screen: Screen

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that the command comes to."""
        return SUBMITTED[self.command]


def parse_call(words: Sequence[str], *, config: str | None) -> Call:
    """Read the words after ``pdm submit`` as the command itself would.

    Parameters
    ----------
    words : sequence of str
        Command and its options.
    config : str or None
        Config file, where the command names none.

    Raises
    ------
    UsageError
        If the command may not be submitted, or any of its settings is wrong.
    typer.TyperException
        If an option is unknown, wrong or missing.
    """
    command = words[0]
    if command not in SUBMITTED:
        near = get_close_matches(command, SUBMITTED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(SUBMITTED)}"
        raise UsageError(f"pdm submit: {command!r} cannot be submitted", hint=hint)
    parser = _parser_of(command)
    values = dict(parser.make_context(f"pdm submit {command}", list(words[1:])).params)
    values["config"] = values["config"] or config
    bound, origins = bind_with_origins(list_sections(SUBMITTED[command]), values)
    ports = {port.name: bound[port.name] for port in _given_ports(command) if bound[port.name] is not None}
    call = Call(
        command,
        ports,
        out=bound["out"],
        overwrite=bound["overwrite"],
        settings=bound["settings"],
        is_forced=bool(bound.get("force")),
        config=values["config"],
        screen=bound["screen"],
    )
    with blaming(origins):
        _check(call)
    return call


def list_options() -> set[str]:
    """Return the options of all commands that may be submitted."""
    return {word for command in SUBMITTED for option in _parser_of(command).params for word in option.opts}


def _parser_of(command: str) -> Any:
    """Return the parser of a command of pdm; where outputs go on this machine may be left open."""
    name = command.replace("-", "_")
    function = getattr(import_module(f"pdm_cli.cli.{name}"), name)
    parser = make_command(command, function, help_option_names=["-h", "--help"])
    next(parameter for parameter in parser.params if parameter.name == "out").required = False
    return parser


def _given_ports(command: str) -> list[Port]:
    """Return the input ports that no earlier stage feeds."""
    made: set[str] = set()
    ports = {}
    for stage in SUBMITTED[command]:
        ports.update({port.name: port for port in stage.inputs if port.name not in made})
        made.add(stage.folder)
    return list(ports.values())


def _check(call: Call) -> None:
    """Refuse what the command itself would refuse later, without data."""
    sections = list_sections(call.stages)
    if "train" in sections:
        check_choices(call.settings.train)
        check_gap(call.settings.train, call.settings.labels)
    if "predict" in sections:
        check_wanted(call.settings.predict)


def check_out(call: Call) -> None:
    """Refuse an output folder that the results could not be put into later.

    Raises
    ------
    UsageError
        If it holds what may not be replaced, or is no folder of this machine.
    """
    if call.out is not None:
        target = local_folder("out", call.out)
        output_folder.check_free(target / output_folder.LOGS_FOLDER, overwrite=True)
        if target.is_file():
            raise UsageError(f"--out {call.out}: is a file, wanted an output folder", hint="--out names a folder")
        for stage in call.stages:
            folder = target if len(call.stages) == 1 else target / stage.folder
            output_folder.check_free(folder, overwrite=call.overwrite, by=stage.command)


def find_inputs(call: Call) -> dict[str, Upload | str]:
    """Return what is behind each port: files of this machine, or an address of Azure ML.

    Raises
    ------
    UsageError
        If a folder is not there.
    DataError
        If it holds nothing that the command reads.
    """
    ports = {port.name: port for port in _given_ports(call.command)}
    return {name: _find_input(ports[name], value) for name, value in call.ports.items()}


def _find_input(port: Port, value: str) -> Upload | str:
    if value.startswith(_DATASTORE):
        if not _ADDRESS.fullmatch(value):
            raise UsageError(f"--{port.name} {value}: no address", hint="azureml://datastores/NAME/paths/FOLDER/")
        return value
    if not Path(value).exists() and _ASSET.fullmatch(value):
        return value if value.startswith("azureml:") else f"azureml:{value}"
    if value.startswith("azureml:"):
        raise UsageError(f"--{port.name} {value}: no data asset", hint="azureml:NAME:VERSION, or NAME@latest")
    folder = local_folder(port.name, value).absolute()
    check_port(port, folder)
    files = sorted(list_input_files(port, folder))
    if not files:
        wanted = ", ".join([*(table.file for table in port.tables), *port.files])
        below = find_below(folder, partial(list_input_files, port))
        hint = f"did you mean {below}?" if below else f"it holds none of {wanted}"
        raise DataError(f"--{port.name} {value}: nothing to upload", hint=hint)
    made = folder / manifest.MANIFEST_FILE
    return Upload(folder, tuple([*files, made] if made.is_file() else files))


def fingerprint(source: Upload | str) -> str:
    """Return one SHA-256 over the names and bytes of local files; an address as it is, for it tells no content."""
    if isinstance(source, str):
        return source
    # The manifest tells when and where files were made; it goes with them but does not decide the result.
    files = [path for path in source.files if path.name != manifest.MANIFEST_FILE]
    return hashlib.sha256(json.dumps(manifest.hash_files(source.folder, files)).encode()).hexdigest()


@dataclass(frozen=True)
class Order:
    """Everything that makes a job.

    Attributes
    ----------
    call : Call
        The command.
    sources : dict of str to Upload or str
        Input port to files or address.
    azure : AzureParams
        Where and how it runs.
    environment : Environment
        What it runs in.
    name : str
        Of the job; empty: one that was never used.
    display_name : str
        As listed; empty: the command.
    tags : dict of str to str
        The user's.
    force_rerun : bool
        Run every step of a pipeline.
    contents : dict of str to str
        Input port to a fingerprint of what is behind its address, where Azure was asked.
    """

    call: Call
    sources: dict[str, Upload | str]
    azure: AzureParams
    environment: Environment
    name: str
    display_name: str
    tags: dict[str, str]
    force_rerun: bool
    contents: dict[str, str] = field(default_factory=dict)

    def make_job(self) -> Job:
        """Return the job.

        Raises
        ------
        UsageError
            If the name cannot be one, or a setting cannot be put on a command line.
        """
        call, azure = self.call, self.azure
        return Job(
            name=_check_name(self.name) if self.name else _new_name(call.command),
            command=call.command,
            steps=_make_steps(call),
            inputs=self._fingerprints(),
            code=manifest.code_hash(),
            environment=f"{NAME}:{self.environment.version}",
            compute=azure.compute,
            vm_size=azure.vm_size,
            datastore=azure.datastore,
            experiment=azure.experiment,
            display_name=self.display_name or f"pdm {call.command}",
            tags=self.tags,
            force_rerun=self.force_rerun or call.is_forced,
            version=__version__,
        )

    def _fingerprints(self) -> dict[str, str]:
        prints = {port: fingerprint(source) for port, source in self.sources.items()}
        return {**prints, **{port: f"{prints[port]} {content}" for port, content in self.contents.items()}}

    def uploads(self) -> dict[str, Upload]:
        """Return the ports whose files go up."""
        return {port: source for port, source in self.sources.items() if not isinstance(source, str)}

    def paths(self, folders: Mapping[str, str]) -> dict[str, str]:
        """Return what each port is to be given: its address, or its folder among ``folders``."""
        return {port: source if isinstance(source, str) else folders[port] for port, source in self.sources.items()}


def read_tags(given: Sequence[str]) -> dict[str, str]:
    """Return the tags of ``KEY=VALUE`` texts."""
    tags = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key or key.startswith("pdm_"):
            raise UsageError(f"--tag {text}: not of the form KEY=VALUE", hint="keys that begin with pdm_ are pdm's own")
        tags[key] = value
    return tags


def _make_steps(call: Call) -> tuple[Step, ...]:
    made: set[str] = set()
    steps = []
    for stage in call.stages:
        ports = {port.name: port.name if port.name in made else None for port in stage.inputs}
        ports = {name: maker for name, maker in ports.items() if maker or name in call.ports}
        steps.append(Step(stage.command, _write_out(stage, call.settings), ports, stage.folder))
        made.add(stage.folder)
    return tuple(steps)


def _write_out(stage: Stage, settings: Settings) -> tuple[str, ...]:
    """Return the options of all settings of a stage, quoted for the shell; refuse what would not arrive as it is."""
    put = partial(option_words, by_model=bool(stage.completing))
    words = [word for section in stage.sections for word in put(section, getattr(settings, section))]
    for option, value in pairwise(words):
        if any(mark in value for mark in _REPLACED):
            raise UsageError(f"{option}: {value!r}: Azure ML would replace a part of it", hint="another value, please")
    ports = [word for port in stage.inputs for word in (f"--{port.name}", "x")]
    parsed = _parser_of(stage.command).make_context(stage.command, [*ports, *words]).params
    # As in the job: no config file and none of our variables.
    read = resolve(pick_settings(stage.sections, parsed), environ={}, folder=Path(os.devnull)).settings
    for section in stage.sections:
        wanted = getattr(settings, section)
        if put(section, getattr(read, section)) != put(section, wanted):
            raise UsageError(
                f"[{section}]: holds a value that cannot be put on a command line",
                hint="such as a name with a comma, an equals sign or a colon",
            )
    return tuple(map(shlex.quote, words))


def _new_name(command: str) -> str:
    return f"pdm-{command}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(3)}"


def _check_name(name: str) -> str:
    if not _JOB_NAME.fullmatch(name):
        raise UsageError(f"--name {name}: no name of a job", hint="letters, digits, - and _, at most 255")
    return name
