from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console

from pdm_cli.cli.render.results import draw_forecast
from pdm_cli.report.page import Figure, Grid, Page, Section, Tile, make_columns, render
from pdm_cli.report.predictions_page import PredictionFacts, compose_predictions_page
from pdm_cli.report.provenance import describe_provenance
from pdm_cli.settings.model import LabelsParams, TrainParams

HOSTILE = "<script>alert('x')</script>"
MADE: dict[str, Any] = {
    "command_line": ["/some/where/pdm", "train", "--prepared", "my data", "--fast"],
    "versions": {"numpy": "2.0", "python": "3.11.1", "pdm-cli": "0.1"},
    "code": "c0de",
    "inputs": {"prepared": {f"part-{number:02}.parquet": {"bytes": 7, "sha256": "ab"} for number in range(40)}},
}
FIGURE = Figure('<svg role="img"></svg>', HOSTILE)


SUMMARY: dict[str, Any] = {
    **{"rows": 9, "machines": 60, "alerts": 1, "episodes": 12, "lead_time_hours": 3.0, "horizon_hours": 48.0},
    **{"start": "2015-08-01T00:00", "end": "2015-09-01T06:00", "trained": {"cutoff": "2015-07-01T00:00"}},
    **{
        "silent": {"count": 0, "first": []},
        "dead_sensors": [],
        "worklist": [],
        "nearest": [],
        "drift_rows": 9_000,
        "drift": [],
    },
}
STAMP = "2015-08-28T04:00:00"


def predictions_of(**changes: Any) -> Page:
    return compose_predictions_page(PredictionFacts({**SUMMARY, **changes}, [], [], None, {}))


def page_of(*sections: Section) -> Page:
    return Page(HOSTILE, HOSTILE, [Tile(HOSTILE, HOSTILE, HOSTILE)], list(sections))


def made_with(settings: dict[str, Any], made: Any = MADE) -> Section:
    return describe_provenance(made, settings, {"bundle.json": "ff"})


def test_whatever_names_hold_is_text() -> None:
    grid = Grid(HOSTILE, make_columns(HOSTILE, ">n"), [[HOSTILE, HOSTILE]], HOSTILE, [0.5], HOSTILE)
    html = render(page_of(Section("a", HOSTILE, [HOSTILE], [FIGURE], False, [grid], [HOSTILE])))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 12


def test_figures_stand_as_they_were_drawn() -> None:
    assert FIGURE.svg in render(page_of(Section("a", "A", figures=[FIGURE])))


def test_predictions_page_begins_with_problems_in_the_data() -> None:
    first = [{"machineID": f"P-{number}", "datetime": STAMP} for number in range(5)]
    dead = {"sensor": "Druck", "machines": 60, "first": "P-1", "since": STAMP}
    page = predictions_of(silent={"count": 7, "first": first}, dead_sensors=[dead])
    assert [section.key for section in page.sections] == ["problems", "work", "drift", "made"]
    silent, sensors = page.sections[0].paragraphs
    assert silent.startswith(
        "Silent for more than 48 h before the newest reading: machines P-0 (since 2015-08-28 04:00),"
    )
    assert "P-4 (since 2015-08-28 04:00) and 2 more. Their" in silent
    assert sensors.startswith(
        "No reading of Druck for more than 48 h on 60 machines, first P-1 (since 2015-08-28 04:00)."
    )
    (alone,) = predictions_of(silent={"count": 1, "first": first[:1]}).sections[0].paragraphs
    assert ": machine P-0 (since 2015-08-28 04:00). Their" in alone
    assert predictions_of().sections[0].key == "work"


def test_predictions_page_gives_the_start_of_its_alert_episodes() -> None:
    tile = next(tile for tile in predictions_of().tiles if tile.label == "Alert episodes")
    assert (tile.value, tile.note) == ("12", "since 2015-08-01 00:00")


def test_predictions_page_says_that_alert_episodes_include_the_training_period() -> None:
    page = predictions_of(trained={"cutoff": "2015-08-20T00:00"})
    tile = next(tile for tile in page.tiles if tile.label == "Alert episodes")
    assert tile.note == "since 2015-08-01 00:00, including the training period (to 2015-08-20 00:00)"


def test_predictions_page_of_cycles_has_no_end_of_training() -> None:
    times = {"start": "2000-01-01T01:00", "end": "2000-01-13T15:00", "trained": {"cutoff": "2000-01-16T02:00"}}
    page = predictions_of(**times, cycle_hours=1.0)
    tile = next(tile for tile in page.tiles if tile.label == "Alert episodes")
    assert tile.note == "since cycle 1"
    assert page.subtitle.endswith(" from cycle 1 to 303.")
    assert predictions_of(**times).subtitle.endswith(", by a model trained on data up to 2000-01-16 02:00.")


def test_closest_alerts_and_drift_are_readable_on_page_and_screen() -> None:
    nearest = [{"machineID": 52, "component": "engine", "probability": 0.4182, "threshold": 0.4246}]
    drift = [{"feature": "s17_mean_8h", "stability_index": 0.49}]
    (grid,) = predictions_of(nearest=nearest).sections[0].grids
    assert grid.rows == [["52", "engine", "41.8%", "42.5%"]]
    drawn = Console(width=200)
    with drawn.capture() as capture:
        for item in draw_forecast({**SUMMARY, "nearest": nearest, "drift": drift, "cycle_hours": 1.0}):
            drawn.print(item)
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert "52 engine 41.8% 42.5%" in lines
    assert "s17, mean over 8 cycles 0.49" in lines


def test_long_names_in_tables_break_after_separators() -> None:
    names = ["smart_1_raw", "oil_temperature_of_the_gearbox"]
    grid = Grid("Sensors", make_columns("sensor", "x", "y"), [[name, "x", "y"] for name in names])
    pair = Grid("Settings", make_columns("setting", "value"), [["some", "x"]])
    text = render(page_of(Section("a", "A", grids=[grid, pair])))
    assert '<th role="rowheader" scope="row">some</th>' in text
    assert '<th role="rowheader" scope="row" style="min-width:calc(11ch + 1.25rem)">smart_1_raw</th>' in text
    assert 'min-width:calc(20ch + 1.25rem)">oil_<wbr>temperature_<wbr>of_<wbr>the_<wbr>gearbox</th>' in text


def test_an_alert_that_is_off_is_marked_on_page_and_screen() -> None:
    stamps = dict.fromkeys(("datetime", "since", "expected_from", "expected_until"), STAMP)
    row = {"rank": 1, "machineID": 4, "component": "comp1", "probability": 0.83, "is_stale": False, "reasons": "x"}
    ended = {"since": "2015-08-28T07:00:00", "probability": 0.21}
    work = [{**row, **stamps, "ended": ended}, {**row, **stamps, "ended": {**ended, "since": None}}]
    work.append({**row, **stamps, "machineID": 7, "probability": 0.49})
    page = predictions_of(worklist=work)
    (grid,) = page.sections[0].grids
    assert [cells[4] for cells in grid.rows] == [
        "2015-08-28 04:00; off since 2015-08-28 07:00, now 21%",
        "2015-08-28 04:00; off, now 21%",
        "2015-08-28 04:00",
    ]
    assert "Where the alert is off" in grid.note
    # The most urgent is the first with the alert on, also in a work list of an earlier version.
    assert (page.tiles[1].value, page.tiles[1].note) == ("49%", "machine 7, comp1")
    off = predictions_of(worklist=work[:2]).tiles
    assert [(tile.value, tile.note) for tile in off[1:2]] == [("-", "no active alert")]
    assert "Where the alert is off" not in predictions_of(worklist=[{**row, **stamps}]).sections[0].grids[0].note
    drawn = Console(width=200)
    with drawn.capture() as capture:
        for item in draw_forecast({**SUMMARY, "worklist": work}):
            drawn.print(item)
    assert "08-28 04:00; off since 08-28 07:00, now 21%" in capture.get()
    assert "where the alert is off, as of the last reading with the alert on" in capture.get()
    assert "drift: none" in capture.get()


def test_weak_components_of_the_model_are_named_on_page_and_screen() -> None:
    lucky = {"failures": 4, "caught": 3, "caught_by_chance": 2.5, "chance_p_value": 0.4}
    good = {**lucky, "caught": 4, "chance_p_value": 0.01}
    test = {"belt": lucky, "gear": good, "filter": {**good, "failures": 64, "caught": 0}}
    section = predictions_of(model_test=test).sections[0]
    chance = "not clearly better than chance in the same time under alert: belt (3 of 4 failures caught, 2.5 by chance)"
    expected = [f"In the test of the model, {chance}", "In the test of the model, no failure caught: filter (of 64)"]
    assert (section.key, section.paragraphs) == ("limits", [f"{line}." for line in expected])
    drawn = Console(width=200)
    with drawn.capture() as capture:
        for item in draw_forecast({**SUMMARY, "model_test": test}):
            drawn.print(item)
    assert "".join(f"{line[0].lower()}{line[1:]}\n" for line in expected) in capture.get()
    assert predictions_of(model_test={"gear": good}).sections[0].key == "work"


def test_hours_to_failure_are_shown_on_page_and_screen_if_the_model_has_them() -> None:
    stamps = dict.fromkeys(("datetime", "since", "expected_from", "expected_until"), STAMP)
    row = {"rank": 1, "machineID": 4, "component": "comp1", "probability": 0.83, "is_stale": False, "reasons": "x"}
    hours = {"hours_to_failure_low": 20.4, "hours_to_failure_median": 33.0, "hours_to_failure_high": 60.2}
    later, never = {**hours, "hours_to_failure_high": None}, dict.fromkeys(hours)
    work = [{**row, **stamps, **each} for each in (hours, later, never)]
    (grid,) = predictions_of(worklist=work).sections[0].grids
    assert [cells[6] for cells in grid.rows] == ["in 20 to 60 h", "in 20 h or more", "-"]
    (old,) = predictions_of(worklist=[{**row, **stamps}]).sections[0].grids
    assert len(old.rows[0]) == len(grid.rows[0]) - 1
    assert "Four of five" not in old.note
    drawn = Console(width=200)
    with drawn.capture() as capture:
        for item in draw_forecast({**SUMMARY, "worklist": work, "cycle_hours": 2.0}):
            drawn.print(item)
    assert "1: fails in 10 to 30 cycles; x" in capture.get()
    assert "1: x" in capture.get()


def test_no_probability_is_shown_as_certain() -> None:
    stamps = dict.fromkeys(("datetime", "since", "expected_from", "expected_until"), STAMP)
    row = {"rank": 1, "machineID": 4, "component": "comp1", "probability": 0.9999, "is_stale": False, "reasons": "x"}
    near = {"machineID": 5, "component": "comp2", "probability": 0.0049, "threshold": 0.42}
    page = predictions_of(worklist=[{**row, **stamps}], nearest=[near])
    assert page.tiles[1].value == ">99%"
    work, nearest = page.sections[0].grids
    assert work.rows[0][3] == ">99%"
    assert nearest.rows == [["5", "comp2", "<1%", "42%"]]
    drawn = Console(width=200)
    with drawn.capture() as capture:
        for item in draw_forecast({**SUMMARY, "worklist": [{**row, **stamps}], "nearest": [near]}):
            drawn.print(item)
    assert ">99%" in capture.get()
    assert "<1%" in capture.get()
    assert "100%" not in capture.get()


def test_render_does_not_break_lines_inside_a_time() -> None:
    html = render(page_of(Section("a", "A", ["from 2015-10-01 06:00 & on"])))
    assert 'from <span class="time">2015-10-01 06:00</span> &amp; on' in html


def test_settings_that_differ_come_before_the_others() -> None:
    train = {**asdict(TrainParams()), "fast": True, "cutoff": "2015-10-01 00:00:00"}
    section = made_with(json.loads(json.dumps({"train": train, "labels": asdict(LabelsParams())})))
    changed, kept = section.grids[:2]
    assert changed.rows == [["train.cutoff", "2015-10-01 00:00:00", "-"], ["train.fast", "yes", "no"]]
    assert ["labels.horizon_hours", "48"] in kept.rows
    assert kept.summary
    assert not changed.summary


def test_a_setting_that_may_be_detected_is_not_one_that_was_set() -> None:
    preprocess = {"preprocess": {"phase_minutes": 0.0, "max_gap_hours": 12.0}}
    section = describe_provenance(MADE, preprocess, {}, detected=("preprocess.phase_minutes",))
    changed, kept = section.grids[:2]
    assert changed.rows == [["preprocess.max_gap_hours", "12", "24"]]
    assert kept.rows == [["preprocess.phase_minutes", "0 (detected unless given)"]]


def test_the_order_of_a_manifest_does_not_matter() -> None:
    settings = {"train": {"trees": 20, "fast": True, "seed": 1}, "labels": {"horizon_hours": 24.0}}
    turned = {"labels": settings["labels"], "train": dict(sorted(settings["train"].items()))}
    made = {**MADE, "versions": dict(sorted(MADE["versions"].items())), "inputs": {"a": {}, **MADE["inputs"]}}
    other = {**made, "inputs": {**MADE["inputs"], "a": {}}}
    assert made_with(settings, made) == made_with(turned, other)


def test_settings_as_a_manifest_has_them_are_known_as_defaults() -> None:
    # Tuples become lists there.
    section = made_with({"train": {"count_hours": [24.0, 48.0]}})
    assert section.paragraphs == ["All settings have their default values."]


def test_the_command_is_what_was_typed_without_the_place_of_the_program() -> None:
    assert made_with({}).command == ["pdm", "train", "--prepared", "'my data'", "--fast"]


def test_of_many_files_the_first_are_listed() -> None:
    read = next(grid for grid in made_with({}).grids if grid.caption == "Input files")
    assert len(read.rows) == 30
    assert read.summary == "Input files (40)"
    assert read.note == "and 10 more in manifest.json"


def test_provenance_without_a_manifest_says_so() -> None:
    section = made_with({}, None)
    assert section.command == []
    assert "no manifest.json" in section.paragraphs[-1]


def test_empty_sections_leave_no_empty_parts() -> None:
    page = replace(page_of(Section("a", "A")), tiles=[])
    html = render(page)
    assert "<dl" not in html
    assert 'class="figures' not in html
    assert "<table" not in html
