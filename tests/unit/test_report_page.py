from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from pdm_cli.params import LabelsParams, TrainParams
from pdm_cli.report.html import render
from pdm_cli.report.making import tell_making
from pdm_cli.report.page import Figure, Grid, Page, Section, Tile, make_columns

HOSTILE = "<script>alert('x')</script>"
MADE: dict[str, Any] = {
    "command_line": ["/some/where/pdm", "train", "--prepared", "my data", "--fast"],
    "versions": {"numpy": "2.0", "python": "3.11.1", "pdm-cli": "0.1"},
    "code": "c0de",
    "inputs": {"prepared": {f"part-{number:02}.parquet": {"bytes": 7, "sha256": "ab"} for number in range(40)}},
}
FIGURE = Figure('<svg role="img"></svg>', HOSTILE)


def page_of(*sections: Section) -> Page:
    return Page(HOSTILE, HOSTILE, [Tile(HOSTILE, HOSTILE, HOSTILE)], list(sections))


def made_with(settings: dict[str, Any], made: Any = MADE) -> Section:
    return tell_making(made, settings, {"bundle.json": "ff"})


def test_whatever_names_hold_is_text() -> None:
    grid = Grid(HOSTILE, make_columns(HOSTILE, ">n"), [[HOSTILE, HOSTILE]], HOSTILE, [0.5], HOSTILE)
    html = render(page_of(Section("a", HOSTILE, [HOSTILE], [FIGURE], False, [grid], [HOSTILE])))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 12


def test_figures_stand_as_they_were_drawn() -> None:
    assert FIGURE.svg in render(page_of(Section("a", "A", figures=[FIGURE])))


def test_a_line_does_not_end_inside_a_stamp() -> None:
    html = render(page_of(Section("a", "A", ["from 2015-10-01 06:00 & on"])))
    assert 'from <span class="stamp">2015-10-01 06:00</span> &amp; on' in html


def test_settings_that_differ_come_before_the_others() -> None:
    train = {**asdict(TrainParams()), "fast": True, "cutoff": "2015-10-01 00:00:00"}
    section = made_with(json.loads(json.dumps({"train": train, "labels": asdict(LabelsParams())})))
    changed, kept = section.grids[:2]
    assert changed.rows == [["train.cutoff", "2015-10-01 00:00:00", "-"], ["train.fast", "yes", "no"]]
    assert ["labels.horizon_hours", "48"] in kept.rows
    assert kept.summary
    assert not changed.summary


def test_the_order_of_a_manifest_does_not_matter() -> None:
    settings = {"train": {"trees": 20, "fast": True, "seed": 1}, "labels": {"horizon_hours": 24.0}}
    turned = {"labels": settings["labels"], "train": dict(sorted(settings["train"].items()))}
    made = {**MADE, "versions": dict(sorted(MADE["versions"].items())), "inputs": {"a": {}, **MADE["inputs"]}}
    other = {**made, "inputs": {**MADE["inputs"], "a": {}}}
    assert made_with(settings, made) == made_with(turned, other)


def test_settings_as_a_manifest_has_them_are_known_as_defaults() -> None:
    # Tuples become lists there.
    section = made_with({"train": {"count_hours": [24.0, 48.0]}})
    assert section.words == ["All settings have their defaults."]


def test_the_command_is_what_was_typed_without_the_place_of_the_program() -> None:
    assert made_with({}).command == ["pdm", "train", "--prepared", "'my data'", "--fast"]


def test_of_many_files_the_first_are_listed() -> None:
    read = next(grid for grid in made_with({}).grids if grid.caption == "Files read")
    assert len(read.rows) == 30
    assert read.summary == "Files read (40)"
    assert read.note == "and 10 more in manifest.json"


def test_without_a_manifest_it_is_said_so() -> None:
    section = made_with({}, None)
    assert section.command == []
    assert "no manifest.json" in section.words[-1]


def test_empty_sections_leave_no_empty_parts() -> None:
    page = replace(page_of(Section("a", "A")), tiles=[])
    html = render(page)
    assert "<dl" not in html
    assert 'class="figures' not in html
    assert "<table" not in html
