"""Event labels: how often each occurs, and which may be misspellings of another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

# A misspelling is less frequent than the correct word.
_MOST_SHARE = 0.5
# In shorter names, one letter more or less makes another word: oil, coil.
_LEAST_LETTERS = 4
# More labels than this are machine codes, not words typed by a person.
_MOST_LABELS = 200


class SimilarLabels(NamedTuple):
    """A label that may be a misspelling of a more common one."""

    rare: str
    common: str


def count_labels(labels: pd.Series) -> dict[str, int]:
    """Return how often each label occurs, the most frequent first, ties by name."""
    counts = labels.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return {str(name): int(count) for name, count in counts.items()}


def find_similar_labels(counts: Mapping[str, int]) -> list[SimilarLabels]:
    """Return labels that differ from a more frequent one by case or whitespace, or by a typo if they are rare.

    A typo is an extra letter, a missing letter, or two swapped letters; a name with one letter replaced may well be
    another one, as in ``pumpA`` and ``pumpB``. So are names with other numbers or symbols: ``comp1`` and ``comp2``,
    ``1.12`` and ``11.2``.

    Parameters
    ----------
    counts : mapping of str to int
        How often each label occurs, the most frequent first.

    Examples
    --------
    >>> find_similar_labels({"comp1": 192, "comp2": 150, "Comp 1": 20, "cmop2": 1})
    [SimilarLabels(rare='Comp 1', common='comp1'), SimilarLabels(rare='cmop2', common='comp2')]
    """
    if len(counts) > _MOST_LABELS:
        return []
    found, names = [], list(counts)
    for position, rare in enumerate(names):
        common = next((name for name in names[:position] if _are_similar(rare, name, counts)), None)
        if common is not None:
            found.append(SimilarLabels(rare, common))
    return found


def match_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the known spelling of names that differ from it by case, whitespace, separators or leading zeros only.

    Names that could be several known ones are left out.

    Examples
    --------
    >>> match_names(["p 1", "007", "1-1", "q"], ["P-1", "7", "8", "11"])
    {'p 1': 'P-1', '007': '7'}
    """
    spellings: dict[str, list[str]] = {}
    for name in known:
        spellings.setdefault(_simplify(name), []).append(name)
    found = {name: spellings.get(_simplify(name), []) for name in names}
    return {name: same[0] for name, same in found.items() if len(same) == 1}


def _simplify(name: str) -> str:
    # Between digits a separator is part of the number: 1-1 is not 11.
    joined = re.sub(r"(?<!\d)[\s_-]+|[\s_-]+(?!\d)", "", name.strip())
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]+", "-", joined)).casefold()


def _are_similar(rare: str, common: str, counts: Mapping[str, int]) -> bool:
    if re.findall(r"\d+", rare) != re.findall(r"\d+", common):
        return False
    here, there = (re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", "", name.strip()).casefold() for name in (rare, common))
    if here == there:
        return True
    is_rare = counts[rare] <= _MOST_SHARE * counts[common]
    return is_rare and _symbols(here) == _symbols(there) and _is_typo(here, there)


def _symbols(name: str) -> str:
    """Return everything in a name except its letters."""
    return re.sub(r"[^\W\d_]", "", name)


def _is_typo(here: str, there: str) -> bool:
    shorter, longer = sorted((here, there), key=len)
    if len(_letters(shorter)) < _LEAST_LETTERS:
        return False
    if len(longer) == len(shorter) + 1:
        return any(longer[:place] + longer[place + 1 :] == shorter for place in range(len(longer)))
    swapped = (here[:i] + here[i + 1] + here[i] + here[i + 2 :] for i in range(len(here) - 1))
    return len(here) == len(there) and there in swapped


def _letters(name: str) -> str:
    return re.sub(r"[\W\d_]", "", name)
