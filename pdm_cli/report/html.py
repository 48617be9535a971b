"""Report pages as one HTML file each: no script, no other file, nothing from the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.report.page import Page
from pdm_cli.text import plain_lines

if TYPE_CHECKING:
    from markupsafe import Markup

REPORT_FILE = "report.html"
_TEMPLATE = "page.html.j2"
# In the head of every page.
_MARK, _HEAD_BYTES = b'<meta name="generator" content="pdm">', 4096
_STAMP = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?")


def is_report(path: Path) -> bool:
    """Return whether a file is a report that this made."""
    with path.open("rb") as file:
        return _MARK in file.read(_HEAD_BYTES)


def render(page: Page) -> str:
    """Return a page as HTML; the same page gives the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pdm_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["stamped"] = _keep_stamps_whole
    # Names may hold what is no letter.
    return plain_lines(environment.get_template(_TEMPLATE).render(page=page))


def _keep_stamps_whole(text: str) -> Markup:
    """Return escaped text in which no line ends inside a stamp."""
    from markupsafe import Markup, escape

    # Escaped before it is declared to be HTML; what the pattern adds is a fixed tag around digits.
    return Markup(_STAMP.sub(r'<span class="stamp">\g<0></span>', str(escape(text))))
