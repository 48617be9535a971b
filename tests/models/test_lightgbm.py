from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.models import ESTIMATORS, unavailable
from pdm_cli.models.lightgbm_check import check_text

if (reason := unavailable("lightgbm")) is not None:
    pytest.skip(reason, allow_module_level=True)

CATEGORICAL = [False, True]


@cache
def dumped() -> str:
    """Three trees over a number and a category, with splits by category."""
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=2000), rng.integers(0, 9, 2000)], axis=1).astype(np.float32)
    labels = (np.isin(values[:, 1], (1, 3, 6)) & (values[:, 0] > 0)).astype(float)[:, None]
    algorithm = ESTIMATORS["lightgbm"]
    hyper = algorithm.defaults | {"trees": 3, "max_leaves": 6, "column_share": 1.0}
    model = algorithm.make().fit(values, labels, categorical=CATEGORICAL, hyper=hyper, seed=0, threads=1)
    return model.dump()[0].decode()


def test_a_model_passes_and_holds_nothing_but_head_and_trees() -> None:
    text = dumped()
    check_text(text, features=2)
    assert "cat_threshold=" in text
    assert not any(word in text for word in ("parameters", "num_threads", "tree_sizes", "importances", "pandas"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("\nleft_child=", "\nleft_child=9", "leads nowhere"),
        ("\nleft_child=", "\nleft_child=99999999999999999999", "too large"),
        ("\nsplit_feature=", "\nsplit_feature=9", "not there"),
        ("\nsplit_feature=", "\nsplit_feature=--", "int"),
        ("\nthreshold=", "\nthreshold=9", "without their categories"),
        ("\ndecision_type=", "\ndecision_type=9", "not there"),
        ("\ncat_boundaries=0", "\ncat_boundaries=1", "categories that are not there"),
        ("\ncat_threshold=", "\ncat_threshold=1 ", "categories that are not there"),
        ("\nleaf_value=", "\nleaf_value=1 ", "wrong length"),
        ("\nnum_leaves=", "\nnum_leaves=1", "wrong length"),
        ("\nis_linear=0", "\nis_linear=1", "another kind"),
        ("\nis_linear=0\n", "\n", "is_linear"),
        ("\nis_linear=0\n", "\nis_linear=0\nis_linear=0\n", "twice"),
        ("\nis_linear=0\n", "\nis_linear=0\nsurprise=0\n", "wrong length or none"),
        ("\nleaf_value=", "\nleaf_value=nan ", "not one of a tree"),
        ("\nleaf_value=", "\nleaf_value=inf ", "not one of a tree"),
        ("\nTree=1", "\nTree=7", "not one of a tree"),
        ("num_class=1", "num_class=3", "another kind"),
        ("sigmoid:1", "sigmoid:x", "another kind"),
        ("\nfeature_names=", "\nfeature_names=one_more ", "its features"),
        ("\nversion=v4\n", "\nversion=v4\ntree_sizes=1 2\n", "another kind"),
        ("\nlabel_index=0", "\nlabel_index=0=0", "without a name"),
    ],
)
def test_what_leads_out_of_the_model_is_refused(old: str, new: str, why: str) -> None:
    assert old in dumped()
    with pytest.raises(ValueError, match=why):
        check_text(dumped().replace(old, new, 1), features=2)


@given(st.integers(0, len(dumped()) - 1), st.text("0189-. \n=ea", max_size=6))
def test_changed_text_is_refused_by_value_error_or_harmless(at: int, new: str) -> None:
    text = dumped()[:at] + new + dumped()[at + len(new) :]
    try:
        check_text(text, features=2)
    except ValueError:
        return
    model = ESTIMATORS["lightgbm"].make().load([text.encode()], categorical=CATEGORICAL)
    model.predict(np.zeros((2, 2), np.float32))
