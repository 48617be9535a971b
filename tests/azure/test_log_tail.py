from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.azure.log_tail import Tail, clean, last_error

_TEXT = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"))


@given(
    lines=st.lists(st.text(_TEXT, max_size=12), max_size=8),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
def test_a_log_in_pieces_gives_the_lines_of_the_whole(lines: list[str], cuts: list[int]) -> None:
    whole = "".join(line + "\n" for line in lines).encode()
    ends = sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)})
    tail, found = Tail(), []
    for begin, end in zip([0, *ends], ends, strict=False):
        assert tail.offset == begin
        found += tail.feed(whole[begin:end])
    found += tail.feed(b"", is_last=True)
    assert found == [line.rstrip() for line in lines]


def test_a_line_without_end_is_told_when_nothing_follows() -> None:
    tail = Tail()
    assert tail.feed("Grü".encode()[:-1]) == []
    assert tail.feed("Grü".encode()[-1:] + b"ezi") == []
    assert tail.feed(b"", is_last=True) == ["Grüezi"]


def test_what_is_no_text_is_marked() -> None:
    assert Tail().feed(b"a\xff\n") == ["a�"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[31merror\x1b[0m: x", "error: x"),
        ("10 %\r50 %\rdone", "done"),
        ("done\r", "done"),
        ("\x1b]0;title\x07text", "text"),
        ("bell\x07", "bell"),
    ],
)
def test_orders_to_a_terminal_are_left_out(line: str, shown: str) -> None:
    assert clean(line) == shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", None),
        ("all is well\n", None),
        ("error: a\n", ("a", None)),
        ("error: a\nhint: b\n", ("a", "b")),
        ("error: a\nhint: b\nerror: c\nbye\n", ("c", None)),
        ("| error: a\n", None),
        ("\x1b[31merror: a\x1b[0m\r\nhint: b", ("a", "b")),
    ],
)
def test_the_last_error_counts(text: str, told: tuple[str, str | None] | None) -> None:
    assert last_error(text) == told
