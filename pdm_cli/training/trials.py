"""What a search tried: trials, their leaderboard, and whether the best few are better together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean, median
from typing import Any, Literal

import pandas as pd

State = Literal["complete", "pruned", "failed"]

# A few hundred failures tell average precisions apart no better than this: what is gained below it is noise, and an
# ensemble costs its members' time at every prediction.
NOISE = 0.005


@dataclass(frozen=True)
class Candidate:
    """One setting that can be fitted.

    Attributes
    ----------
    algorithm, feature_set : str
        Names.
    hyper : dict
        Every hyper-parameter of the algorithm; whole numbers are ``int``.
    """

    algorithm: str
    feature_set: str
    hyper: dict[str, float]

    def key(self) -> str:
        """Return a text that is the same for equal candidates: the key of a cache."""
        return json.dumps([self.algorithm, self.feature_set, self.hyper], sort_keys=True)


@dataclass(frozen=True)
class FoldResult:
    """What one fold says of a candidate.

    Attributes
    ----------
    score : float
        The primary metric on the held-out rows, finite; higher is better.
    brier : float
        Brier score on the same rows, macro over components.
    fit_seconds : float
        Time of the fit.
    rows_per_second : float
        Speed of the prediction.
    """

    score: float
    brier: float
    fit_seconds: float
    rows_per_second: float


@dataclass(frozen=True)
class Trial:
    """A candidate and what became of it.

    Attributes
    ----------
    number : int
        Position in the order of trial, from 0.
    candidate : Candidate
        What was tried.
    folds : list of FoldResult
        The folds it saw, in order of time; all of them only if ``state`` is "complete".
    state : str
        "complete", "pruned" after a fold that showed it to be no good, or "failed".
    seconds : float
        Time of all its folds.
    reason : str, optional
        Why it failed.
    """

    number: int
    candidate: Candidate
    folds: list[FoldResult]
    state: State
    seconds: float
    reason: str | None = None

    @property
    def score(self) -> float | None:
        """Mean score of the folds; ``None`` unless it saw all of them."""
        return fmean(fold.score for fold in self.folds) if self.state == "complete" else None

    @property
    def spread(self) -> float | None:
        """Best minus worst fold score; ``None`` unless it saw all folds."""
        scores = [fold.score for fold in self.folds]
        return max(scores) - min(scores) if self.state == "complete" else None


@dataclass(frozen=True)
class Search:
    """All trials of a search.

    Attributes
    ----------
    trials : list of Trial
        In the order of trial; at least one is complete.
    wanted : int
        Trials asked for.
    is_cut_short : bool
        Whether the time budget ended it before that.
    resumed : int
        How many of the trials an earlier run, since killed, had finished.
    """

    trials: list[Trial]
    wanted: int
    is_cut_short: bool
    resumed: int

    def ranked(self) -> list[Trial]:
        """Return the complete trials, best first; of equals the earlier."""
        scored = [(-score, trial.number) for trial in self.trials if (score := trial.score) is not None]
        return [self.trials[number] for _, number in sorted(scored)]


def leaderboard(search: Search) -> pd.DataFrame:
    """Return one row a trial: the complete ones best first, then pruned and failed ones without a rank.

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
        and Brier score are missing where a trial did not see all folds.
    """
    ranked = search.ranked()
    others = [trial for trial in search.trials if trial.state != "complete"]
    others.sort(key=lambda trial: trial.state == "failed")
    folds = len(ranked[0].folds)
    rows = [_row(trial, folds) for trial in [*ranked, *others]]
    ranks = pd.array([*range(1, len(ranked) + 1), *[None] * len(others)], dtype="Int64")
    return pd.DataFrame({"rank": ranks, **{name: [row[name] for row in rows] for name in rows[0]}})


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


def better_together(
    scores: Callable[[Sequence[int]], Sequence[float]],
    ranked: Sequence[int],
    *,
    most: int = 3,
    margin: float = NOISE,
) -> list[int]:
    """Return the members of the ensemble that the folds show to be better than its best member alone.

    Greedy: the best, then the next of the ranking, as long as the mean score grows by more than ``margin`` and no
    fold loses. The first that does not help ends it: to try all would find one that helps by luck.

    Parameters
    ----------
    scores : callable
        Takes members and returns the score of their averaged predictions on each fold; higher is better.
    ranked : sequence of int
        Members, best first, at least one.
    most : int
        Members an ensemble may have.
    margin : float
        Least gain of the mean score, in its units.

    Returns
    -------
    list of int
        In the order of the ranking; usually the best alone.
    """
    members = list(ranked[:1])
    best = scores(members)
    for candidate in ranked[1:most]:
        joint = scores([*members, candidate])
        is_safe = all(new >= old for new, old in zip(joint, best, strict=True))
        if not is_safe or fmean(joint) - fmean(best) <= margin:
            break
        members, best = [*members, candidate], joint
    return members
