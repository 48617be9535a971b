"""Settings in the form of a config file."""

from __future__ import annotations

import json
from collections.abc import Mapping


def write_settings(sections: Mapping[str, Mapping[str, object]], origins: Mapping[str, str]) -> str:
    """Return TOML of all settings, those without a value as comments.

    Parameters
    ----------
    sections : mapping
        Section to its settings and their values.
    origins : mapping
        Setting to where its value comes from, put behind it; those that are not in it have nothing behind them.
    """
    rows = {
        section: [
            (f"{'# ' if value is None else ''}{key} = {_write(value)}".rstrip(), key) for key, value in of.items()
        ]
        for section, of in sections.items()
    }
    # The comments stand below one another, save behind a line that is long beyond all others.
    width = min(max(len(line) for lines in rows.values() for line, _ in lines), 56)
    written = []
    for section, lines in rows.items():
        told = [f"{line:<{width}}  # {origins[key]}" if key in origins else line for line, key in lines]
        written.append("\n".join([f"[{section}]", *told]))
    return "\n\n".join(written)


def _write(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_write(name)} = {_write(part)}" for name, part in value.items())
        return f"{{{inner}}}"
    # Numbers, texts and true are written as in JSON.
    return json.dumps(value, ensure_ascii=False)
