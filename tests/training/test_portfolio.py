"""The portfolio: settings of the search spaces, none of them twice."""

from __future__ import annotations

import pytest

from pdm_cli.features.build import FEATURE_SETS
from pdm_cli.models import ESTIMATORS
from pdm_cli.training.dataset import SELECTED
from pdm_cli.training.portfolio import PORTFOLIO
from pdm_cli.training.search import Candidate, SearchSpace


@pytest.mark.parametrize("candidate", PORTFOLIO, ids=lambda candidate: candidate.algorithm)
def test_portfolio_candidate_lies_in_its_search_space(candidate: Candidate) -> None:
    algorithm = ESTIMATORS[candidate.algorithm]
    assert set(candidate.hyper) == set(algorithm.defaults)
    assert candidate.feature_set in (SELECTED, *FEATURE_SETS)
    for name, value in candidate.hyper.items():
        if name not in algorithm.space:
            assert value == algorithm.defaults[name]
            continue
        span = algorithm.space[name]
        assert span.low <= value <= span.high
        assert isinstance(value, int) == span.integer


def test_portfolio_is_short_and_repeats_nothing() -> None:
    space = SearchSpace(ESTIMATORS, (SELECTED, *FEATURE_SETS), seed=0, portfolio=PORTFOLIO)
    assert len(space.first()) == len(ESTIMATORS) + len(PORTFOLIO)
    assert 5 <= len(PORTFOLIO) <= 8
