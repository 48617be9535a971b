"""A report page as data: what stands on it, in order; the template gives it its form."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its head.
    is_number : bool
        Whether it is set to the right.
    """

    name: str
    is_number: bool


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes
    ----------
    caption : str
        What it tells.
    columns : list of Column
        Heads; the first one's cells are the heads of their rows.
    rows : list of list of str
        Cells.
    note : str
        Small print below it.
    bars : list of float
        Length of a bar in the last cell of each row, 0 to 1; empty where there are none.
    summary : str
        Where not empty, the table is folded away behind these words.
    """

    caption: str
    columns: list[Column]
    rows: list[list[str]]
    note: str = ""
    bars: list[float] = field(default_factory=list)
    summary: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot and the words below it.

    Attributes
    ----------
    svg : str
        Drawn by :func:`pdm_cli.report.plots.draw`.
    caption : str
        Words below it.
    """

    svg: str
    caption: str


@dataclass(frozen=True)
class Tile:
    """A number that must catch the eye.

    Attributes
    ----------
    label, value, note : str
        What it is, the number with its unit, and what puts it into proportion.
    """

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading.

    Attributes
    ----------
    key : str
        Its anchor.
    heading : str
        Words of the heading.
    words : list of str
        Paragraphs.
    figures : list of Figure
        Plots side by side as there is room.
    is_wide : bool
        Whether plots need more than a quarter of the page.
    grids : list of Grid
        Tables.
    command : list of str
        Words of a command line; lines end between them.
    """

    key: str
    heading: str
    words: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    is_wide: bool = False
    grids: list[Grid] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes
    ----------
    title, subtitle : str
        What it is about.
    tiles : list of Tile
        The few numbers that matter most.
    sections : list of Section
        In order.
    """

    title: str
    subtitle: str
    tiles: list[Tile]
    sections: list[Section]


def make_columns(*names: str) -> list[Column]:
    """Return columns; those whose name begins with ``>`` hold numbers.

    Examples
    --------
    >>> make_columns("machine", ">rows")
    [Column(name='machine', is_number=False), Column(name='rows', is_number=True)]
    """
    return [Column(name.removeprefix(">"), name.startswith(">")) for name in names]
