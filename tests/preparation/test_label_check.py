"""Event labels: their counts, and possible misspellings."""

from __future__ import annotations

import pandas as pd
import pytest

from pdm_cli.preparation.label_check import SimilarLabels, count_labels, find_similar_labels


def test_count_labels_sorts_by_frequency_then_name() -> None:
    counts = count_labels(pd.Series(["b", "c", "a", "c", "b", "d"]))
    assert list(counts.items()) == [("b", 2), ("c", 2), ("a", 1), ("d", 1)]
    assert count_labels(pd.Series([], dtype="str")) == {}


@pytest.mark.parametrize(
    ("rare", "common"),
    [
        *(("Comp1", "comp1"), ("comp 1", "comp1"), ("comp_1", "COMP-1"), (" comp1", "comp1")),
        *(("cmop1", "comp1"), ("bearng", "bearing"), ("bearrings", "bearings"), ("valves", "valve")),
    ],
)
def test_find_similar_labels_finds_rare_misspellings(rare: str, common: str) -> None:
    assert find_similar_labels({common: 100, rare: 1}) == [SimilarLabels(rare, common)]


@pytest.mark.parametrize(
    ("common", "rare"),
    [
        *(("comp1", "comp2"), ("comp1", "comp11"), ("comp1", "pump1"), ("comp1", "c"), ("comp1", "valve")),
        *(("1.12", "11.2"), ("SPN 110-1", "SPN 11-01"), ("A-1-12", "A-11-2"), ("comp 1 2", "comp 12")),
        *(("temp+", "temp-"), ("T>", "T<"), ("+", "-"), ("pumpA", "pumpB"), ("coil", "oil"), ("gearing", "bearing")),
        *(("inlet valve", "outlet valve"), ("undervoltage", "overvoltage")),
    ],
)
def test_find_similar_labels_ignores_other_numbers_symbols_or_words(common: str, rare: str) -> None:
    assert find_similar_labels({common: 100, rare: 1}) == []


def test_find_similar_labels_finds_typos_if_rare_and_case_at_any_count() -> None:
    assert find_similar_labels({"bearing": 100, "baering": 51}) == []
    assert find_similar_labels({"bearing": 100, "Bearing": 90}) == [SimilarLabels("Bearing", "bearing")]


def test_find_similar_labels_ignores_hundreds_of_codes() -> None:
    counts = {f"code{number}": 1 for number in range(200)}
    assert find_similar_labels({**counts, "Code1": 1}) == []
