"""Write ``commands.md``: the ``--help`` of every command, as it is shown on a terminal without colours.

``python docs/write_commands.py`` writes it anew; ``python docs/write_commands.py FILE`` writes it elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
HEAD = """# Commands

What `pdm COMMAND --help` shows, command by command. Written by `python docs/write_commands.py`; a test compares.
"""
# Where these are set, help is shown in colours although nobody reads it on a terminal.
COLOURING = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS")


def list_commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command below a group, and those of the groups, in the order of help."""
    for name in group.commands:
        yield (*words, name)
        command = group.load(name) if hasattr(group, "load") else group.commands[name]
        if hasattr(command, "commands"):
            yield from list_commands(command, (*words, name))


def write(path: Path) -> None:
    """Write the help of every command."""
    for name in COLOURING:
        os.environ.pop(name, None)
    # Typer looks at both when it is imported.
    os.environ.update(COLUMNS=str(WIDTH), TERMINAL_WIDTH=str(WIDTH), NO_COLOR="1", TERM="dumb")

    # This checkout's commands, whatever version may be installed.
    sys.path.insert(0, str(ROOT))

    import typer.main
    from typer.testing import CliRunner

    from pdm_cli.app import app

    runner = CliRunner()
    parts = [HEAD]
    for words in [(), *list_commands(typer.main.get_command(app))]:
        shown = runner.invoke(app, [*words, "--help"], prog_name="pdm", catch_exceptions=False).stdout
        lines = [line.rstrip() for line in shown.splitlines()]
        text = "\n".join(lines).strip("\n")
        parts.append(f"## {' '.join(('pdm', *words))}\n\n```text\n{text}\n```\n")
    path.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/commands.md")
