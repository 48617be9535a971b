"""A table of features: columns with the family of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import FeatureMismatch


@dataclass(frozen=True)
class FeatureTable:
    """Features at every instant, one array per column, so that tables are joined without a copy.

    Attributes
    ----------
    names : list of str
        The f columns.
    families : list of str
        Family of each column.
    categorical : list of str
        Columns whose values are positions in a list of categories.
    columns : list of (m,) float32 arrays
        NaN where unknown.
    """

    names: list[str]
    families: list[str]
    categorical: list[str]
    columns: list[NDArray[np.float32]]

    def join(self, other: FeatureTable) -> FeatureTable:
        """Return one table of the columns of both."""
        return FeatureTable(
            self.names + other.names,
            self.families + other.families,
            self.categorical + other.categorical,
            self.columns + other.columns,
        )

    def names_of(self, families: Iterable[str]) -> list[str]:
        """Return the columns of some families, in the order of the table."""
        chosen = set(families)
        return [name for name, family in zip(self.names, self.families, strict=True) if family in chosen]

    def matrix(self, names: Sequence[str], rows: NDArray[Any] | slice = slice(None)) -> NDArray[np.float32]:
        """Return the named columns of some rows, shape (r, len(names)).

        Raises
        ------
        FeatureMismatch
            If a column is not in the table.
        """
        position = {name: column for column, name in enumerate(self.names)}
        missing = [name for name in names if name not in position]
        if missing:
            raise FeatureMismatch(
                f"{len(missing)} features of the model cannot be computed, first {missing[0]!r}",
                hint="provide the tables that the model was trained with",
            )
        columns = [self.columns[position[name]][rows] for name in names]
        if not columns:
            # NumPy cannot stack an empty list. A table without columns has an unknown number of rows.
            first = self.columns[0][rows] if self.columns else np.empty(0 if isinstance(rows, slice) else len(rows))
            return np.empty((len(first), 0), np.float32)
        return np.stack(columns, axis=1)
