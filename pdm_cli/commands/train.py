"""``pdm train``: prepared tables (and causal anomalies) to a model folder with held-out metrics."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from pdm_cli.commands.options import Out, Overwrite, input_port, with_settings
from pdm_cli.commands.stages import STAGES
from pdm_cli.errors import DataError, NotEnoughData
from pdm_cli.params import Settings
from pdm_cli.report.screen import Screen

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.bundle import Bundle
    from pdm_cli.commands.execution import Task
    from pdm_cli.core.features import Sources, Vocabulary
    from pdm_cli.core.training import Problem

_STAGE = STAGES["train"]


@with_settings(*_STAGE.sections)
def train(
    *,
    prepared: Annotated[str, input_port("prepared", "Prepared tables, written by pdm preprocess.")],
    anomalies: Annotated[
        str | None, input_port("anomalies", "Anomalies, written by pdm detect-anomalies; causal ones become features.")
    ] = None,
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Train a model that tells which component fails within the horizon, and test it on later time.

    Example: pdm train --prepared prepared --anomalies anomalies --out model
    """
    from pdm_cli.commands.execution import execute
    from pdm_cli.report.results import draw_metrics

    inputs = {"prepared": prepared, "anomalies": anomalies}
    metrics = execute(_STAGE, inputs, out, settings=settings, screen=screen, overwrite=overwrite)
    screen.result({**metrics, "out": out}, lambda: [*draw_metrics(metrics), out])


def fit(task: Task) -> dict[str, Any]:
    """Write the bundle and the held-out predictions, and return the metrics."""
    import numpy as np

    from pdm_cli import bundle, tables
    from pdm_cli.core.training import check_components, fold_thresholds, judge_model
    from pdm_cli.schema import PREDICTIONS

    clock = _Clock()
    sources, failures = _read_sources(task)
    problem, vocabulary = _make_problem(task, sources, failures)
    check_components(problem)
    clock.lap("features")
    thresholds, folds = fold_thresholds(problem, lambda text: task.screen.say(f"train: {text}"))
    clock.lap("folds")
    rows = problem.training_rows(problem.split)
    task.screen.say(f"train: fitting {len(problem.components)} components on {rows.sum():,} rows")
    model = problem.fit(rows)
    clock.lap("fit")
    bundle.save(task.out, _make_bundle(task, problem, vocabulary, thresholds), model)
    # Predict with what was written, not with what is in memory: a bundle that cannot be read back fails here.
    _, written = bundle.load(task.out)
    in_span = problem.split.span(problem.table.instants.times)
    probabilities = np.full(problem.labels.shape, np.nan)
    probabilities[in_span] = written.predict(problem.table.values[in_span])
    tables.write_frame(task.out / PREDICTIONS.file, _predictions(problem, probabilities, thresholds, in_span))
    metrics = judge_model(problem, probabilities, thresholds, failures)
    clock.lap("test")
    split = _describe_split(problem, folds)
    return {"schema": "pdm.train/1", **metrics, "split": split, "seconds": clock.laps}


class _Clock:
    """Seconds of each part of the work."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def _read_sources(task: Task) -> tuple[Sources, pd.DataFrame]:
    """Read what features are made from, and the failures."""
    from pdm_cli import tables
    from pdm_cli.core.features import Sources
    from pdm_cli.schema import ANOMALIES, EVENT_COLUMNS, EVENT_TABLES, FAILURES, FEATURES, MACHINES

    folder = task.inputs["prepared"]
    for table in (FEATURES, FAILURES):
        tables.require_file(folder, table)
    events = {
        table.name: tables.read_frame(folder / table.file).rename(columns={EVENT_COLUMNS[table.name]: "kind"})
        for table in EVENT_TABLES
        if (folder / table.file).is_file()
    }
    if "anomalies" in task.inputs:
        path = tables.require_file(task.inputs["anomalies"], ANOMALIES)
        if tables.read_metadata(path).get("causal") == "true":
            events["anomalies"] = tables.read_frame(path).rename(columns={"sensor": "kind"})
        else:
            task.screen.say("train: the anomalies were found with the whole series in view; they are not features")
    machines = tables.read_frame(folder / MACHINES.file) if (folder / MACHINES.file).is_file() else None
    rolling = tables.read_frame(folder / FEATURES.file)
    return Sources(rolling, events, machines), events["failures"].rename(columns={"kind": "failure"})


def _make_problem(task: Task, sources: Sources, failures: pd.DataFrame) -> tuple[Problem, Vocabulary]:
    from pdm_cli import tables
    from pdm_cli.core.events import Instants
    from pdm_cli.core.features import build_features, learn_vocabulary
    from pdm_cli.core.labels import label_failures, last_stamps
    from pdm_cli.core.split import split_by_time
    from pdm_cli.core.training import Problem
    from pdm_cli.schema import MACHINE, TELEMETRY, TIME

    settings = task.settings
    telemetry = tables.read_frame(tables.require_file(task.inputs["prepared"], TELEMETRY), [MACHINE, TIME])
    instants = Instants.of(sources.rolling)
    split = split_by_time(instants.times, train=settings.train, labels=settings.labels)
    vocabulary = learn_vocabulary(sources, until_us=split.cutoff)
    components = _components(failures, settings)
    table = build_features(sources, vocabulary, count_hours=settings.train.count_hours)
    ends = last_stamps(telemetry)
    labels = label_failures(table.instants, failures, components, ends=ends, params=settings.labels)
    return Problem(table, labels, components, split, settings.labels, settings.train), vocabulary


def _components(failures: pd.DataFrame, settings: Settings) -> list[str]:
    failed = sorted(failures["failure"].unique())
    if not failed:
        raise NotEnoughData("failures.parquet: the table is empty (0 rows)", hint="train learns from past failures")
    unknown = [name for name in settings.train.components if name not in failed]
    if unknown:
        raise DataError(
            f"failures.parquet: no failures of {', '.join(unknown)}", hint=f"--components takes {', '.join(failed)}"
        )
    return list(dict.fromkeys(settings.train.components)) or failed


def _make_bundle(task: Task, problem: Problem, vocabulary: Vocabulary, thresholds: list[float]) -> Bundle:
    from pdm_cli import tables
    from pdm_cli.bundle import Bundle
    from pdm_cli.schema import MACHINE, TELEMETRY, TIME

    path = task.inputs["prepared"] / TELEMETRY.file
    made_with = tables.read_metadata(path)
    sensors = [name for name in tables.open_file(path).schema_arrow.names if name not in (MACHINE, TIME)]
    return Bundle(
        estimator=problem.train.estimator,
        components=problem.components,
        thresholds=thresholds,
        features=problem.table.names,
        categorical=problem.table.categorical,
        vocabulary=vocabulary,
        sensors=sensors,
        step_minutes=tables.read_step(path) / 60e6,
        phase_minutes=int(made_with.get("phase_us", "0")) / 60e6,
        settings={
            "labels": asdict(problem.lead),
            "train": {"count_hours": problem.train.count_hours},
            **json.loads(made_with.get("settings", "{}")),
        },
    )


def _predictions(
    problem: Problem, probabilities: NDArray[np.float64], thresholds: list[float], rows: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return the held-out rows, one a machine, time and component."""
    import numpy as np
    import pandas as pd

    from pdm_cli.schema import MACHINE, TIME

    instants, count = problem.table.instants, len(problem.components)
    labels = problem.labels[rows].ravel()
    return pd.DataFrame(
        {
            MACHINE: np.repeat(instants.machines[instants.codes[rows]].to_numpy(), count),
            TIME: np.repeat(instants.times[rows].astype("datetime64[us]"), count),
            "component": pd.Series(np.tile(problem.components, int(rows.sum())), dtype="str"),
            "probability": probabilities[rows].ravel(),
            "alert": (probabilities[rows] >= np.asarray(thresholds)).ravel(),
            "label": pd.Series(np.where(np.isnan(labels), -1, labels), dtype="Int8").replace(-1, pd.NA),
        }
    )


def _describe_split(problem: Problem, folds: list[dict[str, float | None]]) -> dict[str, Any]:
    from pdm_cli.core.split import show

    split = problem.split
    return {
        "cutoff": show(split.cutoff),
        "test_start": show(split.test_start),
        "test_end": show(split.test_end),
        "gap_hours": (split.test_start - split.cutoff) / 3.6e9,
        "lead_time_hours": problem.lead.lead_time_hours,
        "horizon_hours": problem.lead.horizon_hours,
        "train_rows": int(problem.training_rows(split).sum()),
        "test_rows": int(problem.test_rows(split).sum()),
        "folds": folds,
    }
