"""Problems in raw data that a person should check, and how their messages show days, lengths and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pdm_cli.units import current, show_time

Level = Literal["warning", "note"]


@dataclass(frozen=True)
class Problem:
    """A problem in the data: its type, a sentence about it, the way to solve it, and facts for programs.

    A ``note`` may be as intended; a ``warning`` rarely is.
    """

    type: str
    text: str
    hint: str = ""
    level: Level = "warning"
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields in JSON types, the facts among them."""
        return {"type": self.type, "level": self.level, "text": self.text, "hint": self.hint, **self.facts}


def show_day(time_us: int) -> str:
    """Return a time as a date or a cycle."""
    shown = show_time(time_us)
    return shown if current().counts_cycles else shown[:10]


def name_machines(machines: Sequence[Any], total: int) -> str:
    """Return ``machine 7``, ``3 of 100 machines, first 7`` or ``all machines``."""
    if len(machines) == 1:
        return f"machine {machines[0]}"
    return "all machines" if len(machines) == total else f"{len(machines):,} of {total:,} machines, first {machines[0]}"
