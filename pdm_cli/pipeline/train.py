"""Train a model on prepared tables and evaluate it on held-out data."""

from __future__ import annotations

import functools
import json
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import ModelError, TryAgain
from pdm_cli.pipeline.stages import EVIDENCE_FILE, QUALITY_FILE
from pdm_cli.text import name_some, show_count

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from optuna.storages import JournalStorage

    from pdm_cli.evaluation.evaluate import PredictedSpan
    from pdm_cli.features.table import FeatureTable
    from pdm_cli.io.bundle import Bundle
    from pdm_cli.models.ensemble import TrainedModel
    from pdm_cli.pipeline.execute import Task
    from pdm_cli.pipeline.prepared import Preparation
    from pdm_cli.progress import Progress
    from pdm_cli.training.dataset import Problem
    from pdm_cli.training.train import Training


EVIDENCE_SCHEMA = "pdm.report/1"
# Rows at which every feature is rebuilt without the future.
_LOOKAHEAD_ROWS = 24
# Shapley values of more rows take long and change little.
_ROWS_EXPLAINED = 240
_SEARCH_LOG = "search.log"


def train(task: Task) -> dict[str, Any]:
    """Write the model, the leaderboard, the held-out predictions and the report's data, and return the metrics."""
    from pdm_cli.io import bundle
    from pdm_cli.pipeline.choose_windows import report_labels
    from pdm_cli.pipeline.prepared import read_sources
    from pdm_cli.training.dataset import make_problem
    from pdm_cli.training.search import leaderboard
    from pdm_cli.training.splits import more_to_test_on
    from pdm_cli.training.validate_settings import check_choices, check_gap, check_horizons

    report_labels(task.inputs["prepared"], task.settings.labels, task.progress)
    check_choices(task.settings.train)
    check_gap(task.settings.train, task.settings.labels)
    check_horizons(task.settings.train, task.settings.labels)
    timer = _StageTimer()
    sources, preparation = read_sources(task.inputs["prepared"], task.inputs.get("anomalies"), task.progress)
    problem = make_problem(sources, train=task.settings.train, labels=task.settings.labels, costs=task.settings.costs)
    timer.lap("features")
    if problem.choice.reason is not None:
        task.progress.info(f"train: split by {problem.choice.kind} (--split auto): {problem.choice.reason}")
    has_few = _report_few_failures(problem, task.progress)
    _check_leakage(problem, preparation)
    timer.lap("guards")
    training = _search(task, problem)
    timer.lap("training")
    table = problem.table_of(problem.split)
    bundle.save(task.out, _make_bundle(task, problem, training, table, preparation))
    board = leaderboard(training.search)
    (task.out / "leaderboard.csv").write_text(board.to_csv(index=False), encoding="utf-8")
    metrics = _evaluate(task, problem, table, preparation)
    _warn_of_no_signs(training, problem, task.progress)
    if not metrics["events"]["failures"]:
        # If there are few, a longer test would leave still fewer to train on.
        task.progress.warn(
            "no failure in the test span could be evaluated, so the metrics say little about the model: "
            f"{'provide a longer log' if has_few else more_to_test_on(problem.train)}"
        )
    timer.lap("test")
    return {
        "schema": "pdm.train/1",
        **metrics,
        "split": _describe_split(problem),
        "search": _describe_search(problem, training, board),
        "seconds": timer.laps,
        **task.units.summary(),
    }


def _evaluate(task: Task, problem: Problem, table: FeatureTable, preparation: Preparation) -> dict[str, Any]:
    """Write the held-out predictions and the report's data, and return the metrics."""
    import numpy as np

    from pdm_cli.io import bundle, parquet
    from pdm_cli.pipeline.hours_metrics import measure_hours
    from pdm_cli.schema import PREDICTIONS

    # Predict with the saved model: a bundle that cannot be read back fails here.
    saved = bundle.load(task.out)
    model = saved.model
    probabilities = model.predict(table)
    alerts = model.alert(probabilities, problem.instants)
    in_span = problem.test_span(problem.split)
    rows = np.flatnonzero(in_span)
    span = _make_span(problem, probabilities, alerts)
    of_hours, hours = measure_hours(saved, table, span, rows)
    predictions = _predictions(problem, probabilities, alerts, in_span, hours)
    parquet.write_frame(task.out / PREDICTIONS.file, predictions)
    evidence = _collect_evidence(task.inputs["prepared"], problem, model, table, span, preparation)
    text = json.dumps(evidence, ensure_ascii=False, allow_nan=False)
    (task.out / EVIDENCE_FILE).write_text(text + "\n", encoding="utf-8")
    return {**_judge(problem, saved, span), "hours_to_failure": of_hours}


def _warn_of_no_signs(training: Training, problem: Problem, progress: Progress) -> None:
    """Warn of components that never alert because their failures show no signs."""
    counts = problem.failures["failure"].value_counts()
    for name in training.no_signs:
        progress.warn(
            f"{name}: no warning signs before {show_count(int(counts[name]), 'failure')}: on the folds, failures at "
            f"random times are predicted as well in {training.chance[name]:.0%} of the cases; {name} never alerts (to "
            "alert anyway: --threshold f1)"
        )


def _report_few_failures(problem: Problem, progress: Progress) -> bool:
    """Report fewer folds than set and the components that cannot be learned; return whether there are any of these."""
    from pdm_cli.training.labelled_rows import more_failures

    folds, most = len(problem.folds), problem.train.folds
    if folds < most:
        progress.info(f"train: using {folds} of {show_count(most, 'fold')} (--folds): too few failures for more")
    rare = [name for name, is_learnable in zip(problem.components, problem.learnable, strict=True) if not is_learnable]
    crowded = [name for name, rate in zip(problem.components, problem.base_rates(), strict=True) if rate > 0.5]
    for name in (name for name in rare if name in crowded):
        progress.warn(
            f"almost all rows are before a failure of {name}: its probability is its base rate, and it never alerts "
            "(set a shorter --horizon-hours)"
        )
    rare = [name for name in rare if name not in crowded]
    if rare:
        subject = "its probability is its base rate, and it never alerts"
        if len(rare) > 1:
            subject = "their probabilities are their base rates, and they never alert"
        progress.warn(
            f"too few failures of {name_some(rare)} to train on in every fold: {subject}; "
            f"{more_failures(problem, rare)}, or train without {'it' if len(rare) == 1 else 'them'} (--components)"
        )
    return bool(rare)


class _StageTimer:
    """Seconds of each part of the training."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def _check_leakage(problem: Problem, preparation: Preparation) -> None:
    """Reject anything that would make the metrics unreliable."""
    from pdm_cli.training import leakage_checks

    split, instants, table = problem.split, problem.instants, problem.table_of(problem.split)
    trained, tested, horizon = problem.training_rows(split), problem.test_rows(split), problem.horizon_us
    if split.is_by_time:
        leakage_checks.check_disjoint(trained, tested, instants.times, horizon_us=horizon, test_start=split.test_start)
    for part in (split, *problem.folds):
        if part.trained is not part.tested:
            leakage_checks.check_machines(problem.training_rows(part), problem.test_rows(part), instants.codes)
    sample = leakage_checks.choose_sample(
        instants,
        trained | tested,
        before_failure=(problem.labels == 1).any(axis=1),
        count=_LOOKAHEAD_ROWS,
        seed=problem.train.seed,
    )
    cut = leakage_checks.rebuild_truncated(
        problem.context,
        sample,
        table.names,
        problem.states(split),
        features=preparation.settings.features,
        detect=preparation.settings.detect,
        families=table.families,
    )
    machines, times = instants.machines[instants.codes[sample]].tolist(), instants.times[sample]
    leakage_checks.compare_truncated(table.names, table.matrix(table.names, sample), cut, machines, times)
    if not problem.train.allow_suspicious:
        _check_separating(problem)


def _check_separating(problem: Problem) -> None:
    """Reject a feature that alone predicts failures almost perfectly: it probably leaks the future."""
    import numpy as np

    from pdm_cli.training.leakage_checks import find_separating

    # Not the families that are fitted to failures: each of their columns is a model, and a good one may well separate.
    rows, names = np.flatnonzero(problem.training_rows(problem.split)), problem.table.names
    if not names:
        return
    found = find_separating(problem.table.matrix(names, rows), problem.labels[rows], names, problem.components)
    if found:
        feature, component, auc = found[0]
        raise ModelError(
            f"features: {feature} alone predicts failures of {component} (AUC {auc:.4f}), which suggests that it leaks "
            "the future",
            hint="find out where it comes from, or train anyway with --allow-suspicious",
        )


def _search(task: Task, problem: Problem) -> Training:
    from pdm_cli.io import output_folder
    from pdm_cli.training.train import train_model

    run_search = functools.partial(train_model, problem, clock=time.monotonic, progress=task.progress)
    if problem.train.fast or problem.train.trials == 1:
        # A single trial does not need Optuna, which takes long to import.
        return run_search(storage=None)
    kept = output_folder.kept_folder(task.out, task.key)
    storage = None
    try:
        storage = _open_search_log(kept)
        return run_search(storage=storage)
    except (KeyboardInterrupt, SystemExit):
        # Reading the log may fail in any way after a signal, and must not hide it.
        with suppress(Exception):
            if storage is not None and (count := _count_trials(storage)):
                kept_trials = show_count(count, "finished trial")
                task.progress.info(f"train: {kept_trials} kept; run the same command again to resume")
        raise
    except Exception as error:
        # Only what was stopped, or ran out of disk or memory, is worth resuming.
        if not isinstance(error, (TryAgain, OSError, MemoryError)):
            shutil.rmtree(kept, ignore_errors=True)
        raise


def _open_search_log(folder: Path) -> JournalStorage:
    """Return Optuna's storage of finished trials, repaired if an interrupted run left it half written.

    The folder is used by one pdm at a time, so any lock in it is stale.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = folder / _SEARCH_LOG
    for lock in folder.glob(f"{_SEARCH_LOG}.lock*"):
        lock.unlink()
    if path.exists():
        content = path.read_bytes()
        # Optuna cannot read a last line without an end.
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as log:
                log.truncate(whole)
    # Optuna's usual lock is a symbolic link, which mounted output folders may not support.
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def _count_trials(storage: JournalStorage) -> int:
    from optuna import get_all_study_summaries

    return sum(study.n_trials for study in get_all_study_summaries(storage))


def _make_bundle(
    task: Task, problem: Problem, training: Training, table: FeatureTable, preparation: Preparation
) -> Bundle:
    import numpy as np

    from pdm_cli.evaluation.drift import take_fingerprint
    from pdm_cli.features.build import tables_of
    from pdm_cli.io.bundle import Bundle, Recipe
    from pdm_cli.training.lifetimes import fit_lifetimes

    sources, split, settings, model = problem.context.sources, problem.split, task.settings, training.model
    names = list(dict.fromkeys(name for member in model.members for name in member.features))
    rows = np.flatnonzero(problem.training_rows(split))
    family_of = dict(zip(table.names, table.families, strict=True))
    families = list(dict.fromkeys(family_of[name] for name in names))
    recipe = Recipe(
        sensors=problem.context.scores.sensors,
        tables=tables_of(families, sources),
        step_us=preparation.step_us,
        phase_us=preparation.phase_us,
        families=families,
        vocabulary=problem.context.vocabulary,
        categorical=table.categorical,
        states={family: state for family, state in problem.states(split).items() if family in families},
        trained=_describe_trained(problem, training),
        settings=replace(preparation.settings, labels=settings.labels, train=problem.train, costs=settings.costs),
        units=task.units,
    )
    fingerprint = take_fingerprint(table.matrix(names, rows), names, table.categorical)
    saved = Bundle(model, recipe, fingerprint, training.curves, training.hazard)
    return replace(saved, recipe=replace(recipe, lifetimes=fit_lifetimes(problem, saved.silent(), units=task.units)))


def _describe_trained(problem: Problem, training: Training) -> dict[str, Any]:
    """Return the time span and the machines of the training, and what it did not find."""
    from pdm_cli.schema import TIME
    from pdm_cli.timestamps import show

    times = problem.context.sources.telemetry[TIME]
    return {
        "cutoff": show(problem.split.cutoff),
        "test_start": show(problem.split.test_start),
        "machines": problem.instants.machines[~problem.held_out].tolist(),
        "span_us": round((times.max() - times.min()).total_seconds() * 1e6),
        "no_signs": training.no_signs,
    }


def _make_span(problem: Problem, probabilities: NDArray[np.float64], alerts: NDArray[np.bool_]) -> PredictedSpan:
    """Return predictions and outcomes of the test span."""
    import numpy as np

    from pdm_cli.evaluation.evaluate import PredictedSpan
    from pdm_cli.features.events import Instants
    from pdm_cli.features.labels import first_rows
    from pdm_cli.schema import MACHINE

    instants, split = problem.instants, problem.split
    rows = problem.test_span(split)
    return PredictedSpan(
        rows=Instants(instants.machines, instants.codes[rows], instants.times[rows]),
        labels=np.where(problem.test_rows(split)[:, None], problem.labels, np.nan)[rows],
        probabilities=probabilities[rows],
        alerts=alerts[rows],
        failures=problem.failures[problem.failures[MACHINE].isin(instants.machines[problem.tested_machines(split)])],
        known=problem.known,
        began_us=first_rows(problem.context.sources.telemetry, instants.machines),
    )


def _judge(problem: Problem, saved: Bundle, span: PredictedSpan) -> dict[str, Any]:
    from pdm_cli.evaluation.evaluate import EvaluationSettings, evaluate_span
    from pdm_cli.training.lifetimes import find_training_lives

    settings = EvaluationSettings(problem.lead, problem.costs, problem.train.merge_hours)
    rules = saved.model.rules
    lives = find_training_lives(problem, units=saved.recipe.units)
    return mark_silent(evaluate_span(span, problem.components, rules, lives=lives, settings=settings), saved)


def mark_silent(metrics: dict[str, Any], saved: Bundle) -> dict[str, Any]:
    """Add to the metrics of each component why it never alerts, if so, and what is known of its failures instead."""
    learned = {saved.model.components[column] for column in saved.model.learned}
    for name, row in metrics["components"].items():
        row["prior_only"] = name not in learned
        row["no_signs"] = name in saved.recipe.trained.get("no_signs", ())
        lifetime = saved.recipe.lifetimes.get(name)
        row["lifetime"] = None if lifetime is None else lifetime.summary()
    return metrics


def _describe_split(problem: Problem) -> dict[str, Any]:
    from pdm_cli.timestamps import US_PER_HOUR, show

    split = problem.split
    return {
        "kind": problem.choice.kind,
        "chosen_because": problem.choice.reason,
        "cutoff": show(split.cutoff),
        "test_start": show(split.test_start),
        "test_end": show(split.test_end),
        "gap_hours": (split.test_start - split.cutoff) / US_PER_HOUR if split.is_by_time else None,
        "lead_time_hours": problem.lead.lead_time_hours,
        "horizon_hours": problem.lead.horizon_hours,
        "train_rows": int(problem.training_rows(split).sum()),
        "fitted_rows": len(problem.fitting_rows(split)[0]),
        "negative_share": problem.train.negative_share,
        "test_rows": int(problem.test_rows(split).sum()),
        "machines_held_out": problem.instants.machines[problem.held_out].tolist(),
    }


def _describe_search(problem: Problem, training: Training, board: pd.DataFrame) -> dict[str, Any]:
    """Return the trials, the chosen members and the leaderboard."""
    search, members = training.search, training.model.members
    return {
        "metric": problem.train.metric,
        "trials": len(search.trials),
        "trials_wanted": search.requested,
        "cut_short": search.is_cut_short,
        "resumed": search.resumed,
        "chosen_trials": training.chosen,
        "members": [{"algorithm": m.algorithm, "features": len(m.features)} for m in members],
        "calibration": dict(zip(problem.components, (c.kind for c in training.model.calibrations), strict=True)),
        "chance": training.chance,
        "leaderboard": json.loads(board.to_json(orient="records")),
    }


def _predictions(
    problem: Problem,
    probabilities: NDArray[np.float64],
    alerts: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    hours: NDArray[np.float64] | None,
) -> pd.DataFrame:
    """Return the held-out predictions, one row per machine, time and component."""
    import numpy as np
    import pandas as pd

    from pdm_cli.scoring.worklist import add_hours, list_predictions

    predictions = list_predictions(problem.instants, probabilities, alerts, problem.components, rows=rows)
    labels = problem.labels[rows].ravel()
    predictions["label"] = pd.Series(np.where(np.isnan(labels), -1, labels), dtype="Int8").replace(-1, pd.NA)
    return predictions if hours is None else add_hours(predictions, hours)


def _collect_evidence(
    prepared: Path,
    problem: Problem,
    model: TrainedModel,
    table: FeatureTable,
    span: PredictedSpan,
    preparation: Preparation,
) -> dict[str, Any]:
    """Return data findings, warning times, important features and failure timelines for the report."""
    from pdm_cli.evaluation.evaluate import list_warnings

    path = prepared / QUALITY_FILE
    quality = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if quality is not None:
        # The pictures are in the report of the prepared data.
        quality.pop("overview", None)
    warnings = list_warnings(span, problem.components, lead=problem.lead)
    return {
        "schema": EVIDENCE_SCHEMA,
        "data": quality,
        "warnings": _count_warnings(warnings, problem),
        "importance": _rank_features(problem, model, table),
        "smooth_hours": preparation.settings.detect.smooth,
        "timelines": _cut_timelines(warnings, problem, span),
    }


def _count_warnings(warnings: pd.DataFrame, problem: Problem) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.evaluation.curves import count_warnings

    hours = warnings["warning_hours"].to_numpy(np.float64)
    edges, counts = count_warnings(hours, horizon_hours=problem.lead.horizon_hours)
    return {"edges_hours": edges.tolist(), "failures": counts, "missed": int(np.isnan(hours).sum())}


def _rank_features(problem: Problem, model: TrainedModel, table: FeatureTable) -> dict[str, Any]:

    from pdm_cli.evaluation.importance import draw_rows, rank_features

    is_ahead: np.ndarray[Any, Any] = (problem.labels == 1).any(axis=1)
    tested = problem.test_rows(problem.split)
    rows = draw_rows(tested, is_ahead, count=_ROWS_EXPLAINED, seed=problem.train.seed)
    features = rank_features(model.explain(table, rows), table.names, problem.components)
    return {"rows": len(rows), "rows_before_failure": int(is_ahead[rows].sum()), "features": features}


def _cut_timelines(warnings: pd.DataFrame, problem: Problem, span: PredictedSpan) -> dict[str, Any]:
    from pdm_cli.evaluation.timelines import Surroundings, choose_failures, cut_timeline

    context = problem.context
    around = Surroundings(
        context.sources.telemetry,
        context.scores,
        context.sources.events.get("anomalies"),
        span,
        problem.components,
        problem.lead.horizon_hours,
    )
    return {name: cut_timeline(warnings.iloc[row], around) for name, row in choose_failures(warnings).items()}
