from __future__ import annotations

import numpy as np
import pytest

from pdm_cli.evaluation.importance import draw_rows, rank_features


def test_features_are_ranked_by_the_mean_size_over_rows_and_components() -> None:
    contributions = np.array([[[1.0, -3.0, 0.0], [0.0, 1.0, 0.0]], [[-1.0, 3.0, 0.0], [2.0, 1.0, 0.0]]])
    ranked = rank_features(contributions, ["age", "volt_mean_3h", "unused"], ["comp1", "comp2"])
    assert [row["feature"] for row in ranked] == ["volt_mean_3h", "age"]
    assert [row["mean_shapley"] for row in ranked] == [2.0, 1.0]
    assert ranked[0]["components"] == {"comp1": 3.0, "comp2": 1.0}


def test_rank_features_returns_the_first_ones() -> None:
    names = [f"f{number}" for number in range(5)]
    ranked = rank_features(np.arange(1.0, 6.0)[None, None, :], names, ["comp1"], most=2)
    assert [row["feature"] for row in ranked] == ["f4", "f3"]


@pytest.mark.parametrize(
    ("ahead", "others", "wanted"), [(50, 50, (5, 5)), (2, 50, (2, 8)), (50, 3, (7, 3)), (2, 3, (2, 3)), (0, 4, (0, 4))]
)
def test_half_of_the_rows_drawn_are_before_a_failure_if_there_are_so_many(
    ahead: int, others: int, wanted: tuple[int, int]
) -> None:
    before_failure = np.arange(ahead + others + 7) < ahead
    allowed = np.arange(ahead + others + 7) < ahead + others
    rows = draw_rows(allowed, before_failure, count=10, seed=3)
    assert (int(before_failure[rows].sum()), int((~before_failure[rows]).sum())) == wanted
    assert allowed[rows].all()
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == draw_rows(allowed, before_failure, count=10, seed=3).tolist()
