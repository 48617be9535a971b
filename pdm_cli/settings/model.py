"""Settings of every stage: the only home of default values.

One frozen dataclass a config section. A field is a key of the config file, an option of the command line
(``horizon_hours`` is ``--horizon-hours``) and an environment variable (``PDM_CLI_HORIZON_HOURS``); its limits stand
in its type. Field names are unique over all sections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Ge, Interval, MinLen

from pdm_cli.settings.field import Section, setting

# Ten years: what is longer is a mistake, and must not run out of numbers later.
Hours = Annotated[float, Interval(gt=0, le=87_600)]
HoursFromZero = Annotated[float, Interval(ge=0, le=87_600)]
# A window is summed anew for each row, so its cost grows with its length: a year is the most.
WindowHours = Annotated[float, Interval(gt=0, le=8784)]
# Hours and minutes that a clock is before or behind UTC all year.
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
# A tenth of a second.
LEAST_STEP_MINUTES = 1 / 600
Share = Annotated[float, Interval(gt=0, le=1)]
# More than anything costs; sums of it stay finite.
Cost = Annotated[float, Interval(ge=0, le=1e12)]
# What all that is random takes: NumPy, Optuna (which adds the number of a trial), and the 32 bits of the estimators.
MOST_SEED = 2**31 - 1


@dataclass(frozen=True)
class ColumnsParams(Section):
    """Names that the raw tables use for the columns of the contract."""

    datetime_column: str = setting("datetime", "Column with the time stamp, in every raw table.")
    machine_column: str = setting("machineID", "Column with the machine, in every raw table.")
    error_column: str = setting("errorID", "Column with the kind of error, in errors.")
    maint_column: str = setting("comp", "Column with the replaced component, in maint.")
    failure_column: str = setting("failure", "Column with the failed component, in failures.")
    sensors: tuple[str, ...] = setting((), "Sensor columns, comma-separated; empty: every other numeric column.")


@dataclass(frozen=True)
class PreprocessParams(Section):
    """How raw tables are cleaned and put on a regular time grid."""

    is_as_trained: ClassVar[bool] = True

    step_minutes: Annotated[float, Interval(ge=0, le=525_600)] = setting(
        0.0, "Time between readings in minutes; 0: found from the data."
    )
    phase_minutes: Annotated[float, Interval(ge=0, le=525_600)] | None = setting(
        None,
        "Where in the step the readings stand, in minutes: 30 for an hourly log at hh:30; default: found if exact. "
        "For a clock that jitters by 10 seconds give 0.2: readings never move back in time.",
    )
    timezone: str = setting(
        "UTC", "Time zone of stamps that carry none, such as Europe/Berlin or +01:00; all stamps become UTC."
    )
    on_duplicate: Literal["refuse", "first", "mean"] = setting(
        "refuse", "Readings of one machine with the same stamp: refuse, keep the first, or their mean."
    )
    max_gap_hours: HoursFromZero = setting(
        24.0, "Gaps up to this long become rows of missing readings; longer ones split the series."
    )
    ranges: dict[str, tuple[float, float]] = setting({}, "Allowed span per sensor, such as volt=0:400,rotate=0:900.")
    on_out_of_range: Literal["missing", "refuse"] = setting("missing", "Readings outside --ranges: missing, or refuse.")
    on_unknown_machine: Literal["refuse", "drop"] = setting(
        "refuse", "Events of a machine that has no telemetry: refuse, or drop them."
    )
    frozen_hours: Hours = setting(24.0, "Report a sensor as frozen after this long at one value.")
    rows_in_memory: Annotated[int, Ge(1000)] = setting(
        2_000_000,
        "Telemetry rows held at once; more rows than this in no order are sorted by way of the disk.",
        changes_result=False,
    )

    def __post_init__(self) -> None:
        try:
            _OFFSET.fullmatch(self.timezone) or ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"timezone: unknown time zone {self.timezone!r}, wanted one such as Europe/Berlin or +01:00"
            ) from None
        if 0 < self.step_minutes < LEAST_STEP_MINUTES:
            raise ValueError(f"step_minutes ({self.step_minutes:g}) must be 0 or at least {LEAST_STEP_MINUTES:g}")
        for sensor, (low, high) in self.ranges.items():
            if not low < high:
                raise ValueError(f"ranges: {sensor} needs low < high, got {low:g}:{high:g}")


@dataclass(frozen=True)
class FeaturesParams(Section):
    """Rolling features: which, over which windows, and how often."""

    grid_hours: Hours = setting(3.0, "Time between feature rows in hours.")
    windows_hours: Annotated[tuple[WindowHours, ...], MinLen(1)] = setting(
        (3.0, 12.0, 24.0), "Trailing windows of the rolling statistics in hours, comma-separated."
    )
    statistics: Annotated[tuple[Literal["mean", "std", "min", "max"], ...], MinLen(1)] = setting(
        ("mean", "std"), "Rolling statistics, comma-separated: mean, std, min, max."
    )
    min_share: Share = setting(0.5, "Share of a window's readings that must be there, else the feature is missing.")


@dataclass(frozen=True)
class DetectParams(Section):
    """Seasonal Hybrid ESD; the names are those of Twitter's R package."""

    mode: Literal["causal", "batch"] = setting(
        "causal",
        "causal: each reading is judged by earlier ones, so that anomalies may become features; "
        "batch: with the whole series in view, as Twitter's R package does.",
    )
    period_hours: Hours | None = setting(
        None,
        "Length of the season in hours; default: a day, or else a week, if it is two or more whole steps; else none "
        "with causal.",
    )
    smooth_hours: Annotated[float, Interval(ge=0, le=8784)] | None = setting(
        None,
        "Trailing mean taken before detection, in hours; 0: raw readings; default: 24 for causal, 12 for batch. "
        "Smoothed readings hang together, so alpha is then no longer a false-alarm rate.",
    )
    alpha: Annotated[float, Interval(gt=0, lt=1)] = setting(0.005, "Significance level of the test.")
    direction: Literal["both", "pos", "neg"] = setting("both", "Look for high readings, low ones, or both.")
    window_days: Annotated[float, Interval(gt=0, le=366)] | None = setting(
        None,
        "Causal: trailing window that a reading is judged by, in days; default: 28 days, or 12 seasons where that is "
        "longer.",
        only_for=("mode", "causal"),
    )
    refit_hours: Hours = setting(
        24.0, "Causal: time between two looks at the window, in hours.", only_for=("mode", "causal")
    )
    settle_hours: HoursFromZero = setting(
        24.0, "Causal: readings not judged after a longer gap, in hours.", only_for=("mode", "causal")
    )
    window_share: Share = setting(
        0.5, "Causal: share of a window's readings that must be there to judge by it.", only_for=("mode", "causal")
    )
    max_anoms: Annotated[float, Interval(gt=0, le=0.49)] = setting(
        0.1, "Batch: largest share of readings that may be anomalies.", only_for=("mode", "batch")
    )
    longterm_days: Annotated[float, Interval(ge=0, le=36_600)] = setting(
        0.0,
        "Batch: detect within pieces of this many days, for series whose level drifts; 0: the series at once.",
        only_for=("mode", "batch"),
    )
    only_last: Literal["all", "day", "hour"] = setting(
        "all", "Batch: report only anomalies of the last day or hour.", only_for=("mode", "batch")
    )
    threshold: Literal["none", "med_max", "p95", "p99"] = setting(
        "none",
        "Batch: report only readings at or above the median, or a percentile, of the daily maxima.",
        only_for=("mode", "batch"),
    )
    stl: Literal["batch", "statsmodels"] = setting(
        "batch",
        "Batch: how series are decomposed; both give the same anomalies for even periods, statsmodels far more slowly.",
        only_for=("mode", "batch"),
    )
    strict: bool = setting(False, "Refuse data with a series that cannot be judged.")
    jobs: Annotated[int, Interval(ge=0, le=1024)] = setting(
        0, "Processes that detect at the same time; 0: one a core where that is faster.", changes_result=False
    )

    @property
    def smooth(self) -> float:
        """Hours of smoothing: as set, else what served the failure model best, or what the older pipeline took."""
        return self.smooth_hours if self.smooth_hours is not None else {"causal": 24.0, "batch": 12.0}[self.mode]


@dataclass(frozen=True)
class LabelsParams(Section):
    """What the model is asked: whether a component fails within [t + lead time, t + horizon]."""

    lead_time_hours: HoursFromZero = setting(3.0, "Shortest useful warning in hours.")
    horizon_hours: Hours = setting(48.0, "How far ahead a label looks, in hours.")

    def __post_init__(self) -> None:
        if self.lead_time_hours > self.horizon_hours:
            raise ValueError(
                f"lead_time_hours ({self.lead_time_hours:g}) must not exceed horizon_hours ({self.horizon_hours:g})"
            )


@dataclass(frozen=True)
class TrainParams(Section):
    """Split, features, search and alerts."""

    split: Literal["time", "machine", "both"] = setting(
        "time", "What the model is tested on: later time, machines it has not seen, or both at once."
    )
    cutoff: datetime | None = setting(None, "Last instant the model may know of (UTC); default: see --test-share.")
    test_start: datetime | None = setting(None, "First instant of the test span (UTC); default: cutoff + gap.")
    test_share: Annotated[float, Interval(gt=0, lt=1)] = setting(
        0.25, "Share kept for the test: the latest rows where --cutoff is not given, or of the machines (--split)."
    )
    gap_hours: HoursFromZero = setting(0.0, "Hours left out after the cutoff; the horizon where that is more.")
    folds: Annotated[int, Interval(ge=1, le=100)] = setting(2, "Time-ordered folds inside the training span.")
    components: tuple[str, ...] = setting((), "Components to model, comma-separated; empty: all that failed.")
    families: tuple[str, ...] = setting(
        (), "Families of features the model may use, comma-separated; empty: all whose tables are there."
    )
    count_hours: tuple[Hours, ...] = setting(
        (24.0, 48.0), "Trailing windows in which errors and anomalies are counted, in hours, comma-separated."
    )
    z_window_hours: Annotated[float, Interval(gt=0, le=8784)] = setting(
        720.0, "Trailing window of median and MAD that readings are standardised by, in hours."
    )
    shift_hours: Annotated[float, Interval(ge=2, le=720)] = setting(
        72.0, "Longest shift of a sensor's level that is looked for, in hours."
    )
    algorithms: tuple[str, ...] = setting(
        (), "Learning algorithms to search, comma-separated, the first one first; empty: all that load."
    )
    trials: Annotated[int, Interval(ge=1, le=10_000)] = setting(
        12, "Settings the search tries: algorithm, features and hyper-parameters."
    )
    time_budget_seconds: Annotated[float, Ge(0)] = setting(
        120.0, "Seconds after which the search ends, within a trial too; the first complete one is always waited for."
    )
    fast: bool = setting(False, "Train the first, well-tried setting alone, without a search.")
    metric: Literal["average_precision", "roc_auc", "AUC_weighted", "brier"] = setting(
        "average_precision", "What the search compares by, on the folds."
    )
    negative_share: Share = setting(
        0.4, "Share of the rows without a failure ahead that models are fitted on; weights make up for the others."
    )
    alert_rule: str = setting(
        "hysteresis",
        "How alerts are switched, chosen on the folds: hysteresis (on at a high probability, off at a low one), "
        "f1, recall=0.95 (any share), or cost (see section costs).",
    )
    merge_hours: HoursFromZero = setting(6.0, "Alerts no further apart than this are one episode.")
    allow_suspicious: bool = setting(
        False, "Train although a single feature tells failures apart all but perfectly, as a leak would."
    )
    trees: Annotated[int, Interval(ge=1, le=100_000)] = setting(200, "XGBoost's first trial: boosting rounds.")
    learning_rate: Annotated[float, Interval(gt=0, le=1)] = setting(
        0.05, "XGBoost's first trial: shrinkage of each tree."
    )
    max_leaves: Annotated[int, Interval(ge=2, le=65_536)] = setting(31, "XGBoost's first trial: leaves of a tree.")
    min_child_weight: Annotated[float, Interval(ge=0, le=1e9)] = setting(
        0.3, "XGBoost's first trial: smallest sum of hessians in a leaf."
    )
    l2: Annotated[float, Interval(ge=0, le=1e9)] = setting(3.0, "XGBoost's first trial: L2 penalty on leaf values.")
    column_share: Share = setting(0.5, "XGBoost's first trial: share of the features each tree may use.")
    seed: Annotated[int, Interval(ge=0, le=MOST_SEED)] = setting(0, "Seed of everything random.")
    threads: Annotated[int, Interval(ge=0, le=1024)] = setting(
        0, "Components fitted at the same time; 0: one a core.", changes_result=False
    )

    def __post_init__(self) -> None:
        if self.test_start is not None and self.cutoff is None:
            raise ValueError("test_start needs a cutoff")


@dataclass(frozen=True)
class CostsParams(Section):
    """What failures, repairs and alarms cost, and what a warning is worth."""

    missed_failure: Cost = setting(10.0, "Cost of a failure that nothing warned of.")
    false_alarm: Cost = setting(1.0, "Cost of an alarm that no failure follows.")
    planned_repair: Cost = setting(2.0, "Cost of a repair planned ahead of the failure.")
    unit: str = setting("units", "Unit of the three costs, such as EUR.")
    max_alarms_per_machine_month: Annotated[float, Ge(0)] | None = setting(
        None, "Threshold by cost: most alarms, true or false, of a machine and component in a month; default: no limit."
    )
    least_warning_hours: HoursFromZero | None = setting(
        None, "Count a failure as caught only with at least this much warning, in hours; default: the lead time."
    )


@dataclass(frozen=True)
class PredictParams(Section):
    """What part of the predictions is wanted."""

    since: datetime | None = setting(None, "Write predictions from this instant on (UTC); default: all.")
    until: datetime | None = setting(None, "Foretell as if nothing after this instant were known (UTC).")
    latest: bool = setting(False, "Write only the latest prediction of each machine.")


@dataclass(frozen=True)
class EvaluateParams(Section):
    """Gates for CI."""

    fail_on: tuple[str, ...] = setting(
        (),
        "Conditions that end with exit code 10, comma-separated, such as ap<0.9,false_alarms>0.2; of ap, auc, f1, "
        "brier, calibration_error, caught, warning_hours, false_alarms.",
        may_be_empty=False,
    )


@dataclass(frozen=True)
class AzureParams(Section):
    """Where jobs run on Azure Machine Learning. Nothing secret stands here: signing in is left to Azure's own tools."""

    subscription_id: str = setting(
        "", "Subscription of the workspace.", variables=("AZURE_SUBSCRIPTION_ID", "AZUREML_ARM_SUBSCRIPTION")
    )
    resource_group: str = setting(
        "", "Resource group of the workspace.", variables=("AZURE_RESOURCE_GROUP", "AZUREML_ARM_RESOURCEGROUP")
    )
    workspace: str = setting(
        "", "Workspace of Azure ML.", variables=("AZUREML_WORKSPACE_NAME", "AZUREML_ARM_WORKSPACE_NAME")
    )
    auth: Literal["default", "cli", "environment", "workload", "managed"] = setting(
        "default",
        "How to sign in: default tries the environment (service principal), workload identity, Azure CLI, PowerShell "
        "and Developer CLI in turn.",
    )
    compute: str = setting("pdm-cluster", "AmlCompute cluster, made when missing; or serverless.", for_submitting=True)
    vm_size: str = setting("STANDARD_D2_V2", "Size of the machines of a cluster that is made.", for_submitting=True)
    min_nodes: Annotated[int, Ge(0)] = setting(
        0, "Machines that a cluster that is made keeps running, at a cost.", for_submitting=True
    )
    max_nodes: Annotated[int, Ge(1)] = setting(4, "Most machines of a cluster that is made.", for_submitting=True)
    idle_seconds: Annotated[int, Ge(60)] = setting(
        1800, "Seconds without work after which a cluster that is made lets a machine go.", for_submitting=True
    )
    image: str = setting(
        "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest",
        "Container image that jobs' Python is put into.",
        for_submitting=True,
    )
    experiment: str = setting("pdm", "Experiment that jobs are listed under.", for_submitting=True)
    datastore: str = setting(
        "workspaceblobstore", "Datastore that gets the outputs; a blob container.", for_submitting=True
    )
    poll_seconds: Annotated[float, Interval(ge=0.1, le=3600)] = setting(
        15.0, "Longest time between two looks at a job that is waited for."
    )

    def __post_init__(self) -> None:
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"min_nodes ({self.min_nodes}) must not exceed max_nodes ({self.max_nodes})")


@dataclass(frozen=True)
class Settings:
    """All sections; the field name is the section's name in the config file."""

    columns: ColumnsParams = field(default_factory=ColumnsParams)
    preprocess: PreprocessParams = field(default_factory=PreprocessParams)
    features: FeaturesParams = field(default_factory=FeaturesParams)
    detect: DetectParams = field(default_factory=DetectParams)
    labels: LabelsParams = field(default_factory=LabelsParams)
    train: TrainParams = field(default_factory=TrainParams)
    costs: CostsParams = field(default_factory=CostsParams)
    predict: PredictParams = field(default_factory=PredictParams)
    evaluate: EvaluateParams = field(default_factory=EvaluateParams)
    azure: AzureParams = field(default_factory=AzureParams)


SECTIONS: dict[str, type[Section]] = {item.name: type(getattr(Settings(), item.name)) for item in fields(Settings)}
