"""Settings of every stage: the only home of default values.

One frozen dataclass per config section. A field is a key of the config file, an option of the command line
(``horizon_hours`` is ``--horizon-hours``) and an environment variable (``PDM_CLI_HORIZON_HOURS``); its type holds its
bounds. Field names are unique over all sections.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Ge, Interval, MinLen

from pdm_cli.settings.alert_rule import parse_threshold
from pdm_cli.settings.duration import Unit
from pdm_cli.settings.field import Section, setting
from pdm_cli.settings.import_params import ImportParams
from pdm_cli.settings.time_range import parse_time_range

_SECOND, _MINUTE, _HOUR, _DAY = Unit(1), Unit(60), Unit(3600), Unit(86_400)
# Anything longer than ten years is a mistake, and must not overflow later.
Hours = Annotated[float, Interval(gt=0, le=87_600), _HOUR]
HoursFromZero = Annotated[float, Interval(ge=0, le=87_600), _HOUR]
# The cost of a rolling window grows with its length.
WindowHours = Annotated[float, Interval(gt=0, le=8784), _HOUR]
# A fixed offset from UTC.
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
# A tenth of a second.
MIN_STEP_MINUTES = 1 / 600
Share = Annotated[float, Interval(gt=0, le=1)]
# Sums of costs must stay finite.
Cost = Annotated[float, Interval(ge=0, le=1e12)]
# The largest seed that NumPy, Optuna (which adds the number of a trial) and the estimators (32 bits) all accept.
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class ColumnsParams(Section):
    """Column names of the raw tables."""

    datetime_column: str = setting(
        "datetime", "Timestamp column of every raw table.", advanced=True, may_be_empty=False
    )
    machine_column: str = setting("machineID", "Machine column of every raw table.", advanced=True, may_be_empty=False)
    error_column: str = setting("errorID", "Error type column of the errors table.", advanced=True, may_be_empty=False)
    maint_column: str = setting(
        "comp", "Replaced component column of the maint table.", advanced=True, may_be_empty=False
    )
    failure_column: str = setting(
        "failure", "Failed component column of the failures table.", advanced=True, may_be_empty=False
    )
    sensors: tuple[str, ...] = setting((), "Sensors to use, comma-separated; default: all numeric columns.")


@dataclass(frozen=True)
class PreprocessParams(Section):
    """How raw tables are cleaned and put on a regular time grid."""

    is_as_trained: ClassVar[bool] = True

    step_minutes: Annotated[float, Interval(ge=0, le=525_600), _MINUTE] = setting(
        0.0, "Time between readings in minutes; 0: detect.", advanced=True
    )
    phase_minutes: Annotated[float, Interval(ge=0, le=525_600), _MINUTE] | None = setting(
        None,
        "Offset of the readings from the grid in minutes, such as 30 for hourly readings at hh:30; default: detected "
        "if all readings have the same offset. For timestamps up to 10 s late, give 0.2; readings are only moved "
        "forward in time.",
        advanced=True,
    )
    timezone: str = setting("UTC", "Time zone of timestamps without one, such as Europe/Berlin or +01:00.")
    time_range: str = setting(
        "",
        "Set aside rows outside these times (UTC), such as 2015-01-01,2016-01-01. Default: rows before 1990, and "
        "stray rows more than a day after the others.",
        metavar="FROM,TO",
        kept_if_empty=False,
    )
    on_duplicate: Literal["refuse", "first", "mean"] = setting(
        "refuse", "Duplicate telemetry rows: fail (refuse), keep the first, or average them."
    )
    max_gap_hours: HoursFromZero = setting(
        24.0, "Fill gaps up to this length with missing values; split the series at longer ones.", advanced=True
    )
    ranges: dict[str, tuple[float, float]] = setting({}, "Valid range per sensor, such as volt=0:400,rotate=0:900.")
    on_out_of_range: Literal["missing", "refuse"] = setting(
        "missing", "Readings outside --ranges: set them to missing, or fail (refuse).", advanced=True
    )
    on_unknown_machine: Literal["refuse", "drop"] = setting(
        "refuse", "Events of machines without telemetry: fail (refuse), or drop them.", advanced=True
    )
    frozen_hours: Hours = setting(
        24.0, "Report a sensor as frozen after this many hours at the same value.", advanced=True
    )
    rows_in_memory: Annotated[int, Ge(1000)] = setting(
        2_000_000,
        "Telemetry rows to hold in memory; above this, unsorted telemetry is sorted on disk.",
        advanced=True,
        changes_result=False,
    )

    def __post_init__(self) -> None:
        try:
            _OFFSET.fullmatch(self.timezone) or ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"timezone: unknown time zone {self.timezone!r}, expected one such as Europe/Berlin or +01:00"
            ) from None
        if self.time_range:
            parse_time_range(self.time_range)
        if 0 < self.step_minutes < MIN_STEP_MINUTES:
            raise ValueError(f"step_minutes ({self.step_minutes:g}) must be 0 or at least {MIN_STEP_MINUTES:g}")
        for sensor, (low, high) in self.ranges.items():
            if not low < high:
                raise ValueError(f"ranges: {sensor} needs low < high, got {low:g}:{high:g}")


@dataclass(frozen=True)
class FeaturesParams(Section):
    """Rolling features."""

    grid_hours: Hours = setting(
        3.0,
        "Time between feature rows in hours, or with a unit: 10s, 15min, 1d.",
        advanced=True,
        fits_data=True,
    )
    windows_hours: Annotated[tuple[WindowHours, ...], MinLen(1)] = setting(
        (3.0, 12.0, 24.0),
        "Trailing windows of the rolling statistics in hours, or with units: 1h,1d.",
        advanced=True,
        fits_data=True,
    )
    statistics: Annotated[tuple[Literal["mean", "std", "min", "max"], ...], MinLen(1)] = setting(
        ("mean", "std"), "Rolling statistics, comma-separated: mean, std, min, max.", advanced=True
    )
    min_share: Share = setting(
        0.5, "Minimum share of readings present in a window; with fewer, the feature is missing.", advanced=True
    )


@dataclass(frozen=True)
class DetectParams(Section):
    """Seasonal Hybrid ESD; names as in Twitter's R package."""

    mode: Literal["causal", "batch"] = setting(
        "causal",
        "Compare readings with earlier ones (causal) or with the whole series (batch). Models use causal anomalies "
        "only.",
    )
    period_hours: Hours | None = setting(
        None,
        "Season length in hours; default: a day if that is a whole number of steps and at least two, else a week; if "
        "neither fits, causal mode uses no season.",
        advanced=True,
    )
    smooth_hours: Annotated[float, Interval(ge=0, le=8784), _HOUR] | None = setting(
        None,
        "Smooth with a trailing mean of this many hours before detection; 0: raw readings; default: 24 in causal mode, "
        "12 in batch mode. Smoothing autocorrelates the series: --alpha then sets the sensitivity, not the "
        "false-positive rate.",
        advanced=True,
        old_names=("smooth",),
    )
    alpha: Annotated[float, Interval(gt=0, lt=1)] = setting(0.005, "Significance level of the test.")
    direction: Literal["both", "pos", "neg"] = setting(
        "both", "Detect high readings, low readings, or both.", advanced=True
    )
    window_days: Annotated[float, Interval(gt=0, le=366), _DAY] | None = setting(
        None,
        "Causal: trailing window of the test in days; default: 28 days, or 12 seasons or 24 readings if longer.",
        advanced=True,
        only_for=("mode", "causal"),
    )
    refit_hours: Hours = setting(
        24.0, "Causal: hours between refits of the window.", advanced=True, only_for=("mode", "causal")
    )
    settle_hours: HoursFromZero = setting(
        24.0,
        "Causal: hours without detection after a gap that splits the series.",
        advanced=True,
        only_for=("mode", "causal"),
    )
    window_share: Share = setting(
        0.5,
        "Causal: minimum share of readings present in a window; with fewer, nothing is tested.",
        advanced=True,
        only_for=("mode", "causal"),
    )
    max_anoms: Annotated[float, Interval(ge=0, le=0.49)] = setting(
        0.1, "Batch: maximum share of anomalous readings; 0: one reading.", advanced=True, only_for=("mode", "batch")
    )
    longterm_days: Annotated[float, Interval(ge=0, le=36_600), _DAY] = setting(
        0.0,
        "Batch: split series whose level drifts into pieces of this many days; 0: do not split.",
        advanced=True,
        only_for=("mode", "batch"),
    )
    only_last: Literal["all", "day", "hour"] = setting(
        "all", "Batch: report only anomalies of the last day or hour.", advanced=True, only_for=("mode", "batch")
    )
    anomaly_threshold: Literal["none", "med_max", "p95", "p99"] = setting(
        "none",
        "Batch: report only readings at or above the median or a percentile of the daily maxima.",
        advanced=True,
        old_names=("threshold",),
        only_for=("mode", "batch"),
    )
    stl: Literal["batch", "statsmodels"] = setting(
        "batch",
        "Batch: implementation of the STL decomposition; both give the same anomalies for even periods, statsmodels is "
        "the slow reference.",
        advanced=True,
        only_for=("mode", "batch"),
    )
    strict: bool = setting(False, "Fail if a series cannot be tested, instead of skipping it.", advanced=True)
    allow_untested: bool = setting(
        False,
        "Succeed even if no series can be tested, as pdm run does.",
        advanced=True,
        changes_result=False,
    )
    jobs: Annotated[int, Interval(ge=0, le=1024)] = setting(
        0, "Worker processes; 0: one per core if that is faster.", changes_result=False
    )

    @property
    def smooth(self) -> float:
        """Hours of smoothing: as set, else the value that served the failure model or the older pipeline best."""
        return self.smooth_hours if self.smooth_hours is not None else {"causal": 24.0, "batch": 12.0}[self.mode]


@dataclass(frozen=True)
class HealthParams(Section):
    """Health index of machines without a log of failures."""

    alarms_per_machine_year: Annotated[float, Interval(gt=0, le=1000)] = setting(
        1.0,
        "Without failures: alarms expected per machine and year (8,766 h) in normal operation.",
        advanced=True,
    )
    reference_days: Annotated[float, Interval(gt=0, le=36_600), _DAY] | None = setting(
        None,
        "Days at the start of the log that define normal operation; they get no health; default: a quarter of the log, "
        "at least 21 days (or half of it) and at most 90.",
        advanced=True,
    )
    health_window_hours: WindowHours | None = setting(
        None,
        "Longest trailing window of the health index; default: 72 hours, or one and a half horizons if others fit the "
        "log.",
        advanced=True,
    )


@dataclass(frozen=True)
class LabelsParams(Section):
    """Definition of the label: a failure of the component within [t + lead time, t + horizon]."""

    lead_time_hours: HoursFromZero = setting(
        3.0, "Minimum warning in hours, or with a unit: 30min, 1d.", fits_data=True
    )
    horizon_hours: Hours = setting(48.0, "Hours to predict ahead, or with a unit: 12h, 7d.", fits_data=True)

    def __post_init__(self) -> None:
        if self.lead_time_hours > self.horizon_hours:
            raise ValueError(
                f"lead_time_hours ({self.lead_time_hours:g}) must not exceed horizon_hours ({self.horizon_hours:g})"
            )


@dataclass(frozen=True)
class TrainParams(Section):
    """Split, features, search and alerts."""

    split: Literal["auto", "time", "machine", "both"] = setting(
        "auto",
        "Test on later data (time), on unseen machines (machine), or both; auto: time, unless the machines run to "
        "failure.",
    )
    cutoff: datetime | None = setting(
        None, "End of the training data (UTC); default: the start of the last quarter of the rows."
    )
    test_start: datetime | None = setting(
        None, "Start of the test data (UTC); needs --cutoff; default: cutoff + gap.", advanced=True
    )
    test_share: Annotated[float, Interval(gt=0, lt=1)] = setting(
        0.25,
        "Share of the data to test on: the latest rows if --cutoff is not given, or machines (see --split).",
        advanced=True,
    )
    gap_hours: HoursFromZero = setting(
        0.0, "Hours to leave out after the cutoff; never less than the horizon.", advanced=True
    )
    folds: Annotated[int, Interval(ge=1, le=100)] = setting(
        2,
        "Cross-validation folds within the training data, in order of time or by machine; fewer if failures are few.",
        advanced=True,
    )
    components: tuple[str, ...] = setting((), "Components to model; default: all that have failed.")
    families: tuple[str, ...] = setting(
        (), "Feature families to use, comma-separated; default: all whose tables exist.", advanced=True
    )
    count_hours: tuple[Hours, ...] = setting(
        (24.0, 48.0),
        "Trailing windows in which errors and anomalies are counted, in hours, comma-separated.",
        advanced=True,
    )
    horizons: tuple[Hours, ...] = setting(
        (),
        "Further horizons from which the hours to failure are estimated, in hours, comma-separated, such as 24,168; "
        "default: shares and multiples of the horizon.",
        advanced=True,
    )
    z_window_hours: Annotated[float, Interval(gt=0, le=8784), _HOUR] = setting(
        720.0, "Trailing window of the median and MAD that standardise readings, in hours.", advanced=True
    )
    shift_hours: Annotated[float, Interval(ge=2, le=720), _HOUR] = setting(
        72.0, "Longest period over which a level shift of a sensor is detected, in hours.", advanced=True
    )
    algorithms: tuple[str, ...] = setting(
        (), "Learning algorithms to try, comma-separated, first choice first; default: all installed.", advanced=True
    )
    trials: Annotated[int, Interval(ge=1, le=10_000)] = setting(20, "Trials of the search.")
    time_budget_seconds: Annotated[float, Ge(0), _SECOND] = setting(
        120.0,
        "Time limit of the search.",
        old_names=("time_budget",),
    )
    fast: bool = setting(False, "Skip the search; use proven settings.")
    metric: Literal["average_precision", "roc_auc", "AUC_weighted", "brier"] = setting(
        "average_precision", "Metric the search optimises."
    )
    negative_share: Share = setting(
        0.4,
        "Share of the rows without an imminent failure to train on; weights compensate for the rest.",
        advanced=True,
    )
    threshold: str = setting(
        "hysteresis",
        "Alert rule: hysteresis (on at a high probability, off at a low one), f1, cost, or recall=0.95.",
        old_names=("alert_rule",),
    )
    merge_hours: HoursFromZero = setting(6.0, "Merge alerts no further apart than this many hours.", advanced=True)
    allow_suspicious: bool = setting(
        False,
        "Train even if one feature alone predicts failures almost perfectly (possible leakage).",
        advanced=True,
    )
    trees: Annotated[int, Interval(ge=1, le=100_000)] = setting(
        200, "XGBoost, first trial: boosting rounds.", advanced=True
    )
    learning_rate: Annotated[float, Interval(gt=0, le=1)] = setting(
        0.05, "XGBoost, first trial: learning rate.", advanced=True
    )
    max_leaves: Annotated[int, Interval(ge=2, le=65_536)] = setting(
        31, "XGBoost, first trial: maximum leaves per tree.", advanced=True
    )
    min_child_weight: Annotated[float, Interval(ge=0, le=1e9)] = setting(
        0.3, "XGBoost, first trial: minimum sum of Hessians in a leaf.", advanced=True
    )
    l2: Annotated[float, Interval(ge=0, le=1e9)] = setting(
        3.0, "XGBoost, first trial: L2 penalty on leaf values.", advanced=True
    )
    column_share: Share = setting(0.5, "XGBoost, first trial: share of the features per tree.", advanced=True)
    seed: Annotated[int, Interval(ge=0, le=MAX_SEED)] = setting(0, "Random seed.", advanced=True)
    threads: Annotated[int, Interval(ge=0, le=1024)] = setting(
        0, "Components to fit in parallel; 0: one per core.", advanced=True, changes_result=False
    )

    def __post_init__(self) -> None:
        try:
            parse_threshold(self.threshold)
        except ValueError as exc:
            raise ValueError(f"threshold: {exc}") from exc


@dataclass(frozen=True)
class CostsParams(Section):
    """Costs of failures, repairs and alarms, and the value of a warning."""

    missed_failure: Cost = setting(10.0, "Cost of a missed failure.")
    false_alarm: Cost = setting(1.0, "Cost of a false alarm.")
    planned_repair: Cost = setting(2.0, "Cost of a planned repair.")
    unit: str = setting("units", "Unit of the three costs, such as EUR.", advanced=True)
    max_alarms_per_machine_month: Annotated[float, Ge(0)] | None = setting(
        None,
        "With --threshold cost: maximum alarms per machine, component and month, counting true and false alarms; "
        "default: no limit.",
        advanced=True,
    )
    least_warning_hours: HoursFromZero | None = setting(
        None,
        "Count a failure as caught only with at least this much warning, in hours; default: the lead time.",
        advanced=True,
    )


@dataclass(frozen=True)
class PredictParams(Section):
    """Which predictions to write."""

    since: datetime | None = setting(None, "Write predictions from this time on (UTC); default: all.")
    until: datetime | None = setting(None, "Predict as of this time (UTC); later data is ignored.")
    latest: bool = setting(False, "Write only the latest prediction per machine.")


@dataclass(frozen=True)
class AlertsParams(Section):
    """How often a trained model alerts."""

    alarm_budget: Annotated[float, Ge(0)] | None = setting(
        None,
        "Maximum expected false alarms per machine and month (or 1,000 cycles), all components together; moves the "
        "alert thresholds; default: as trained.",
    )


@dataclass(frozen=True)
class EvaluateParams(Section):
    """Gates for CI."""

    fail_on: tuple[str, ...] = setting(
        (),
        "Conditions to exit on with code 10, comma-separated, such as ap<0.9,false_alarms>0.2; metrics: ap, auc, "
        "f1, brier, calibration_error, caught, warning_hours, false_alarms.",
        may_be_empty=False,
        metavar="CONDITIONS",
    )


@dataclass(frozen=True)
class AzureParams(Section):
    """Where jobs run on Azure Machine Learning. There are no secrets here: Azure's own tools sign in."""

    subscription_id: str = setting(
        "", "Subscription of the workspace.", variables=("AZURE_SUBSCRIPTION_ID", "AZUREML_ARM_SUBSCRIPTION")
    )
    resource_group: str = setting(
        "", "Resource group of the workspace.", variables=("AZURE_RESOURCE_GROUP", "AZUREML_ARM_RESOURCEGROUP")
    )
    workspace: str = setting(
        "", "Azure ML workspace.", variables=("AZUREML_WORKSPACE_NAME", "AZUREML_ARM_WORKSPACE_NAME")
    )
    auth: Literal["default", "cli", "environment", "workload", "managed"] = setting(
        "default",
        "How to sign in; default tries the environment (service principal), workload identity, Azure CLI, PowerShell "
        "and Developer CLI in turn.",
        advanced=True,
    )
    compute: str = setting("pdm-cluster", "AmlCompute cluster, created if missing; or serverless.", for_submitting=True)
    vm_size: str = setting("STANDARD_D2_V2", "VM size of a new cluster.", for_submitting=True)
    min_nodes: Annotated[int, Ge(0)] = setting(
        0, "Minimum nodes of a new cluster (billed even when idle).", advanced=True, for_submitting=True
    )
    max_nodes: Annotated[int, Ge(1)] = setting(4, "Maximum nodes of a new cluster.", for_submitting=True)
    idle_seconds: Annotated[int, Ge(60)] = setting(
        1800, "Idle seconds before a new cluster scales down.", advanced=True, for_submitting=True
    )
    image: str = setting(
        "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest",
        "Base image of the job environment.",
        advanced=True,
        for_submitting=True,
    )
    experiment: str = setting("pdm", "Experiment that jobs are listed under.", for_submitting=True)
    datastore: str = setting(
        "workspaceblobstore", "Blob datastore for the outputs.", advanced=True, for_submitting=True
    )
    poll_seconds: Annotated[float, Interval(ge=0.1, le=3600), _SECOND] = setting(
        15.0, "Longest interval between status requests while waiting for a job.", advanced=True
    )

    def __post_init__(self) -> None:
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"min_nodes ({self.min_nodes}) must not exceed max_nodes ({self.max_nodes})")


@dataclass(frozen=True)
class Settings:
    """All sections; :func:`key_of` a field is the section's name in the config file."""

    columns: ColumnsParams = field(default_factory=ColumnsParams)
    import_: ImportParams = field(default_factory=ImportParams)
    preprocess: PreprocessParams = field(default_factory=PreprocessParams)
    features: FeaturesParams = field(default_factory=FeaturesParams)
    detect: DetectParams = field(default_factory=DetectParams)
    health: HealthParams = field(default_factory=HealthParams)
    labels: LabelsParams = field(default_factory=LabelsParams)
    train: TrainParams = field(default_factory=TrainParams)
    costs: CostsParams = field(default_factory=CostsParams)
    predict: PredictParams = field(default_factory=PredictParams)
    alerts: AlertsParams = field(default_factory=AlertsParams)
    evaluate: EvaluateParams = field(default_factory=EvaluateParams)
    azure: AzureParams = field(default_factory=AzureParams)


SECTIONS: dict[str, type[Section]] = {item.name: type(getattr(Settings(), item.name)) for item in fields(Settings)}


@functools.cache
def types_of(section: str, *, with_bounds: bool = False) -> dict[str, Any]:
    """Return the types of a section's settings; evaluating the annotations is slow."""
    return get_type_hints(SECTIONS[section], include_extras=with_bounds)


def takes_durations(section: str, key: str) -> bool:
    """Return whether a setting takes durations such as ``15min`` besides numbers."""
    return _has_unit(types_of(section, with_bounds=True)[key])


def _has_unit(hint: Any) -> bool:
    return any(isinstance(part, Unit) or _has_unit(part) for part in get_args(hint))
