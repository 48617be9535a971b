"""Generate ``sample_config.toml`` from the settings: their help as comments, and their defaults.

``python docs/write_sample_config.py`` updates it; ``python docs/write_sample_config.py FILE`` writes to another file.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import Field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# All settings of pdm with their defaults. Copy what you change to pdm-cli.toml.
# Precedence: option (--horizon-hours 24) > environment (PDM_CLI_HORIZON_HOURS=24) > this file > default.
# Commented keys have no default and show an example.
"""
# Examples of settings without a default.
EXAMPLES = {
    "reference_days": "90.0",
    "health_window_hours": "72.0",
    "long": '["Tag", "Value"]',
    "phase_minutes": "30.0",
    "period_hours": "24.0",
    "smooth_hours": "24.0",
    "window_days": "28.0",
    "cutoff": "2015-10-01T00:00:00",
    "test_start": "2015-10-15T00:00:00",
    "max_alarms_per_machine_month": "0.5",
    "least_warning_hours": "24.0",
    "alarm_budget": "0.5",
    "since": "2015-12-01T00:00:00",
    "until": "2015-12-31T00:00:00",
}
# Examples of settings that are a table.
TABLES = {
    "ranges": "{ volt = [0.0, 400.0] }",
    "files": '{ failures = ["orders.csv"] }',
    "date_format": '"%d.%m.%y %H:%M"',
    "columns": '{ failures = { datetime = "Start" } }',
    "query": '{ telemetry = "select …" }',
}
# Follows the settings of a section.
MORE = {
    "import_": """# Keys for one table are also in its own section:
# [import.failures]
# files = ["orders.csv"]
# where = "type = M2*"
# date_format = "%d.%m.%y %H:%M"
# columns = { datetime = "Malfunction_start", machineID = "Equipment" }
"""
}
WIDTH = 110


def describe(section: str, item: Field[Any]) -> str:
    """Return the comment and the line of a setting."""
    from pdm_cli.settings.field import default_of, key_of, quote_choice
    from pdm_cli.settings.model import types_of
    from pdm_cli.settings.write import write_value

    hint = types_of(section)[item.name]
    choices = f" One of: {', '.join(map(quote_choice, get_args(hint)))}." if get_origin(hint) is Literal else ""
    text = item.metadata["help"] + choices
    comment = textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    if item.name in EXAMPLES:
        return f"{comment}\n# {item.name} = {EXAMPLES[item.name]}"
    suffix = f"  # such as {TABLES[item.name]}" if item.name in TABLES else ""
    return f"{comment}\n{key_of(item.name)} = {write_value(default_of(item))}{suffix}"


def write(path: Path) -> None:
    """Write the sample."""
    # Import this checkout, not an installed version.
    sys.path.insert(0, str(ROOT))

    from pdm_cli.settings.field import key_of
    from pdm_cli.settings.load import section_fields
    from pdm_cli.settings.model import SECTIONS

    parts = [HEAD]
    for name, section in SECTIONS.items():
        title = (section.__doc__ or "").splitlines()[0]
        parts.append(
            "\n".join([f"# {title}", f"[{key_of(name)}]", *(describe(name, item) for item in section_fields(name)), ""])
            + MORE.get(name, "")
        )
    path.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "sample_config.toml")
