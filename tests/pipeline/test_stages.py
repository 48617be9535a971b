from __future__ import annotations

import importlib
import inspect
from dataclasses import fields
from typing import Any

import pytest

from pdm_cli import schema
from pdm_cli.cli.app import ErrorMappingGroup
from pdm_cli.cli.render.results import DRAWINGS
from pdm_cli.pipeline.execute import Task
from pdm_cli.pipeline.stages import STAGES, Stage
from pdm_cli.settings.model import SECTIONS, Settings


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param]


def options_of(stage: Stage) -> dict[str, Any]:
    """Option as typed to the parameter of the registered command."""
    command = ErrorMappingGroup(name="pdm").load(stage.command)
    return {option: parameter for parameter in command.params for option in parameter.opts}


def test_a_stage_is_listed_under_the_name_of_its_command(stage: Stage) -> None:
    assert STAGES[stage.command] is stage


def test_the_work_is_a_function_of_one_task(stage: Stage) -> None:
    module, _, name = stage.work.partition(":")
    work = getattr(importlib.import_module(module), name)
    assert inspect.isfunction(work)
    assert [parameter.annotation for parameter in inspect.signature(work).parameters.values()] == [Task.__name__]


def test_the_drawing_is_a_function_of_one_summary(stage: Stage) -> None:
    drawing = DRAWINGS[stage.command]
    assert inspect.isfunction(drawing)
    assert len(inspect.signature(drawing).parameters) == 1


def test_the_command_is_registered_with_an_option_for_each_port_and_the_output(stage: Stage) -> None:
    options = options_of(stage)
    for port in stage.inputs:
        assert options[f"--{port.name}"].required == port.required
        assert options[f"--{port.name}"].type_descriptor.annotation in (str, str | None), "a path spoils azureml://x"
    assert options["--out"].required
    assert options["--out"].type_descriptor.annotation is str


def test_no_other_option_is_a_folder(stage: Stage) -> None:
    folders = {name for name, option in options_of(stage).items() if option.metavar == "FOLDER"}
    assert folders == {f"--{port.name}" for port in stage.inputs} | {"--out"}


def test_the_sections_exist_and_each_of_their_settings_is_an_option(stage: Stage) -> None:
    options = options_of(stage)
    names = {item.name for item in fields(Settings)}
    for section in stage.sections:
        assert section in names
        for item in fields(SECTIONS[section]):
            assert "--" + item.name.replace("_", "-") in options


def test_late_settings_are_settings_of_the_stage(stage: Stage) -> None:
    own = {f"{section}.{item.name}" for section in stage.sections for item in fields(SECTIONS[section])}
    assert set(stage.late) <= own


def test_settings_of_other_sections_are_no_options(stage: Stage) -> None:
    # Former names are hidden: ``--threshold`` was one of detect-anomalies, and is a setting of train.
    settings = {parameter.name for parameter in options_of(stage).values() if not parameter.hidden}
    others = [item.name for name, section in SECTIONS.items() if name not in stage.sections for item in fields(section)]
    assert not settings.intersection(others)


def test_the_ports_read_tables_of_the_schema(stage: Stage) -> None:
    tables = [value for value in vars(schema).values() if isinstance(value, schema.Table)]
    assert all(table in tables for port in stage.inputs for table in port.tables)


def test_each_input_is_given_by_the_user_or_by_an_earlier_stage() -> None:
    known = {"data"}
    for stage in STAGES.values():
        assert {port.name for port in stage.inputs} <= known
        known.add(stage.folder)


def test_no_two_stages_write_to_one_folder() -> None:
    assert len({stage.folder for stage in STAGES.values()}) == len(STAGES)


def test_the_summary_is_a_json_file_of_the_output_folder(stage: Stage) -> None:
    assert stage.summary.endswith(".json")
    assert "/" not in stage.summary
    assert stage.summary != "manifest.json"
