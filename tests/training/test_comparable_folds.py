from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdm_cli.features.events import Instants
from pdm_cli.training.comparable_folds import choose_comparable
from pdm_cli.training.rule_outcomes import HeldOut
from pdm_cli.training.splits import Split
from tests.builders.fleets import running

MACHINES, ROWS = 8, 10


def fold(cutoff: int, *, noise: float, failing: int = MACHINES, machines: int = MACHINES) -> HeldOut:
    """Return a fold in which the last row of some machines is before a failure, predicted with some noise."""
    rng = np.random.default_rng(0)
    rows = Instants(
        pd.RangeIndex(machines), np.repeat(np.arange(machines), ROWS), np.tile(np.arange(ROWS) + cutoff, machines)
    )
    labels = ((np.arange(machines * ROWS) % ROWS == ROWS - 1) & (rows.codes < failing)).astype(np.float64)
    probabilities = np.clip(0.1 + 0.8 * labels + noise * rng.normal(size=len(labels)), 0, 1)
    labels[::ROWS] = np.nan
    probabilities[1::ROWS] = np.nan
    split = Split(cutoff, cutoff, cutoff + ROWS, cutoff + ROWS)
    return HeldOut(rows, labels, probabilities, split, running([cutoff + ROWS] * machines))


WEAK, GOOD, LAST = fold(0, noise=2.0), fold(100, noise=0.05), fold(200, noise=0.05)


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        ([WEAK, GOOD, LAST], [GOOD, LAST]),
        ([WEAK, LAST], [LAST]),
        ([GOOD, LAST], [GOOD, LAST]),
        ([LAST], [LAST]),
        ([GOOD, fold(200, noise=2.0)], [GOOD, fold(200, noise=2.0)]),
    ],
)
def test_choose_comparable_leaves_out_folds_much_worse_than_the_last(
    pieces: list[HeldOut], kept: list[HeldOut]
) -> None:
    found = choose_comparable(pieces)
    assert [piece.split.cutoff for piece in found] == [piece.split.cutoff for piece in kept]


def test_choose_comparable_of_folds_by_machine_keeps_all() -> None:
    pieces = [fold(200, noise=2.0), LAST]
    assert choose_comparable(pieces) == pieces


@pytest.mark.parametrize("pieces", [[WEAK, fold(200, noise=0.0, failing=4)], [fold(0, noise=2.0, failing=4), LAST]])
def test_choose_comparable_with_few_failures_in_a_fold_keeps_all(pieces: list[HeldOut]) -> None:
    assert choose_comparable(pieces) == pieces


@pytest.mark.parametrize(("first", "last"), [(20, 200), (200, 20)])
def test_choose_comparable_does_not_depend_on_the_number_of_failures(first: int, last: int) -> None:
    pieces = [fold(0, noise=0.35, failing=first, machines=400), fold(200, noise=0.35, failing=last, machines=400)]
    assert choose_comparable(pieces) == pieces
