"""Settings that did well on many types of fleets: every search tries them before any suggestion.

They were chosen by ``python -m benchmarks.portfolio``, the most helpful first.
"""

from __future__ import annotations

from pdm_cli.training.search import Candidate

PORTFOLIO: tuple[Candidate, ...] = (
    Candidate("logistic_regression", "selected", {"l2": 708.0}),
    Candidate(
        "lightgbm",
        "selected",
        {
            "trees": 150,
            "learning_rate": 0.0358,
            "max_leaves": 12,
            "min_child_weight": 8.98,
            "l2": 0.135,
            "column_share": 0.691,
        },
    ),
    Candidate(
        "lightgbm",
        "selected",
        {
            "trees": 271,
            "learning_rate": 0.149,
            "max_leaves": 16,
            "min_child_weight": 0.262,
            "l2": 0.792,
            "column_share": 0.513,
        },
    ),
    Candidate("extra_trees", "selected", {"trees": 70, "max_leaves": 114, "min_leaf_rows": 4, "column_share": 0.954}),
    Candidate(
        "lightgbm",
        "selected",
        {
            "trees": 233,
            "learning_rate": 0.0371,
            "max_leaves": 12,
            "min_child_weight": 1.01,
            "l2": 0.249,
            "column_share": 0.459,
        },
    ),
    Candidate("extra_trees", "selected", {"trees": 70, "max_leaves": 147, "min_leaf_rows": 1, "column_share": 0.845}),
)
