"""The stages: commands from input folders to an output folder, and their input ports.

``run`` chains them; a remote job runs one, with the ports replaced by mounts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from pdm_cli.schema import ANOMALIES, ERRORS, FAILURES, FEATURES, MACHINES, MAINT, RAW_TABLES, TELEMETRY, Table
from pdm_cli.settings.model import CostsParams


@dataclass(frozen=True)
class Port:
    """An option whose value is a folder of tables.

    Attributes
    ----------
    name : str
        The option without its dashes.
    holds : str
        Contents of the folder, for messages.
    tables : tuple of Table
        Tables that are read from the folder if present.
    required : bool
        Whether the command needs the folder.
    files : tuple of str
        Patterns of other files that are read.
    made_by : str
        The stage that writes such folders; empty if none does.
    marker : str
        A file that every such folder has.
    """

    name: str
    holds: str
    tables: tuple[Table, ...] = ()
    required: bool = True
    files: tuple[str, ...] = ()
    made_by: str = ""
    marker: str = ""


@dataclass(frozen=True)
class Stage:
    """A command from input folders to one output folder.

    Attributes
    ----------
    command : str
        Name of the sub-command.
    work : str
        ``module:function`` that does the work; imported on use.
    inputs : tuple of Port
        Input ports; the output port is always ``out``.
    sections : tuple of str
        Sections of settings that change the result.
    folder : str
        Name of the output folder in ``pdm run``.
    summary : str
        JSON file with the summary in the output folder.
    has_report : bool
        Whether the output folder gets a report.html.
    is_tracked : bool
        Whether it is logged to MLflow.
    late : tuple of str
        Settings, as ``section.setting``, that may change when an interrupted run is resumed.
    completing : str
        ``module:function`` that completes the settings from the input folders; empty if not needed.
    """

    command: str
    work: str
    inputs: tuple[Port, ...]
    sections: tuple[str, ...]
    folder: str
    summary: str
    has_report: bool = False
    is_tracked: bool = False
    late: tuple[str, ...] = ()
    completing: str = ""


# Key of a summary that says that a stage yields almost nothing, and why.
SHORTAGE = "shortage"
# Quality of the data found by preprocess, shown in its report and in that of a model.
QUALITY_FILE = "quality.json"
# Data of a report that are in no other file of its folder.
EVIDENCE_FILE = "report.json"
# Summary of an import, which is not a stage.
IMPORT_FILE = "import.json"
_RAW = Port("data", "the raw tables, such as telemetry.parquet", RAW_TABLES)
_PREPARED = "the prepared tables, written by pdm preprocess"

STAGES: dict[str, Stage] = {
    "preprocess": Stage(
        command="preprocess",
        work="pdm_cli.pipeline.preprocess:preprocess",
        inputs=(_RAW,),
        sections=("columns", "preprocess", "features"),
        folder="prepared",
        summary=QUALITY_FILE,
        has_report=True,
        completing="pdm_cli.pipeline.choose_windows:complete_settings",
    ),
    "detect-anomalies": Stage(
        command="detect-anomalies",
        work="pdm_cli.pipeline.detect:detect",
        inputs=(Port("prepared", _PREPARED, (TELEMETRY,), made_by="preprocess", marker=TELEMETRY.file),),
        sections=("detect",),
        folder="anomalies",
        summary="summary.json",
        has_report=True,
    ),
    "health": Stage(
        command="health",
        work="pdm_cli.pipeline.health:measure_health",
        inputs=(
            Port(
                "prepared",
                _PREPARED,
                (TELEMETRY, FEATURES, ERRORS, MAINT),
                files=(QUALITY_FILE,),
                made_by="preprocess",
                marker=FEATURES.file,
            ),
        ),
        sections=("health",),
        folder="health",
        summary="health.json",
        has_report=True,
    ),
    "train": Stage(
        command="train",
        work="pdm_cli.pipeline.train:train",
        inputs=(
            Port(
                "prepared",
                _PREPARED,
                (TELEMETRY, FEATURES, ERRORS, MAINT, FAILURES, MACHINES),
                files=(QUALITY_FILE,),
                made_by="preprocess",
                marker=FEATURES.file,
            ),
            Port(
                "anomalies",
                "the anomalies, written by pdm detect-anomalies",
                (ANOMALIES,),
                required=False,
                made_by="detect-anomalies",
                marker=ANOMALIES.file,
            ),
        ),
        # A trial does not depend on the number of trials after it, and alert rules are chosen after the last one.
        late=(
            *("train.trials", "train.time_budget_seconds", "train.threshold", "train.merge_hours"),
            "train.allow_suspicious",
            *(f"costs.{item.name}" for item in fields(CostsParams)),
        ),
        sections=("labels", "train", "costs"),
        completing="pdm_cli.pipeline.choose_windows:complete_labels",
        folder="model",
        summary="metrics.json",
        has_report=True,
        is_tracked=True,
    ),
    "predict": Stage(
        command="predict",
        work="pdm_cli.pipeline.predict:predict",
        inputs=(
            _RAW,
            Port(
                "model",
                "the model, written by pdm train",
                files=("bundle.json", "member_*", "hazard_*", "metrics.json"),
                made_by="train",
                marker="bundle.json",
            ),
        ),
        sections=("columns", "preprocess", "predict", "alerts"),
        folder="predictions",
        summary="predictions.json",
        has_report=True,
        completing="pdm_cli.pipeline.score:complete_settings",
    ),
}
# The stages of ``pdm run``, in order, with a log of failures and without one.
CHAIN = tuple(STAGES[command] for command in ("preprocess", "detect-anomalies", "train"))
HEALTH_CHAIN = (*CHAIN[:-1], STAGES["health"])
# The commands that ``pdm submit`` takes, and their stages.
SUBMITTED: dict[str, tuple[Stage, ...]] = {**{command: (stage,) for command, stage in STAGES.items()}, "run": CHAIN}


def list_sections(stages: Iterable[Stage]) -> tuple[str, ...]:
    """Return the sections of settings of all the stages, each once."""
    return tuple(dict.fromkeys(section for stage in stages for section in stage.sections))
