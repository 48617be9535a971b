from __future__ import annotations

import json

import pandas as pd

from pdm_cli.training.search import Candidate, FoldResult, Search, State, Trial, leaderboard


def trial(number: int, *scores: float, state: State = "complete", algorithm: str = "xgboost") -> Trial:
    folds = [FoldResult(score, brier=0.5 - score / 2, fit_seconds=2.0, rows_per_second=10 * score) for score in scores]
    return Trial(number, Candidate(algorithm, "plain", {"trees": 200, "l2": 1.0}), folds, state, 1.0)


def test_equal_candidates_have_one_key() -> None:
    one = Candidate("a", "plain", {"trees": 200, "l2": 0.5})
    assert one.key() == Candidate("a", "plain", {"l2": 0.5, "trees": 200}).key()
    others = [
        Candidate("b", "plain", one.hyper),
        Candidate("a", "full", one.hyper),
        Candidate("a", "plain", {**one.hyper, "l2": 0.25}),
    ]
    assert len({one.key(), *(other.key() for other in others)}) == 4


def test_score_and_spread_are_known_for_complete_trials_only() -> None:
    assert (trial(0, 0.5, 0.75).score, trial(0, 0.5, 0.75).spread) == (0.625, 0.25)
    for state in ("pruned", "failed"):
        assert trial(0, 0.5, state=state).score is None
        assert trial(0, 0.5, state=state).spread is None
        assert trial(0, state=state).spread is None


def test_of_equal_trials_the_earlier_ranks_first() -> None:
    found = Search([trial(0, 0.5), trial(1, 0.75), trial(2, 0.9, state="pruned"), trial(3, 0.75)], 4, False, 0)
    assert [one.number for one in found.ranked()] == [1, 3, 0]


def test_the_leaderboard_by_hand() -> None:
    trials = [
        trial(0, 0.5, 0.75),
        trial(1, state="failed", algorithm="lightgbm"),
        trial(2, 0.25, state="pruned"),
        trial(3, 0.75, 1.0),
    ]
    board = leaderboard(Search(trials, 4, False, 0))
    assert list(board.columns) == [
        *["rank", "algorithm", "features", "score", "spread", "fold_1", "fold_2", "brier"],
        *["fit_seconds", "rows_per_second", "state", "trial", "hyper"],
    ]
    assert board["trial"].tolist() == [3, 0, 2, 1]
    assert board["rank"].tolist()[:2] == [1, 2]
    assert board["rank"].isna().tolist() == [False, False, True, True]
    assert board["algorithm"].tolist() == ["xgboost", "xgboost", "xgboost", "lightgbm"]
    numbers = ["score", "spread", "fold_1", "fold_2", "brier", "fit_seconds", "rows_per_second"]
    assert board.loc[0, numbers].tolist() == [0.875, 0.25, 0.75, 1.0, 0.0625, 4.0, 8.75]
    assert board[numbers].isna().to_numpy().tolist()[2] == [True, True, False, True, True, False, False]
    assert board[numbers].isna().to_numpy().tolist()[3] == [True, True, True, True, True, False, True]
    assert board.loc[3, "fit_seconds"] == 0
    assert json.loads(board.loc[0, "hyper"]) == {"trees": 200, "l2": 1.0}
    assert {board[name].dtype for name in numbers} == {pd.Series([0.5]).dtype}


def test_the_leaderboard_has_the_same_types_whatever_happened() -> None:
    all_complete = leaderboard(Search([trial(0, 0.5)], 1, False, 0))
    mixed = leaderboard(Search([trial(0, 0.5), trial(1, state="failed"), trial(2, 0.5)], 3, False, 0))
    assert all_complete.dtypes.equals(mixed.dtypes)
