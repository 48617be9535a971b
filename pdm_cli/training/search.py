"""The search over algorithms, feature sets and hyper-parameters: what to try next, and when to stop."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import ModelError
from pdm_cli.models import Checkpoint, no_checkpoint
from pdm_cli.progress import Progress
from pdm_cli.training.trials import Candidate, FoldResult, Search, State, Trial

if TYPE_CHECKING:
    import optuna

    from pdm_cli.progress import Progress
from pdm_cli.models import Algorithm, Range

# Candidate, number of the trial and a checkpoint -> one result a fold.
Evaluate = Callable[[Candidate, int, Checkpoint], Iterator[FoldResult]]

# Key of a trial's record among the user attributes that Optuna stores with it.
RECORD = "trial"
# The median of fewer trials than this says nothing.
PRUNE_AFTER_TRIALS = 3


class _BudgetSpent(Exception):
    """The time budget is spent: what is under way is dropped."""


def search(
    evaluate: Evaluate,
    *,
    algorithms: Mapping[str, Algorithm],
    feature_sets: Sequence[str],
    trials: int,
    budget_seconds: float,
    seed: int,
    storage: Any,
    clock: Callable[[], float],
    progress: Progress,
) -> Search:
    """Try candidates until there are enough trials or the time is over.

    Each algorithm is tried once with its defaults on the first feature set, in the given order; what follows is
    suggested by Optuna's tree-structured Parzen estimator. Up to the first complete trial nothing is pruned and no
    budget holds, so that even a search without time gives a model. A trial enters the storage in one piece when it is
    finished, and a suggestion depends on the seed and the finished trials alone: a killed search that is run again
    with the same storage goes on as if nothing had happened.

    Parameters
    ----------
    evaluate : callable
        Takes a candidate, the trial's number from 0, and a checkpoint; yields one result a fold, in order of time, the
        same folds for each candidate; at least one. It is closed early where its candidate is pruned. A
        ``ModelError`` of it fails the trial and not the search. The checkpoint, to be called within a fold from any
        thread, raises when the budget is spent.
    algorithms : mapping
        Name to defaults and search space; the first is the one to rely on.
    feature_sets : sequence of str
        Names; the first is the one to rely on.
    trials : int
        How many, at least 1; those with the defaults and those taken from the storage count.
    budget_seconds : float
        Time for the whole search; trials taken from the storage count with the time they took. The trial under way when
        it is spent leaves no trace.
    seed : int
        Of the suggestions.
    storage : optuna.storages.BaseStorage or None
        Where finished trials are kept, each kind of search (algorithms, spaces, feature sets, seed) in its own study;
        not looked at for a single trial. It is for the caller to see that the data behind it are the same.
    clock : callable
        Returns seconds that never go back.
    progress : Progress
        Gets a line where the search is resumed or cut short, or an algorithm fails.

    Raises
    ------
    ValueError
        If there is nothing to try.
    ModelError
        If all trials failed.
    """
    if trials < 1 or not algorithms or not feature_sets:
        raise ValueError("a search needs at least one trial, one algorithm and one feature set")
    if trials == 1:
        # Importing Optuna takes longer than many a fit.
        plain = _candidate(algorithms, next(iter(algorithms)), feature_sets[0])
        return _result(
            [_try(evaluate, plain, [], no_checkpoint, lambda _: False, clock, progress)], wanted=1, resumed=0
        )
    study = _Study(algorithms, feature_sets, seed=seed, storage=storage)
    done = study.finished()[:trials]
    resumed = len(done)
    if resumed:
        progress.info(f"train: search resumed after {resumed} of {trials} trials")
    started = clock() - sum(trial.seconds for trial in done)

    def stop_if_spent() -> None:
        if _first_complete(done) and clock() - started >= budget_seconds:
            raise _BudgetSpent

    try:
        while len(done) < trials:
            stop_if_spent()
            asked, candidate = study.ask(len(done))
            is_hopeless = _judge(asked, _first_complete(done), stop_if_spent)
            trial = _try(evaluate, candidate, done, stop_if_spent, is_hopeless, clock, progress)
            done.append(trial)
            study.keep(asked, trial, gains=_gains(trial.folds, _first_complete(done)))
    except _BudgetSpent:
        after = f"after {len(done)} of {trials} trials"
        progress.info(f"train: search cut short by --time-budget {budget_seconds:g} s {after}")
    return _result(done, wanted=trials, resumed=resumed)


def _result(done: list[Trial], *, wanted: int, resumed: int) -> Search:
    if not _first_complete(done):
        which = "the only trial" if wanted == 1 else f"all {wanted} trials"
        raise ModelError(f"{which} of the search failed, {done[-1].candidate.algorithm}: {done[-1].reason}")
    return Search(done, wanted, len(done) < wanted, resumed)


def _try(
    evaluate: Evaluate,
    candidate: Candidate,
    done: Sequence[Trial],
    checkpoint: Checkpoint,
    is_hopeless: Callable[[list[FoldResult]], bool],
    clock: Callable[[], float],
    progress: Progress,
) -> Trial:
    begun = clock()
    folds: list[FoldResult] = []
    state: State = "complete"
    reason = None
    results = evaluate(candidate, len(done), checkpoint)
    try:
        for result in results:
            folds.append(result)
            if is_hopeless(folds):
                state = "pruned"
                break
    except ModelError as exc:
        state, reason = "failed", exc.message
        if reason not in {trial.reason for trial in done}:
            progress.info(f"train: {candidate.algorithm} failed: {reason}")
    finally:
        if isinstance(results, Generator):
            results.close()
    return Trial(len(done), candidate, folds, state, clock() - begun, reason)


def _judge(asked: optuna.Trial, first: Trial | None, stop_if_spent: Checkpoint) -> Callable[[list[FoldResult]], bool]:
    """Return the function that is asked after each fold whether the rest is worth the time."""

    def is_hopeless(folds: list[FoldResult]) -> bool:
        if first is None or len(folds) == len(first.folds):
            return False
        stop_if_spent()
        asked.report(_gains(folds, first)[-1], len(folds) - 1)
        return asked.should_prune()

    return is_hopeless


def _gains(folds: Sequence[FoldResult], first: Trial | None) -> list[float]:
    """Return how far the mean score of the folds so far is ahead of the first complete trial's, after each fold.

    Folds differ more from one another than candidates do, and Optuna compares the best step so far of a trial with one
    step of the others: raw scores would measure which fold is the easiest.
    """
    if first is None:
        return []
    ahead = [fold.score - other.score for fold, other in zip(folds, first.folds, strict=False)]
    return [fmean(ahead[:count]) for count in range(1, len(ahead) + 1)]


def _first_complete(done: Sequence[Trial]) -> Trial | None:
    return next((trial for trial in done if trial.state == "complete"), None)


def _candidate(
    algorithms: Mapping[str, Algorithm], algorithm: str, feature_set: str, values: Mapping[str, float] | None = None
) -> Candidate:
    """Return the algorithm's defaults overlaid with ``values``."""
    chosen = algorithms[algorithm]
    hyper = {**chosen.defaults, **(values or {})}
    whole = {name: int(hyper[name]) for name, limits in chosen.space.items() if limits.integer}
    return Candidate(algorithm, feature_set, {**hyper, **whole})


class _Study:
    """Optuna's part: the finished trials in the storage, and the next suggestion."""

    def __init__(
        self, algorithms: Mapping[str, Algorithm], feature_sets: Sequence[str], *, seed: int, storage: Any
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._algorithms = algorithms
        self._feature_sets = feature_sets
        self._seed = seed
        name = _study_name(algorithms, feature_sets, seed)
        self._study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)

    def finished(self) -> list[Trial]:
        """Return the trials in the storage in their order."""
        return [_from_record(trial.user_attrs[RECORD]) for trial in self._stored()]

    def ask(self, number: int) -> tuple[optuna.Trial, Candidate]:
        """Return the trial that follows the first ``number`` ones.

        It lives in a study in memory, made anew each time: nothing but the finished trials can bear on it, and a kill
        leaves no trace.
        """
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Grouped, the hyper-parameters of each algorithm are modelled together. The defaults come first, so the
            # model has something to start from: no random trials.
            sampler = optuna.samplers.TPESampler(
                seed=self._seed + number, multivariate=True, group=True, n_startup_trials=1
            )
        pruner = optuna.pruners.MedianPruner(n_startup_trials=PRUNE_AFTER_TRIALS)
        study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        study.add_trials(self._stored()[:number])
        if number < len(self._algorithms):
            study.enqueue_trial(self._plain(list(self._algorithms)[number]))
        asked = study.ask()
        return asked, self._suggest(asked)

    def keep(self, asked: optuna.Trial, trial: Trial, *, gains: Sequence[float]) -> None:
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
        """Return what :meth:`keep` stored; a trial that another program began there is not ours to count."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if RECORD in trial.user_attrs]

    def _plain(self, algorithm: str) -> dict[str, Any]:
        """Return the algorithm's defaults in Optuna's names."""
        hyper = _candidate(self._algorithms, algorithm, self._feature_sets[0]).hyper
        space = self._algorithms[algorithm].space
        values = {f"{algorithm}.{name}": hyper[name] for name in space}
        return {"algorithm": algorithm, "feature_set": self._feature_sets[0], **values}

    def _suggest(self, asked: optuna.Trial) -> Candidate:
        algorithm = asked.suggest_categorical("algorithm", list(self._algorithms))
        feature_set = asked.suggest_categorical("feature_set", list(self._feature_sets))
        values: dict[str, float] = {}
        for name, limits in self._algorithms[algorithm].space.items():
            full_name = f"{algorithm}.{name}"
            values[name] = (
                asked.suggest_int(full_name, int(limits.low), int(limits.high), log=limits.log)
                if limits.integer
                else asked.suggest_float(full_name, limits.low, limits.high, log=limits.log)
            )
        return _candidate(self._algorithms, algorithm, feature_set, values)


def _study_name(algorithms: Mapping[str, Algorithm], feature_sets: Sequence[str], seed: int) -> str:
    """Name a study after all that its suggestions rest on: trials of another search are not taken for this one's."""
    facts = [
        (name, dict(algorithm.defaults), [(key, *_limits(limits)) for key, limits in algorithm.space.items()])
        for name, algorithm in algorithms.items()
    ]
    text = json.dumps([facts, list(feature_sets), seed])
    return f"search-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _limits(limits: Range) -> tuple[float, float, bool, bool]:
    return limits.low, limits.high, limits.log, limits.integer


def _from_record(record: Mapping[str, Any]) -> Trial:
    """Undo ``asdict``."""
    folds = [FoldResult(**fold) for fold in record["folds"]]
    return Trial(**{**record, "candidate": Candidate(**record["candidate"]), "folds": folds})
