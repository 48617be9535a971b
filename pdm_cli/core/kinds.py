"""Kinds of events: how often each occurs, and which may be one and the same, written in two ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import NamedTuple

import pandas as pd

# A word misspelt is rare beside the right one.
_MOST_SHARE = 0.05
# Of the letters, how many must agree: ``cmop1`` and ``comp1`` reach .8, ``volt`` and ``vibration`` .46.
_LEAST_LIKENESS = 0.75
# Beyond this many kinds the names are codes of a machine, not words of a person.
_MOST_KINDS = 200


class Lookalike(NamedTuple):
    """A kind that may be another one, misspelt: the rarer one first."""

    rare: str
    common: str


def count_kinds(kinds: pd.Series) -> dict[str, int]:
    """Return how often each kind occurs, the most frequent first, equally frequent ones by name."""
    counts = kinds.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return {str(name): int(count) for name, count in counts.items()}


def find_lookalikes(counts: Mapping[str, int]) -> list[Lookalike]:
    """Return kinds that differ from a more frequent one by case, blanks or signs alone, or by a slip in a rare word.

    Names whose numbers differ are different: ``comp1`` is not ``comp2``.

    Parameters
    ----------
    counts : mapping of str to int
        How often each kind occurs, the most frequent first.

    Examples
    --------
    >>> find_lookalikes({"comp1": 192, "comp2": 150, "Comp 1": 20, "cmop2": 1})
    [Lookalike(rare='Comp 1', common='comp1'), Lookalike(rare='cmop2', common='comp2')]
    """
    if len(counts) > _MOST_KINDS:
        return []
    found, names = [], list(counts)
    for position, rare in enumerate(names):
        common = next((name for name in names[:position] if _is_alike(rare, name, counts)), None)
        if common is not None:
            found.append(Lookalike(rare, common))
    return found


def _is_alike(rare: str, common: str, counts: Mapping[str, int]) -> bool:
    here, there = (re.sub(r"[\W_]+", "", name).casefold() for name in (rare, common))
    if here == there:
        return True
    if counts[rare] > _MOST_SHARE * counts[common] or re.findall(r"\d+", here) != re.findall(r"\d+", there):
        return False
    return SequenceMatcher(None, here, there).ratio() >= _LEAST_LIKENESS
