"""Kinds of events: how often each occurs, and which may be one and the same, written in two ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

# A word is misspelt less often than not.
_MOST_SHARE = 0.5
# Of shorter names, one letter more or less makes another word: oil, coil.
_LEAST_LETTERS = 4
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
    """Return kinds that differ from a more frequent one by case or blanks alone, or by a slip in a rare word.

    A slip is a letter too many, a letter too few, or two that changed places; with another letter in its place a name
    may well be another one, as in ``pumpA`` and ``pumpB``. So are names with other numbers or signs: ``comp1`` and
    ``comp2``, ``1.12`` and ``11.2``.

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
    if re.findall(r"\d+", rare) != re.findall(r"\d+", common):
        return False
    here, there = (re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", "", name.strip()).casefold() for name in (rare, common))
    if here == there:
        return True
    is_rare = counts[rare] <= _MOST_SHARE * counts[common]
    return is_rare and _signs(here) == _signs(there) and _is_slip(here, there)


def _signs(name: str) -> str:
    """Return all of a name but its letters."""
    return re.sub(r"[^\W\d_]", "", name)


def _is_slip(here: str, there: str) -> bool:
    shorter, longer = sorted((here, there), key=len)
    if len(_letters(shorter)) < _LEAST_LETTERS:
        return False
    if len(longer) == len(shorter) + 1:
        return any(longer[:place] + longer[place + 1 :] == shorter for place in range(len(longer)))
    swapped = (here[:i] + here[i + 1] + here[i] + here[i + 2 :] for i in range(len(here) - 1))
    return len(here) == len(there) and there in swapped


def _letters(name: str) -> str:
    return re.sub(r"[\W\d_]", "", name)
