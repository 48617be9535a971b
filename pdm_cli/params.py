"""Settings of every stage: the only home of default values.

One frozen dataclass a config section. A field is a key of the config file, an option of the command line
(``horizon_hours`` is ``--horizon-hours``) and an environment variable (``PDM_CLI_HORIZON_HOURS``); its limits stand
in its type. Field names are unique over all sections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Ge, Interval, MinLen

# Ten years: what is longer is a mistake, and must not run out of numbers later.
Hours = Annotated[float, Interval(gt=0, le=87_600)]
HoursFromZero = Annotated[float, Interval(ge=0, le=87_600)]
# A window is summed anew for each row, so its cost grows with its length: a year is the most.
WindowHours = Annotated[float, Interval(gt=0, le=8784)]
# A tenth of a second.
LEAST_STEP_MINUTES = 1 / 600
Share = Annotated[float, Interval(gt=0, le=1)]


def setting(default: Any, text: str, *, changes_result: bool = True) -> Any:
    """Return a dataclass field with its default and its one line of help.

    Parameters
    ----------
    default : object
        Value used where neither option, environment nor config file gives one; a dict is copied.
    text : str
        Help shown for the option.
    changes_result : bool
        False for settings such as the number of workers that leave every output byte as it is.
    """
    metadata = {"help": text, "changes_result": changes_result}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Section:
    """Base of all config sections: unknown keys and non-finite numbers are refused."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


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

    step_minutes: Annotated[float, Interval(ge=0, le=525_600)] = setting(
        0.0, "Time between readings in minutes; 0: found from the data."
    )
    phase_minutes: Annotated[float, Ge(0)] | None = setting(
        None,
        "Where in the step the readings stand, in minutes: 30 for an hourly log at hh:30; default: found if exact. "
        "For a clock that jitters by 10 seconds give 0.2: readings never move back in time.",
    )
    timezone: str = setting("UTC", "Time zone of stamps that carry none (IANA name); all stamps become UTC.")
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
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"timezone: unknown time zone {self.timezone!r}, wanted one such as Europe/Berlin"
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
        None, "Length of the season in hours; default: a day, or a week where readings come once a day."
    )
    smooth_hours: Annotated[float, Interval(ge=0, le=8784)] | None = setting(
        None,
        "Trailing mean taken before detection, in hours; 0: raw readings; default: 24 for causal, 12 for batch. "
        "Smoothed readings hang together, so alpha is then no longer a false-alarm rate.",
    )
    alpha: Annotated[float, Interval(gt=0, lt=1)] = setting(0.005, "Significance level of the test.")
    direction: Literal["both", "pos", "neg"] = setting("both", "Look for high readings, low ones, or both.")
    window_days: Annotated[float, Interval(gt=0, le=366)] = setting(
        28.0, "Causal: trailing window that a reading is judged by, in days."
    )
    refit_hours: Hours = setting(24.0, "Causal: time between two looks at the window, in hours.")
    settle_hours: HoursFromZero = setting(24.0, "Causal: readings not judged after a longer gap, in hours.")
    window_share: Share = setting(0.5, "Causal: share of a window's readings that must be there to judge by it.")
    max_anoms: Annotated[float, Interval(gt=0, le=0.49)] = setting(
        0.1, "Batch: largest share of readings that may be anomalies."
    )
    longterm_days: Annotated[float, Ge(0)] = setting(
        0.0, "Batch: detect within pieces of this many days, for series whose level drifts; 0: the series at once."
    )
    only_last: Literal["all", "day", "hour"] = setting("all", "Batch: report only anomalies of the last day or hour.")
    threshold: Literal["none", "med_max", "p95", "p99"] = setting(
        "none", "Batch: report only readings at or above the median, or a percentile, of the daily maxima."
    )
    stl: Literal["batch", "statsmodels"] = setting(
        "batch", "Batch: how series are decomposed; both give the same anomalies, statsmodels far more slowly."
    )
    strict: bool = setting(False, "Refuse data with a series that cannot be judged.")
    jobs: Annotated[int, Interval(ge=0, le=1024)] = setting(
        0, "Threads that detect at the same time; 0: one a core.", changes_result=False
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
    """Split in time, folds, and the booster."""

    cutoff: datetime | None = setting(None, "Last instant the model may know of (UTC); default: see --test-share.")
    test_start: datetime | None = setting(None, "First instant of the test span (UTC); default: cutoff + gap.")
    test_share: Annotated[float, Interval(gt=0, lt=1)] = setting(
        0.25, "Share of the rows, the latest, kept for the test where --cutoff is not given."
    )
    gap_hours: HoursFromZero = setting(0.0, "Hours left out after the cutoff; the horizon where that is more.")
    components: tuple[str, ...] = setting((), "Components to model, comma-separated; empty: all that failed.")
    count_hours: tuple[Hours, ...] = setting(
        (24.0, 48.0), "Trailing windows in which errors and anomalies are counted, in hours, comma-separated."
    )
    folds: Annotated[int, Ge(1)] = setting(2, "Time-ordered folds inside the training span.")
    merge_hours: HoursFromZero = setting(6.0, "Alerts no further apart than this are one episode.")
    estimator: Literal["xgboost", "lightgbm", "hist_gradient_boosting", "extra_trees", "logistic_regression"] = setting(
        "xgboost", "Learning algorithm, one model a component."
    )
    trees: Annotated[int, Interval(ge=1, le=100_000)] = setting(200, "Boosting rounds.")
    learning_rate: Annotated[float, Interval(gt=0, le=1)] = setting(0.05, "Shrinkage of each tree.")
    max_leaves: Annotated[int, Ge(2)] = setting(31, "Leaves of a tree.")
    min_child_weight: Annotated[float, Ge(0)] = setting(0.3, "Smallest sum of hessians in a leaf.")
    l2: Annotated[float, Ge(0)] = setting(3.0, "L2 penalty on leaf values.")
    column_share: Share = setting(0.5, "Share of the features each tree may use.")
    seed: Annotated[int, Ge(0)] = setting(0, "Seed of everything random.")
    threads: Annotated[int, Interval(ge=0, le=1024)] = setting(
        0, "Components fitted at the same time; 0: one a core.", changes_result=False
    )

    def __post_init__(self) -> None:
        if self.test_start is not None and self.cutoff is None:
            raise ValueError("test_start needs a cutoff")


@dataclass(frozen=True)
class Settings:
    """All sections; the field name is the section's name in the config file."""

    columns: ColumnsParams = field(default_factory=ColumnsParams)
    preprocess: PreprocessParams = field(default_factory=PreprocessParams)
    features: FeaturesParams = field(default_factory=FeaturesParams)
    detect: DetectParams = field(default_factory=DetectParams)
    labels: LabelsParams = field(default_factory=LabelsParams)
    train: TrainParams = field(default_factory=TrainParams)


SECTIONS: dict[str, type[Section]] = {
    "columns": ColumnsParams,
    "preprocess": PreprocessParams,
    "features": FeaturesParams,
    "detect": DetectParams,
    "labels": LabelsParams,
    "train": TrainParams,
}
