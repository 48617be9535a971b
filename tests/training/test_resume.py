"""Searches that were killed, lengthened or changed, and go on from their storage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.builders.searches import ALGORITHMS, TREES, Fake, Range, journal, timeless


@pytest.mark.slow
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


def test_resume_is_reported() -> None:
    storage = optuna.storages.InMemoryStorage()
    Fake().search(trials=4, storage=storage)
    fake = Fake()
    fake.search(trials=9, storage=storage)
    assert fake.progress.lines == ["train: search resumed after 4 of 9 trials"]


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


def test_resume_other_space_takes_no_trials_over() -> None:
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


def test_the_time_of_resumed_trials_counts() -> None:
    storage = optuna.storages.InMemoryStorage()
    Fake().search(trials=2, storage=storage)
    fake = Fake(now=5.0)
    found = fake.search(trials=9, storage=storage, budget_seconds=7)
    assert (len(found.trials), fake.folds, found.resumed, found.is_cut_short) == (2, 1, 2, True)
    more = Fake()
    assert timeless(more.search(trials=9, storage=storage).trials) == timeless(Fake().search(trials=9).trials)


def test_resume_storage_has_plain_data(tmp_path: Path) -> None:
    Fake().search(storage=journal(tmp_path / "log"))
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    # One line for the study and one for each trial: there is no moment at which half a trial is stored.
    assert len(lines) == 1 + 9
