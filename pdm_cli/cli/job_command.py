"""Parse the command after ``pdm submit`` with its own parser, and turn it into a job."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from pdm_cli.azure.environment import describe_environment
from pdm_cli.azure.job_spec import Step
from pdm_cli.azure.submit import Order
from pdm_cli.azure.upload import Upload
from pdm_cli.cli.help import make_command
from pdm_cli.cli.options import bind_with_origins, naming_origins, pick_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import DataError, UsageError
from pdm_cli.io import manifest, output_folder
from pdm_cli.io.folders import find_below
from pdm_cli.pipeline.execute import check_port, list_input_files, local_folder
from pdm_cli.pipeline.run import allow_untested, find_chain
from pdm_cli.pipeline.stages import HEALTH_CHAIN, SUBMITTED, Port, Stage, list_sections
from pdm_cli.settings.load import option_words, resolve
from pdm_cli.settings.model import AzureParams, Settings
from pdm_cli.training.validate_settings import check_choices, check_gap, check_prediction_span

_DATASTORE = "azureml://"
_ADDRESS = re.compile(r"azureml://(subscriptions/.+/)?(datastores/[^/]+/paths/.+|jobs/[^/]+/outputs/.+)")
_ASSET = re.compile(r"(azureml:)?(?!azureml:)[A-Za-z0-9][\w.-]*(@latest|:[\w.-]+)")
# Azure ML replaces these in a command before the shell sees it.
_PLACEHOLDERS = ("${{", "$[[")


@dataclass(frozen=True)
class Call:
    """A parsed command after ``pdm submit``."""

    command: str
    # Input port to the value of its option.
    ports: dict[str, str]
    # Local folder for the outputs.
    out: str | None
    overwrite: bool
    settings: Settings
    # Whether to run unchanged steps, too.
    is_forced: bool
    # Config file that the command names.
    config: str | None
    screen: Screen

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that the command runs; local raw tables without failures get another last one."""
        if self.command == "run" and Path(self.ports["data"]).is_dir():
            return find_chain(Path(self.ports["data"]))
        return SUBMITTED[self.command]


def parse_call(words: Sequence[str], *, config: str | None) -> Call:
    """Parse the command after ``pdm submit`` as the command itself would.

    Raises
    ------
    UsageError
        If the command cannot be submitted, or a setting is invalid.
    typer.TyperException
        If an option is unknown, invalid or missing.
    """
    command = words[0]
    if command not in SUBMITTED:
        near = get_close_matches(command, SUBMITTED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(SUBMITTED)}"
        raise UsageError(f"pdm submit: {command!r} cannot be submitted", hint=hint)
    values = dict(_parser_of(command).make_context(f"pdm submit {command}", list(words[1:])).params)
    values["config"] = values["config"] or config
    stages = (*SUBMITTED[command], *(HEALTH_CHAIN if command == "run" else ()))
    bound, origins = bind_with_origins(list_sections(stages), values)
    call = Call(
        command,
        {port.name: bound[port.name] for port in _input_ports(command) if bound[port.name] is not None},
        out=bound["out"],
        overwrite=bound["overwrite"],
        settings=allow_untested(bound["settings"]) if command == "run" else bound["settings"],
        is_forced=bool(bound.get("force")),
        config=values["config"],
        screen=bound["screen"],
    )
    with naming_origins(origins):
        _check(call)
    return call


def list_options() -> set[str]:
    """Return the options of all commands that can be submitted."""
    return {word for command in SUBMITTED for option in _parser_of(command).params for word in option.opts}


def _parser_of(command: str) -> Any:
    """Return the parser of a command, with an optional ``--out``."""
    name = command.replace("-", "_")
    function = getattr(import_module(f"pdm_cli.cli.{name}"), name)
    parser = make_command(command, function, help_option_names=["-h", "--help"])
    next(parameter for parameter in parser.params if parameter.name == "out").required = False
    return parser


def _input_ports(command: str) -> list[Port]:
    """Return the input ports that no earlier stage produces."""
    produced: set[str] = set()
    ports = {}
    for stage in SUBMITTED[command]:
        ports.update({port.name: port for port in stage.inputs if port.name not in produced})
        produced.add(stage.folder)
    return list(ports.values())


def _check(call: Call) -> None:
    """Make the checks that the command itself makes later, and that need no data."""
    sections = list_sections(call.stages)
    if "train" in sections:
        check_choices(call.settings.train)
        check_gap(call.settings.train, call.settings.labels)
    if "predict" in sections:
        check_prediction_span(call.settings.predict)


def check_out(call: Call) -> None:
    """Check that the results can be fetched into the output folder later.

    Raises
    ------
    UsageError
        If it contains files that may not be replaced, or is not a local folder.
    """
    if call.out is None:
        return
    target = local_folder("out", call.out)
    output_folder.check_free(target / output_folder.LOGS_FOLDER, overwrite=True)
    if target.is_file():
        raise UsageError(f"--out {call.out}: is a file, expected a folder", hint="choose another --out")
    for stage in call.stages:
        folder = target if len(call.stages) == 1 else target / stage.folder
        output_folder.check_free(folder, overwrite=call.overwrite, by=stage.command)


def make_order(call: Call, azure: AzureParams, *, name: str, display_name: str, tags: dict[str, str]) -> Order:
    """Return the order of a job.

    Raises
    ------
    UsageError
        If an input folder does not exist, the name is invalid, or a setting cannot be put on a command line.
    DataError
        If an input folder contains nothing that the command reads.
    """
    ports = {port.name: port for port in _input_ports(call.command)}
    sources = {port: _find_input(ports[port], value) for port, value in call.ports.items()}
    environment = describe_environment(azure.image)
    return Order(call.command, _make_steps(call), sources, azure, environment, name, display_name, tags)


def _find_input(port: Port, value: str) -> Upload | str:
    """Return the local files of an input, or its address on Azure ML."""
    if value.startswith(_DATASTORE):
        if not _ADDRESS.fullmatch(value):
            hint = "use azureml://datastores/NAME/paths/FOLDER/"
            raise UsageError(f"--{port.name} {value}: not a valid address", hint=hint)
        return value
    if not Path(value).exists() and _ASSET.fullmatch(value):
        return value if value.startswith("azureml:") else f"azureml:{value}"
    if value.startswith("azureml:"):
        hint = "use azureml:NAME:VERSION or NAME@latest"
        raise UsageError(f"--{port.name} {value}: not a valid data asset", hint=hint)
    folder = local_folder(port.name, value).absolute()
    check_port(port, folder)
    files = sorted(list_input_files(port, folder))
    if not files:
        expected = ", ".join([*(table.file for table in port.tables), *port.files])
        below = find_below(folder, partial(list_input_files, port))
        hint = f"did you mean {below}?" if below else f"expected any of {expected}"
        raise DataError(f"--{port.name} {value}: nothing to upload", hint=hint)
    recorded = folder / manifest.MANIFEST_FILE
    return Upload(folder, tuple([*files, recorded] if recorded.is_file() else files))


def read_tags(given: Sequence[str]) -> dict[str, str]:
    """Parse ``KEY=VALUE`` tags."""
    tags = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key or key.startswith("pdm_"):
            raise UsageError(f"--tag {text}: not KEY=VALUE", hint="keys that start with pdm_ are reserved")
        tags[key] = value
    return tags


def _make_steps(call: Call) -> tuple[Step, ...]:
    produced: set[str] = set()
    steps = []
    for stage in call.stages:
        ports = {port.name: port.name if port.name in produced else None for port in stage.inputs}
        ports = {name: source for name, source in ports.items() if source or name in call.ports}
        steps.append(Step(stage.command, write_options(stage, call.settings), ports, stage.folder))
        produced.add(stage.folder)
    return tuple(steps)


def write_options(stage: Stage, settings: Settings) -> tuple[str, ...]:
    """Return all settings of a stage as options quoted for the shell; values must arrive in the job unchanged."""
    to_words = partial(option_words, by_model=any(port.made_by == "train" for port in stage.inputs))
    words = [word for section in stage.sections for word in to_words(section, getattr(settings, section))]
    for option, value in pairwise(words):
        if any(placeholder in value for placeholder in _PLACEHOLDERS):
            raise UsageError(
                f"{option}: {value!r}: contains a placeholder that Azure ML would replace", hint="choose another value"
            )
    ports = [word for port in stage.inputs for word in (f"--{port.name}", "x")]
    parsed = _parser_of(stage.command).make_context(stage.command, [*ports, *words]).params
    # As in the job: without a config file, and without variables of pdm.
    read = resolve(pick_settings(stage.sections, parsed), environ={}, folder=Path(os.devnull)).settings
    for section in stage.sections:
        if to_words(section, getattr(read, section)) != to_words(section, getattr(settings, section)):
            raise UsageError(
                f"[{section}]: contains a value that cannot be put on a command line",
                hint="avoid names with line breaks",
            )
    return tuple(map(shlex.quote, words))
