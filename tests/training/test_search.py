"""Searches: what they try, prune, spend and reject."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_cli.errors import ModelError
from pdm_cli.training.search import Candidate, FoldResult
from tests.builders.examples import FEW
from tests.builders.searches import BASE, FEATURES, FOLDS, TREES, Algorithm, Fake, journal, score, timeless


def test_the_defaults_of_each_algorithm_come_first() -> None:
    fake = Fake()
    found = fake.search()
    assert [trial.candidate for trial in found.trials] == fake.asked
    assert fake.asked[:3] == [
        Candidate("boost", "full", TREES.defaults),
        Candidate("forest", "full", {"leaves": 31}),
        Candidate("line", "full", {"l2": 1.0}),
    ]
    assert [trial.number for trial in found.trials] == fake.numbers == list(range(9))
    assert (found.requested, found.is_cut_short, found.resumed) == (9, False, 0)
    assert fake.progress.lines == []


PORTFOLIO = (
    Candidate("forest", "plain", {"leaves": 16}),
    Candidate("boost", "other", {"trees": 100, "rate": 0.123456789, "share": 0.7}),
    Candidate("absent", "full", {"l2": 1.0}),
    Candidate("line", "full", {"l2": 1.0}),
)


def test_search_tries_the_portfolio_after_the_defaults() -> None:
    fake = Fake()
    found = fake.search(portfolio=PORTFOLIO)
    # Neither an algorithm that cannot be loaded nor what was tried already; a missing feature set becomes the first.
    assert [trial.candidate.algorithm for trial in found.trials[:3]] == list(BASE)
    assert fake.asked[3:5] == [PORTFOLIO[0], replace(PORTFOLIO[1], feature_set="full")]
    assert len({candidate.key() for candidate in fake.asked}) == 9


def test_search_portfolio_keeps_what_is_not_in_the_space() -> None:
    """Settings may take a hyper-parameter out of the space, as 0 on a logarithmic scale."""
    space = {name: span for name, span in TREES.space.items() if name != "rate"}
    fake = Fake()
    fake.search(algorithms={"boost": replace(TREES, space=space)}, portfolio=PORTFOLIO, trials=2)
    assert fake.asked[1].hyper == {"trees": 100, "rate": TREES.defaults["rate"], "share": 0.7}


def test_search_other_portfolio_takes_no_trials_over() -> None:
    storage = optuna.storages.InMemoryStorage()
    Fake().search(portfolio=PORTFOLIO, trials=4, storage=storage)
    assert Fake().search(portfolio=PORTFOLIO[:1], storage=storage).resumed == 0
    assert Fake().search(portfolio=PORTFOLIO, storage=storage).resumed == 4


def test_search_one_trial_ignores_the_portfolio() -> None:
    fake = Fake()
    fake.search(portfolio=PORTFOLIO, trials=1)
    assert fake.asked == [Candidate("boost", "full", TREES.defaults)]


def test_suggestions_lie_in_their_space_over_the_defaults() -> None:
    algorithms = {"boost": replace(TREES, defaults={**TREES.defaults, "depth": 6})}
    seen = Fake()
    seen.search(algorithms=algorithms, trials=12)
    for candidate in seen.asked:
        assert set(candidate.hyper) == {"trees", "rate", "share", "depth"}
        assert candidate.hyper["depth"] == 6
        assert type(candidate.hyper["trees"]) is int
        for name, limits in TREES.space.items():
            assert limits.low <= candidate.hyper[name] <= limits.high
    assert {candidate.feature_set for candidate in seen.asked} == set(FEATURES)
    assert len({candidate.key() for candidate in seen.asked}) == 12


def test_the_search_finds_better_than_the_defaults() -> None:
    found = Fake().search(trials=25)
    best = found.ranked()[0]
    assert best.candidate.algorithm == "boost"
    assert best.number > 2
    assert best.score is not None
    assert found.trials[0].score is not None
    assert best.score > found.trials[0].score


def test_pruning_compares_a_fold_with_the_same_fold() -> None:
    found = Fake().search(trials=25)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    complete_by = {trial.number: [t for t in found.trials[: trial.number] if t.state == "complete"] for trial in pruned}
    for trial in pruned:
        seen = len(trial.folds)
        assert 1 <= seen < len(FOLDS)
        earlier = sorted(sum(fold.score for fold in other.folds[:seen]) for other in complete_by[trial.number])
        middle = (earlier[(len(earlier) - 1) // 2] + earlier[len(earlier) // 2]) / 2
        assert sum(fold.score for fold in trial.folds) < middle
    assert [trial.state for trial in found.trials[:3]] == ["complete"] * 3


def test_pruning_is_not_misled_by_an_easy_first_fold() -> None:
    """Its best fold so far, the easy one, is above what the others reach on the second."""
    scores = {"a": (0.98, 0.90, 0.90), "b": (0.98, 0.95, 0.95), "c": (0.98, 0.95, 0.95), "d": (0.98, 0.90, 0.90)}
    fake = Fake()

    def evaluate(candidate: Candidate, *_: Any) -> Iterator[FoldResult]:
        return (FoldResult(value, 0.1, 1.0, 1.0) for value in scores[candidate.algorithm])

    fake.evaluate = evaluate  # type: ignore[method-assign]
    found = fake.search(algorithms={name: Algorithm({}, {}) for name in scores}, trials=4)
    assert [(trial.state, len(trial.folds)) for trial in found.trials] == [*[("complete", 3)] * 3, ("pruned", 2)]


def test_search_poor_preview_ends_a_trial_before_its_first_fold() -> None:
    fake = Fake(has_preview=True)
    found = fake.search(trials=25)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    for trial in found.trials:
        assert trial.preview == pytest.approx(score(trial.candidate, 0) - 0.2)
        complete = [other.preview for other in found.trials[: trial.number] if other.state == "complete"]
        is_below = len(complete) >= 3 and trial.preview < median(one for one in complete if one is not None)
        assert (trial.state == "pruned" and trial.folds == []) == is_below
    assert [trial.state for trial in found.trials[:3]] == ["complete"] * 3
    # The formula ranks in the preview as on the folds, so nothing better is lost.
    assert fake.folds == 3 * (25 - len(pruned))
    assert fake.closed == 25


def test_search_preview_is_no_fold(tmp_path: Path) -> None:
    found = Fake(has_preview=True).search(trials=1)
    assert [len(trial.folds) for trial in found.trials] == [3]
    stored = Fake(has_preview=True).search(trials=9, storage=journal(tmp_path / "log")).trials
    again = Fake(kill_at=0).search(trials=9, storage=journal(tmp_path / "log"))
    assert (again.trials, again.resumed) == (stored, 9)


def test_a_pruned_generator_is_closed() -> None:
    fake = Fake()
    fake.search(trials=25)
    assert fake.closed == 25


@pytest.mark.slow
def test_one_trial_needs_neither_optuna_nor_a_storage() -> None:
    code = (
        "import sys\n"
        "from types import SimpleNamespace as Named\n"
        "from pdm_cli.progress import Silent\n"
        "from pdm_cli.training.search import FoldResult, SearchBudget, SearchSpace, search\n"
        "space = SearchSpace({'a': Named(defaults={}, space={})}, ['f'], seed=0)\n"
        "budget = SearchBudget(1, 0.0, lambda: 0.0)\n"
        "result = iter([FoldResult(1.0, 0.0, 1.0, 1.0)])\n"
        "found = search(lambda *_: result, space, budget, storage=None, progress=Silent())\n"
        "assert found.trials[0].score == 1.0\n"
        "assert 'optuna' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_trial_is_the_first_of_many() -> None:
    assert timeless(Fake().search(trials=1).trials) == timeless(Fake().search(trials=2).trials[:1])


@settings(max_examples=FEW)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_more_trials_change_no_earlier_one(seed: int, trials: int) -> None:
    longer = Fake().search(seed=seed, trials=trials + 2)
    assert timeless(Fake().search(seed=seed, trials=trials).trials) == timeless(longer.trials[:trials])


def test_the_seed_decides() -> None:
    assert timeless(Fake().search().trials) == timeless(Fake().search().trials)
    assert timeless(Fake().search(seed=4).trials) != timeless(Fake().search(seed=3).trials)


def test_without_time_the_first_trial_is_still_complete() -> None:
    fake = Fake()
    found = fake.search(budget_seconds=0)
    assert [trial.state for trial in found.trials] == ["complete"]
    assert len(found.trials[0].folds) == len(FOLDS)
    assert found.is_cut_short
    assert fake.progress.lines == ["train: search stopped by --time-budget-seconds 0 s after 1 of 9 trials"]


@pytest.mark.parametrize(("budget", "done", "folds"), [(3, 1, 3), (3.5, 1, 4), (5, 1, 5), (6, 2, 6), (8.5, 3, 9)])
def test_search_checks_budget_before_trials_and_between_folds(budget: float, done: int, folds: int) -> None:
    fake = Fake()
    found = fake.search(budget_seconds=budget, trials=3)
    # Where the last fold of the last trial ends too late there is nothing left to save: the trial counts.
    assert (len(found.trials), fake.folds) == (done, folds)
    assert found.is_cut_short == (done < 3)
    note = f"train: search stopped by --time-budget-seconds {budget:g} s after {done} of 3 trials"
    assert fake.progress.lines == ([note] if done < 3 else [])
    assert timeless(found.trials) == timeless(Fake().search(trials=3).trials[:done])
    assert fake.closed == len(fake.asked)


@pytest.mark.parametrize(("budget", "done", "now"), [(0, 1, 3), (3, 1, 3), (3.5, 1, 3.5), (5.9, 1, 6), (6.1, 2, 6.25)])
def test_the_budget_holds_within_a_fold(budget: float, done: int, now: float) -> None:
    fake, storage = Fake(steps=4), optuna.storages.InMemoryStorage()
    found = fake.search(budget_seconds=budget, trials=3, storage=storage)
    assert len(found.trials) == done
    assert fake.now - 1000 == now
    assert found.is_cut_short
    assert fake.closed == len(fake.asked)
    # What was cut leaves no trace: with more time the search ends as if it had never been cut.
    again = Fake(steps=4).search(trials=9, storage=storage)
    assert again.resumed == done
    assert timeless(again.trials) == timeless(Fake().search(trials=9).trials)


def test_search_failing_algorithm_is_reported_once_and_skipped() -> None:
    fake = Fake(broken={"boost": "libgomp is missing", "line": "too few rows"})
    found = fake.search(trials=15)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert {trial.reason for trial in failed} == {"libgomp is missing", "too few rows"}
    assert len(failed) > 2
    assert fake.progress.lines == [
        "train: boost failed: libgomp is missing",
        "train: line failed: too few rows",
    ]
    assert len(found.trials) == 15
    assert {trial.candidate.algorithm for trial in found.ranked()} == {"forest"}


def test_search_ignores_budget_before_first_complete_trial() -> None:
    fake = Fake(broken={"boost": "libgomp is missing"})
    found = fake.search(budget_seconds=0)
    assert [trial.state for trial in found.trials] == ["failed", "complete"]
    assert found.is_cut_short


@pytest.mark.parametrize("trials", [1, 4])
def test_search_all_trials_failed_is_model_error(trials: int) -> None:
    storage = optuna.storages.InMemoryStorage()
    fake = Fake(broken=dict.fromkeys(BASE, "no"))
    which = "the only trial" if trials == 1 else "all 4 trials"
    for _ in range(2):
        with pytest.raises(ModelError, match=rf"^{which} of the search failed, \w+: no$"):
            fake.search(trials=trials, storage=storage)


def test_other_errors_are_not_swallowed() -> None:
    def evaluate(*_: Any) -> Iterator[FoldResult]:
        raise RuntimeError("a bug")

    fake = Fake()
    fake.evaluate = evaluate  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a bug"):
        fake.search()


@pytest.mark.parametrize("change", [{"trials": 0}, {"algorithms": {}}, {"feature_sets": []}])
def test_search_without_candidates_is_rejected(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Fake().search(**change)


def test_search_optuna_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Fake().search(storage=journal(tmp_path / "log"))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna").level == logging.WARNING
