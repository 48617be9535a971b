"""Rows of a new table that an old one has already: the same, or with other values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class Pairs:
    """Pairs of a new and an old row with the same key.

    Attributes
    ----------
    new, old : array of int, shape (pairs,)
        Positions of the rows in their frames.
    is_same : array of bool, shape (pairs,)
        Whether all other columns agree; two missing values do.
    """

    new: npt.NDArray[np.int64]
    old: npt.NDArray[np.int64]
    is_same: npt.NDArray[np.bool_]


def find_overlaps(new: pd.DataFrame, old: pd.DataFrame, *, key: Sequence[str]) -> Pairs:
    """Find the rows of two frames that have the same key.

    Parameters
    ----------
    new, old : DataFrame
        Frames with the same columns and types.
    key : sequence of str
        Columns that identify a row; no value in them is missing.
    """
    names = list(key)
    numbered = [frame[names].assign(__row=np.arange(len(frame))) for frame in (new, old)]
    pairs = numbered[0].merge(numbered[1], on=names, suffixes=("_new", "_old"))
    left, right = (pairs[f"__row_{side}"].to_numpy(dtype=np.int64) for side in ("new", "old"))
    is_same = np.ones(len(pairs), dtype=bool)
    for name in new.columns.difference(names):
        one, other = (frame[name].iloc[rows].reset_index(drop=True) for frame, rows in ((new, left), (old, right)))
        is_same &= ((one == other).fillna(False) | (one.isna() & other.isna())).to_numpy(dtype=bool)
    return Pairs(left, right, is_same)
