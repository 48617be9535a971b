"""Placeholder until the branch that waits for jobs brings its own."""

from __future__ import annotations


def last_error(text: str) -> tuple[str, str | None] | None:
    """Return the last error line of pdm in a log and its hint."""
    lines = text.splitlines()
    for i in reversed(range(len(lines))):
        if lines[i].startswith("error: "):
            after = lines[i + 1] if i + 1 < len(lines) else ""
            return lines[i].removeprefix("error: "), after.removeprefix("hint: ") if after.startswith(
                "hint: "
            ) else None
    return None
