"""Settings as a config file."""

from __future__ import annotations

from collections.abc import Mapping

from pdm_cli.settings.write import write_value


def write_settings(sections: Mapping[str, Mapping[str, object]], origins: Mapping[str, str]) -> str:
    """Return TOML of all settings, those without a value as comments, each followed by its origin if it has one."""
    rows = {
        section: [
            (f"{'# ' if value is None else ''}{key} = {write_value(value)}".rstrip(), key) for key, value in of.items()
        ]
        for section, of in sections.items()
    }
    # Align the comments, except after very long lines.
    width = min(max(len(line) for lines in rows.values() for line, _ in lines), 56)
    written = []
    for section, lines in rows.items():
        shown = [f"{line:<{width}}  # {origins[key]}" if key in origins else line for line, key in lines]
        written.append("\n".join([f"[{section}]", *shown]))
    return "\n\n".join(written)
