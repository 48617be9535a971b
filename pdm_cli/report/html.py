"""Report pages as one HTML file each: no script, no other file, nothing from the network."""

from __future__ import annotations

from pdm_cli.report.page import Page

REPORT_FILE = "report.html"
_TEMPLATE = "page.html.j2"


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
    return environment.get_template(_TEMPLATE).render(page=page)
