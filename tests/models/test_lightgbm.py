from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.models import ESTIMATORS, FitOptions, find_load_error
from pdm_cli.models.lightgbm import check_text

if (load_error := find_load_error("lightgbm")) is not None:
    pytest.skip(load_error, allow_module_level=True)

CATEGORICAL = [False, True]


@cache
def dumped() -> str:
    """Three trees over a number and a category, with splits by category."""
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=2000), rng.integers(0, 9, 2000)], axis=1).astype(np.float32)
    labels = (np.isin(values[:, 1], (1, 3, 6)) & (values[:, 0] > 0)).astype(float)[:, None]
    algorithm = ESTIMATORS["lightgbm"]
    hyper = algorithm.defaults | {"trees": 3, "max_leaves": 6, "column_share": 1.0}
    model = algorithm.make().fit(values, labels, FitOptions(hyper, seed=0), categorical=CATEGORICAL)
    return model.dump()[0].decode()


def test_dump_has_only_head_and_trees() -> None:
    text = dumped()
    check_text(text, features=2)
    assert "cat_threshold=" in text
    assert not any(word in text for word in ("parameters", "num_threads", "tree_sizes", "importances", "pandas"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("\nleft_child=", "\nleft_child=9", "invalid child index"),
        ("\nleft_child=", "\nleft_child=99999999999999999999", "too large"),
        ("\nsplit_feature=", "\nsplit_feature=9", "unknown feature"),
        ("\nsplit_feature=", "\nsplit_feature=--", "int"),
        ("\nthreshold=", "\nthreshold=9", "without categories"),
        ("\ndecision_type=", "\ndecision_type=9", "unknown feature"),
        ("\ncat_boundaries=0", "\ncat_boundaries=1", "invalid list of categories"),
        ("\ncat_threshold=", "\ncat_threshold=1 ", "invalid list of categories"),
        ("\nleaf_value=", "\nleaf_value=1 ", "wrong length"),
        ("\nnum_leaves=", "\nnum_leaves=1", "wrong length"),
        ("\nis_linear=0", "\nis_linear=1", "unexpected (model|tree) type"),
        ("\nis_linear=0\n", "\n", "is_linear"),
        ("\nis_linear=0\n", "\nis_linear=0\nis_linear=0\n", "duplicate"),
        ("\nis_linear=0\n", "\nis_linear=0\nsurprise=0\n", "unknown tree array"),
        ("\nleaf_value=", "\nleaf_value=nan ", "unexpected line"),
        ("\nleaf_value=", "\nleaf_value=inf ", "unexpected line"),
        ("\nTree=1", "\nTree=7", "unexpected line"),
        ("num_class=1", "num_class=3", "unexpected (model|tree) type"),
        ("sigmoid:1", "sigmoid:x", "unexpected (model|tree) type"),
        ("\nfeature_names=", "\nfeature_names=one_more ", "feature names"),
        ("\nversion=v4\n", "\nversion=v4\ntree_sizes=1 2\n", "unexpected (model|tree) type"),
        ("\nlabel_index=0", "\nlabel_index=0=0", "without a name"),
    ],
)
def test_check_text_with_invalid_part_is_rejected(old: str, new: str, reason: str) -> None:
    assert old in dumped()
    with pytest.raises(ValueError, match=reason):
        check_text(dumped().replace(old, new, 1), features=2)


@given(st.integers(0, len(dumped()) - 1), st.text("0189-. \n=ea", max_size=6))
def test_check_text_with_changed_text_is_rejected_or_harmless(at: int, new: str) -> None:
    text = dumped()[:at] + new + dumped()[at + len(new) :]
    try:
        check_text(text, features=2)
    except ValueError:
        return
    model = ESTIMATORS["lightgbm"].make().load([text.encode()], categorical=CATEGORICAL)
    model.predict(np.zeros((2, 2), np.float32))
