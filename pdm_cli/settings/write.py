"""Write settings to a config file: a new section after the others, which stay as they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pdm_cli.errors import ConfigError, UsageError
from pdm_cli.settings.field import key_of
from pdm_cli.settings.load import section_fields
from pdm_cli.text import plain

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def write_value(value: object) -> str:
    """Return a value in TOML; an empty string for None."""
    if value is None:
        return ""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(write_value, value))}]"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_write_key(name)} = {write_value(part)}" for name, part in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    # Numbers, strings and booleans are the same in JSON.
    return json.dumps(value, ensure_ascii=False)


def write_section(section: str, values: Mapping[str, object], remarks: Sequence[str] = ()) -> str:
    """Return TOML of some settings of a section, those of one table in its own section such as ``[import.failures]``.

    Parameters
    ----------
    section : str
        Name of the section.
    values : mapping
        Setting to value.
    remarks : sequence of str
        Comments in front of the settings.
    """
    tables: dict[str, list[str]] = {"": []}
    for item in section_fields(section):
        table, _, key = item.metadata["table_key"].rpartition(".")
        value = values.get(item.name)
        if value is None:
            continue
        if key and not table and isinstance(value, Mapping):
            for name, own in value.items():
                tables.setdefault(name, []).append(f"{key} = {write_value(own)}")
        else:
            tables.setdefault(table, []).append(f"{key or key_of(item.name)} = {write_value(value)}")
    lines = [f"[{key_of(section)}]", *(f"# {plain(remark)}" for remark in remarks), *tables.pop("")]
    for name, own in tables.items():
        lines += ["", f"[{key_of(section)}.{name}]", *own]
    return "\n".join(lines) + "\n"


def check_new_section(path: Path, section: str) -> None:
    """Check that a config file does not have a section yet.

    Raises
    ------
    UsageError
        If it does.
    """
    if path.exists() and key_of(section) in tomllib.loads(path.read_text(encoding="utf-8-sig")):
        hint = "remove it, or choose another config file with --config"
        raise UsageError(f"{path}: already has a section [{key_of(section)}]", hint=hint)


def append_section(path: Path, text: str) -> None:
    """Add a section to the end of a config file, which is replaced as a whole, or create it.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    # A link stays a link.
    target = path.resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        before = target.read_bytes() if target.exists() else b""
        if b"\r\n" in before:
            text = text.replace("\n", "\r\n")
        gap = b"" if not before.strip() else b"\n" if before.endswith(b"\n") else b"\n\n"
        partial.write_bytes(before + (gap.replace(b"\n", b"\r\n") if b"\r\n" in before else gap) + text.encode())
        if before:
            shutil.copymode(target, partial)
        partial.replace(target)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        hint = "check the permissions of its folder, or choose another config file with --config"
        raise ConfigError(f"{path}: cannot write: {exc.strerror}", hint=hint) from exc


def _write_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
