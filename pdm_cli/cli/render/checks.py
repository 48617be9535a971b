"""The checks of ``pdm doctor``, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_WORDS = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "-"}
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "-"}
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


class CheckLines:
    """Checks as lines: with ticks and crosses on a terminal that can show them, else with words.

    Parameters
    ----------
    checks : iterable of mapping
        ``name``, ``state``, ``text`` and ``hint`` of each.
    """

    def __init__(self, checks: Iterable[Mapping[str, Any]]) -> None:
        self._checks = list(checks)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a line for each check, and one for its hint."""
        from rich.text import Text

        marks = _MARKS if options.is_terminal and not options.ascii_only else _WORDS
        wide, names = max(map(len, marks.values())), max(len(check["name"]) for check in self._checks)
        for check in self._checks:
            state = check["state"]
            yield Text.assemble(
                (f"{marks[state]:<{wide}}", _STYLES[state]), f"  {check['name']:<{names}}  {check['text']}"
            )
            if check["hint"]:
                yield Text(f"{'':<{wide + names + 4}}hint: {check['hint']}")
