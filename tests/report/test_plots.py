from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from pdm_cli.report import plots

SVG = "{http://www.w3.org/2000/svg}"
LINE: dict[str, Any] = {
    "sensor": "$volt_1$",
    "readings": {"hours": [-48.0, -24.0, 0.0], "values": [170.0, None, 180.0], "averaged": 1},
    "anomalies": {"hours": [-24.0], "values": [190.0]},
    "prediction": {"hours": [-48.0, -24.0, 0.0], "probability": [0.0, 0.9, 0.1], "alert": [False, True, False]},
}
NOTHING: dict[str, Any] = {
    "sensor": "volt",
    "readings": {"hours": [], "values": [], "averaged": 1},
    "anomalies": None,
    "prediction": {"hours": [], "probability": [], "alert": []},
}
PAINTED = {
    "precision": plots.paint_precision_recall([0.5, 1.0], [1.0, 0.6], (0.5, 1.0)),
    "no-alert": plots.paint_precision_recall([1.0], [1.0], None),
    "calibration": plots.paint_calibration([0.1, 0.9], [0.0, 1.0], [5000, 3]),
    "warnings": plots.paint_warnings([0.0, 24.0, 48.0], [3, 0], 3.0),
    "timeline": plots.paint_timeline(LINE, (0.6, 0.2)),
    "never": plots.paint_timeline(NOTHING, (2.0, 2.0)),
    "alarms": plots.paint_alarm_curve([0.0, 0.02, 0.5], [0.0, 0.5, 1.0], 1, "month"),
    "one-rule": plots.paint_alarm_curve([0.0], [0.5], 0, "1,000 cycles"),
    "health": plots.paint_health([-6.0, -3.0, 0.0], [0.9, float("nan"), 0.2], [False, False, True]),
    "months": plots.paint_health([-720.0, -360.0, 0.0], [0.9, 0.2, 0.9], [False, True, False]),
    "outlook": plots.paint_outlook([-6.0, -3.0, 0.0], [0.1, 0.5, 0.9], [False, False, True]),
}


@pytest.fixture(params=PAINTED)
def svg(request: pytest.FixtureRequest) -> str:
    return plots.draw(PAINTED[request.param], name=request.param, title="A <plot> & more", text="What it shows")


def read(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_a_plot_is_an_image_with_title_and_description(svg: str) -> None:
    root = read(svg)
    assert root.get("role") == "img"
    told = {element.get("id"): element.text for element in root[:2]}
    assert [told[key] for key in root.attrib["aria-labelledby"].split()] == ["A <plot> & more", "What it shows"]


def test_colours_are_those_of_the_page(svg: str) -> None:
    colours = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg))
    assert colours <= {
        "none",
        "currentColor",
        *(f"var(--{name})" for name in ("soft", "line", "blue", "orange", "red")),
    }
    assert not re.search(r"#[0-9a-f]{6}", svg)


def test_ids_are_those_of_the_plot_and_every_reference_has_one(svg: str, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["svg"]
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert all(key.startswith(f"{name}-") for key in ids)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= set(ids)


def test_the_same_plot_is_the_same_text_whatever_the_users_style_is(svg: str, request: pytest.FixtureRequest) -> None:
    import matplotlib

    name = request.node.callspec.params["svg"]
    with matplotlib.rc_context({"axes.linewidth": 7, "font.size": 30, "svg.fonttype": "path"}):
        again = plots.draw(PAINTED[name], name=name, title="A <plot> & more", text="What it shows")
    assert again == svg
    assert "<metadata" not in svg
    assert "<style" not in svg


def test_text_stays_text_as_it_was_given() -> None:
    texts = {
        element.text
        for element in read(plots.draw(PAINTED["timeline"], name="a", title="", text="")).iter(f"{SVG}text")
    }
    assert {"$volt_1$", "probability", "hours from the failure"} <= texts


def test_health_over_weeks_has_an_axis_in_days() -> None:
    svg = plots.draw(PAINTED["months"], name="a", title="", text="")
    texts = [element.text for element in read(svg).iter(f"{SVG}text")]
    assert [text[-2:] for text in texts[:5] if text] == ["28", "21", "14", "\N{MINUS SIGN}7", "0"]
    assert "days from the last reading" in texts


def test_names_in_any_script_are_drawn_without_a_word() -> None:
    line = {**LINE, "sensor": "温度 ⚙"}
    assert "温度" in plots.draw(plots.paint_timeline(line, (0.6, 0.2)), name="a", title="", text="")
