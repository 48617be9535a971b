from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.text import hide_signatures, plain, show_number, show_two_probabilities


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 5 µm", "größe 5 µm"),
        ("a\tb", "a\tb"),
        ("\x1b[31merror\x1b[0m: x", "error: x"),
        ("\x1b[>4;2mx", "x"),
        ("\x9b2Jx", "x"),
        ("\x1bcx", "x"),
        ("\x1b(Bx", "x"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;https://evil\x1b\\x", "x"),
        ("\x9d0;title\x9cx", "x"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x90q\x9cx", "x"),
        ("\x1b]0;not ended", "0;not ended"),
        ("\x1b\x00[2Jx", "[2Jx"),
        ("x\x1b", "x"),
        ("\u202egnp.exe\u2066\u200b", "gnp.exe"),
        ("a\nb\r\x7f", "ab"),
    ],
)
def test_plain_terminal_escapes_and_invisible_characters_are_removed(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(st.sampled_from("\x00\x07\x1b\x80\x90\x9b\x9c\x9d\u202e[]P\\;20mJ \t") | st.characters(), max_size=20))
def test_plain_any_text_has_no_invisible_character(text: str) -> None:
    shown = plain(text)
    assert not [letter for letter in shown if unicodedata.category(letter) in ("Cc", "Cf") and letter != "\t"]
    assert plain(shown) == shown


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=("Cc", "Cf"))))
def test_plain_visible_text_is_unchanged(text: str) -> None:
    assert plain(text) == text


def test_plain_unterminated_escapes_take_linear_time() -> None:
    assert plain("\x9d" * 200_000 + "\x1b]" * 200_000) == ""


@pytest.mark.parametrize("form", ["", ".1g", ".2g", ".4g", "+.2g", ",.4g"])
@given(st.floats(0.001, 1e6), st.sampled_from([-1.0, 1.0]))
def test_show_number_usual_sizes_have_no_exponent(form: str, size: float, sign: float) -> None:
    shown = show_number(sign * size, form)
    assert "e" not in shown
    assert float(shown.replace(",", "")) == pytest.approx(sign * size, rel=0.5)


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (0.21, 0.42, ("21%", "42%")),
        (0.4182, 0.4246, ("41.8%", "42.5%")),
        (0.42461, 0.42464, ("42.461%", "42.464%")),
        (0.001, 0.004, ("0.1%", "0.4%")),
        (0.42, 0.42, ("42%", "42%")),
    ],
)
def test_show_two_probabilities_that_differ_look_different(first: float, second: float, shown: tuple[str, str]) -> None:
    assert show_two_probabilities(first, second) == shown


def test_hide_signatures_removes_signatures_only() -> None:
    assert (
        hide_signatures("no 'https://s/c?sv=1&sig=a%3D&se=2' or ?sig=b") == "no 'https://s/c?sv=1&sig=…&se=2' or ?sig=…"
    )
