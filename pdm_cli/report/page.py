"""Report pages: their elements as data, and their HTML: one self-contained file without scripts or network access."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.text import plain_lines

if TYPE_CHECKING:
    from markupsafe import Markup

REPORT_FILE = "report.html"
_TEMPLATE = "page.html.j2"
# In the head of every page.
_MARK, _HEAD_BYTES = b'<meta name="generator" content="pdm">', 4096
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?")
# Letters of a name that stay on a line in a table of more than two columns, which phones show as blocks; longer names
# break after separators first.
_UNBROKEN = 20
_LONG_NAME, _SEPARATOR = re.compile(rf"[^\s<>&;]{{{_UNBROKEN + 1},}}"), re.compile(r"[_./:-]")


@dataclass(frozen=True)
class Column:
    """Name of a table column; numbers are right-aligned."""

    name: str
    is_number: bool


@dataclass(frozen=True)
class Picture:
    """A small picture in a cell of a table: the attributes and content of an ``svg`` element, and its description."""

    svg: str
    text: str


@dataclass(frozen=True)
class Grid:
    """A table; the cells of its first column are row headers."""

    caption: str
    columns: list[Column]
    rows: Sequence[Sequence[str | Picture]]
    # Small print below the table.
    note: str = ""
    # Length of a bar in the last cell of each row, 0 to 1.
    bars: list[float] = field(default_factory=list)
    # Unless empty, the table is collapsed under this line.
    summary: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot drawn by :func:`pdm_cli.report.plots.draw`, with its caption."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Tile:
    """A key figure with its unit, and a note that puts it into proportion."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Notice:
    """A sentence that a reader should not miss, the way to solve it, and whether it warns."""

    text: str
    hint: str
    is_warning: bool


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading; ``key`` is its anchor."""

    key: str
    heading: str
    paragraphs: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    # Whether figures need more than a quarter of the page.
    is_wide: bool = False
    grids: list[Grid] = field(default_factory=list)
    # Words of a command line; lines break between them.
    command: list[str] = field(default_factory=list)
    # Shown below the paragraphs.
    notices: list[Notice] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A whole report."""

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


def is_report(path: Path) -> bool:
    """Return whether a file is a report written by pdm."""
    with path.open("rb") as file:
        return _MARK in file.read(_HEAD_BYTES)


def render(page: Page) -> str:
    """Return a page as HTML; the same page gives the same bytes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pdm_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["unbroken_times"] = _keep_times_unbroken
    environment.filters["breakable"] = _let_names_break
    environment.globals["unbroken_length"] = _UNBROKEN
    # Names may contain control characters.
    return plain_lines(environment.get_template(_TEMPLATE).render(page=page))


def _let_names_break(text: str) -> Markup:
    """Return the text of :func:`_keep_times_unbroken` in which long names break after their separators."""
    from markupsafe import Markup

    return Markup(_LONG_NAME.sub(lambda name: _SEPARATOR.sub(r"\g<0><wbr>", name[0]), _keep_times_unbroken(text)))


def _keep_times_unbroken(text: str) -> Markup:
    """Return escaped text in which no line breaks inside a time."""
    from markupsafe import Markup, escape

    # Escaped before it is marked as HTML; the pattern only adds a fixed tag around digits.
    return Markup(_TIME.sub(r'<span class="time">\g<0></span>', str(escape(text))))
