"""Tables in the style of all screens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def make_table(first: str, *columns: tuple[str, Any]) -> Table:
    """Return an empty table with the given columns and alignments."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first)
    for name, justify in columns:
        # On a narrow terminal text wraps; numbers do not.
        table.add_column(name, justify=justify, no_wrap=justify == "right")
    return table
