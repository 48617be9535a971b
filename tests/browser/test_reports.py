from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

THEMES = ("light", "dark")
WIDTHS = (400, 1200)
# Text nodes that can be seen, with the contrast of each to what it stands on (WCAG 2.2, relative luminance).
CONTRASTS = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const seen = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest('title, desc, style')) continue;
    const style = getComputedStyle(element);
    const ink = parse(element.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const [high, low] = [luminance(ink), luminance(ground(element))].sort((a, b) => b - a);
    seen.push([node.data.trim().slice(0, 40), (high + 0.05) / (low + 0.05)]);
  }
  return seen;
}"""


@pytest.fixture(params=["prepared", "model", "predictions"])
def report(request: pytest.FixtureRequest, reports: dict[str, Path]) -> Path:
    return reports[request.param]


@contextmanager
def opened(browser: Browser, report: Path, *, width: int = 1200, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a report; what the console says and what is asked of the network is noted."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page, noted = context.new_page(), []
    page.on("console", lambda message: noted.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: noted.append(f"error: {error}"))
    page.on("request", lambda request: noted.append(request.url))
    page.goto(report.as_uri())
    try:
        yield page, noted
    finally:
        context.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_says_nothing_and_asks_for_nothing(browser: Browser, report: Path, width: int, theme: Any) -> None:
    with opened(browser, report, width=width, color_scheme=theme) as (page, noted):
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = (
            "[...document.querySelectorAll('body *')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth)"
        )
        scrolled = f"{wide}.filter(e => /auto|scroll/.test(getComputedStyle(e).overflowX)).map(e => e.outerHTML)"
        assert page.evaluate(scrolled) == []
        assert noted == [report.as_uri()]


@pytest.mark.parametrize("width", [320, 640, 700, 960, 961])
def test_it_fits_between(browser: Browser, report: Path, width: int) -> None:
    with opened(browser, report, width=width) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_text_stands_out_in_both_themes(browser: Browser, report: Path, width: int) -> None:
    grounds = set()
    for theme in ("light", "dark"):
        with opened(browser, report, width=width, color_scheme=theme) as (page, _):
            page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
            contrasts = page.evaluate(CONTRASTS)
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(contrasts) > 50
        assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
    assert len(grounds) == 2


def test_every_plot_is_told_in_words(browser: Browser, report: Path) -> None:
    with opened(browser, report) as (page, _):
        plots = page.get_by_role("img").all()
        assert len(plots) == page.locator("svg").count() > 0
        for plot in plots:
            keys = (plot.get_attribute("aria-labelledby") or "").split()
            told = [page.locator(f"[id='{key}']").text_content() for key in keys]
            assert all(told)
            # A picture in a cell has a label of its own.
            assert len(told) == 2 or plot.get_attribute("aria-label")


def test_ids_are_there_once_and_links_lead_somewhere(browser: Browser, report: Path) -> None:
    with opened(browser, report) as (page, _):
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
        links = page.evaluate("[...document.querySelectorAll('a')].map(e => e.getAttribute('href'))")
        assert {link.removeprefix("#") for link in links} <= set(ids)


def test_headings_descend_and_tables_have_captions(browser: Browser, report: Path) -> None:
    with opened(browser, report) as (page, _):
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => Number(e.tagName[1]))")
        assert levels.count(1) == 1
        assert all(following - level <= 1 for level, following in pairwise(levels))
        tables = page.locator("table")
        assert tables.count() == page.locator("table > caption").count() > 0
        assert page.locator("tbody tr").count() == page.locator("tbody tr > th[scope=row]").count()


def test_it_reads_without_javascript(browser: Browser, report: Path) -> None:
    with opened(browser, report, java_script_enabled=False) as (page, _):
        headings = page.get_by_role("heading", level=2)
        assert headings.count() >= 3
        assert all(heading.is_visible() for heading in headings.all())
        files = page.get_by_text("Output files (")
        assert not page.get_by_role("table", name="Output files").is_visible()
        files.click()
        assert page.get_by_role("table", name="Output files").is_visible()
    assert "<script" not in report.read_text()


def test_on_paper_it_is_light_and_whole(browser: Browser, report: Path) -> None:
    with opened(browser, report, width=794, color_scheme="dark") as (page, _):
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 31, 36)"
        assert not page.locator("nav").is_visible()
        settings = re.compile(r"labels\.lead_time_hours|predict\.latest|preprocess\.timezone")
        assert page.get_by_text(settings).first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 794
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_it_is_small(report: Path) -> None:
    assert report.stat().st_size < 1_000_000
