"""Search over algorithms, feature sets and hyper-parameters: trials and leaderboard."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from pdm_cli.errors import ModelError
from pdm_cli.models import Checkpoint, no_checkpoint
from pdm_cli.progress import Progress

if TYPE_CHECKING:
    import optuna

    from pdm_cli.models import Algorithm

# Key of a trial's record among the user attributes that Optuna stores with it.
RECORD = "trial"
# The median of fewer trials is meaningless.
PRUNE_AFTER_TRIALS = 3

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Candidate:
    """An algorithm, a feature set, and every hyper-parameter of the algorithm (``int`` for integers)."""

    algorithm: str
    feature_set: str
    hyper: dict[str, float]

    def key(self) -> str:
        """Return a string that is the same for equal candidates."""
        return json.dumps([self.algorithm, self.feature_set, self.hyper], sort_keys=True)


@dataclass(frozen=True)
class FoldResult:
    """Result of a candidate on one fold.

    Attributes
    ----------
    score : float
        Primary metric on the held-out rows, finite; higher is better.
    brier : float
        Brier score on the same rows, macro over components.
    fit_seconds : float
        Duration of the fit.
    rows_per_second : float
        Speed of the prediction.
    """

    score: float
    brier: float
    fit_seconds: float
    rows_per_second: float


@dataclass(frozen=True)
class Preview:
    """Score of a candidate that was fitted on a part of the first fold: cheap, and only good to stop hopeless ones."""

    score: float


@dataclass(frozen=True)
class Trial:
    """A candidate and its results.

    Attributes
    ----------
    number : int
        Position in the order of the search, from 0.
    candidate : Candidate
        The candidate.
    folds : list of FoldResult
        Results in order of time; of all folds only if ``state`` is "complete".
    state : str
        "complete", "pruned" (stopped after a poor preview or fold) or "failed".
    seconds : float
        Duration of all its folds.
    reason : str, optional
        Why it failed.
    preview : float, optional
        Score of its preview.
    """

    number: int
    candidate: Candidate
    folds: list[FoldResult]
    state: State
    seconds: float
    reason: str | None = None
    preview: float | None = None

    @property
    def score(self) -> float | None:
        """Mean score of the folds; ``None`` unless complete."""
        return fmean(fold.score for fold in self.folds) if self.state == "complete" else None

    @property
    def spread(self) -> float | None:
        """Best minus worst fold score; ``None`` unless complete."""
        scores = [fold.score for fold in self.folds]
        return max(scores) - min(scores) if self.state == "complete" else None


@dataclass(frozen=True)
class Search:
    """All trials of a search.

    Attributes
    ----------
    trials : list of Trial
        In the order of the search; at least one is complete, unless there was nothing to learn.
    requested : int
        Number of trials requested.
    is_cut_short : bool
        Whether the time budget ended the search early.
    resumed : int
        Number of trials that an earlier, interrupted run had finished.
    """

    trials: list[Trial]
    requested: int
    is_cut_short: bool
    resumed: int

    def ranked(self) -> list[Trial]:
        """Return the complete trials, best first; of equals the earlier."""
        scored = [(-score, trial.number) for trial in self.trials if (score := trial.score) is not None]
        return [self.trials[number] for _, number in sorted(scored)]


@dataclass(frozen=True)
class SearchSpace:
    """Candidates of a search.

    Attributes
    ----------
    algorithms : mapping
        Name to defaults and search space; the first is the most reliable.
    feature_sets : sequence of str
        Names; the first is the most reliable.
    seed : int
        Random seed of the suggestions.
    portfolio : sequence of Candidate
        Settings to try after the defaults, those with an algorithm of the space; a feature set that is not in the space
        becomes the first one.
    """

    algorithms: Mapping[str, Algorithm]
    feature_sets: Sequence[str]
    seed: int
    portfolio: Sequence[Candidate] = ()

    def candidate(self, algorithm: str, feature_set: str, values: Mapping[str, float] | None = None) -> Candidate:
        """Return the algorithm's defaults overlaid with ``values``."""
        chosen = self.algorithms[algorithm]
        hyper = {**chosen.defaults, **(values or {})}
        whole = {name: int(hyper[name]) for name, span in chosen.space.items() if span.integer}
        return Candidate(algorithm, feature_set, {**hyper, **whole})

    def first(self) -> list[Candidate]:
        """Return the candidates to try before any suggestion: the defaults of each algorithm, then the portfolio."""
        found = [self.candidate(name, self.feature_sets[0]) for name in self.algorithms]
        for candidate in self.portfolio:
            if candidate.algorithm in self.algorithms:
                space = self.algorithms[candidate.algorithm].space
                values = {key: value for key, value in candidate.hyper.items() if key in space}
                is_known = candidate.feature_set in self.feature_sets
                feature_set = candidate.feature_set if is_known else self.feature_sets[0]
                found.append(self.candidate(candidate.algorithm, feature_set, values))
        return list({candidate.key(): candidate for candidate in found}.values())

    def study_name(self) -> str:
        """Return a name that depends on everything that affects suggestions, so that searches do not share trials."""
        facts = [
            (name, dict(algorithm.defaults), [(key, *_range(span)) for key, span in algorithm.space.items()])
            for name, algorithm in self.algorithms.items()
        ]
        first = [candidate.key() for candidate in self.first()]
        text = json.dumps([facts, list(self.feature_sets), self.seed, first])
        return f"search-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _range(span: Any) -> tuple[float, float, bool, bool]:
    return span.low, span.high, span.log, span.integer


@dataclass(frozen=True)
class SearchBudget:
    """Limits of a search.

    Attributes
    ----------
    trials : int
        Number of trials, at least 1, including those with the defaults and those resumed.
    seconds : float
        Duration of the search, including that of resumed trials. The trial running at its end is discarded.
    clock : callable
        Returns monotonic seconds.
    """

    trials: int
    seconds: float
    clock: Callable[[], float]


# Candidate, number of the trial and a checkpoint -> a preview, which may be missing, and one result per fold.
Evaluate = Callable[[Candidate, int, Checkpoint], Iterator[Preview | FoldResult]]


class _BudgetSpentError(Exception):
    """The time budget is spent: the running trial is discarded."""


def search(evaluate: Evaluate, space: SearchSpace, budget: SearchBudget, *, storage: Any, progress: Progress) -> Search:
    """Try candidates until the budget is spent.

    Each algorithm is tried once with its defaults on the first feature set, in the given order, then the portfolio;
    Optuna's tree-structured Parzen estimator suggests the rest. Until the first complete trial nothing is pruned and
    the time budget is not enforced, so every search gives a model. A trial is stored when it is finished, and a
    suggestion depends on the seed and the finished trials only: an interrupted search resumes with the same storage as
    if nothing had happened.

    Parameters
    ----------
    evaluate : callable
        Takes a candidate, the trial's number from 0, and a checkpoint; yields a preview, or none for any candidate, and
        one result per fold, in order of time, the same folds for each candidate, at least one. It is closed early if
        its candidate is pruned. A ``ModelError`` fails the trial, not the search. The checkpoint may be called from any
        thread; it raises when the budget is spent.
    space : SearchSpace
        Algorithms and feature sets.
    budget : SearchBudget
        Number of trials and time.
    storage : optuna.storages.BaseStorage or None
        Stores finished trials, those of each search space in a study of its own; not used for a single trial. The
        caller makes sure that the data are the same.
    progress : Progress
        Gets a line if the search is resumed or cut short, or an algorithm fails.

    Raises
    ------
    ValueError
        If there is nothing to try.
    ModelError
        If all trials failed.
    """
    if budget.trials < 1 or not space.algorithms or not space.feature_sets:
        raise ValueError("a search needs at least one trial, one algorithm and one feature set")
    if budget.trials == 1:
        # Importing Optuna takes longer than many a fit.
        trials = _Trials(evaluate, budget, progress, [])
        trials.run(space.first()[0], no_checkpoint, lambda _: False)
        return trials.result(resumed=0)
    study = _Study(space, storage)
    trials = _Trials(evaluate, budget, progress, study.finished()[: budget.trials])
    resumed = len(trials.done)
    if resumed:
        progress.info(f"train: search resumed after {resumed} of {budget.trials} trials")
    try:
        while len(trials.done) < budget.trials:
            trials.stop_if_spent()
            asked, candidate = study.ask(len(trials.done))
            trial = trials.run(candidate, trials.stop_if_spent, trials.is_hopeless)
            study.store(asked, trial, gains=_gains(trial, trials.first_complete()))
    except _BudgetSpentError:
        after = f"after {len(trials.done)} of {budget.trials} trials"
        progress.info(f"train: search stopped by --time-budget-seconds {budget.seconds:g} s {after}")
    return trials.result(resumed=resumed)


class _Trials:
    """The finished trials of a search, and how to run another one."""

    def __init__(self, evaluate: Evaluate, budget: SearchBudget, progress: Progress, done: list[Trial]) -> None:
        self._evaluate, self._budget, self._progress = evaluate, budget, progress
        self.done = done
        self._start = budget.clock() - sum(trial.seconds for trial in done)

    def first_complete(self) -> Trial | None:
        """Return the first complete trial, with which the others are compared."""
        return next((trial for trial in self.done if trial.state == "complete"), None)

    def stop_if_spent(self) -> None:
        """Raise if the time budget is spent and there is a complete trial."""
        if self.first_complete() and self._budget.clock() - self._start >= self._budget.seconds:
            raise _BudgetSpentError

    def run(self, candidate: Candidate, checkpoint: Checkpoint, is_hopeless: Callable[[Trial], bool]) -> Trial:
        """Evaluate a candidate, and append and return its trial; ``is_hopeless`` sees it after each result."""
        clock = self._budget.clock
        begun = clock()
        trial = Trial(len(self.done), candidate, [], "complete", 0.0)
        results = self._evaluate(candidate, trial.number, checkpoint)
        try:
            for result in results:
                if isinstance(result, Preview):
                    trial = replace(trial, preview=result.score)
                else:
                    trial.folds.append(result)
                if is_hopeless(trial):
                    trial = replace(trial, state="pruned")
                    break
        except ModelError as exc:
            trial = replace(trial, state="failed", reason=exc.message)
            if trial.reason not in {other.reason for other in self.done}:
                self._progress.info(f"train: {candidate.algorithm} failed: {trial.reason}")
        finally:
            if isinstance(results, Generator):
                results.close()
        self.done.append(replace(trial, seconds=clock() - begun))
        return self.done[-1]

    def is_hopeless(self, trial: Trial) -> bool:
        """Return whether an unfinished trial is below the median of the complete ones at the same point."""
        first = self.first_complete()
        if first is None or len(trial.folds) == len(first.folds):
            return False
        self.stop_if_spent()
        gains = _gains(trial, first)
        others = [_gains(other, first)[len(gains) - 1] for other in self.done if other.state == "complete"]
        return len(others) >= PRUNE_AFTER_TRIALS and gains[-1] < median(others)

    def result(self, *, resumed: int) -> Search:
        """Return the search; raises ModelError if all trials failed."""
        requested = self._budget.trials
        if not self.first_complete():
            which = "the only trial" if requested == 1 else f"all {requested} trials"
            last = self.done[-1]
            raise ModelError(f"{which} of the search failed, {last.candidate.algorithm}: {last.reason}")
        return Search(self.done, requested, len(self.done) < requested, resumed)


def _gains(trial: Trial, first: Trial | None) -> list[float]:
    """Return the gain over the first complete trial in the preview, and in the mean score after each fold.

    Folds differ more than candidates do: raw scores would show which fold is easiest.
    """
    if first is None:
        return []
    ahead = [fold.score - other.score for fold, other in zip(trial.folds, first.folds, strict=False)]
    means = [fmean(ahead[:count]) for count in range(1, len(ahead) + 1)]
    return means if trial.preview is None or first.preview is None else [trial.preview - first.preview, *means]


class _Study:
    """Optuna's part: the finished trials in the storage, and the next suggestion."""

    def __init__(self, space: SearchSpace, storage: Any) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._first = space, space.first()
        name = space.study_name()
        self._study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)

    def finished(self) -> list[Trial]:
        """Return the trials in the storage, in order."""
        return [_from_record(trial.user_attrs[RECORD]) for trial in self._stored()]

    def ask(self, number: int) -> tuple[optuna.Trial, Candidate]:
        """Return the trial that follows the first ``number`` ones.

        It belongs to a new study in memory each time, so that it depends on the finished trials only, and an
        interruption leaves no trace.
        """
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Grouped, the hyper-parameters of each algorithm are modelled jointly. Defaults and portfolio come first,
            # so no random trials are needed.
            sampler = optuna.samplers.TPESampler(
                seed=self._space.seed + number, multivariate=True, group=True, n_startup_trials=1
            )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(self._stored()[:number])
        if number < len(self._first):
            study.enqueue_trial(self._parameters(self._first[number]))
        asked = study.ask()
        return asked, self._suggest(asked)

    def store(self, asked: optuna.Trial, trial: Trial, *, gains: Sequence[float]) -> None:
        """Store a finished trial."""
        import optuna

        states = optuna.trial.TrialState
        state = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[trial.state]
        self._study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=trial.score,
                params=asked.params,
                distributions=asked.distributions,
                intermediate_values=dict(enumerate(gains)),
                user_attrs={RECORD: asdict(trial)},
            )
        )

    def _stored(self) -> list[optuna.trial.FrozenTrial]:
        """Return what :meth:`store` stored, but no trials that another program started there."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if RECORD in trial.user_attrs]

    def _parameters(self, candidate: Candidate) -> dict[str, Any]:
        """Return a candidate under Optuna's parameter names."""
        name, space = candidate.algorithm, self._space.algorithms[candidate.algorithm].space
        values = {f"{name}.{key}": candidate.hyper[key] for key in space}
        return {"algorithm": name, "feature_set": candidate.feature_set, **values}

    def _suggest(self, asked: optuna.Trial) -> Candidate:
        algorithm = asked.suggest_categorical("algorithm", list(self._space.algorithms))
        feature_set = asked.suggest_categorical("feature_set", list(self._space.feature_sets))
        values: dict[str, float] = {}
        for name, span in self._space.algorithms[algorithm].space.items():
            full_name = f"{algorithm}.{name}"
            values[name] = (
                asked.suggest_int(full_name, int(span.low), int(span.high), log=span.log)
                if span.integer
                else asked.suggest_float(full_name, span.low, span.high, log=span.log)
            )
        return self._space.candidate(algorithm, feature_set, values)


def _from_record(record: Mapping[str, Any]) -> Trial:
    """Undo ``asdict``."""
    folds = [FoldResult(**fold) for fold in record["folds"]]
    return Trial(**{**record, "candidate": Candidate(**record["candidate"]), "folds": folds})


def leaderboard(search: Search) -> pd.DataFrame:
    """Return one row per trial: the complete ones best first, then pruned and failed ones without a rank.

    Parameters
    ----------
    search : Search
        Finished or cut short.

    Returns
    -------
    DataFrame
        ``rank`` (from 1), ``algorithm``, ``features``, ``score`` (mean of the folds), ``spread`` (best minus worst
        fold), ``fold_1`` and so on, ``brier`` (mean of the folds), ``fit_seconds`` (sum of the folds),
        ``rows_per_second`` (median of the folds), ``state``, ``trial`` (from 0), ``hyper`` (JSON). Rank, score, spread
        and Brier score are missing unless the trial is complete.
    """
    if not search.trials:
        return pd.DataFrame(columns=_COLUMNS)
    ranked = search.ranked()
    others = [trial for trial in search.trials if trial.state != "complete"]
    others.sort(key=lambda trial: trial.state == "failed")
    folds = len(ranked[0].folds)
    rows = [_row(trial, folds) for trial in [*ranked, *others]]
    ranks = pd.array([*range(1, len(ranked) + 1), *[None] * len(others)], dtype="Int64")
    return pd.DataFrame({"rank": ranks, **{name: [row[name] for row in rows] for name in rows[0]}})


# Without trials there are no folds.
_COLUMNS = [
    *("rank", "algorithm", "features", "score", "spread", "brier", "fit_seconds", "rows_per_second", "state", "trial"),
    "hyper",
]


def _row(trial: Trial, folds: int) -> dict[str, Any]:
    seen = trial.folds
    scores = [fold.score for fold in seen] + [nan] * (folds - len(seen))
    is_complete = trial.state == "complete"
    return {
        "algorithm": trial.candidate.algorithm,
        "features": trial.candidate.feature_set,
        "score": trial.score if is_complete else nan,
        "spread": trial.spread if is_complete else nan,
        **{f"fold_{number}": score for number, score in enumerate(scores, start=1)},
        "brier": fmean(fold.brier for fold in seen) if is_complete else nan,
        "fit_seconds": sum((fold.fit_seconds for fold in seen), 0.0),
        "rows_per_second": median([fold.rows_per_second for fold in seen]) if seen else nan,
        "state": trial.state,
        "trial": trial.number,
        "hyper": json.dumps(trial.candidate.hyper, sort_keys=True),
    }
