"""Kinds of events: their counts, and those that may be one and the same."""

from __future__ import annotations

import pandas as pd
import pytest

from pdm_cli.preparation.spelling import Lookalike, count_kinds, find_lookalikes


def test_kinds_are_counted_the_most_frequent_first_and_ties_by_name() -> None:
    counts = count_kinds(pd.Series(["b", "c", "a", "c", "b", "d"]))
    assert list(counts.items()) == [("b", 2), ("c", 2), ("a", 1), ("d", 1)]
    assert count_kinds(pd.Series([], dtype="str")) == {}


@pytest.mark.parametrize(
    ("rare", "common"),
    [
        *(("Comp1", "comp1"), ("comp 1", "comp1"), ("comp_1", "COMP-1"), (" comp1", "comp1")),
        *(("cmop1", "comp1"), ("bearng", "bearing"), ("bearrings", "bearings"), ("valves", "valve")),
    ],
)
def test_a_rare_kind_that_is_spelt_nearly_as_a_frequent_one_is_found(rare: str, common: str) -> None:
    assert find_lookalikes({common: 100, rare: 1}) == [Lookalike(rare, common)]


@pytest.mark.parametrize(
    ("common", "rare"),
    [
        *(("comp1", "comp2"), ("comp1", "comp11"), ("comp1", "pump1"), ("comp1", "c"), ("comp1", "valve")),
        *(("1.12", "11.2"), ("SPN 110-1", "SPN 11-01"), ("A-1-12", "A-11-2"), ("comp 1 2", "comp 12")),
        *(("temp+", "temp-"), ("T>", "T<"), ("+", "-"), ("pumpA", "pumpB"), ("coil", "oil"), ("gearing", "bearing")),
        *(("inlet valve", "outlet valve"), ("undervoltage", "overvoltage")),
    ],
)
def test_kinds_of_other_numbers_signs_or_words_are_different(common: str, rare: str) -> None:
    assert find_lookalikes({common: 100, rare: 1}) == []


def test_a_slip_is_rare_but_case_and_blanks_tell_at_any_count() -> None:
    assert find_lookalikes({"bearing": 100, "baering": 51}) == []
    assert find_lookalikes({"bearing": 100, "Bearing": 90}) == [Lookalike("Bearing", "bearing")]


def test_hundreds_of_kinds_are_codes_and_not_looked_at() -> None:
    counts = {f"code{number}": 1 for number in range(200)}
    assert find_lookalikes({**counts, "Code1": 1}) == []
