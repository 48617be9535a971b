from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileBackend

from pdm_cli.core.estimators import Checkpoint
from pdm_cli.core.search import search
from pdm_cli.core.trials import Candidate, FoldResult, Search, Trial
from pdm_cli.errors import ModelError


@dataclass(frozen=True)
class Range:
    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Algorithm:
    defaults: dict[str, float]
    space: dict[str, Range]


TREES = Algorithm(
    {"trees": 200, "rate": 0.05, "share": 0.5},
    {"trees": Range(50, 400, log=True, integer=True), "rate": Range(0.01, 0.3, log=True), "share": Range(0.2, 1.0)},
)
ALGORITHMS = {"boost": TREES, "forest": Algorithm({"leaves": 31.0}, {"leaves": Range(8, 64, integer=True)})}
ALGORITHMS["line"] = Algorithm({"l2": 1.0}, {"l2": Range(0.01, 100, log=True)})
FEATURES = ["full", "plain"]
BASE = {"boost": 0.9, "forest": 0.8, "line": 0.6}
FOLDS = (0.08, 0.0, 0.01)


def score(candidate: Candidate, fold: int) -> float:
    gain = BASE[candidate.algorithm] - 0.02 * (candidate.feature_set == "plain")
    if candidate.algorithm == "boost":
        gain -= 0.02 * abs(math.log(candidate.hyper["rate"] / 0.1)) + 0.05 * abs(candidate.hyper["share"] - 0.4)
    return gain + FOLDS[fold]


@dataclass
class Fake:
    """Evaluates candidates by formula, each fold a second long, and remembers what it was asked.

    At each of the steps of a fold it calls the checkpoint.
    """

    kill_at: int | None = None
    broken: dict[str, str] = field(default_factory=dict)
    steps: int = 0
    asked: list[Candidate] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    folds: int = 0
    closed: int = 0
    now: float = 1000.0
    notes: list[str] = field(default_factory=list)

    def evaluate(self, candidate: Candidate, number: int, checkpoint: Checkpoint) -> Iterator[FoldResult]:
        self.asked.append(candidate)
        self.numbers.append(number)
        try:
            for fold in range(len(FOLDS)):
                if self.folds == self.kill_at:
                    raise KeyboardInterrupt
                self.folds += 1
                for _ in range(self.steps):
                    self.now += 1.0 / self.steps
                    checkpoint()
                self.now += 1.0 if not self.steps else 0.0
                if fold == 1 and candidate.algorithm in self.broken:
                    raise ModelError(self.broken[candidate.algorithm])
                value = score(candidate, fold)
                yield FoldResult(value, brier=1 - value, fit_seconds=self.now, rows_per_second=self.now)
        finally:
            self.closed += 1

    def search(self, **changes: Any) -> Search:
        how: dict[str, Any] = {
            "algorithms": ALGORITHMS,
            "feature_sets": FEATURES,
            "trials": 9,
            "budget_seconds": 1e9,
            "seed": 3,
            "storage": None,
            "clock": lambda: self.now,
            "note": self.notes.append,
        }
        how.update(changes)
        if how["storage"] is None:
            how["storage"] = optuna.storages.InMemoryStorage()
        return search(self.evaluate, **how)


def timeless(trials: list[Trial]) -> list[Trial]:
    return [
        replace(trial, seconds=0.0, folds=[replace(fold, fit_seconds=0.0, rows_per_second=0.0) for fold in trial.folds])
        for trial in trials
    ]


def journal(path: Path) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))


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
    assert (found.wanted, found.is_cut_short, found.resumed) == (9, False, 0)
    assert fake.notes == []


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


def test_a_pruned_generator_is_closed() -> None:
    fake = Fake()
    fake.search(trials=25)
    assert fake.closed == 25


def test_one_trial_needs_neither_optuna_nor_a_storage() -> None:
    code = (
        "import sys\n"
        "from types import SimpleNamespace as Named\n"
        "from pdm_cli.core.search import search\n"
        "from pdm_cli.core.trials import FoldResult\n"
        "found = search(lambda *_: iter([FoldResult(1.0, 0.0, 1.0, 1.0)]), "
        "algorithms={'a': Named(defaults={}, space={})}, feature_sets=['f'], trials=1, budget_seconds=0, seed=0, "
        "storage=None, clock=lambda: 0.0, note=print)\n"
        "assert found.trials[0].score == 1.0\n"
        "assert 'optuna' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_trial_is_the_first_of_many() -> None:
    assert timeless(Fake().search(trials=1).trials) == timeless(Fake().search(trials=2).trials[:1])


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_more_trials_change_no_earlier_one(seed: int, trials: int) -> None:
    longer = Fake().search(seed=seed, trials=trials + 2)
    assert timeless(Fake().search(seed=seed, trials=trials).trials) == timeless(longer.trials[:trials])


def test_the_seed_decides() -> None:
    assert timeless(Fake().search().trials) == timeless(Fake().search().trials)
    assert timeless(Fake().search(seed=4).trials) != timeless(Fake().search(seed=3).trials)


@pytest.mark.parametrize("kind", ["journal", "memory"])
def test_a_search_killed_at_any_fold_and_run_again_equals_the_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    whole = Fake(broken={"line": "no"})
    expected = timeless(whole.search(trials=8).trials)
    assert {trial.state for trial in expected} == {"complete", "pruned", "failed"}
    # A fold is begun for each one that is kept, and for the one that breaks.
    starts = [sum(len(t.folds) + (t.state == "failed") for t in expected[:number]) for number in range(9)]
    assert starts[-1] == whole.folds
    for kill_at in range(whole.folds):
        memory = optuna.storages.InMemoryStorage()

        def storage(memory: Any = memory, path: Path = tmp_path / f"{kill_at}.log") -> Any:
            return journal(path) if kind == "journal" else memory

        killed, again = Fake(kill_at, broken=whole.broken), Fake(broken=whole.broken)
        with pytest.raises(KeyboardInterrupt):
            killed.search(trials=8, storage=storage())
        found = again.search(trials=8, storage=storage())
        assert timeless(found.trials) == expected
        assert found.resumed == sum(start <= kill_at for start in starts[1:])
        assert len(again.asked) == 8 - found.resumed


def test_a_search_killed_again_and_again_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    expected = timeless(Fake().search(trials=6).trials)
    kills = 0
    while True:
        try:
            found = Fake(kill_at=4).search(trials=6, storage=journal(tmp_path / "log"))
        except KeyboardInterrupt:
            kills += 1
        else:
            break
    assert kills >= 3
    assert timeless(found.trials) == expected
    assert found.resumed >= 4


def test_resuming_is_said() -> None:
    storage = optuna.storages.InMemoryStorage()
    Fake().search(trials=4, storage=storage)
    fake = Fake()
    fake.search(trials=9, storage=storage)
    assert fake.notes == ["search resumed after 4 of 9 trials"]


def test_trials_keep_every_bit_in_the_storage(tmp_path: Path) -> None:
    first = Fake(broken={"line": "no"}).search(storage=journal(tmp_path / "log"))
    second = Fake(kill_at=0).search(storage=journal(tmp_path / "log"))
    assert second.trials == first.trials
    assert second.resumed == 9


def test_a_finished_search_can_be_lengthened_or_shortened() -> None:
    storage = optuna.storages.InMemoryStorage()
    expected = timeless(Fake().search(trials=8).trials)
    assert timeless(Fake().search(trials=5, storage=storage).trials) == expected[:5]
    assert timeless(Fake().search(trials=8, storage=storage).trials) == expected
    assert timeless(Fake(kill_at=0).search(trials=3, storage=storage).trials) == expected[:3]


def test_a_search_of_another_kind_takes_no_trial_over() -> None:
    storage = optuna.storages.InMemoryStorage()
    Fake().search(storage=storage)
    wider = {**ALGORITHMS, "line": replace(ALGORITHMS["line"], space={"l2": Range(0.01, 10, log=True)})}
    for change in ({"seed": 4}, {"feature_sets": ["full"]}, {"algorithms": {"boost": TREES}}, {"algorithms": wider}):
        assert Fake().search(storage=storage, **change).resumed == 0
    assert Fake().search(storage=storage).resumed == 9


def test_a_trial_left_running_by_another_program_changes_nothing() -> None:
    storage = optuna.storages.InMemoryStorage()
    expected = timeless(Fake().search(trials=7).trials)
    Fake().search(trials=4, storage=storage)
    study = optuna.load_study(study_name=None, storage=storage)
    study.ask().suggest_float("boost.share", 0.2, 1.0)
    study.enqueue_trial({"algorithm": "line"})
    assert timeless(Fake().search(trials=7, storage=storage).trials) == expected


def test_without_time_the_first_trial_is_still_complete() -> None:
    fake = Fake()
    found = fake.search(budget_seconds=0)
    assert [trial.state for trial in found.trials] == ["complete"]
    assert len(found.trials[0].folds) == len(FOLDS)
    assert found.is_cut_short
    assert fake.notes == ["search cut short by --time-budget 0 s after 1 of 9 trials"]


@pytest.mark.parametrize(("budget", "done", "folds"), [(3, 1, 3), (3.5, 1, 4), (5, 1, 5), (6, 2, 6), (8.5, 3, 9)])
def test_the_budget_is_looked_at_before_each_trial_and_between_folds(budget: float, done: int, folds: int) -> None:
    fake = Fake()
    found = fake.search(budget_seconds=budget, trials=3)
    # Where the last fold of the last trial ends too late there is nothing left to save: the trial counts.
    assert (len(found.trials), fake.folds) == (done, folds)
    assert found.is_cut_short == (done < 3)
    note = f"search cut short by --time-budget {budget:g} s after {done} of 3 trials"
    assert fake.notes == ([note] if done < 3 else [])
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


def test_the_time_of_resumed_trials_counts() -> None:
    storage = optuna.storages.InMemoryStorage()
    Fake().search(trials=2, storage=storage)
    fake = Fake(now=5.0)
    found = fake.search(trials=9, storage=storage, budget_seconds=7)
    assert (len(found.trials), fake.folds, found.resumed, found.is_cut_short) == (2, 1, 2, True)
    more = Fake()
    assert timeless(more.search(trials=9, storage=storage).trials) == timeless(Fake().search(trials=9).trials)


def test_a_failing_algorithm_is_noted_once_and_the_search_goes_on() -> None:
    fake = Fake(broken={"boost": "libgomp is missing", "line": "too few rows"})
    found = fake.search(trials=15)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert {trial.reason for trial in failed} == {"libgomp is missing", "too few rows"}
    assert len(failed) > 2
    assert fake.notes == ["boost failed: libgomp is missing", "line failed: too few rows"]
    assert len(found.trials) == 15
    assert {trial.candidate.algorithm for trial in found.ranked()} == {"forest"}


def test_no_budget_holds_before_there_is_a_model() -> None:
    fake = Fake(broken={"boost": "libgomp is missing"})
    found = fake.search(budget_seconds=0)
    assert [trial.state for trial in found.trials] == ["failed", "complete"]
    assert found.is_cut_short


@pytest.mark.parametrize("trials", [1, 4])
def test_a_search_in_which_all_fails_is_a_model_error(trials: int) -> None:
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
def test_nothing_to_try_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Fake().search(**change)


def test_optuna_says_nothing_to_the_user(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Fake().search(storage=journal(tmp_path / "log"))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna").level == logging.WARNING


def test_what_is_stored_is_plain_data(tmp_path: Path) -> None:
    Fake().search(storage=journal(tmp_path / "log"))
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    # One line for the study and one for each trial: there is no moment at which half a trial is stored.
    assert len(lines) == 1 + 9
